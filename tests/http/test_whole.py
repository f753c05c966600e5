"""`/api/v1/rows`: everything that there is, in pages; `/api/v1/ends`: since when and until when there is any."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.limits import HttpLimits
from istat_server.query import walk
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of
from tests.http.conftest import T

RETENTION = "10s:10d,5m:1y9d,1h:6y12d"


def test_all_rows_of_every_level(client: TestClient) -> None:
    answer = client.simulate_post("/api/v1/rows", json={"match": "foo.*", "from": T}).json
    assert {key: answer[key] for key in ("unfinished", "truncated", "token")} == {
        "unfinished": False, "truncated": False, "token": ""}
    (counter,) = answer["counters"]
    assert (counter["name"], counter["kind"], counter["retention"]) == ("foo.bar", "gauge", RETENTION)
    assert counter["rows"].keys() == {"10s", "5m", "1h"}
    assert counter["rows"]["10s"][0] == [T, 2, 12.25, 5, 7.25, pytest.approx(1.59099026)]
    assert counter["rows"]["1h"][0][:5] == [T, 3, 1012.25, 5, 1000]
    assert counter["rows"]["10s"][1] == [T + 30, 1, 1000, 1000, 1000, 0]
    everything = client.simulate_post("/api/v1/rows", json={}).json["counters"]
    assert [(one["name"], one["kind"]) for one in everything] == [("foo.bar", "gauge"), ("mail.sent", "event")]
    assert everything[1]["rows"]["10s"] == [[T + 10, 1, 2, 2, 2, 0]]
    assert client.simulate_post("/api/v1/rows", json={"match": "none.*"}).json == {
        "counters": [], "unfinished": False, "truncated": False, "token": ""}


@pytest.mark.parametrize("part", [100_000, 7])
def test_pages_have_each_row_once(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, part: int) -> None:
    clock.set(T + 900)
    monkeypatch.setattr(walk, "PART_ROWS", part)
    store = MemoryStore(clock=clock)
    for second in range(0, 900, 10):
        for name in ("a", "b", "*c"):
            store.add(name, T + second, second)
    client = TestClient(app_of(store, clock, limits=HttpLimits(page=7000)))
    found: dict[str, list[Any]] = {}
    token, pages = "", 0
    while token or not pages:
        answer = client.simulate_post("/api/v1/rows", json={"token": token, "from": T}).json
        for counter in answer["counters"]:
            found.setdefault(counter["name"], []).extend(counter["rows"].get("10s", ()))
        token, pages = answer["token"], pages + 1
        assert answer["truncated"] is bool(token)
    assert {name: [row[0] for row in rows] for name, rows in found.items()} == dict.fromkeys(
        "abc", list(range(T, T + 900, 10)))
    assert pages > 1


def test_what_cannot_be_asked(client: TestClient) -> None:
    for question in ({"match": 5}, {"token": 5}, {"token": "x"}, {"from": 10, "to": 10}, {"from": "x"},
                     {"match": "*" * 1500}):
        assert client.simulate_post("/api/v1/rows", json=question).status_code == 400


def test_when_the_first_and_last_buckets_were(client: TestClient, store: MemoryStore) -> None:
    store.create(b"silent", event=False)
    rows = [{"name": "foo.bar", "kind": "gauge", "retention": RETENTION, "first": T, "last": T + 30},
            {"name": "silent", "kind": "gauge", "retention": RETENTION, "first": None, "last": None}]
    for answer in (client.simulate_get("/api/v1/ends?name=FOO.bar&name=silent&name=x&name=foo.bar"),
                   client.simulate_post("/api/v1/ends", json={"names": ["FOO.bar", "silent", "x", "foo.bar"]})):
        assert answer.json == {"counters": rows, "missing": ["x"]}
    assert client.simulate_get("/api/v1/ends").status_code == 400
    assert client.simulate_post("/api/v1/ends", json={"names": ["a"] * 6}).status_code == 413


def test_a_path_that_is_none_is_answered_as_such(client: TestClient) -> None:
    for path in ("/foo/api/v1/status", "/api/v1/nothing", "/a/b"):
        answer = client.simulate_get(path)
        assert answer.status_code == 404 and path in answer.json["error"]
        assert answer.json["error"].startswith("no such path: ")
    answer = client.simulate_post("/foo/api/v1/series", json={"names": ["a"]})
    assert (answer.status_code, answer.json["error"]) == (404, "no such path: /foo/api/v1/series")
    assert client.simulate_get("/foo_bar").json["error"] == "No such counter foo_bar"


def test_a_counter_is_found_by_a_spelling_with_a_slash(client: TestClient, store: MemoryStore) -> None:
    store.add("disk/root", T, 5)
    assert client.simulate_get("/disk/root").status_code == 200
