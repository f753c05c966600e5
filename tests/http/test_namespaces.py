"""`/?s=NAME`, which istatd calls settings: its answers byte for byte, and what is refused or left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from istat.clock import FakeClock
from istat_server.keyvalue.bounds import Bounds
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

WRITES = {"Authorization": "Bearer writes"}
# istatd's worked example, and its file: a blank at the end of a value is kept, as `\ `.
EXAMPLE = b'{"b":true,"c":1.5,"d":99999999999,"e e":1,"f":"q=%_\\n z "}'
FILE = b"# istatd settings 1\nb=true\nc=1.5\nd=99999999999\nf=q=\\%\\_\\n z\\ \n"


@pytest.fixture
def namespaces(tmp_path: Path, clock: FakeClock) -> Namespaces:
    return Namespaces(tmp_path / "settings", clock, bounds=Bounds(namespaces=2, value=100))


@pytest.fixture
def client(namespaces: Namespaces, clock: FakeClock) -> TestClient:
    return TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, write="writes"))


def post(client: TestClient, name: str, body: object, **headers: str) -> Result:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.simulate_post(f"/?s={name}", body=data, headers={**WRITES, **headers})


def said(answer: Result) -> tuple[int, bytes]:
    return answer.status_code, answer.content


def refusal(text: str) -> bytes:
    return b'{"error":%s}\n' % json.dumps(text).encode()


def test_the_worked_example_is_answered_and_written(client: TestClient, namespaces: Namespaces, tmp_path: Path) -> None:
    answer = post(client, "cit", EXAMPLE)
    assert said(answer) == (200, b'{"success":true}')
    assert answer.headers["X-Skipped-Keys"] == "1" and namespaces.totals()["settings.skipped"] == 1
    assert (tmp_path / "settings/cit.set").read_bytes() == FILE
    namespaces.flush()
    assert said(client.simulate_get("/?s=cit")) == (
        200, b'{"b":"true","c":"1.5","d":"99999999999","f":"q=%_\\n z "}')


def test_istatds_own_file_is_read_as_it_reads_it(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings/cit.set").write_bytes(FILE.replace(b"\\ \n", b" \n"))
    assert client.simulate_get("/?s=cit&sk=f").content == b'{"f":"q=%_\\n z"}'


def test_keys_are_sorted_and_chosen_by_a_pattern(client: TestClient) -> None:
    post(client, "u", {"dashboard.b": "2", "x": "3", "dashboard.a": "1"})
    assert client.simulate_get("/?s=u").content == b'{"dashboard.a":"1","dashboard.b":"2","x":"3"}'
    assert client.simulate_get("/", params={"s": "u", "sk": "dashboard.*"}).json == {"dashboard.a": "1",
                                                                                  "dashboard.b": "2"}
    assert client.simulate_get("/?s=u&sk=?").json == {"x": "3"}, "? is a run without dots"
    assert said(client.simulate_get("/?s=u&sk=none")) == (404, b"null")


def test_a_namespace_that_is_not_there_and_an_empty_one(client: TestClient) -> None:
    assert said(client.simulate_get("/?s=none")) == (404, refusal("no such settings"))
    assert said(post(client, "", {})) == (200, b'{"success":true}')
    assert said(client.simulate_get("/?s=")) == (404, b"null")


def test_an_empty_value_deletes(client: TestClient) -> None:
    post(client, "u", {"a": "1", "b": "2"})
    assert said(post(client, "u", {"a": ""})) == (200, b'{"success":true}')
    assert client.simulate_get("/?s=u").json == {"b": "2"}


@pytest.mark.parametrize(("name", "body", "status", "text"), [
    ("a/b", {"a": "1"}, 400, "invalid settings name"),
    ("..%2fa", {"a": "1"}, 400, "invalid settings name"),
    ("%00", {"a": "1"}, 400, "invalid settings name"),
    ("u", {"a": "1", "b": []}, 400, "JSON setting values cannot be compound (found b)"),
    ("u", {"z": {}, "b": None}, 400, "JSON setting values cannot be compound (found b)"),
    ("u", [], 400, "JSON settings must be key/value object"),
    ("u", b"7", 400, "JSON settings must be key/value object"),
    ("u", b'{"a":1e999}', 400, "the number of 'a' is too large"),
    ("u", {f" {number}": [] for number in range(10_001)}, 413,
     "a change has at most 10,000 keys, and this one has 10,001: send several"),
    ("u", {"a": "x" * 101}, 413, "a value has at most 100 bytes; that of 'a' has more"),
])
def test_what_is_refused_changes_nothing(client: TestClient, tmp_path: Path, name: str, body: Any, status: int,
                                         text: str) -> None:
    assert said(post(client, name, body)) == (status, refusal(text))
    assert not (tmp_path / "settings").exists()


def test_what_is_no_json_is_told(client: TestClient) -> None:
    answer = post(client, "u", b"{a}")
    assert answer.status_code == 400 and answer.json["error"].startswith("the body is no JSON: ")


def test_an_invalid_name_cannot_be_read_either(client: TestClient) -> None:
    assert said(client.simulate_get("/?s=a%2Fb")) == (400, refusal("invalid settings name"))


def test_more_namespaces_than_there_may_be_are_refused(client: TestClient) -> None:
    assert [post(client, name, {"a": 1}).status_code for name in ("a", "b", "c", "a")] == [200, 200, 413, 200]
    assert client.simulate_get("/?s=c").status_code == 404


@pytest.mark.parametrize(("sent", "kept"), [
    (b"true", "true"), (b"false", "false"), (b"0", "0"), (b"-7", "-7"), (b"1.0", "1.0"), (b"1e3", "1000.0"),
    (b"1e22", "10000000000000000000000"), (b"1e-7", "0.0000001"), (b'"\\u00e9 "', "\u00e9 "), (b'"\\u0000"', "\0"),
])
def test_values_become_text(client: TestClient, namespaces: Namespaces, sent: bytes, kept: str) -> None:
    assert post(client, "u", b'{"a":' + sent + b"}").status_code == 200
    namespaces.flush()
    assert client.simulate_get("/?s=u").json == {"a": kept}


def test_writing_needs_the_write_right(client: TestClient) -> None:
    assert client.simulate_post("/?s=u", body=b'{"a":1}').status_code == 401
    assert client.simulate_get("/?s=u").status_code == 404


def test_a_post_without_a_target_is_told_in_istatds_words(client: TestClient) -> None:
    assert said(client.simulate_post("/?x=u", body=b"{}", headers=WRITES)) == (404, refusal("No such POST target"))


def test_settings_open_takes_changes_from_whoever_may_read_but_not_from_other_pages(
        namespaces: Namespaces, clock: FakeClock) -> None:
    client = TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, settings_open=True))

    def send(**headers: str) -> int:
        return int(client.simulate_post("/?s=u", body=b'{"a":1}', headers=headers).status_code)

    assert send() == 200
    assert send(Origin="http://x", Host="x") == 200
    assert send(Origin="http://evil.example", Host="x") == 403
    for origin in ("null", "http://[", "x", "http://x.evil", "//y"):
        assert send(Origin=origin, Host="x") == 403, origin
    clock.advance(1)
    read = TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, settings_open=True, read="reads"))
    assert read.simulate_post("/?s=u", body=b'{"a":2}').status_code == 401
    assert read.simulate_post("/?s=u", body=b'{"a":2}', headers={"Authorization": "Bearer reads"}).status_code == 200


def test_a_damaged_file_is_told_and_others_are_served(client: TestClient, tmp_path: Path) -> None:
    post(client, "good", {"a": 1})
    (tmp_path / "settings/bad.set").write_bytes(b"a=\0\n")
    answer = client.simulate_get("/?s=bad")
    assert answer.status_code == 503 and "bad.set: it has zero bytes" in answer.json["error"]
    assert post(client, "bad", {"a": 1}).status_code == 503, "what somebody may want to put right is not overwritten"
    assert client.simulate_get("/?s=good").json == {"a": "1"}
