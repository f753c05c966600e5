"""Top-K: which cells a full cube keeps, how right their counts are, alone and merged. Numbers of docs/cubes-theory.md.

The large streams run on the native build only: the twin's state is compared with it on smaller ones.
"""
from __future__ import annotations

from array import array

import numpy as np
import pytest

from istat.kernels.python.cubes.sampling.heavykeeper import HeavyKeeper, default_width
from tests.kernels.cubes.cores import ROOMS
from tests.kernels.cubes.sampling.minimum import minimum_version
from tests.kernels.cubes.sampling.streams import counted, mean, merged, score, zipf

NATIVE = [room for room in ROOMS if room.build == "native"]
SMALL = {"updates": 50_000, "keys": 20_000}
slow = pytest.mark.slow


@pytest.fixture(params=ROOMS, ids=lambda room: room.build)
def room(request):
    return request.param


@pytest.fixture(params=NATIVE, ids=lambda room: room.build)
def native(request):
    return request.param


def true_counts(stream, weights=None, keys=300_000):
    return np.bincount(stream, weights, keys)


def states(core):
    sketch = core.sampler.sketch
    cells = [(core.key(slot), core.metrics[0].value(slot), core.inherited(slot), core.marks(slot))
             for slot in core.slots()]
    return cells, list(sketch.buckets), sketch.weight, sketch.updates, core.stats()


# Small streams, both builds.

@pytest.mark.parametrize("alpha, recall, error", [(0.8, 0.97, 0.02), (1.2, 0.99, 0.006)])
def test_most_of_the_top_has_cells_with_counts_close_to_the_truth(room, alpha, recall, error):
    stream = zipf(alpha, 1, **SMALL)
    core, metric = counted(room, stream, 200)
    found = score((core, metric), true_counts(stream, keys=20_000), 200)
    assert found.recall >= recall and found.error <= error and found.above <= 1
    assert len(core.slots()) == 200 and core.stats()["evicted"] > 100
    residents = sum(metric.value(slot) for slot in core.slots())
    assert residents + metric.other == metric.total == len(stream)


def test_what_was_inherited_and_what_was_counted_is_the_value(room):
    stream = zipf(1.0, 2, **SMALL)
    core, metric = counted(room, stream, 100)
    late = [slot for slot in core.slots() if core.marks(slot) & room.LATE]
    assert late and any(core.inherited(slot) for slot in late)
    assert all(0 <= core.inherited(slot) < metric.value(slot) for slot in core.slots())
    assert not any(core.inherited(slot) for slot in core.slots() if slot not in late)


def test_the_same_seed_gives_the_same_state_and_batches_are_updates_one_by_one(room):
    stream = zipf(1.0, 3, 5000, 3000)
    weights = np.random.default_rng(3).integers(1, 2000, len(stream))
    whole, _ = counted(room, stream, 50, weights, seed=5)
    single = room.Core(("key",), room.Guard())
    metric = single.add_counter("n")
    single.sample("topk", 50, metric, seed=5)
    for key, weight in zip(stream.tolist(), weights.tolist()):
        metric.incrby((key,), weight)
    assert states(whole) == states(single)


@pytest.mark.skipif(not NATIVE, reason="native kernels not built")
@pytest.mark.parametrize("weighted", [False, True])
def test_both_builds_end_in_the_same_state(weighted):
    stream = zipf(0.9, 4, 30_000, 20_000)
    weights = np.random.default_rng(4).lognormal(6, 1.2, len(stream)).astype(np.int64) + 1 if weighted else 1
    mine, native = (states(counted(room, stream, 100, weights)[0]) for room in ROOMS)
    assert mine == native


def test_merging_gives_both_builds_the_same_state():
    stream = zipf(0.9, 5, 20_000, 10_000)
    found = []
    for room in ROOMS:
        core, _ = merged([counted(room, stream[part::4], 100) for part in range(4)])
        core.update([stream[:5000]], {core.metrics[0]: 3})
        found.append(states(core))
    assert all(one == found[0] for one in found)


def test_parts_that_hold_keys_of_their_own_merge_to_the_true_top(room):
    stream = zipf(1.0, 6, **SMALL)
    found = merged([counted(room, stream[stream % 4 == part], 200) for part in range(4)])
    core, metric = found
    assert score(found, true_counts(stream, keys=20_000), 200).recall >= 0.99
    assert sum(metric.value(slot) for slot in core.slots()) + metric.other == metric.total == len(stream)


