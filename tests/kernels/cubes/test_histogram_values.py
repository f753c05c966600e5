"""Histograms: what they take, one by one and in batches, and a histogram as a value."""
from __future__ import annotations

import math
import pickle
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import ConcurrentUse
from tests.kernels.cubes.histograms import BUILDS, COUNT, WHOLE, filled

# --- values ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", ["5", None, b"5", [5], 5j])
def test_no_number_is_refused(cubes, value):
    histogram = cubes.Histogram(cubes.Shape())
    with pytest.raises(TypeError, match="int or float"):
        histogram.record(value)
    with pytest.raises(TypeError):
        histogram.record_many([1, value])
    assert histogram.is_empty


@pytest.mark.parametrize(("value", "error"), [(math.nan, ValueError), (math.inf, ValueError), (-math.inf, ValueError),
                                              (2**63, OverflowError), (-1e19, OverflowError), (10**400, OverflowError)])
def test_what_is_not_finite_or_too_wide_is_refused(cubes, value, error):
    histogram = cubes.Histogram(cubes.Shape())
    with pytest.raises(error):
        histogram.record(value)
    with pytest.raises(error):
        histogram.record_many([1, value])
    with pytest.raises(OverflowError):
        histogram.record_many(np.array([1, 2**63], dtype=np.uint64))
    with pytest.raises(ValueError, match="NaN"):
        histogram.record_many(np.array([1, math.nan]))
    assert histogram.is_empty


def test_fractions_are_scaled_and_rounded(cubes):
    histogram = filled(cubes, [0.0015, 0.25, 2], scale=1000.0)
    assert (histogram.sum, histogram.min, histogram.max) == (2.252, 0.002, 2.0)
    assert histogram.percentile(50) == 0.25
    assert histogram.mean == pytest.approx(2.252 / 3)
    assert filled(cubes, [1.5, 2.5, 2.6]).parts()[1] == [2, 1]


@pytest.mark.parametrize("values", [
    np.arange(-5, 9000), np.arange(5, dtype=np.int32) - 3, np.arange(5, dtype=np.uint32) + 2**31,
    np.arange(5, dtype=np.uint64), np.arange(20)[::3], np.arange(5.0) / 3, np.arange(5, dtype=np.float32) * 7.3,
    memoryview(b"\1\0\0\0\0\0\0\0").cast("q"), [1, 2.7, True, np.int16(4), np.float32(0.5)], (5, 6), range(3), [],
    np.full(5000, 2**40), np.arange(5000) + 2**24],
    ids=lambda values: str(getattr(values, "dtype", type(values).__name__)))
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_batch_is_the_same_as_one_by_one(cubes, values, scale):
    shape = cubes.Shape(1, 2**30, 6, scale=scale)
    one_by_one, batch, counted = (cubes.Histogram(shape) for _ in range(3))
    for value in values:
        one_by_one.record(value)
    assert batch.record_many(values) == len(values)
    assert batch.parts() == one_by_one.parts()
    counted.record_many(values, [1] * len(values))
    assert counted.parts() == one_by_one.parts()


@pytest.mark.parametrize("counts", [[1], [1, -1], [1, 2**63], [1, 2, 3]])
def test_counts_that_do_not_fit_are_refused(cubes, counts):
    histogram = cubes.Histogram(cubes.Shape())
    with pytest.raises((ValueError, OverflowError)):
        histogram.record_many([5, 6], counts)
    with pytest.raises(ValueError, match="a count is from 0"):
        histogram.record(5, -1)
    assert histogram.record(5, 0) and histogram.is_empty
    assert histogram.record_many([5, 6], [0, 0]) == 2 and histogram.is_empty


@pytest.mark.parametrize("values", ["abc", b"abc", 5, None, {1}, np.zeros((2, 2)), np.array(["a"]),
                                    np.arange(3, dtype=">i8"), np.arange(3, dtype=np.int8)])
def test_what_is_no_batch_is_refused(cubes, values):
    with pytest.raises(TypeError, match="values"):
        filled(cubes, values)


