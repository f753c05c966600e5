"""A program's cubes as lines at a real server: its counters are there, and right."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ftest.harness.serverprocess import ServerProcess, now_bucket
from istat.cube import Instance
from istat.cube.export.lines import LinesExporter

pytestmark = pytest.mark.seconds(10)
SECOND = 10**9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path) as server:
        yield server


def test_each_interval_becomes_a_bucket_of_each_counter(server: ServerProcess) -> None:
    start = now_bucket() - 10
    instance = Instance("shop", delta=True)
    http = instance.cube_create("http", ("method", "path"), {"host": "Web1.example.net"})
    requests, open_now = http.register_counter("requests"), http.register_gauge("open")
    latency, clients = http.register_histogram("latency_us", highest=10**7, precision=10), http.register_hll("clients")
    http.set_sampling("topk", 5, requests)
    sent = 0
    for interval, count in enumerate((40, 60)):
        for place in range(count):
            path = f"/page/{place % 20}"
            requests.incrby(("GET", path), 1)
            latency.record(("GET", path), 100 * (place + 1))
            clients.add(("GET", path), f"10.0.0.{place}")
        open_now.set(("GET", "/page/0"), 7)
        instance.t0, instance.t1 = (start + 10 * interval) * SECOND, (start + 10 * interval + 10) * SECOND
        exporter = LinesExporter(instance, pin_top=1)
        server.send_tcp(exporter.export())
        sent += len(list(exporter.lines()))
        instance.reset()
    server.wait_until(lambda: server.ingest()["samples"] > sent, "all lines are taken")     # some feed two counters
    assert server.refused() == {}

    def values(name: str, column: str) -> list[float | None]:
        return server.values(name, start, start + 20, column)

    assert values("cubes.http.requests", "avg") == [4, 6], "of events, a second"
    assert values("cubes.http.requests.host.web1_example_net", "avg") == [4, 6]
    assert values("cubes.http.latency_us", "max") == [4000, 6000]
    assert values("cubes.http.latency_us", "min") == [100, 100]
    assert values("cubes.http.latency_us", "avg") == [2050, 3050]
    assert values("cubes.http._cells", "avg") == [5, 5]
    assert values("cubes.http.clients.distinct", "avg") == pytest.approx([40, 60], rel=0.05)
    median, _ = values("cubes.http.latency_us.p50", "avg")
    assert median == pytest.approx(2000, rel=0.05)
    assert values("cubes.http._rejected", "avg") != [0, 0], "twenty pages, five cells"
