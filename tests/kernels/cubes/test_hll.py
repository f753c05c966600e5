"""HyperLogLog: its accuracy, its forms, its merges, and that both builds are the same to the byte."""
from __future__ import annotations

import math
import pickle
import random
from threading import Thread

import datasketches
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from istat.errors import ConcurrentUse, SchemaMismatch
from istat.kernels import implementation

HASHES = ("xxh64", "datasketches")
BUILDS = [implementation(name) for name in ("python", "native")]
ITEM = st.integers(-2**63, 2**64 - 1) | st.binary(max_size=12) | st.text(max_size=6)


def filled(cubes, items, precision=12, hash="xxh64"):
    sketch = cubes.HyperLogLog(precision, hash)
    sketch.add_many(items)
    return sketch


def state(sketch):
    """All there is to a sketch."""
    listed = None if sketch.form == "dense" else sketch.entries()
    return sketch.precision, sketch.hash, sketch.form, listed, sketch.packed()


@pytest.mark.parametrize(("precision", "estimate", "packed"), [
    (6, 92251.191, "bb39d5bddcfc01ab"), (12, 100846.269, "9004663031290e43"), (14, 99953.236, "bc83734c425f15ad")])
def test_values_of_the_specification(cubes, precision, estimate, packed):
    sketch = filled(cubes, np.arange(100_000), precision)
    assert sketch.estimate() == pytest.approx(estimate, abs=0.001)
    assert xxhash.xxh64_hexdigest(sketch.packed()) == packed


def test_decimal_strings_of_the_specification(cubes):
    sketch = filled(cubes, [str(i) for i in range(1000)])
    assert sketch.estimate() == pytest.approx(1011.970, abs=0.001)
    assert xxhash.xxh64_hexdigest(sketch.packed()) == "05228fa5dbb6abdc"


