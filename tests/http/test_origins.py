"""By which names a server may be asked, and which pages of other origins may read what it says."""
from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat.errors import SettingsError
from istat_server.http import origins as module
from istat_server.http.app import make_app
from istat_server.http.families.table import our_routes
from istat_server.http.openapi import described
from istat_server.http.origins import Origins, loopback, machine_names
from istat_server.http.rights import Rights
from istat_server.options import DECLARATION
from istat_server.testing.memory import MemoryStore
from tests.http.application import NAMESPACES, Nobody, tokens

PAGE = "https://dashboards.example.net"
ADDRESSES = ["/health", "/", "/ui/app.js", "/api/v1/status", "/api/v1/nothing", "/foo.bar", "/?q=*", "/metrics"]


def client_of(store: MemoryStore, clock: FakeClock, **settings: Any) -> tuple[TestClient, Origins]:
    given = {"http-names": (), "http-origins": (), "http-listen-address": "127.0.0.1", **{
        key.replace("_", "-"): value for key, value in settings.items()}}
    routes = our_routes(store, dict, Nobody(), str, clock, namespaces=NAMESPACES)
    origins = Origins(given)
    return TestClient(make_app(described([("istat_server.builtin", routes)]), Rights(tokens()), origins)), origins


def ask(client: TestClient, host: str, path: str = "/health", method: str = "GET", **headers: str) -> Any:
    path, _, query = path.partition("?")
    return client.simulate_request(method, path, query_string=query, headers={"Host": host, **headers})


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:8000", "[::1]",
                                  "[::1]:8000", "10.0.0.5:8000", "[fe80::1]:80", "198.51.100.7"])
def test_addresses_and_localhost_are_always_ours(store: MemoryStore, clock: FakeClock, host: str) -> None:
    client, _ = client_of(store, clock)
    assert ask(client, host).status_code == 200


@pytest.mark.parametrize("host", [
    "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:8000", "x@localhost", "[::1",
    "localhost/evil", "[::1]x", "127.0.0.1:8000:1", ":8000", "1", "localhost,evil.example", "\uff1127.0.0.1",
])  # fmt: skip
def test_any_other_name_is_refused_and_the_sentence_says_what_to_do(
        store: MemoryStore, clock: FakeClock, host: str) -> None:
    client, origins = client_of(store, clock)
    answer = ask(client, host)
    assert answer.status_code == 421
    assert "http-names" in answer.json["error"]
    assert origins.refused == 1


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE"])
def test_whatever_is_asked(store: MemoryStore, clock: FakeClock, method: str, path: str) -> None:
    client, _ = client_of(store, clock)
    answer = ask(client, "evil.example", path, method)
    assert answer.status_code == 421
    assert "access-control-allow-origin" not in answer.headers


def test_the_name_is_looked_at_before_the_rights(store: MemoryStore, clock: FakeClock) -> None:
    client, _ = client_of(store, clock)
    assert ask(client, "evil.example", "/api/v1/deleted").status_code == 421
    assert ask(client, "localhost", "/api/v1/deleted").status_code == 403


def test_without_a_host_one_is_served(store: MemoryStore, clock: FakeClock) -> None:
    client, origins = client_of(store, clock)
    assert ask(client, "").status_code == 200
    env = {"HTTP_HOST": None}
    assert client.simulate_get("/health", extras={"HTTP_HOST": ""}).status_code == 200, env
    assert origins.refused == 0


def test_names_of_the_setting_are_ours_and_change_while_it_runs(store: MemoryStore, clock: FakeClock) -> None:
    client, origins = client_of(store, clock, http_names=("stats.example.net",))
    assert ask(client, "Stats.Example.NET.:8000").status_code == 200
    origins.take({"http-names": ("other.example.net",), "http-origins": (PAGE,)})
    assert ask(client, "stats.example.net").status_code == 421
    answer = ask(client, "other.example.net", Origin=PAGE)
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize(("listen", "code"), [("127.0.0.1", 421), ("", 421), ("::1", 421), ("localhost", 421),
                                              ("*", 200), ("10.0.0.5", 200), ("0.0.0.0", 200), ("::", 200)])
def test_this_machines_names_are_ours_where_others_can_reach_it(
        store: MemoryStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, listen: str, code: int) -> None:
    monkeypatch.setattr(module.socket, "gethostname", lambda: "Box.example.net")
    client, _ = client_of(store, clock, http_listen_address=listen)
    assert ask(client, "box.example.net:8000").status_code == code
    assert ask(client, "box").status_code == code
    assert ask(client, "evil.example").status_code == 421


def test_so_is_the_name_that_it_listens_on(store: MemoryStore, clock: FakeClock) -> None:
    client, origins = client_of(store, clock, http_listen_address="Stats.example.net")
    assert ask(client, "stats.example.net").status_code == 200
    origins.know(machine_names(lambda: "box.lan"))
    assert ask(client, "box.lan").status_code == 200


def test_a_machine_without_a_name_has_none() -> None:
    def nameless() -> str:
        raise UnicodeError

    assert machine_names(nameless) == []
    assert not loopback("::")


@pytest.mark.parametrize("path", ADDRESSES)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_no_page_of_another_origin_reads_anything(store: MemoryStore, clock: FakeClock, method: str, path: str) -> None:
    client, _ = client_of(store, clock)
    answer = ask(client, "localhost", path, method, Origin="https://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_of_the_setting_may(store: MemoryStore, clock: FakeClock) -> None:
    client, _ = client_of(store, clock, http_origins=(PAGE,))
    for path in ("/health", "/api/v1/series", "/api/v1/nothing"):
        answer = ask(client, "localhost", path, Origin=PAGE)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    for other in ("https://evil.example", "null", PAGE + ".evil.example", "http://dashboards.example.net", ""):
        answer = ask(client, "localhost", Origin=other)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


def test_a_page_may_ask_before_it_sends(store: MemoryStore, clock: FakeClock) -> None:
    client, _ = client_of(store, clock, http_origins=(PAGE,))
    answer = ask(client, "localhost", "/*", "OPTIONS", Origin=PAGE)
    assert (answer.status_code, answer.text) == (204, "")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]


def test_compressed_answers_vary_with_both(store: MemoryStore, clock: FakeClock) -> None:
    client, _ = client_of(store, clock, http_origins=(PAGE,))
    answer = ask(client, "localhost", "/api/v1/openapi.json", **{"Origin": PAGE, "Accept-Encoding": "gzip"})
    assert answer.headers["vary"] == "Origin, Accept-Encoding"


@pytest.mark.parametrize(("name", "text"), [
    ("http-origins", "*"), ("http-origins", "dashboards.example.net"), ("http-origins", "https://a.example/path"),
    ("http-names", "http://a.example"), ("http-names", "a.example:8000"), ("http-names", "a b"), ("http-names", "*"),
])  # fmt: skip
def test_what_is_no_name_or_origin_is_refused_as_a_setting(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=name):
        DECLARATION.load([f"--{name}", text], {})


def test_settings_are_lists() -> None:
    values = DECLARATION.load(["--http-names", "A.example,b.example.", "--http-origins", PAGE.upper()], {})
    assert values["http-names"] == ("a.example", "b.example")
    assert values["http-origins"] == (PAGE,)
