"""Top-cardinality: which cells a full cube keeps, alone and merged. Numbers of docs/cubes-theory.md.

The large streams run on the native build only: the twin's state is compared with it on smaller ones.
"""
from __future__ import annotations

import numpy as np
import pytest

from tests.kernels.cubes.cores import ROOMS
from tests.kernels.cubes.sampling.streams import fan_outs, mean, merged, score, spread

NATIVE = [room for room in ROOMS if room.build == "native"]
SMALL = {"pairs": 12_000, "keys": 2_000}
slow = pytest.mark.slow


@pytest.fixture(params=ROOMS, ids=lambda room: room.build)
def room(request):
    return request.param


@pytest.fixture(params=NATIVE, ids=lambda room: room.build)
def native(request):
    return request.param


def states(core):
    cells = [(core.key(slot), core.metrics[0].value(slot).packed(), core.floor(slot), core.marks(slot))
             for slot in core.slots()]
    return cells, core.sampler.sketch.state, core.stats()


def test_the_upper_half_of_the_top_has_cells(room):
    fans, keys, items = fan_outs(1.0, 1, **SMALL)
    cube = spread(room, keys, items, 20, 6)
    assert score(cube, fans, 10).recall >= 0.9 and score(cube, fans, 20).fair >= 0.85
    core, metric = cube
    assert len(core.slots()) == 20 and core.stats()["evicted"] > 0
    assert metric.total.estimate() == pytest.approx(12_000, rel=0.4)


def test_a_late_cell_has_a_floor_and_ranks_by_it(room):
    fans, keys, items = fan_outs(1.2, 2, **SMALL)
    core, metric = spread(room, keys, items, 20, 6)
    late = [slot for slot in core.slots() if core.marks(slot) & room.LATE]
    assert late and all(core.floor(slot) > 0 for slot in late)
    ranked = [max(core.floor(slot), round(metric.value(slot).estimate())) for slot in core.ranked()]
    assert all(one >= 0.7 * other for one, other in zip(ranked, ranked[1:])), "two estimators differ by some per cent"


def test_batches_are_updates_one_by_one(room):
    _, keys, items = fan_outs(1.0, 3, 2000, 500)
    whole, _ = spread(room, keys, items, 20, 6)
    single = room.Core(("key",), room.Guard())
    metric = single.add_hll("items", 6)
    single.sample("top_cardinality", 20, metric)
    for key, item in zip(keys.tolist(), items.tolist()):
        metric.add((key,), item)
    assert states(whole) == states(single)


@pytest.mark.skipif(not NATIVE, reason="native kernels not built")
@pytest.mark.parametrize("precision", [6, 9])
def test_both_builds_end_in_the_same_state(precision):
    _, keys, items = fan_outs(0.9, 4, **SMALL)
    mine, native = (states(spread(room, keys, items, 30, precision)[0]) for room in ROOMS)
    assert mine == native


def test_merging_gives_both_builds_the_same_state_and_most_of_the_top():
    fans, keys, items = fan_outs(1.0, 5, **SMALL)
    found = []
    for room in ROOMS:
        cube = merged([spread(room, keys[part::4], items[part::4], 20, 6) for part in range(4)])
        assert score(cube, fans, 10).recall >= 0.9
        found.append(states(cube[0]))
    assert all(one == found[0] for one in found)


def test_a_metric_too_small_for_the_sketch_ranks_nothing(room):
    core = room.Core(("key",), room.Guard())
    with pytest.raises(ValueError, match="precision"):
        core.sample("top_cardinality", 10, core.add_hll("items", 5))


# What the theory page promises: large streams.

# Alpha, cells; recall of the upper half and precision at least; own error at most, with a precision of 6 and of 12.
S1 = [
    (1.2, 10, 0.95, 0.87, 0.22, 0.15), (1.2, 100, 0.95, 0.87, 0.22, 0.15), (1.2, 1000, 0.95, 0.87, 0.22, 0.15),
    (1.0, 10, 0.95, 0.87, 0.22, 0.15), (1.0, 100, 0.95, 0.87, 0.22, 0.15), (1.0, 1000, 0.95, 0.87, 0.22, 0.15),
]  # fmt: skip


@slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("alpha, cells, half, fair, error_of_6, error_of_12", S1)
def test_recall_precision_and_error_of_large_streams(native, alpha, cells, half, fair, error_of_6, error_of_12, times):
    for precision, error in ((6, error_of_6), (12, error_of_12)):
        halves, wholes = [], []
        for seed in range(3):
            fans, keys, items = fan_outs(alpha, seed)
            cube = spread(native, keys, items, cells, precision, times)
            halves.append(score(cube, fans, cells // 2))
            wholes.append(score(cube, fans, cells))
        assert mean(halves).recall >= half
        assert mean(wholes).fair >= fair and mean(wholes).error <= error


@slow
def test_keys_far_below_a_bucket_s_content_are_found_in_part(native):
    quarters = []
    for seed in range(3):
        fans, keys, items = fan_outs(0.8, seed)
        quarters.append(score(spread(native, keys, items, 100, 12), fans, 25).recall)
    assert np.mean(quarters) >= 0.88


@slow
@pytest.mark.parametrize("alpha, cells", [(1.0, 100), (1.0, 1000), (1.2, 1000)])
def test_recall_of_four_merged(native, alpha, cells):
    recalls = []
    for seed in range(3):
        fans, keys, items = fan_outs(alpha, seed)
        part = np.random.default_rng(seed).integers(0, 4, len(keys))
        cube = merged([spread(native, keys[part == one], items[part == one], cells, 12) for one in range(4)])
        recalls.append(score(cube, fans, cells // 2).recall)
    assert np.mean(recalls) >= 0.93