@pytest.mark.parametrize(("precision", "hash"), [*((p, "xxh64") for p in (6, 8, 10, 12, 14)), (10, "datasketches")])
def test_accuracy(precision, hash, native):
    """Native alone: that the twin has the same bits, other tests say."""
    m = 1 << precision
    sizes = [m // 4, m, 5 * m // 2, 5 * m, 20 * m] + ([100 * m] if precision <= 10 else [])
    errors = [[] for _ in sizes]
    for seed in range(100):
        sketch = native.cubes.HyperLogLog(precision, hash)
        for start, size, found in zip([0, *sizes], sizes, errors):
            sketch.add_many((np.arange(start, size) << 16) + seed)
            found.append(sketch.estimate() / size - 1)
    sigma = 1.04 / math.sqrt(m)
    for found in map(np.array, errors):
        assert np.sqrt((found**2).mean()) <= 1.25 * sigma
        assert abs(found.mean()) <= 0.4 * sigma
        assert precision < 8 or abs(found).max() <= 4.5 * sigma


@pytest.mark.parametrize("precision", [8, 12, 16])
def test_a_sparse_sketch_is_nearly_exact(precision, native):
    for seed in range(100):
        sketch = native.cubes.HyperLogLog(precision)
        for n in (1, 2, 5, 1 << precision - 5, 1 << precision - 3):
            sketch.add_many((np.arange(n) << 16) + seed)
            assert sketch.form == "sparse"
            assert abs(sketch.estimate() - n) <= max(1, 0.0004 * n)


@pytest.mark.parametrize("n", [100, 10_000, 300_000])
def test_it_is_as_near_as_datasketches(native, n):
    theirs = datasketches.hll_sketch(12)
    for item in range(n):
        theirs.update(item)
    for estimate in (filled(native.cubes, np.arange(n)).estimate(), theirs.get_estimate()):
        assert abs(estimate / n - 1) <= 4 * 1.04 / 64


# --- forms and merges --------------------------------------------------------------------------------

@settings(max_examples=60)
@given(st.lists(ITEM, max_size=150), st.sampled_from([4, 8, 9, 12]), st.sampled_from(HASHES))
def test_both_builds_are_the_same(items, precision, hash):
    twin, native = (filled(build.cubes, items, precision, hash) for build in BUILDS)
    assert state(twin) == state(native)
    assert twin.estimate() == native.estimate()
    assert repr(twin) == repr(native)
    assert twin.registers() == native.registers()


@settings(max_examples=60)
@given(st.data())
def test_any_way_of_adding_and_merging_gives_the_same_bytes(data):
    """Splits, orders, repeats, sparse and dense ones, several precisions: one sketch of all items is the measure."""
    items = data.draw(st.lists(ITEM, max_size=120))
    hash = data.draw(st.sampled_from(HASHES))
    precisions = data.draw(st.lists(st.sampled_from([4, 8, 9, 10]), min_size=1, max_size=4))
    for build in BUILDS:
        parts = [build.cubes.HyperLogLog(precision, hash) for precision in precisions]
        for item in items:
            for part in data.draw(st.lists(st.sampled_from(parts), min_size=1, max_size=2)):
                part.add(item)
        whole = build.cubes.HyperLogLog(max(precisions), hash)
        for part in data.draw(st.permutations(parts)):
            whole.merge(part, allow_precision_loss=True)
            whole.merge(part, allow_precision_loss=True)
        assert state(whole) == state(filled(build.cubes, items, min(precisions), hash))


@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("n", [0, 3, 20, 40, 600, 5000])
def test_folding_is_as_if_it_had_been_that_precision_from_the_start(cubes, n, hash):
    items = list(range(n))
    sketch = filled(cubes, items, 12, hash)
    before = state(sketch)
    for precision in (12, 10, 8, 5):
        assert state(sketch.fold(precision)) == state(filled(cubes, items, precision, hash))
    assert state(sketch) == before


@pytest.mark.parametrize("left", [0, 200, 5000])
@pytest.mark.parametrize("right", [0, 200, 400, 5000])
def test_a_union_is_the_sketch_of_all(cubes, left, right):
    """Forms in all pairs; half of the smaller one is in the other as well."""
    ours = list(range(left))
    theirs = list(range(left - min(left, right) // 2, left - min(left, right) // 2 + right))
    sketch = filled(cubes, ours)
    sketch.merge(filled(cubes, theirs))
    assert state(sketch) == state(filled(cubes, ours + theirs))


def test_forms_change_at_their_limits(cubes):
    sketch = cubes.HyperLogLog(8)
    assert (sketch.form, sketch.is_empty, sketch.estimate()) == ("empty", True, 0.0)
    sketch.add_many(range(32))
    assert (sketch.form, len(sketch.entries())) == ("sparse", 32)
    assert sketch.add(32)
    assert (sketch.form, sketch.is_empty) == ("dense", False)
    small = filled(cubes, [1], 7)
    assert small.form == "dense"
    small.clear()
    assert small.form == "empty"


def test_add_tells_whether_something_changed(cubes):
    sketch = cubes.HyperLogLog()
    assert [sketch.add(item) for item in ("a", "a", b"a", "b")] == [True, False, False, True]
    assert sketch.add_many(["a", "c", "c"]) == 1
    sketch.add_many(range(1000))
    assert sketch.add_many(range(1000)) == 0


def test_merging_tells_what_does_not_fit_and_changes_nothing(cubes):
    sketch, other, coarse = filled(cubes, [1]), filled(cubes, [2], 12, "datasketches"), filled(cubes, [3], 10)
    with pytest.raises(SchemaMismatch, match="hashed by datasketches cannot be merged into one hashed by xxh64"):
        sketch.merge(other)
    with pytest.raises(SchemaMismatch, match="allow_precision_loss=True"):
        sketch.merge(coarse)
    assert state(sketch) == state(filled(cubes, [1]))
    sketch.merge(coarse, allow_precision_loss=True)
    assert state(sketch) == state(filled(cubes, [1, 3], 10))
    sketch.merge(sketch)
    assert state(sketch) == state(filled(cubes, [1, 3], 10))


def test_a_copy_is_its_own(cubes):
    for n in (0, 10, 5000):
        sketch = filled(cubes, range(n))
        copied = sketch.copy()
        copied.add("more")
        assert state(sketch) == state(filled(cubes, range(n)))
        assert state(copied) == state(filled(cubes, [*range(n), "more"]))


@pytest.mark.parametrize("hash", HASHES)
@pytest.mark.parametrize("n", [0, 7, 5000])
def test_it_comes_back_from_pickle_and_merges_on(cubes, n, hash):
    sketch = filled(cubes, range(n), 12, hash)
    back = pickle.loads(pickle.dumps(sketch))
    assert state(back) == state(sketch)
    back.merge(filled(cubes, ["x"], 12, hash))
    sketch.add("x")
    assert state(back) == state(sketch)


# --- batches -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("items", [
    np.arange(-50, 50), np.arange(100, dtype=np.int32) - 50, np.arange(100, dtype=np.uint32) + 2**31,
    np.arange(100, dtype=np.uint64) + 2**63, np.arange(200)[::2], np.array([b"ab", b"c", b"", b"ab\0"]),
    np.array(["ü", "b"]), np.array(["ü", 5], dtype=object), memoryview(b"\1\0\0\0\0\0\0\0").cast("q"), np.arange(0),
    ["a", b"b", 3], ("a", True, -1), []], ids=lambda items: str(getattr(items, "dtype", type(items).__name__)))
def test_a_batch_is_the_same_as_one_by_one(cubes, items):
    one_by_one = cubes.HyperLogLog()
    risen = sum(one_by_one.add(item) for item in (items.tolist() if hasattr(items, "tolist") else items))
    batch = cubes.HyperLogLog()
    assert batch.add_many(items) == risen
    assert state(batch) == state(one_by_one)


@pytest.mark.parametrize("items", [
    "abc", b"abc", 5, None, {"a"}, iter("a"), [1, 2.5], ["a", None], np.arange(3.0), np.zeros((2, 2), dtype=np.int64),
    np.arange(3, dtype=">i8"), np.arange(3, dtype=np.int8), bytearray(b"abc")])
def test_a_batch_with_something_wrong_changes_nothing(cubes, items):
    sketch = cubes.HyperLogLog()
    with pytest.raises(TypeError):
        sketch.add_many(items)
    with pytest.raises(OverflowError):
        sketch.add_many([1, 2**64])
    assert sketch.is_empty


@pytest.mark.parametrize("precision", [3, 19, -1])
def test_a_precision_out_of_range_is_refused(cubes, precision):
    with pytest.raises(ValueError, match="from 4 to 18"):
        cubes.HyperLogLog(precision)
    with pytest.raises(ValueError, match="one of xxh64, datasketches"):
        cubes.HyperLogLog(12, "md5")
    with pytest.raises(ValueError, match="cannot be brought to 13"):
        cubes.HyperLogLog(12).fold(13)


@pytest.mark.parametrize("entries", [[0], [5 << 6], [40], [2 << 6 | 1, 1 << 6 | 1], [65, 65], [1 << 32 | 1], [-1],
                                     [i << 6 | 1 for i in range(513)]])
def test_a_list_that_no_sketch_has_is_refused(cubes, entries):
    with pytest.raises(ValueError, match="no sketch"):
        cubes.hll_from_entries(entries)


def test_registers_that_no_sketch_has_are_refused(cubes):
    for packed, precision, hash in ((b"", 4, "xxh64"), (b"\0" * 11, 4, "xxh64"), (b"\xff" * 12, 4, "xxh64")):
        with pytest.raises(ValueError, match="no sketch"):
            cubes.hll_from_packed(packed, precision, hash)
    assert cubes.hll_from_packed(b"\xff" * 12, 4, "datasketches").registers() == b"\x3f" * 16


def test_a_second_thread_is_turned_away(native):
    sketch, items = native.cubes.HyperLogLog(14), np.arange(2_000_000)
    with pytest.raises(ConcurrentUse, match="give each thread its own"):
        for _ in range(200):        # the thread is to be met at work
            thread = Thread(target=sketch.add_many, args=(items,))
            thread.start()
            try:
                while thread.is_alive():
                    sketch.add("x")
            finally:
                thread.join()
    assert sketch.add_many(items) == 0


def test_memory_is_small_while_there_are_few_items(native):
    sketch = native.cubes.HyperLogLog()
    assert sketch.memory() <= 32
    sketch.add_many(range(100))
    assert sketch.memory() < 32 + 100 * 6
    sketch.add_many(range(1000))
    assert 4096 < sketch.memory() <= 4096 + 32


def test_random_batches_of_both_builds(native):
    rng = random.Random(5)
    for hash in HASHES:
        twin, ours = (build.cubes.HyperLogLog(9, hash) for build in BUILDS)
        for _ in range(40):
            batch = [rng.choice((rng.getrandbits(64), rng.randbytes(9))) for _ in range(rng.randrange(60))]
            assert twin.add_many(batch) == ours.add_many(batch)
            assert state(twin) == state(ours)
