"""The sketch under top-cardinality: its bits, its estimates, and both builds alike."""
from __future__ import annotations

import importlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TWIN = importlib.import_module("istat.kernels.python.cubes.sampling.spread")
ABC, FIVE = 0x44BC2CF5AD770999, 0x89BE0B2DD5C2593D      # XXH64 of "abc" and of the number 5


def builds():
    found = [TWIN]
    try:
        found.append(importlib.import_module("istat.kernels.native.cubes.sampling.spread"))
    except ImportError:
        pass
    return found


@pytest.fixture(params=builds(), ids=lambda module: module.__name__.split(".")[2])
def module(request):
    return request.param


def filled(module, keys, items, width=20, **options):
    """A sketch in which so many keys have so many items each, and the items' numbers."""
    sketch, draw = module.SpreadSketch(width, **options), random.Random(1)
    for _ in range(items):
        for key in keys:
            sketch.add(key, draw.getrandbits(64))
    return sketch


def test_the_width_by_default(module):
    assert [module.default_width(cells) for cells in (1, 10, 100, 1000)] == [4, 40, 150, 1050]


def test_buckets_are_where_the_format_says(module):
    sketch = module.SpreadSketch(1000, 1, seed=7)
    assert sketch.add(ABC, FIVE) is True
    levels, candidates, registers, seen = sketch.state
    at = 872
    assert {at: level for at, level in enumerate(levels) if level} == {at: 2}
    assert candidates[at] == ABC and sum(map(bool, candidates)) == 1
    register = FIVE >> 58
    assert {place: rank for place, rank in enumerate(registers) if rank} == {at * 64 + register: 2}
    assert {place: rank for place, rank in enumerate(seen) if rank} == {886: 2}


def test_a_key_with_many_items_is_candidate_and_estimated_among_small_ones(module):
    sketch = filled(module, small := random.Random(2).choices(range(2**62), k=500), 4, width=100)
    assert 17 < sketch.noise < 23
    draw = random.Random(3)
    for _ in range(1000):
        sketch.add(ABC, draw.getrandbits(64))
    assert sketch.is_candidate(ABC)
    assert sketch.estimate(ABC, 0) == pytest.approx(1000, rel=0.3)
    assert sketch.estimate(ABC, 5000) == 0
    estimates = sorted(sketch.estimate(key, 0) for key in small)
    assert estimates[450] <= 20
    sketch.withdraw(ABC)
    assert not sketch.is_candidate(ABC) and sketch.estimate(ABC, 0) > 500


def test_the_same_item_again_changes_nothing(module):
    sketch = filled(module, [ABC], 10)
    before = sketch.state
    draw = random.Random(1)
    assert not any(sketch.add(ABC, draw.getrandbits(64)) for _ in range(10))
    assert sketch.state == before


def test_merging_is_that_of_sets_and_has_no_order(module):
    one, other = filled(module, [ABC, 1, 2], 50), filled(module, [ABC, 3, 4, 5], 20)
    both, back = one.copy(), other.copy()
    both.combine(other)
    back.combine(one)
    assert both.state == back.state
    both.combine(other)
    assert both.state == back.state and both.used
    assert not one.agrees(module.SpreadSketch(20, 2)) and one.agrees(other)


def test_registers_of_a_cell_are_written_into_all_rows(module):
    sketch = module.SpreadSketch(50)
    sketch.put(ABC, bytes([3] * 64))
    assert sum(sketch.state[2]) == 3 * 3 * 64
    sketch.clear()
    assert not sketch.used and sum(sketch.state[2]) == 0


def test_states_and_shapes_that_cannot_be_are_refused(module):
    with pytest.raises(ValueError, match="rows"):
        module.SpreadSketch(10, 9)
    with pytest.raises(ValueError, match="state"):
        module.SpreadSketch(2, 1).load(bytes(2), [0], bytes(128), bytes(1024))


WORD = st.integers(0, 2**64 - 1)
KEY = st.integers(0, 8).map(lambda key: (key + 1) * 0x9E3779B97F4A7C15 % 2**64)
OPERATION = st.one_of(
    st.tuples(st.just("add"), KEY, WORD), st.tuples(st.just("add"), KEY, st.integers(0, 8)),
    st.tuples(st.just("estimate"), KEY, st.integers(0, 20)), st.tuples(st.just("is_candidate"), KEY),
    st.tuples(st.just("put"), KEY, st.lists(st.integers(0, 20), min_size=64, max_size=64).map(bytes)),
    st.tuples(st.just("withdraw"), KEY), st.tuples(st.just("clear")),
)  # fmt: skip


@pytest.mark.skipif(len(builds()) < 2, reason="native kernels not built")
@settings(max_examples=100)
@given(st.integers(1, 9), st.integers(1, 8), WORD, st.booleans(), st.lists(OPERATION, max_size=80))
def test_both_builds_have_the_same_bits(width, depth, seed, coupons, operations):
    mine, native = (build.SpreadSketch(width, depth, seed, coupons) for build in builds())
    for name, *arguments in operations:
        if coupons and name == "add":           # what DataSketches makes of an item: rank << 26 | index
            arguments[1] = arguments[1] % 2**26 | (1 + arguments[1] % 30) << 26
        assert getattr(mine, name)(*arguments) == getattr(native, name)(*arguments)
    assert mine.state == native.state and mine.noise == native.noise
