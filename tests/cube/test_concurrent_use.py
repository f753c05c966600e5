"""E2: an instance has one writer at a time. A second one hears so, and harms nothing."""
from __future__ import annotations

import threading

import pytest

from istat.cube import ConcurrentUse, Instance
from istat.kernels import IMPLEMENTATION

KEY = ("GET", "/", 200)


@pytest.fixture
def instance():
    made = Instance("web")
    http = made.cube_create("http", dimensions=("method", "path", "status"))
    http.register_counter("requests")
    http.register_histogram("latency")
    http.register_hll("clients")
    return made


USES = {
    "a write": lambda i: i.cube("http").metric("requests").incrby(KEY),
    "a value": lambda i: i.cube("http").metric("latency").record(KEY, 5),
    "an item": lambda i: i.cube("http").metric("clients").add(KEY, "a"),
    "a batch": lambda i: i.cube("http").update([["GET"], ["/"], [200]], {"requests": 1}),
    "reading": lambda i: i.cube("http").cells(),
    "grouping": lambda i: i.cube("http").group_by("path"),
    "a frame": lambda i: i.serialize(),
    "a reset": lambda i: i.reset(),
    "merging": lambda i: Instance("all").merge(i),
    "being merged into": lambda i: i.merge(i.fork()),
    "a new metric": lambda i: i.cube("http").register_counter("errors"),
    "a new cube": lambda i: i.cube_create("mail", dimensions=("to",)),
}


@pytest.mark.parametrize("use", USES)
def test_no_second_use_while_another_one_is_at_work(instance, use):
    USES["a write"](instance)
    before = instance.serialize()
    with instance.guard, pytest.raises(ConcurrentUse):
        USES[use](instance)
    after = instance.serialize()
    assert len(after) == len(before)
    assert instance.cube("http").totals["requests"] == 1
    USES[use](instance)


READS = {
    "a total": lambda http: http.metric("latency").total,
    "distinct items": lambda http: http.metric("clients").total,
    "memory": lambda http: http.metric("requests").memory(),
    "a cell's value": lambda http: http.metric("requests").value(0),
    "whether there is a cell": lambda http: http.cell(*KEY).resident,
}


@pytest.mark.skipif(IMPLEMENTATION != "native", reason="the plain-Python build moves no memory under a reader")
@pytest.mark.parametrize("read", READS)
def test_what_a_metric_holds_is_not_read_while_another_thread_is_in(instance, read):
    USES["a write"](instance)
    http, told = instance.cube("http"), []

    def read_it():
        try:
            READS[read](http)
        except ConcurrentUse as error:
            told.append(error)

    with instance.guard:
        READS[read](http)       # who holds the guard may
        second = threading.Thread(target=read_it)
        second.start()
        second.join()
    assert len(told) == 1
    READS[read](http)


def test_a_second_thread_is_turned_away_and_each_update_that_was_taken_is_there(instance):
    """While one thread writes batches, another one tries: each of its writes is in, or was refused by an error."""
    http = instance.cube("http")
    requests = http.metric("requests")
    done, taken, refused = threading.Event(), [0], [0]

    def try_it():
        while not done.is_set():
            try:
                requests.incrby(KEY)
                taken[0] += 1
            except ConcurrentUse:
                refused[0] += 1

    second = threading.Thread(target=try_it)
    second.start()
    columns = {"method": ["GET"] * 2000, "path": [f"/{n % 50}" for n in range(2000)], "status": 200}
    batches = missed = 0
    while batches < 20:
        try:
            http.update(columns, {"requests": 1, "latency": 7})
            batches += 1
        except ConcurrentUse:       # the other one was first
            missed += 1
    done.set()
    second.join()
    assert http.totals["requests"] == 20 * 2000 + taken[0]
    assert sum(cell["requests"] for cell in http.cells()) == 20 * 2000 + taken[0]
    assert http.totals["latency"].count == 20 * 2000
