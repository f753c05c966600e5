"""What HTTP says of declared metrics: of counters, and of all, in pages."""

from __future__ import annotations

from typing import Any

import pytest
from falcon.testing import TestClient

from istat.clock import FakeClock
from istat.metrics import Metric
from istat_server.declared.declared import Declared
from istat_server.http.app import make_app
from istat_server.http.families.table import our_routes
from istat_server.http.openapi import described
from istat_server.http.rights import Rights
from istat_server.mistakes import Mistakes
from istat_server.senders.sender import Sender
from istat_server.testing.memory import MemoryStore
from tests.http.application import NAMESPACES, Nobody, origins, tokens
from tests.http.conftest import T

CPU = {"unit": "%", "help": "time of <programs>", "link": "https://example.net/cpu"}
LINES = (b'cpu.user {"unit":"%","help":"time of <programs>","link":"https://example.net/cpu"}',
         b'disk.<device>.reads {"kind":"event","help":"reads that were done"}')


@pytest.fixture
def client() -> Any:
    clock = FakeClock(T)
    store = MemoryStore(clock=clock)
    for name, event in ((b"cpu.user.host.web1", False), (b"disk.sda.reads", True), (b"plain", False)):
        store.create(name, event=event)
    declared = Declared(clock, Mistakes(clock), [Metric("istatd.counters", "counters", "how many")], "istatd.")
    for line in LINES:
        declared.take(line, Sender("tcp", "10.0.0.7:99", T))
    routes = our_routes(store, dict, Nobody(), str, clock, namespaces=NAMESPACES, declared=declared)
    return TestClient(make_app(described([("istat_server.builtin", routes)]), Rights(tokens()), origins()))


def test_counters_are_described_by_get_and_post(client: TestClient) -> None:
    rows = [{"name": "cpu.user.host.web1", "kind": "gauge", "metric": "cpu.user", **CPU},
            {"name": "plain", "kind": "gauge", "metric": None, "unit": "", "help": "", "link": ""},
            {"name": "disk.sdb.reads", "kind": "event", "metric": "disk.<device>.reads", "unit": "",
             "help": "reads that were done", "link": ""}]
    names = ["CPU.user.host.web1", "plain", "disk.sdb.reads", "nothing", "cpu.user.host.web1"]
    for answer in (client.simulate_get("/api/v1/describe", params={"name": names}, params_csv=False),
                   client.simulate_post("/api/v1/describe", json={"names": names})):
        assert answer.json == {"counters": rows, "missing": ["nothing"]}


def test_events_may_be_named_with_their_star(client: TestClient) -> None:
    (row,) = client.simulate_get("/api/v1/describe", params={"name": "*disk.sda.reads"}).json["counters"]
    assert (row["name"], row["kind"]) == ("disk.sda.reads", "event")


def test_all_that_is_declared_is_listed_in_pages(client: TestClient) -> None:
    found: list[str] = []
    token = ""
    for _ in range(3):
        page = client.simulate_get("/api/v1/describe", params={"limit": 1, "token": token}).json
        found += [row["name"] for row in page["metrics"]]
        token = page["token"]
        assert page["truncated"] == bool(token)
    assert found == ["cpu.user", "disk.<device>.reads", "istatd.counters"] and token == ""
    page = client.simulate_get("/api/v1/describe?match=cpu.*").json
    assert page["metrics"] == [{"name": "cpu.user", "kind": "gauge", **CPU}]
    assert client.simulate_get("/api/v1/describe?match=nothing").json["metrics"] == []


def test_what_cannot_be_asked(client: TestClient) -> None:
    for question in ({"names": []}, {"names": "a"}, {"names": [7]}, {}):
        assert client.simulate_post("/api/v1/describe", json=question).status_code == 400
    assert client.simulate_post("/api/v1/describe", json={"names": ["a"] * 1001}).status_code == 413
    assert client.simulate_get("/api/v1/describe?limit=0").status_code == 400
    assert client.simulate_get("/api/v1/describe", params={"match": "*" * 1500}).status_code == 400
