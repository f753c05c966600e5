"""Laws of a cube's data, whatever comes: nothing is lost between cells and totals, both builds hold the same, and a
batch is what its rows are one by one."""
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.cubes.cores import ROOMS, dump, filled, ranking

MODES = ("comprehensive", "topk", "top_cardinality")
KEYS = st.tuples(st.sampled_from(["GET", "PUT", None, b"GET", ""]), st.integers(0, 6))
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 50), st.floats(-5, 5), st.integers(0, 200_000), st.integers(0, 30)),
                max_size=60)
CUTS = st.lists(st.integers(0, 60), max_size=4)
CUBES = st.tuples(st.sampled_from(MODES), st.integers(1, 12), st.booleans())


def one_by_one(core, rows, mode):
    ranked = ranking(core, mode)
    for key, *values in rows:
        for metric, value in sorted(zip(core.metrics, values), key=lambda pair: pair[0] is not ranked):
            update = {"counter": "incrby", "gauge": "set", "histogram": "record", "hll": "add"}[metric.kind]
            getattr(metric, update)(key, value)


def in_batches(core, rows, cuts):
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    for begin, end in zip(edges, edges[1:]):
        keys, *columns = zip(*rows[begin:end])
        core.update([list(column) for column in zip(*keys)], dict(zip(core.metrics, map(list, columns))))


def made(room, cube):
    mode, max_cells, overflow_cell = cube
    return filled(room, mode, max_cells, overflow_cell)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.build)
@settings(max_examples=60, deadline=None)
@given(cube=CUBES, rows=ROWS, cuts=CUTS)
def test_a_batch_is_what_its_rows_are_one_by_one(room, cube, rows, cuts):
    batches, singly = made(room, cube), made(room, cube)
    in_batches(batches, rows, cuts)
    one_by_one(singly, rows, cube[0])
    assert dump(batches) == dump(singly)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.build)
@settings(max_examples=60, deadline=None)
@given(cube=CUBES, rows=ROWS, cuts=CUTS)
def test_nothing_is_lost_between_cells_and_totals(room, cube, rows, cuts):
    core = made(room, cube)
    in_batches(core, rows, cuts)
    counter, _, lat, ips = core.metrics
    slots = core.slots()
    assert len(slots) <= cube[1]
    assert sum(counter.value(slot) for slot in slots) + counter.other == counter.total == sum(row[1] for row in rows)
    assert lat.total.count == len(rows)
    if cube[2]:
        kept = [lat.value(core.overflow_slot).count] if core.overflow_slot >= 0 else []
        assert sum([lat.value(slot).count for slot in slots] + kept) == len(rows)
        everything = ips.merged(slots)
        if core.overflow_slot >= 0:
            everything.merge(ips.value(core.overflow_slot))
        assert everything.packed() == ips.total.packed()


@pytest.mark.skipif(len(ROOMS) < 2, reason="the native kernels are not built")
@settings(max_examples=80, deadline=None)
@given(cube=CUBES, rows=ROWS, more=ROWS, cuts=CUTS)
def test_both_builds_hold_the_same(cube, rows, more, cuts):
    dumps = []
    for room in ROOMS:
        core, other = made(room, cube), made(room, (cube[0], 5, True))
        in_batches(core, rows, cuts)
        in_batches(other, more, cuts)
        core.merge(other, list(zip(core.metrics, other.metrics)))
        merged = dump(core)
        core.sample(cube[0], max(cube[1] - 2, 1), ranking(core, cube[0]), cube[2])
        in_batches(core, more, cuts)
        resampled = dump(core)
        core.reset(keep_cells=True)
        in_batches(core, rows[:5], cuts)
        dumps.append((merged, resampled, dump(core)))
    assert dumps[0] == dumps[1]
