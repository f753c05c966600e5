"""An application over the model of the store, at a fixed moment."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import falcon.testing
import pytest

from istat.clock import FakeClock
from istat_server.http.limits import HttpLimits
from istat_server.testing.memory import MemoryStore
from tests.http.application import app_of
from tests.http.hostile import Tried

T = 1325394000  # 2012-01-01 05:00:00 UTC, aligned to an hour


class FakeAgents:
    """A roster with one agent."""

    def senders(self, *_: Any) -> list[Any]:
        return [SimpleNamespace(number=1)]

    def row(self, sender: Any) -> dict[str, object]:
        return {"name": "web1", "address": "127.0.0.1:5", "version": "0.1.0", "last_seen": T, "online": True,
                "transport": "udp"}  # fmt: skip

    def istatd_row(self, sender: Any) -> dict[str, object]:
        return {"hostname": "web1", "_peer": "127.0.0.1:5", "_online": True, "_idle": 3}


class FakeMetrics:
    """Metrics with one value."""

    def prometheus(self) -> str:
        return "# HELP istatd_counters counters\n# TYPE istatd_counters gauge\nistatd_counters 3\n"


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    clock.set(T + 900)
    store = MemoryStore(clock=clock)
    store.add("foo.bar", T, 5)
    store.add("foo.bar", T + 2, 7.25)
    store.add("foo.bar", T + 30, 1000)
    store.add("*mail.sent", T + 10, 20)
    return store


@pytest.fixture
def limits() -> HttpLimits:
    return HttpLimits(body=2000, names=5, points=2000, values=5000, listed=3, buckets=600)


@pytest.fixture
def app(store: MemoryStore, clock: FakeClock, limits: HttpLimits) -> Any:
    return app_of(store, clock, FakeAgents(), lambda: {"version": "0.1.0"}, FakeMetrics().prometheus, limits=limits)


@pytest.fixture
def client(app: Any) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(app)


@pytest.fixture
def tried() -> Iterator[Tried]:
    made = Tried()
    yield made
    made.server.stop()
