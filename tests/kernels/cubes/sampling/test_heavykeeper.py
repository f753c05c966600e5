"""The sketch under top-K: its bits, its decay, and both builds alike."""
from __future__ import annotations

import importlib
import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TWIN = importlib.import_module("istat.kernels.python.cubes.sampling.heavykeeper")
MOST = 2**48 - 1
WORD = st.integers(0, 2**64 - 1)


def builds():
    found = [TWIN]
    try:
        found.append(importlib.import_module("istat.kernels.native.cubes.sampling.heavykeeper"))
    except ImportError:
        pass
    return found


@pytest.fixture(params=builds(), ids=lambda module: module.__name__.split(".")[2])
def module(request):
    return request.param


def state(sketch):
    return list(sketch.buckets), sketch.weight, sketch.updates, sketch.unit, sketch.used


def test_the_width_by_default_is_that_of_the_tables(module):
    widths = [module.default_width(cells) for cells in (1, 10, 50, 100, 300, 500, 1000)]
    assert widths == [150, 150, 261, 400, 762, 1125, 1951]
    assert module.default_width(5000) == 10_000


def test_buckets_are_where_the_format_says(module):
    sketch = module.HeavyKeeper(1000, 3, seed=7)
    sketch.add(0x44BC2CF5AD770999, 5, MOST)         # XXH64 of "abc"
    places = {at: bucket for at, bucket in enumerate(sketch.buckets) if bucket}
    assert places == {872: 0xAB66 << 48 | 5}


def test_a_key_takes_the_first_empty_bucket_and_keeps_it(module):
    sketch = module.HeavyKeeper(10, 2)
    assert [sketch.add(99, 3, MOST), sketch.add(99, 4, MOST)] == [0, 0]
    assert sorted(bucket & MOST for bucket in sketch.buckets)[-2:] == [0, 7]
    assert sketch.take(99) == 7 and sketch.take(99) == 0 and not any(sketch.buckets)


def test_a_key_with_more_than_the_smallest_resident_leaves_the_sketch(module):
    sketch = module.HeavyKeeper(10, 2)
    assert sketch.add(99, 3, 10) == 0
    assert sketch.add(99, 8, 10) == 11
    assert not any(sketch.buckets)
    assert sketch.add(99, 11, 10) == 11, "an update that is larger by itself needs no bucket"
    assert not any(sketch.buckets)


def test_a_count_above_the_smallest_resident_is_another_keys(module):
    sketch = module.HeavyKeeper(10, 1)
    sketch.put(99, 50)
    assert sketch.find(99, 50) >= 0 and sketch.find(99, 49) == -1
    assert sketch.add(99, 1, 49) == 0
    assert max(bucket & MOST for bucket in sketch.buckets) in (49, 50), "it decays like any other's"


def test_counts_are_bounded_by_their_bits(module):
    sketch = module.HeavyKeeper(1, 1)
    sketch.put(99, 2**62)
    assert sketch.buckets[0] & MOST == MOST
    sketch.add(99, 2**62, 2**63 - 1)
    assert sketch.buckets[0] & MOST == MOST
    assert sketch.add(99, 2**63 - 1, 2**62) == 2**63 - 1
    for _ in range(5):
        sketch.add(1, 2**63 - 1, 2**63 - 1)
    assert 0 < sketch.weight < 2**62 and sketch.unit > 2**58


def test_writing_back_takes_the_smallest_bucket_if_the_count_is_larger(module):
    sketch = module.HeavyKeeper(1, 2)
    sketch.put(1, 10)
    sketch.put(2, 20)
    sketch.put(3, 5)
    assert [sketch.take(key) for key in (1, 2, 3)] == [10, 20, 0]
    sketch.put(1, 10)
    sketch.put(1, 30)
    assert sketch.take(1) == 30


def test_what_agreeing_sketches_hold_adds_up_and_the_larger_count_stays(module):
    one, other = module.HeavyKeeper(1, 1, seed=3), module.HeavyKeeper(1, 1, seed=3)
    one.put(1, 10)
    other.put(1, 5)
    one.combine(other)
    assert one.take(1) == 15
    one.put(1, 10)
    other.load([0], 0, 0)
    other.put(2, 11)
    both = one.copy()
    both.combine(other)
    back = other.copy()
    back.combine(one)
    assert list(both.buckets) == list(back.buckets) and both.take(2) == 11
    assert one.agrees(other)
    unlike = ((2, 1, 1.08, 3), (1, 2, 1.08, 3), (1, 1, 1.1, 3), (1, 1))
    assert not any(one.agrees(module.HeavyKeeper(*shape)) for shape in unlike)


def test_clipping_leaves_nothing_larger(module):
    sketch = module.HeavyKeeper(1, 2)
    sketch.put(1, 10)
    sketch.put(2, 20)
    sketch.clip(15)
    assert sorted(bucket & MOST for bucket in sketch.buckets) == [10, 15]
    sketch.clip(0)
    assert list(sketch.buckets) == [0, 0]


def test_the_unit_is_the_mean_weight_and_outlives_a_reset(module):
    sketch = module.HeavyKeeper(10)
    assert sketch.unit == 1
    for weight in (100, 200, 600):
        sketch.add(weight, weight, MOST)
    assert sketch.unit == 300
    sketch.clear()
    assert (sketch.unit, sketch.used, any(sketch.buckets)) == (300, False, False)


