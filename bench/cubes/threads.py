"""Rows of programs with threads, and of what one counts at a time, beside prometheus_client."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from bench.cubes import work
from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size, timed
from istat.cube import Easy, Instance, Sampling

PROMETHEUS = "prometheus_client"
THREADS = 8
BATCH = 1_000  # events
NEVER = 86_400.0  # [s] no edge comes while it is measured; the frame is cut at the end
DIMENSIONS = ("method", "path", "status")
CELLS = 200  # of a cube that threads write to,
CLIENTS = 10_000  # and distinct items of all its HLLs
LABELS = ("GET", "POST", "PUT", "HEAD")


def master(dimensions: tuple[str, ...]) -> Instance:
    """A counter, a histogram and an HLL."""
    inst = Instance("bench")
    cube = inst.cube_create("http", dimensions=dimensions)
    cube.register_counter("requests")
    cube.register_histogram("latency", lowest=1, highest=work.HIGHEST, precision=4)
    cube.register_hll("clients", precision=12)
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=100_000)
    return inst


def batched(size: Size) -> Sample:
    """Eight threads with events of 200 cells and 10,000 clients, and the frame of all of them."""
    tags, clients = work.tag_columns(size.events, CELLS), work.items(CLIENTS)[work.picks(size.events, CLIENTS)]
    batches = []
    for at in range(0, size.events, BATCH):
        piece = slice(at, at + BATCH)
        columns = {name: tags[name][piece] for name in DIMENSIONS}
        values = {"requests": 1, "latency": work.values(size.events)[piece], "clients": clients[piece]}
        batches.append((columns, values))

    def fresh() -> Callable[[], None]:
        easy = Easy(master(DIMENSIONS), interval=NEVER)
        http = easy.cube("http")

        def write() -> None:
            for columns, values in batches:
                http.update(columns, values)

        def events() -> None:
            threads = [threading.Thread(target=write) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            easy.snapshot()

        return events

    nanoseconds = timed(size.events * THREADS, fresh, time.process_time_ns)
    return lambda: nanoseconds() / 1_000


def labels(size: Size) -> list[str]:
    """Of each call."""
    return [LABELS[number] for number in work.picks(size.calls, len(LABELS)).tolist()]


def easy_calls(size: Size) -> Sample:
    """Increment and record by keys, as any thread of a program does."""
    http = Easy(master(("method",)), interval=NEVER).cube("http")
    incrby, record = http.counter("requests").incrby, http.histogram("latency").record
    values = work.values(size.calls).tolist()
    names = labels(size)

    def calls() -> None:
        for name, value in zip(names, values):
            incrby((name,), 1)
            record((name,), value)

    return timed(size.calls, lambda: calls)


def instance_calls(kept: bool) -> Side:
    """The same of a program with one thread, which writes to the instance itself: by kept handles, or by keys."""

    def side(size: Size) -> Sample:
        cube = master(("method",)).cube("http")
        requests, latency = cube.metric("requests"), cube.metric("latency")
        keys: dict[str, Any] = {name: cube.cell(name) if kept else (name,) for name in LABELS}
        held = [keys[name] for name in labels(size)]
        values = work.values(size.calls).tolist()

        def calls(incrby: Any = requests.incrby, record: Any = latency.record) -> None:  # type: ignore[attr-defined]
            for key, value in zip(held, values):
                incrby(key, 1)
                record(key, value)

        return timed(size.calls, lambda: calls)

    return side


def prometheus(kept: bool) -> Side:
    """inc and observe, of children that the program kept, or that `labels` finds."""

    def side(size: Size) -> Sample:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        registry = CollectorRegistry()
        requests = Counter("requests", "r", ["method"], registry=registry)
        latency = Histogram("latency", "l", ["method"], registry=registry)
        names, values = labels(size), work.values(size.calls).tolist()
        children = {name: (requests.labels(name), latency.labels(name)) for name in LABELS}
        held = [children[name] for name in names]

        def calls() -> None:
            for name, value in zip(names, values):
                requests.labels(name).inc()
                latency.labels(name).observe(value)

        def calls_of_children() -> None:
            for (counter, histogram), value in zip(held, values):
                counter.inc()
                histogram.observe(value)

        return timed(size.calls, lambda: calls_of_children if kept else calls)

    return side


ROWS = (
    Row("easy", "Easy, 8 threads, 3 dimensions, counter + histogram + HLL, batches of 1,000: an event",
        {OURS: batched}, (Goal(0.15),), "us"),
    Row("labelled", "Easy, a counter and a histogram of one label, calls",
        {OURS: easy_calls, PROMETHEUS: prometheus(False)}, (Goal(1 / 3, PROMETHEUS),)),
    Row("labelled-kept", "the same in an instance, by handles that are kept",
        {OURS: instance_calls(True), PROMETHEUS: prometheus(True)}, (Goal(1 / 3, PROMETHEUS),)),
)  # fmt: skip
