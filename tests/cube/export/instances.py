"""An instance with a metric of each kind, for tests of what is made of one."""

from __future__ import annotations

from typing import Any

from istat.cube import Cube, Instance

BEGUN, ENDED = 1_763_769_600_000_000_000, 1_763_769_610_000_000_000    # [ns] ten seconds
LATENCIES = (100, 200, 300, 400, 1000)


def made(**shared: str) -> tuple[Instance, Cube]:
    """Three requests for / and two for /b, with all that belongs to them."""
    instance = Instance("edge-proxy", delta=True)
    http = instance.cube_create("http", ("method", "path", "status"), shared)
    http.register_counter("requests")
    http.register_gauge("open", merge="sum")
    http.register_histogram("latency_us", lowest=1, highest=60_000_000, precision=10)
    http.register_hll("clients")
    for place, latency in enumerate(LATENCIES):
        count(http, ("GET", "/" if place < 3 else "/b", 200), latency, f"10.0.0.{place % 4}")
    instance.t0, instance.t1 = BEGUN, ENDED
    return instance, http


def count(cube: Cube, key: tuple[Any, ...], latency: int, client: str) -> None:
    """One request."""
    requests, opened, latencies, clients = cube.metrics
    requests.incrby(key)                    # type: ignore[attr-defined]
    opened.set(key, latency / 100)          # type: ignore[attr-defined]
    latencies.record(key, latency)          # type: ignore[attr-defined]
    clients.add(key, client)                # type: ignore[attr-defined]