# --- as a value --------------------------------------------------------------------------------------

def test_a_copy_is_its_own_and_clear_empties(cubes):
    histogram = filled(cubes, [1, 2, 3])
    copied = histogram.copy()
    copied.record(4)
    assert (histogram.count, copied.count) == (3, 4)
    copied.clear()
    assert copied.is_empty and copied.copy().is_empty and copied.parts() is None


@given(st.lists(st.tuples(WHOLE, COUNT), max_size=10))
def test_it_comes_back_from_its_parts_and_from_pickle(rows):
    for build in BUILDS:
        histogram = build.cubes.Histogram(build.cubes.Shape(1, 5000, 3))
        for value, count in rows:
            histogram.record(value, count)
        assert build.cubes.histogram_from_parts(histogram.shape, histogram.parts()).parts() == histogram.parts()
        back = pickle.loads(pickle.dumps(histogram))
        back.merge(histogram)
        histogram.merge(histogram)
        assert back.parts() == histogram.parts()


PARTS = (5, [2, 0, 1], 17, 99, 5, 7, 0, 0)


@pytest.mark.parametrize(("at", "wrong"), [
    (0, -1), (0, 4), (0, 10**6), (1, []), (1, [0, 1]), (1, [2, 0, 0]), (1, [2, -1, 2]), (1, [2**63, 0, 1]), (2, 14),
    (2, 22), (3, 96), (3, -1), (3, 2**192), (4, 4), (4, 2**70), (5, 8), (5, 4), (6, 1), (6, -1), (7, 1)])
def test_parts_that_contradict_each_other_are_refused(cubes, at, wrong):
    shape = cubes.Shape(1, 5000, 3)
    assert cubes.histogram_from_parts(shape, PARTS).parts() == PARTS
    with pytest.raises(ValueError, match="no parts of a histogram"):
        cubes.histogram_from_parts(shape, (*PARTS[:at], wrong, *PARTS[at + 1:]))


def test_a_second_thread_is_turned_away(native):
    histogram, values = native.cubes.Histogram(native.cubes.Shape()), np.arange(2_000_000)
    taken, threads = 0, []
    with pytest.raises(ConcurrentUse, match="give each thread its own"):
        while len(threads) < 200:       # one is to be met at work
            threads.append(Thread(target=histogram.record_many, args=(values,)))
            threads[-1].start()
            try:
                while threads[-1].is_alive():
                    taken += histogram.record(1)
            finally:
                threads[-1].join()
    assert histogram.count == len(threads) * len(values) + taken


def test_values_that_change_while_they_are_recorded_stay_within_the_slots(cubes):
    histogram = cubes.Histogram(cubes.Shape(1, 1000))
    values = np.ones(20_000, np.int64)
    for _ in range(20):
        thread = Thread(target=histogram.record_many, args=(values,))
        thread.start()
        while thread.is_alive():
            values[:] = -2**62
            values[:] = 1
        thread.join()
    first, counts, *_ = histogram.parts()
    assert sum(counts) == histogram.count == 20 * len(values)
    assert first + len(counts) <= histogram.shape.slots


def test_memory_is_that_of_the_slots(cubes):
    histogram = cubes.Histogram(cubes.Shape(1, 100_000, 4))
    assert histogram.memory() == 8
    histogram.record(5)
    assert histogram.memory() == 8 + 96 + 218 * 4
    histogram.record(5, 2**32 - 2)
    assert histogram.memory() == 8 + 96 + 218 * 4
    histogram.record(5)
    assert histogram.memory() == 8 + 96 + 217 * 8


def test_values_below_0_waited_for_nobody(cubes):
    histogram = cubes.Histogram(cubes.Shape(1, 1000))
    assert histogram.record_corrected(-2**63, 1) is True and histogram.count == 1 and histogram.min == -2**63


def test_more_values_than_a_histogram_takes_leave_an_empty_one_empty(cubes):
    histogram = cubes.Histogram(cubes.Shape(1, 1000))
    assert histogram.record_whole(5, 2**63) is False and histogram.is_empty and histogram.percentile(50) is None
