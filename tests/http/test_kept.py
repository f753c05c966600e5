"""Namespaces as our own API has them: pages, versions, expectations, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from falcon.testing import Result, TestClient

from istat.clock import FakeClock
from istat_server.http.limits import HttpLimits
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

WRITES = {"Authorization": "Bearer writes"}
T = 1325395000


@pytest.fixture
def namespaces(tmp_path: Path, clock: FakeClock) -> Namespaces:
    return Namespaces(tmp_path / "settings", clock)


@pytest.fixture
def client(namespaces: Namespaces, clock: FakeClock) -> TestClient:
    return TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, write="writes",
                             limits=HttpLimits(listed=2)))


def change(client: TestClient, **question: Any) -> Result:
    return client.simulate_post("/api/v1/namespace", json=question, headers=WRITES)


def pages(client: TestClient, of: str, path: str, **params: Any) -> list[Any]:
    """The rows of all pages, two in each."""
    rows: list[Any] = []
    while True:
        answer = client.simulate_get(path, params={**params, "limit": 2}).json
        assert len(answer[of]) <= 2 and answer["truncated"] == bool(answer["token"])
        rows += answer[of]
        params["token"] = answer["token"]
        if not answer["token"]:
            return rows


def test_namespaces_are_listed_in_pages_the_nameless_one_first(client: TestClient) -> None:
    for name in ("b", "", "a", "c", "d"):
        assert change(client, name=name, changes={"key": "x"}).status_code == 200
    found = pages(client, "namespaces", "/api/v1/namespaces")
    assert found == [{"name": name, "bytes": 26} for name in ("", "a", "b", "c", "d")]


def test_keys_are_listed_in_pages_with_their_versions(client: TestClient) -> None:
    change(client, name="a", changes={"k2": "2", "k1": "1", "k3": "3", "other": "4"})
    assert change(client, name="a", changes={"k1": "5"}).json == {"versions": {"k1": 5}}
    assert pages(client, "keys", "/api/v1/namespace", name="a", match="k*") == [
        {"key": "k1", "value": "5", "version": 5}, {"key": "k2", "value": "2", "version": 2},
        {"key": "k3", "value": "3", "version": 3}]
    assert client.simulate_get("/api/v1/namespace?name=none").status_code == 404


def test_versions_are_told_and_one_comes_back(client: TestClient, clock: FakeClock) -> None:
    for value in ("one", "two", None):
        change(client, name="a", changes={"board": value})
        clock.advance(10)
    assert pages(client, "versions", "/api/v1/namespace/versions", name="a", key="board") == [
        {"version": 3, "time": T + 20, "value": None}, {"version": 2, "time": T + 10, "value": "two"},
        {"version": 1, "time": T, "value": "one"}]

    def restore(version: int) -> Result:
        question = {"name": "a", "key": "board", "version": version}
        return client.simulate_post("/api/v1/namespace/restore", json=question, headers=WRITES)

    assert restore(1).json == {"versions": {"board": 4}}
    assert client.simulate_get("/?s=a").json == {"board": "one"}
    assert restore(9).status_code == 404
    assert client.simulate_get("/api/v1/namespace/versions?name=a&key=none").status_code == 404


def test_nothing_is_done_when_somebody_else_was_first(client: TestClient) -> None:
    assert change(client, name="a", changes={"k": "1"}, expected={"k": 0}).json == {"versions": {"k": 1}}
    assert change(client, name="a", changes={"k": "2"}, expected={"k": 1}).json == {"versions": {"k": 2}}
    refused = change(client, name="a", changes={"k": "3", "l": "3"}, expected={"k": 1})
    assert refused.status_code == 409
    assert refused.json["error"] == "'k' has version 2 by now, not 1: somebody else has changed it; look again"
    assert client.simulate_get("/?s=a").json == {"k": "2"}


@pytest.mark.parametrize(("question", "words"), [
    ({"changes": {}}, "name must be the name of a namespace"), ({"name": 5, "changes": {}}, "name must be the name"),
    ({"name": "a"}, "changes must be an object"), ({"name": "a", "changes": ["k"]}, "changes must be an object"),
    ({"name": "a", "changes": {"k": 5}}, "the value of 'k' must be a text"),
    ({"name": "a", "changes": {"k k": "1"}}, "'k k' cannot be a key"),
    ({"name": "a/b", "changes": {"k": "1"}}, "invalid settings name"),
    ({"name": "a", "changes": {"k": "1"}, "expected": {"k": "1"}}, "expected must have the number"),
    ({"name": "a", "changes": {"k": "1"}, "expected": None}, "expected must be an object"),
])
def test_what_is_no_change_is_refused(client: TestClient, tmp_path: Path, question: Any, words: str) -> None:
    answer = change(client, **question)
    assert answer.status_code == 400 and answer.json["error"].startswith(words)
    assert not (tmp_path / "settings").exists()


@pytest.mark.parametrize("path", ["/api/v1/namespaces?token=x", "/api/v1/namespace?name=a&token=x",
                                  "/api/v1/namespace/versions?name=a&key=k&token=x",
                                  "/api/v1/namespace?name=a&limit=3"])
def test_a_token_of_another_list_is_refused(client: TestClient, path: str) -> None:
    change(client, name="a", changes={"k": "1"})
    assert client.simulate_get(path).status_code == 400


def test_where_settings_are_open_other_pages_are_refused(namespaces: Namespaces, clock: FakeClock) -> None:
    client = TestClient(app_of(MemoryStore(clock=clock), clock, namespaces=namespaces, settings_open=True))
    for origin, status in (("http://evil.example", 403), ("http://x", 200)):
        answer = client.simulate_post("/api/v1/namespace", json={"name": "a", "changes": {"k": "1"}},
                                      headers={"Origin": origin, "Host": "x"})
        assert answer.status_code == status
