"""Our own API under /api/v1, metrics, health, faults, and the table of routes."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from falcon.testing import TestClient

from istat.errors import StoreError
from istat_server.testing.memory import MemoryStore

T = 1325394000
DOCUMENT = Path(__file__).parent.parent.parent / "docs/formats/http-api.md"


def series(client: TestClient, **params: Any) -> Any:
    return client.simulate_get("/api/v1/series", params=params, params_csv=False)


def test_series(client: TestClient) -> None:
    answer = series(client, name=["foo.bar", "gone", "*Mail.sent"], **{"from": T, "to": T + 40, "columns": "avg,min"})
    assert answer.status_code == 200
    assert answer.json == {
        "start": T,
        "interval": 10,
        "points": 4,
        "series": [
            {"name": "foo.bar", "kind": "gauge", "avg": [6.125, None, None, 1000], "min": [5, None, None, 1000]},
            {"name": "mail.sent", "kind": "event", "avg": [None, 2, 0, 0], "min": [None, 2, 0, 0]},
        ],
        "missing": ["gone"],
    }


def test_series_by_post_is_the_same(client: TestClient) -> None:
    wanted = series(client, name=["foo.bar", "x"], **{"from": T, "to": T + 40, "columns": "max,sdev", "points": 9})
    for columns in ("max,sdev", ["max", "sdev"]):
        question = {"names": ["foo.bar", "x"], "from": T, "to": T + 40, "columns": columns, "points": 9}
        answer = client.simulate_post("/api/v1/series", body=json.dumps(question))
        assert answer.json == wanted.json


def test_series_defaults(client: TestClient) -> None:
    answer = series(client, name="foo.bar").json
    assert (answer["start"], answer["interval"], answer["points"]) == (T - 2700, 10, 361)
    assert list(answer["series"][0]) == ["name", "kind", "avg"]
    nulls = {"names": ["foo.bar"], "from": None, "to": None, "points": None, "columns": None}
    assert client.simulate_post("/api/v1/series", body=json.dumps(nulls)).json == answer


def test_what_came_in_this_very_second_is_answered(client: TestClient, store: MemoryStore) -> None:
    store.add("foo.bar", T + 900, 8)
    assert series(client, name="foo.bar").json["series"][0]["avg"][-1] == 8
    assert series(client, name="foo.bar", **{"from": T + 880}).json["series"][0]["avg"] == [None, None, 8]


def test_series_takes_fractions_of_seconds(client: TestClient) -> None:
    answer = series(client, name="foo.bar", **{"from": f"{T}.9", "to": T + 20}).json
    assert answer["start"] == T


@pytest.mark.parametrize(
    ("params", "status", "error"),
    [
        ({}, 400, "name at least one counter"),
        ({"name": ["a"] * 6}, 413, "at most 5 names"),
        ({"name": "a", "columns": "avg,median"}, 400, "no column is called 'median'"),
        ({"name": "a", "from": "x"}, 400, "from must be a whole number"),
        ({"name": "a", "to": "nan"}, 400, "to must be a whole number"),
        ({"name": "a", "points": 0}, 400, "points must be from 1 to 2000"),
        ({"name": "a", "points": 2001}, 400, "points must be from 1 to 2000"),
        ({"name": "a", "from": T, "to": T}, 400, "the range is empty"),
        ({"name": "a", "from": T * 1000}, 400, "from must be from 0 to"),
        ({"name": ["a", "b"], "from": T - 86400, "points": 2000, "columns": "avg,min"}, 413, "at most 5000 numbers"),
    ],
)
def test_bad_questions_for_series(client: TestClient, params: dict[str, Any], status: int, error: str) -> None:
    answer = series(client, **params)
    assert answer.status_code == status
    assert error in answer.json["error"]


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"names":"a"}', '{"names":[1]}', '{"names":["a"],"from":true}', '{"names":["a"],"to":[]}',
             '{"names":["a"],"columns":[2]}', "\xff", '{"names":["a"],"from":1e999}'],
)  # fmt: skip
def test_bad_bodies_for_series(client: TestClient, body: str) -> None:
    answer = client.simulate_post("/api/v1/series", body=body)
    assert answer.status_code in (400, 411)
    assert answer.json["error"]


def test_names_in_pages(client: TestClient, store: MemoryStore) -> None:
    for name in ("foo.a", "foo.b", "*foo.c"):
        store.add(name, None, 1)
    first = client.simulate_get("/api/v1/names", params={"match": "foo.*", "limit": 3}).json
    assert first == {
        "names": [{"name": "foo.bar", "kind": "gauge"}, {"name": "foo.a", "kind": "gauge"},
                  {"name": "foo.b", "kind": "gauge"}],
        "truncated": True, "token": first["token"],
    }  # fmt: skip
    for more in ({"offset": 3}, {"token": first["token"]}):
        second = client.simulate_get("/api/v1/names", params={"match": "foo.*", "limit": 3, **more}).json
        assert second == {"names": [{"name": "foo.c", "kind": "event"}], "truncated": False, "token": ""}
    for wrong in ({"token": first["token"], "offset": 1}, {"token": "no such"}, {"token": "x" * 9999}):
        assert client.simulate_get("/api/v1/names", params=wrong).status_code == 400
    assert client.simulate_get("/api/v1/names", params={"limit": 4}).status_code == 400


def test_names_by_regular_expression(client: TestClient, store: MemoryStore) -> None:
    for name in ("foo.a", "foo.b", "foo.c"):
        store.add(name, None, 1)

    def names(regex: str) -> list[str]:
        answer = client.simulate_get("/api/v1/names", params={"regex": regex})
        return [row["name"] for row in answer.json["names"]]

    assert names(r"^foo\.[ab]{1,2}$") == ["foo.a", "foo.b"]
    assert names("o.c|o.a") == ["foo.a", "foo.c"]
    for wrong in ({"regex": "(a"}, {"regex": "a", "match": "b"}, {"regex": "(a|b)*a" + "(a|b)" * 30},
                  {"regex": "a" * 1001}):  # fmt: skip
        answer = client.simulate_get("/api/v1/names", params=wrong)
        assert answer.status_code == 400, wrong


def test_search(client: TestClient) -> None:
    answer = client.simulate_get("/api/v1/search", params={"q": "SENT  mail"}).json
    assert answer == {"names": [{"name": "mail.sent", "kind": "event"}], "truncated": False, "token": ""}
    assert client.simulate_get("/api/v1/search", params={"q": " "}).json["names"] == []
    assert client.simulate_get("/api/v1/search").json["names"] == []


@pytest.mark.parametrize(("path", "question", "key"), [
    ("children", {"prefix": "many"}, "children"), ("search", {"q": "many x"}, "names"),
    ("names", {"match": "many.*"}, "names")])
def test_no_list_ends_without_saying_so(client: TestClient, store: MemoryStore, path: str, question: dict[str, str],
                                        key: str) -> None:
    """The limit of this application's lists is 3."""
    for at in range(10):
        store.add(f"many.x{at}", None, 1)
    found, token, pages = [], "", 0
    while token or not found:
        answer = client.simulate_get(f"/api/v1/{path}", params={**question, "token": token}).json \
            if path == "children" else client.simulate_get(
                f"/api/v1/{path}", params={**question, "token": token, "limit": 3}).json
        assert answer["truncated"] is bool(answer["token"])
        found += [row["name"] for row in answer[key]]
        token, pages = answer["token"], pages + 1
    assert (found, pages) == ([f"many.x{at}" for at in range(10)], 4)