@pytest.mark.parametrize("arguments, told", [
    ((0,), "buckets"), ((10, 0), "rows"), ((10, 9), "rows"), ((2**24, 2), "buckets"), ((10, 3, 1.0), "base"),
    ((10, 3, math.nan), "base"), ((10, 3, 1.08, -1), "seed"), ((10, 3, 1.08, 2**64), "seed"),
])
def test_shapes_that_cannot_be_are_refused(module, arguments, told):
    with pytest.raises(ValueError, match=told):
        module.HeavyKeeper(*arguments)


def test_states_that_cannot_be_are_refused(module):
    for bad in (([0], 0, 0), ([0, 0], -1, 0), ([0, 0], 0, 2**62)):
        with pytest.raises(ValueError, match="buckets|updates"):
            module.HeavyKeeper(2, 1).load(*bad)


def chi_square_passes(one, other):
    """Whether two samples of equal size may be of one distribution: p > 0.001, rare outcomes together."""
    outcomes = sorted(one | other, key=lambda outcome: -(one[outcome] + other[outcome]))
    common = [outcome for outcome in outcomes if one[outcome] + other[outcome] >= 20]
    pairs = [(one[outcome], other[outcome]) for outcome in common]
    pairs.append((one.total() - sum(a for a, _ in pairs), other.total() - sum(b for _, b in pairs)))
    square = sum((a - b) ** 2 / (a + b) for a, b in pairs if a + b)
    freedom = len(pairs) - 1
    spread = 2 / (9 * freedom)          # Wilson and Hilferty: 3.09 sigma is p = 0.001
    return square < freedom * (1 - spread + 3.09 * math.sqrt(spread)) ** 3


def outcomes(module, held, weight, single, trials):
    """What a bucket is after an update by a weight, or after as many by one; the unit is one."""
    sketch = module.HeavyKeeper(1, 1, seed=11 + single)
    sketch.put(1, held)
    before, found = list(sketch.buckets), Counter()
    for _ in range(trials):
        sketch.load(before, 10**6, 10**6)
        for _ in range(weight if single else 1):
            sketch.add(2, 1 if single else weight, MOST)
        found[sketch.buckets[0] >> 48 == before[0] >> 48, sketch.buckets[0] & MOST] += 1
    return found


@pytest.mark.parametrize("held, weight", [(1, 3), (3, 5), (8, 20), (30, 40)])
def test_a_weight_is_as_many_single_updates(module, held, weight):
    trials = 3000 if module is TWIN else 20_000
    single, weighted = (outcomes(module, held, weight, single, trials) for single in (True, False))
    assert len(single) > 2
    assert chi_square_passes(single, weighted)


@pytest.mark.slow
@pytest.mark.parametrize("held, weight", [(1, 3), (3, 5), (8, 20), (30, 40), (60, 1000)])
def test_a_weight_is_as_many_single_updates_in_many_trials(held, weight):
    single, weighted = (outcomes(builds()[-1], held, weight, single, 100_000) for single in (True, False))
    assert chi_square_passes(single, weighted)


def test_the_test_of_equal_distributions_tells_unlike_ones(module):
    assert not chi_square_passes(outcomes(module, 8, 20, False, 2000), outcomes(module, 9, 20, False, 2000))


OPERATION = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 30),
              st.one_of(st.just(1), st.integers(1, 3000), st.integers(1, 2**63 - 1)),
              st.sampled_from((3, 100, 10**5, 2**63 - 1))),
    st.tuples(st.just("find"), st.integers(0, 30), st.sampled_from((3, 100, MOST))),
    st.tuples(st.just("take"), st.integers(0, 30)),
    st.tuples(st.just("put"), st.integers(0, 30), st.integers(1, 2**63 - 1)),
    st.tuples(st.just("clip"), st.sampled_from((0, 3, 100, 10**5))),
    st.tuples(st.just("clear")),
    st.tuples(st.just("double")),
)


@pytest.mark.skipif(len(builds()) < 2, reason="native kernels not built")
@settings(max_examples=150)
@given(st.integers(1, 12), st.integers(1, 8), st.sampled_from((1.02, 1.08, 1.3)), WORD,
       st.lists(OPERATION, max_size=120))
def test_both_builds_have_the_same_bits(width, depth, base, seed, operations):
    mine, native = (build.HeavyKeeper(width, depth, base, seed) for build in builds())
    for name, *arguments in operations:
        if name == "double":
            mine.combine(mine.copy())
            native.combine(native.copy())
            continue
        if name in ("add", "find", "take", "put"):
            arguments[0] = arguments[0] * 0x9E3779B97F4A7C15 % 2**64
        assert getattr(mine, name)(*arguments) == getattr(native, name)(*arguments)
    assert state(mine) == state(native)


def test_a_count_below_0_is_not_kept_and_clips_all(module):
    sketch = module.HeavyKeeper(10, 2)
    sketch.put(99, -5)
    assert not any(sketch.buckets) and sketch.take(99) == 0
    sketch.put(99, 5)
    sketch.clip(-5)
    assert not any(sketch.buckets)
