"""A program's own code that runs while a cube reads its values: nothing is read or written where it is no more."""
from __future__ import annotations

import array
from threading import Event, Thread

import numpy as np
import pytest

from istat.errors import ConcurrentUse, CubeError


class Number:
    """Stands for an int, and does something first."""

    def __init__(self, then, value=1):
        self.then, self.value = then, value

    def __index__(self):
        self.then()
        return self.value


def test_a_list_that_becomes_shorter_while_its_key_is_made_names_the_cell_it_named(room):
    core = room.Core(("a", "b", "c"), room.Guard())
    counter = core.add_counter("n")
    named = [Number(lambda: named.clear()), "b" * 30, "c" * 40]
    assert counter.incrby(named) and core.key(0) == (1, "b" * 30, "c" * 40)


def test_codes_that_change_while_values_are_read_are_as_they_were(room):
    core = room.Core(("a",), room.Guard())
    codes = array.array("q", [0, 0, 1])

    def change():
        codes[0], codes[1] = 1 << 40, 1 << 41

    rows = core.rows([(codes, [Number(change), 5])])
    assert core.add_counter("n").incrby_many(rows, 1) == 3 and [core.key(slot) for slot in core.slots()] == [(1,), (5,)]


@pytest.mark.parametrize("update", [
    lambda core, dropped, number: dropped.incrby((number, 2)),
    lambda core, dropped, number: dropped.incrby_many(core.rows(["GET", 1]), [number]),
    lambda core, dropped, number: dropped.set_many(core.rows(["GET", 1]), [number]),
    lambda core, dropped, number: core.update(["GET", 1], {dropped: [number]}),
], ids=["incrby", "incrby_many", "set_many", "update"])     # fmt: skip
def test_a_metric_that_is_dropped_while_its_values_are_read_takes_none(core, update):
    kept, dropped = core.add_counter("kept"), core.add_counter("dropped")
    dropped.incrby(("GET", 1))

    def drop():
        core.drop(dropped)
        for i in range(5000):       # its column grows no more
            kept.incrby(("GET", i))

    try:
        update(core, dropped, Number(drop, 4999))
    except CubeError:
        assert dropped.total == 1
    with core.guard:                # and nobody is in
        assert len(core.slots()) >= 5000


def test_a_dropped_metric_is_read_no_further_than_its_column(core):
    kept, dropped = core.add_counter("kept"), core.add_counter("dropped")
    dropped.incrby(("GET", 1))
    core.drop(dropped)
    for i in range(5000):
        kept.incrby(("GET", i))
    assert dropped.memory() > 0 and dropped.total == 1
    with pytest.raises(IndexError):
        dropped.value(4999)
    with pytest.raises(CubeError):
        core.ranked(by=dropped)
    with pytest.raises(CubeError):
        dropped.other  # noqa: B018
    with pytest.raises(ValueError, match="another cube"):
        core.ranked(by=filled_alike(core))


def filled_alike(core):
    """A metric of another cube."""
    return type(core)(("method", "status"), core.guard).add_counter("n")


def test_rows_that_no_memory_can_hold_are_refused(room):
    core = room.Core(("a",), room.Guard())
    with pytest.raises((MemoryError, OverflowError)):
        core.rows([np.broadcast_to(np.array(b"a"), 2**61)])     # its step is 0 bytes: it takes one


def test_a_batch_in_several_columns_is_one_piece_of_work(core, room):
    """Nobody gets in between the columns of a batch."""
    native = room.build == "native"
    first, second = core.add_counter("first"), core.add_counter("second")
    seen = set()
    stop = Event()

    def look():
        while not stop.is_set():
            try:
                with core.guard:
                    seen.add(first.total - second.total)
            except ConcurrentUse:
                pass

    thread = Thread(target=look)
    thread.start()
    try:
        for _ in range(30 if native else 2):
            while True:
                try:
                    core.update([["GET"] * 20_000, 1], {first: 1, second: 1})
                    break
                except ConcurrentUse:       # before anything changed
                    pass
    finally:
        stop.set()
        thread.join()
    assert seen <= {0} and first.total == second.total == (600_000 if native else 40_000)