def test_children(client: TestClient) -> None:
    answer = client.simulate_get("/api/v1/children", params={"prefix": "Foo"}).json
    bar = {"label": "bar", "name": "foo.bar", "kind": "gauge", "branches": False}
    assert answer == {"prefix": "foo", "children": [bar], "truncated": False, "token": ""}
    roots = client.simulate_get("/api/v1/children").json["children"]
    assert [(child["label"], child["kind"], child["branches"]) for child in roots] == [
        ("foo", None, True), ("mail", None, True),
    ]  # fmt: skip


def test_agents_status_health_metrics(client: TestClient) -> None:
    assert client.simulate_get("/api/v1/agents").json["agents"][0]["name"] == "web1"
    assert client.simulate_get("/api/v1/status").json == {"version": "0.1.0"}
    assert client.simulate_get("/health").json == {"status": "ok"}
    metrics = client.simulate_get("/metrics")
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "istatd_counters 3\n" in metrics.text


def test_large_answers_are_compressed_for_those_who_ask(client: TestClient) -> None:
    params = {"name": "foo.bar", "from": T - 86400, "to": T, "points": 2000}
    plain = client.simulate_get("/api/v1/series", params=params)
    assert "content-encoding" not in plain.headers
    packed = client.simulate_get("/api/v1/series", params=params, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.content) < len(plain.content) / 5
    assert json.loads(gzip.decompress(packed.content)) == plain.json
    refused = client.simulate_get("/api/v1/series", params=params, headers={"Accept-Encoding": "gzip;q=0.5, identity"})
    assert "content-encoding" not in refused.headers
    small = client.simulate_get("/health", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in small.headers


def test_a_fault_is_told_by_number_and_logged_in_full(
    client: TestClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(store, "find", broken)
    with caplog.at_level(logging.ERROR):
        answer = client.simulate_get("/foo.bar")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    incident = answer.json["error"].rpartition(" ")[2]
    assert incident in caplog.text
    assert "the secret detail" in caplog.text


def test_a_store_that_cannot_is_503(client: TestClient, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*_: object) -> None:
        raise StoreError("the store is closed")

    monkeypatch.setattr(store, "read", closed)
    answer = client.simulate_get("/foo.bar")
    assert (answer.status_code, answer.json) == (503, {"error": "the store is closed"})


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/x", "/api/v1/series/", "/graphite/render"])
def test_reserved_paths_are_no_counters(client: TestClient, path: str) -> None:
    answer = client.simulate_get(path)
    assert answer.status_code == 404
    assert "there is nothing" in answer.json["error"]


def test_series_in_days_of_a_zone(client: TestClient, store: MemoryStore) -> None:
    day = 1325372400        # 2012-01-01 00:00 in Berlin
    store.add("foo.bar", day - 1, 100)
    question = {"name": "foo.bar", "from": day - 86400, "to": day + 86400, "points": 2, "columns": "count,max",
                "tz": "Europe/Berlin"}
    answer = series(client, **question).json
    assert answer["times"] == [day - 86400, day, day + 86400]
    assert (answer["start"], answer["interval"], answer["points"]) == (day - 86400, 86400, 2)
    assert answer["series"][0]["max"] == [100, 1000]
    body = {**question, "names": ["foo.bar"]}
    del body["name"]
    assert client.simulate_post("/api/v1/series", body=json.dumps(body)).json == answer
    assert "times" not in series(client, **{**question, "points": 20}).json
    for wrong in ("Nowhere", "../x", ["UTC", "UTC"]):
        refused = series(client, **{**question, "tz": wrong})
        assert refused.status_code == 400 and "time zone" in refused.json["error"]


def test_children_of_names_with_empty_parts(client: TestClient, store: MemoryStore) -> None:
    for name in ("odd..y", "odd.", ".odd.z", "..."):
        store.add(name, None, 1)

    def below(prefix: str) -> dict[str, tuple[str, bool]]:
        rows: list[Any] = []
        token = ""
        while token or not rows:
            answer = client.simulate_get("/api/v1/children", params={"prefix": prefix, "token": token}).json
            token, rows = answer["token"], rows + answer["children"]
        return {row["label"]: (row["name"], row["branches"]) for row in rows if row["label"] not in ("foo", "mail")}

    first = {"odd": ("odd", True), "odd.": ("odd.", False), ".odd": (".odd", True), "...": ("...", False)}
    assert below("") == first == below(".")
    assert below("odd") == {".y": ("odd..y", False)} == below("odd.")
    assert below(".odd") == {"z": (".odd.z", False)}