def test_no_count_is_above_the_truth_but_for_equal_fingerprints():
    class Wide(HeavyKeeper):
        """With the whole hash as the fingerprint."""

        def _places(self, hash):
            return hash, super()._places(hash)[1]

    room = ROOMS[0]
    stream = zipf(0.8, 7, **SMALL)
    core = room.Core(("key",), room.Guard())
    metric = core.add_counter("n")
    core.sample("topk", 100, metric, width=50)
    core.sampler.sketch = wide = Wide(50)
    wide.buckets = list(wide.buckets)
    core.update([stream], {metric: 1})
    assert core.stats()["evicted"] > 100
    assert score((core, metric), true_counts(stream, keys=20_000), 100).above == 0
    assert not isinstance(wide.buckets, array)


def test_sketches_that_do_not_agree_are_not_merged_but_cells_are(room):
    stream = zipf(1.0, 8, 5000, 3000)
    core, metric = merged([counted(room, stream[::2], 50), counted(room, stream[1::2], 50, seed=1)])
    assert core.stats()["sketch_merge_skipped"] == 1
    assert len(core.slots()) == 50 and metric.total == 5000


# What the theory page promises: large streams.

K1 = [  # alpha, cells, recall at least, error at most
    (0.8, 10, 0.985, 0.02), (0.8, 100, 0.985, 0.02),
    (0.8, 500, 0.96, 0.02), (0.8, 1000, 0.96, 0.02), (0.8, 5000, 0.955, 0.02),
    (1.0, 10, 0.985, 0.006), (1.0, 100, 0.985, 0.006),
    (1.0, 500, 0.99, 0.006), (1.0, 1000, 0.99, 0.006), (1.0, 5000, 0.98, 0.006),
    (1.2, 10, 0.985, 0.006), (1.2, 100, 0.985, 0.006), (1.2, 500, 0.995, 0.006), (1.2, 1000, 0.995, 0.006),
]  # fmt: skip


@slow
@pytest.mark.parametrize("alpha, cells, recall, error", K1)
def test_recall_and_error_of_large_streams(native, alpha, cells, recall, error):
    scores = []
    for seed in range(8):
        stream = zipf(alpha, seed)
        scores.append(score(counted(native, stream, cells), true_counts(stream), cells))
    found = mean(scores)
    assert found.recall >= recall and found.error <= error
    assert sum(one.above for one in scores) / len(scores) <= max(1, cells // 1000)


@slow
@pytest.mark.parametrize("alpha, recall", [(0.8, 0.90), (1.0, 0.96), (1.2, 0.98)])
def test_recall_of_large_weighted_streams_does_not_depend_on_the_unit(native, alpha, recall):
    found = {}
    for factor in (1, 1000):
        scores = []
        for seed in range(4):
            stream = zipf(alpha, seed)
            weights = (np.random.default_rng(seed).lognormal(6, 1.2, len(stream)).astype(np.int64) + 1) * factor
            scores.append(score(counted(native, stream, 1000, weights), true_counts(stream, weights), 1000))
        found[factor] = mean(scores).recall
    assert found[1] >= recall and abs(found[1000] - found[1]) <= 0.01


@slow
@pytest.mark.parametrize("alpha, cells", [(0.8, 100), (0.8, 1000), (1.0, 100), (1.0, 1000), (1.2, 1000)])
def test_never_worse_than_the_published_minimum_version_with_the_same_memory(native, alpha, cells):
    differences = []
    for seed in range(2):
        stream, width = zipf(alpha, seed), default_width(cells)
        truth = true_counts(stream)
        last = np.sort(truth)[-cells]
        kept = np.array(list(minimum_version(stream, cells, width)))
        differences.append(score(counted(native, stream, cells), truth, cells).recall
                           - min(cells, int((truth[kept] >= last).sum())) / cells)
    assert np.mean(differences) >= -0.005


@slow
@pytest.mark.parametrize("alpha, by_update, continued", [(0.8, 0.93, 0.93), (1.0, 0.95, 0.95), (1.2, 0.96, 0.96)])
def test_recall_of_eight_merged(native, alpha, by_update, continued):
    scores = {"by key": [], "by update": [], "continued": []}
    for seed in range(3):
        stream, truth = zipf(alpha, seed), true_counts(zipf(alpha, seed))
        draw = np.random.default_rng(seed)
        of_key, of_update = draw.integers(0, 8, 300_000)[stream], draw.integers(0, 8, len(stream))
        for name, parts in (("by key", of_key), ("by update", of_update)):
            cubes = [counted(native, stream[parts == part], 1000) for part in range(8)]
            scores[name].append(score(merged(cubes), truth, 1000))
        half, rest = stream[:500_000], stream[500_000:]
        core, metric = merged([counted(native, half[part::4], 1000) for part in range(4)])
        core.update([rest], {metric: 1})
        scores["continued"].append(score((core, metric), truth, 1000))
    found = {name: mean(several) for name, several in scores.items()}
    assert found["by key"].recall >= 0.995
    assert found["by update"].recall >= by_update and found["continued"].recall >= continued
    assert all(sum(one.above for one in several) / len(several) <= 1 for several in scores.values())
