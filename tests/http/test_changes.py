"""Deletes and renames over HTTP, on the model of the store."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.limits import HttpLimits
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of

TOKEN = {"Authorization": "Bearer s3cret"}


@pytest.fixture
def client(store: MemoryStore, clock: FakeClock) -> TestClient:
    limits = HttpLimits(names=5, listed=3, offset=6)
    return TestClient(app_of(store, clock, limits=limits, admin="s3cret"))


def post(client: TestClient, path: str, **question: Any) -> Any:
    return client.simulate_post(f"/api/v1/{path}", json=question, headers=TOKEN)


def names(client: TestClient) -> list[str]:
    return [row["name"] for row in client.simulate_get("/api/v1/names").json["names"]]


def test_a_delete_is_a_dry_run_unless_confirmed(client: TestClient, store: MemoryStore) -> None:
    shown = post(client, "delete", names=["Foo.Bar", "none"]).json
    assert shown == {"count": 1, "names": ["foo.bar"], "missing": ["none"]}
    assert names(client) == ["foo.bar", "mail.sent"]
    assert post(client, "delete", names=["foo.bar"], confirm=True).json["deleted"] == 1
    assert names(client) == ["mail.sent"]
    assert client.simulate_get("/foo.bar").status_code == 404
    listed = client.simulate_get("/api/v1/deleted", headers=TOKEN).json
    assert [(row["name"], row["undo"]) for row in listed["deleted"]] == [("foo.bar", True)]
    assert post(client, "undelete", names=["foo.bar", "none"]).json == {"undeleted": 1, "refused": []}
    assert names(client) == ["foo.bar", "mail.sent"]


def test_a_pattern_needs_to_say_how_many_are_expected(client: TestClient) -> None:
    assert post(client, "delete", match="*").json["count"] == 2
    assert "how many" in post(client, "delete", match="*", confirm=True).json["error"]
    answer = post(client, "delete", match="*", confirm=True, expected=3)
    assert (answer.status_code, answer.json["error"]) == (409, "2 counters are meant by now, not 3; look again")
    assert post(client, "delete", match="*", confirm=True, expected=2).json["deleted"] == 2
    assert names(client) == []
    assert post(client, "undelete", match="*").json["undeleted"] == 2


def test_an_undo_is_refused_with_the_reason(client: TestClient, store: MemoryStore) -> None:
    post(client, "delete", names=["foo.bar"], confirm=True)
    store.add("foo.bar", None, 1)
    (refused,) = post(client, "undelete", match="foo.*").json["refused"]
    assert refused["name"] == "foo.bar"
    assert "name was taken" in refused["reason"]


def test_what_names_and_patterns_mean_together_is_meant_once(client: TestClient, store: MemoryStore) -> None:
    store.add("foo.baz", None, 1)
    wanted = {"match": ["foo.*", "*.baz", "*.sent"], "names": ["foo.baz", "none"]}
    shown = post(client, "delete", **wanted).json
    assert (shown["count"], sorted(shown["names"]), shown["missing"]) == (
        3, ["foo.bar", "foo.baz", "mail.sent"], ["none"])
    assert post(client, "delete", **wanted, confirm=True, expected=2).status_code == 409
    assert post(client, "delete", **wanted, confirm=True, expected=3).json["deleted"] == 3
    assert names(client) == []


def test_renames_by_name_and_by_prefix(client: TestClient, store: MemoryStore) -> None:
    store.add("foo.baz.x", None, 1)
    shown = post(client, "rename", **{"from": "foo.*", "to": "new.place.*"}).json
    assert shown == {"count": 2, "problems": [], "names": [["foo.bar", "new.place.bar"],
                                                           ["foo.baz.x", "new.place.baz.x"]]}
    done = post(client, "rename", **{"from": "foo.*", "to": "new.*", "confirm": True, "expected": 2})
    assert done.json["renamed"] == 2
    assert post(client, "rename", **{"from": "mail.sent", "to": "sent", "confirm": True}).json["renamed"] == 1
    assert sorted(names(client)) == ["new.bar", "new.baz.x", "sent"]
    answer = post(client, "rename", **{"from": "sent", "to": "new.bar", "confirm": True})
    assert (answer.status_code, answer.json["error"]) == (409, "there is a counter new.bar already")


@pytest.mark.parametrize(("path", "question", "status"), [
    ("delete", {}, 400), ("delete", {"match": ["a*", 5]}, 400), ("delete", {"match": ["*"] * 6}, 413),
    ("delete", {"names": "a"}, 400),
    ("delete", {"names": ["a"] * 6}, 413), ("delete", {"match": 5}, 400), ("delete", {"match": "x" * 1001}, 400),
    ("undelete", {}, 400), ("rename", {"from": "a"}, 400), ("rename", {"from": "none", "to": "b"}, 404),
    ("rename", {"from": "foo.*", "to": "b"}, 400), ("rename", {"from": "f*o.*", "to": "b.*"}, 400)])
def test_what_cannot_be_asked(client: TestClient, path: str, question: dict[str, Any], status: int) -> None:
    answer = post(client, path, **question)
    assert (answer.status_code, bool(answer.json["error"])) == (status, True)


def test_more_counters_than_one_request_may_change(client: TestClient, store: MemoryStore) -> None:
    for number in range(7):
        store.add(f"many.{number}", None, 1)
    assert post(client, "delete", match="many.*").status_code == 413


def test_names_that_begin_with_a_star_are_changed_as_they_are_told(client: TestClient, store: MemoryStore) -> None:
    store.add("**mail.sent", None, 1)
    assert names(client) == ["foo.bar", "mail.sent", "**mail.sent"]
    assert post(client, "delete", names=["**mail.sent"], confirm=True).json["names"] == ["**mail.sent"]
    assert names(client) == ["foo.bar", "mail.sent"]
    assert post(client, "undelete", names=["**mail.sent"]).json == {"undeleted": 1, "refused": []}
    done = post(client, "rename", **{"from": "**mail.sent", "to": "mail.sent.too", "confirm": True}).json
    assert done["names"] == [["**mail.sent", "mail.sent.too"]]
    assert names(client) == ["foo.bar", "mail.sent", "mail.sent.too"]
