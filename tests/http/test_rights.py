"""Who may ask what: every route of the table without the right it needs, and with it; tokens, right and wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.app import make_app
from istat_server.http.families.table import our_routes
from istat_server.http.openapi import described
from istat_server.http.rights import Rights
from istat_server.http.routes import ANY, Access, Route, table_of
from istat_server.testing.memory import MemoryStore
from tests.http.application import NAMESPACES, Nobody, app_of, origins, tokens
from tests.http.conftest import T

CONFIRM = "/api/v1/clock/confirm"
TOKENS = {"read": "reads", "write": "writes", "admin": "rules", "replica": "copies"}
BODIES = {"/api/v1/series": {"names": ["foo.bar"]}, "/api/v1/ends": {"names": ["foo.bar"]}, "/*": {"keys": ["foo.bar"]},
          "/api/v1/delete": {"names": ["foo.bar"]}, "/api/v1/undelete": {"names": []},
          "/api/v1/describe": {"names": ["foo.bar"]},
          "/api/v1/rename": {"from": "foo.bar", "to": "bar"}, "/api/v1/namespace": {"name": "y", "changes": {}},
          "/api/v1/replica/fence": {"store": "0" * 32, "term": 1, "by": "http://two:8000"},
          "/api/v1/namespace/restore": {"name": "x", "key": "key", "version": 1}}
PATHS = {"/<counter>": "/foo.bar", "/ui/": "/ui/app.js", "/?q=PATTERN": "/", "/?a=*": "/",
         "/?f=NAME": "/", "/files/NAME": "/files/favicon.svg", "/?s=NAME": "/?s=x"}


def accepted(req: Any, resp: Any) -> None:
    resp.media = {}


# What a plugin may bring; ours need this right nowhere yet.
WRITES = Route("/api/mine/samples", {"POST": accepted}, Access.WRITE, "samples")
OURS = our_routes(MemoryStore(clock=FakeClock(T)), dict, Nobody(), str, FakeClock(T), namespaces=NAMESPACES)
TABLE = described([("istat_server.builtin", OURS), ("mine", [WRITES])])
ASKED = [(route, method) for route in TABLE for method in route.handlers if method != ANY]


class DoubtfulStore(MemoryStore):
    """A store that doubted its clock, and counts its confirmations."""

    confirmed = 0

    def confirm_clock(self) -> str:
        self.confirmed += 1
        return "the clock went on by 9000 s at once"

    def promote(self) -> dict[str, object]:
        return {"term": 1, "deposed": "http://old:8000"}


@pytest.fixture
def store(clock: FakeClock) -> DoubtfulStore:
    clock.set(T)
    store = DoubtfulStore(clock=clock)
    store.add("foo.bar", T, 5)
    store.add("files", T, 5)
    return store


def client_of(store: MemoryStore, clock: FakeClock, **given: str) -> TestClient:
    return TestClient(app_of(store, clock, more=[WRITES], **given))


def ask(client: TestClient, route: Route, method: str, authorization: str | None) -> Any:
    headers = {"Authorization": authorization} if authorization is not None else {}
    body = {"json": BODIES.get(route.path, {})} if method == "POST" else {}
    return client.simulate_request(method, PATHS.get(route.title, route.path), query_string=route.example,
                                   headers=headers, **body)


def expected(access: Access, right: Access, free: Access) -> set[int]:
    """The statuses of a request with this right. An unknown or no token is OPEN. 501: the model of a store cannot be
    followed."""
    if access <= free or right.includes(access):
        return {200, 204, 501} if access is Access.REPLICA else {200, 204}
    return {403} if right else {401}


@pytest.mark.parametrize(("route", "method"), ASKED, ids=lambda one: getattr(one, "title", one))
@pytest.mark.parametrize("readable", [True, False], ids=["reading-is-free", "with-read-token"])
def test_every_route_wants_the_right_it_says(
    store: DoubtfulStore, clock: FakeClock, route: Route, method: str, readable: bool
) -> None:
    given = {name: token for name, token in TOKENS.items() if not readable or name != "read"}
    client = client_of(store, clock, **given)
    free = Access.READ if readable else Access.OPEN
    for name, right in ((None, Access.OPEN), ("guess", Access.OPEN), ("read", Access.READ), ("write", Access.WRITE),
                        ("replica", Access.REPLICA), ("admin", Access.ADMIN)):
        if readable and name == "read":
            continue
        sent = None if name is None else f"Bearer {given.get(name, 'guessed')}"
        answer = ask(client, route, method, sent)
        assert answer.status_code in expected(route.access, right, free), (name, answer.text)
        if answer.status_code in (401, 403):
            assert "Authorization: Bearer TOKEN" in answer.json["error"]
            assert ask(client, route, "HEAD", sent).status_code == answer.status_code or method != "GET"


@pytest.mark.parametrize(("route", "method"), ASKED, ids=lambda one: getattr(one, "title", one))
def test_without_tokens_reading_is_free_and_nothing_else(
    store: DoubtfulStore, clock: FakeClock, route: Route, method: str
) -> None:
    for sent in (None, "Bearer ", "Bearer x"):
        answer = ask(client_of(store, clock), route, method, sent)
        assert answer.status_code in ({200, 204} if route.access <= Access.READ else {403})
        if answer.status_code == 403:
            assert "admin-token" in answer.json["error"] and "set one" in answer.json["error"]
            assert ("settings-open = true" in answer.json["error"]) is (route.access is Access.WRITE)


def test_writing_needs_the_admin_token_where_there_is_no_other(store: DoubtfulStore, clock: FakeClock) -> None:
    client = client_of(store, clock, admin="rules")
    assert ask(client, WRITES, "POST", None).status_code == 401
    assert ask(client, WRITES, "POST", "Bearer rules").status_code == 200


def test_what_is_closed_looks_at_nothing_else(store: DoubtfulStore, clock: FakeClock) -> None:
    client = client_of(store, clock, **TOKENS)
    for path, length in (("/api/v1/delete", "99999999999"), ("/*", "99999999999")):
        answer = client.simulate_post(path, headers={"Content-Length": length})
        assert answer.status_code == 401, path
    for path in ("/no.such", "/files"):
        assert client.simulate_get(path).status_code == 401, "nobody learns which counters there are"
    assert client.simulate_get("/", params={"q": "*"}).status_code == 401
    assert client.simulate_get("/").status_code == 200, "the page itself is anybody's"
    assert client.simulate_options("/foo.bar").status_code == 204


@pytest.mark.parametrize("authorization", ["Bearer rules", "bearer  rules ", "BEARER rules"])
def test_a_scheme_has_no_case(store: DoubtfulStore, clock: FakeClock, authorization: str) -> None:
    answer = client_of(store, clock, admin="rules").simulate_post(CONFIRM, headers={"Authorization": authorization})
    assert (answer.status_code, answer.json) == (200, {"time": T, "doubt": "the clock went on by 9000 s at once"})
    assert store.confirmed == 1


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer rule", "Bearer ruless", "rules",
                                           "Basic rules", "Bearer \xff\xfe", "Bearer reads", "Bearer " + "x" * 8000])
def test_no_token_or_a_wrong_one_is_told(store: DoubtfulStore, clock: FakeClock, authorization: str | None,
                                         caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": authorization} if authorization is not None else {}
    answer = client_of(store, clock, admin="rules").simulate_post(CONFIRM, headers=headers)
    assert (answer.status_code, store.confirmed) == (401, 0)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    came = (authorization or "").startswith("Bearer ") and authorization != "Bearer "
    assert ("is wrong" in answer.json["error"]) == came == bool(caplog.records)
    assert "admin-token" in answer.json["error"]
    if came:
        assert authorization is not None and authorization[7:] not in caplog.text


def test_guesses_do_not_fill_the_log(clock: FakeClock, store: DoubtfulStore, caplog: pytest.LogCaptureFixture) -> None:
    client = client_of(store, clock, admin="rules")
    for _ in range(50):
        client.simulate_post(CONFIRM, headers={"Authorization": "Bearer guessed"})
    clock.advance(2)
    client.simulate_post(CONFIRM, headers={"Authorization": "Bearer guessed"})
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == 2 and lines[1].endswith("(49 more not shown)")
    assert "guessed" not in caplog.text and "rules" not in caplog.text


def test_an_address_makes_no_line_of_the_log(
    clock: FakeClock, store: DoubtfulStore, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_of(store, clock, read="reads")
    client.simulate_get("/a%0A2026-01-01 ERROR forged%1B[31m", headers={"Authorization": "Bearer guessed"})
    [record] = caplog.records
    assert record.getMessage().isprintable() and "forged" in record.getMessage()


def test_tokens_change_while_it_runs(clock: FakeClock) -> None:
    rights = Rights(tokens(admin="old"), clock)
    table = table_of([("mine", [Route("/api/mine", {"GET": accepted}, Access.ADMIN, "mine")])])
    app = make_app(table, rights, origins())
    client = TestClient(app)

    def statuses() -> list[int]:
        return [client.simulate_get("/api/mine", headers={"Authorization": f"Bearer {token}"}).status_code
                for token in ("old", "new")]

    assert statuses() == [200, 401]
    rights.take(tokens(read="other", admin="new"))
    assert statuses() == [401, 200]


def test_who_copies_the_store_sends_no_samples_and_who_sends_copies_nothing(store: DoubtfulStore,
                                                                           clock: FakeClock) -> None:
    client = client_of(store, clock, **TOKENS)
    for token, writes, copies in (("writes", 200, 403), ("copies", 403, 200), ("rules", 200, 200)):
        headers = {"Authorization": f"Bearer {token}"}
        assert client.simulate_post("/api/mine/samples", headers=headers).status_code == writes
        assert client.simulate_get("/api/v1/replica/namespaces", headers=headers).status_code == copies
        assert client.simulate_get("/api/v1/names", headers=headers).status_code == 200
