"""The admin token, and what needs nothing but it."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat_server.http.app import ROUTES, make_app
from istat_server.testing.memory import MemoryStore
from tests.http.conftest import FakeAgents, FakeMetrics, T

CONFIRM = "/api/v1/clock/confirm"


class DoubtfulStore(MemoryStore):
    """A store that doubted its clock, and counts its confirmations."""

    confirmed = 0

    def confirm_clock(self) -> str:
        self.confirmed += 1
        return "the clock went on by 9000 s at once"


@pytest.fixture
def store(clock: FakeClock) -> DoubtfulStore:
    clock.set(T)
    return DoubtfulStore(clock=clock)


def client_of(store: MemoryStore, clock: FakeClock, token: str) -> TestClient:
    return TestClient(make_app(store, dict, FakeAgents(), FakeMetrics(), clock, admin_token=token))


def post(client: TestClient, path: str, authorization: str | None) -> Any:
    return client.simulate_post(path, headers={"Authorization": authorization} if authorization is not None else {})


def test_the_token_opens(store: DoubtfulStore, clock: FakeClock) -> None:
    for authorization in ("Bearer s3cret", "bearer  s3cret "):
        answer = post(client_of(store, clock, "s3cret"), CONFIRM, authorization)
        assert (answer.status_code, answer.json) == (200, {"time": T, "doubt": "the clock went on by 9000 s at once"})
    assert store.confirmed == 2


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3crett", "s3cret",
                                           "Basic s3cret", "Bearer \xff\xfe"])
def test_no_token_or_a_wrong_one_is_401(store: DoubtfulStore, clock: FakeClock, authorization: str | None) -> None:
    answer = post(client_of(store, clock, "s3cret"), CONFIRM, authorization)
    assert (answer.status_code, store.confirmed) == (401, 0)
    assert answer.headers["www-authenticate"].startswith("Bearer")
    came = authorization in ("Bearer s3cre", "Bearer s3crett", "Bearer \xff\xfe")
    assert ("is wrong" in answer.json["error"]) == came
    assert "Authorization: Bearer TOKEN" in answer.json["error"]


@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer x"])
def test_a_server_without_a_token_takes_nothing(
    store: DoubtfulStore, clock: FakeClock, authorization: str | None
) -> None:
    answer = post(client_of(store, clock, ""), CONFIRM, authorization)
    assert (answer.status_code, store.confirmed) == (403, 0)
    assert "admin-token" in answer.json["error"]


def test_every_route_of_the_family_asks_for_the_token(store: DoubtfulStore, clock: FakeClock) -> None:
    client = client_of(store, clock, "s3cret")
    for route in ROUTES:
        if route.family == "admin":
            for method in route.handlers:
                assert client.simulate_request(method, route.path).status_code == 401, route.path
