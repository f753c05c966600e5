"""What the tests of Easy share: a master with a metric of each kind, a clock that stands still, a sink."""
from __future__ import annotations

import threading

import pytest

from istat.clock import FakeClock
from istat.cube import Easy, Instance

S = 1_000_000_000
KEY = ("GET", "/", 200)


class Sink:
    """Takes frames, unless it is broken."""

    def __init__(self):
        self.frames, self.broken, self.asked = [], False, 0

    def __call__(self, frame):
        self.asked += 1
        if self.broken:
            raise ConnectionError("no route")
        self.frames.append(frame)

    def sum(self, metric="requests", cube="http"):
        """Of all frames that have the cube."""
        return sum(one.totals[metric] for frame in self.frames for one in frame.cubes if one.name == cube)


def in_threads(count, work):
    """Have so many threads do it, and wait for all."""
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.fixture
def master():
    instance = Instance("web")
    http = instance.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests")
    http.register_gauge("open")
    http.register_histogram("latency", highest=60_000_000)
    http.register_hll("clients")
    return instance


@pytest.fixture
def clock():
    return FakeClock(1000.0)


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def easy(master, sink, clock):
    return Easy(master, sink=sink, clock=clock)
