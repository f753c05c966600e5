"""Histograms: slots, the bounds of percentiles, exact figures, merges, and that both builds are the same."""
from __future__ import annotations

import math
import pickle
import random
import statistics

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from istat.errors import SchemaMismatch
from tests.kernels.cubes.histograms import BUILDS, COUNT, WHOLE, filled

QUANTILES = (0, 0.1, 1, 5, 10, 25, 50, 75, 90, 99, 99.9, 100)


def drawn(name, n=20_000):
    """Values from 1 to 10**6 of a distribution."""
    rng = np.random.default_rng(7)
    raw = {"uniform": lambda: rng.integers(1, 10**6, n), "lognormal": lambda: rng.lognormal(6, 1.5, n),
           "zipf": lambda: rng.zipf(1.3, n), "constant": lambda: np.full(n, 12_345)}[name]()
    return np.clip(raw, 1, 10**6).astype(np.int64)


# --- slots -------------------------------------------------------------------------------------------

def test_slots_of_the_specification(cubes):
    shape = cubes.Shape(1, 100_000, 4)
    values = (31, 32, 33, 34, 63, 64, 1000, 100_000)
    assert [shape.slot(value) for value in values] == [31, 32, 32, 33, 47, 48, 111, 216]
    assert (shape.slots, cubes.Shape(1, 100_000, 10).slots) == (217, 7707)


@given(st.integers(0, 14), st.integers(0, 20), st.integers(0, 2**63 - 1))
def test_a_slot_holds_its_values_and_is_narrow(precision, unit, value):
    for build in BUILDS:
        shape = build.cubes.Shape(1 << unit, 2**63 - 1, precision)
        low, high = shape.bounds(shape.slot(value))
        assert low <= value <= high
        assert shape.slot(low) == shape.slot(high) == shape.slot(value)
        assert high - low < max(1 << unit, low / 2**precision + 1)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_slots_are_those_of_hdrhistogram(cubes, digits):
    shape, theirs = cubes.Shape(1, 3_600_000_000, digits=digits), HdrHistogram(1, 3_600_000_000, digits)
    rng = random.Random(3)
    for value in [*range(5000), *(rng.randrange(1, 3_600_000_000) >> rng.randrange(30) for _ in range(2000))]:
        ours = shape.bounds(shape.slot(value))
        assert ours == (theirs.get_lowest_equivalent_value(value), theirs.get_highest_equivalent_value(value))


@pytest.mark.parametrize(("given", "words"), [
    ({"lowest": 0}, "lowest is at least 1"), ({"lowest": 5, "highest": 5}, "highest above it"),
    ({"highest": 2**63}, "below 2"), ({"precision": 15}, "from 0 to 14"), ({"precision": -1}, "from 0 to 14"),
    ({"digits": 6}, "from 1 to 5"), ({"digits": 2, "precision": 3}, "not given beside"), ({"scale": 0.0}, "above 0"),
    ({"scale": math.nan}, "above 0"), ({"scale": math.inf}, "above 0"), ({"digits": 5}, "more than 1048576")])
def test_a_shape_that_cannot_be_is_refused(cubes, given, words):
    with pytest.raises(ValueError, match=words):
        cubes.Shape(**given)


@pytest.mark.parametrize("given", [{"lowest": 0.001}, {"highest": 600.0}, {"lowest": None}])
def test_limits_that_are_no_whole_numbers_are_told_how_to_be_given(cubes, given):
    with pytest.raises(TypeError, match="values times scale: for 0.001 to 600 by scale=1000 say 1 and 600_000"):
        cubes.Shape(scale=1000, **given)


def test_shapes_are_equal_when_their_slots_mean_the_same(cubes):
    shape = cubes.Shape(1000, 10**6, 7)
    assert shape == cubes.Shape(513, 10**6, digits=2) and hash(shape) == hash(cubes.Shape(513, 10**6, digits=2))
    assert shape not in (cubes.Shape(511, 10**6, 7), cubes.Shape(1000, 10**6, 8), cubes.Shape(1000, 10**6 + 1, 7),
                         cubes.Shape(1000, 10**6, 7, scale=2.0), 5)
    assert repr(shape) == "Shape(lowest=1000, highest=1000000, precision=7)"
    for one in (shape, cubes.Shape(1, 100, digits=5, scale=0.5)):
        assert (pickle.loads(pickle.dumps(one)), repr(pickle.loads(pickle.dumps(one)))) == (one, repr(one))
    with pytest.raises(IndexError):
        shape.bounds(shape.slots)


# --- percentiles -------------------------------------------------------------------------------------

@pytest.mark.parametrize("precision", range(15))
@pytest.mark.parametrize("name", ["uniform", "lognormal", "zipf", "constant"])
def test_the_true_percentile_lies_in_the_slot_that_is_told(precision, name, native):
    values = drawn(name)
    histogram, values = filled(native.cubes, values, highest=10**6, precision=precision), np.sort(values)
    for q, low, mid, high in zip(QUANTILES, *(histogram.percentiles(QUANTILES, p) for p in ("low", "mid", "high"))):
        true = values[max(1, int(q / 100 * len(values) + 0.5)) - 1] if q else values[0]
        assert low <= true <= high
        assert abs(mid - true) <= true * 2.0 ** -(precision + 1)
        assert values[0] <= low <= mid <= high <= values[-1]


@given(st.lists(WHOLE, min_size=1, max_size=30), st.lists(st.floats(0, 100), max_size=5), st.integers(0, 9))
def test_percentiles_never_leave_the_values_and_rise_with_the_percentage(values, qs, precision):
    for build in BUILDS:
        histogram = filled(build.cubes, values, highest=10_000, precision=precision)
        assert histogram.percentiles([0, 100]) == [min(values), max(values)]
        ranked = sorted(values)
        for point in ("low", "mid", "high"):
            found = histogram.percentiles([0, *sorted(qs), 100], point)
            assert found == sorted(found)
        for q in qs:
            low, high = histogram.percentile(q, "low"), histogram.percentile(q, "high")
            assert low <= ranked[max(1, int(q / 100 * len(values) + 0.5)) - 1] <= high


@pytest.mark.parametrize("value", [0, 1, 777, 10**6, 10**12, -4])
def test_equal_values_give_that_value(cubes, value):
    histogram = filled(cubes, [value] * 9, highest=10**6, precision=2)
    for point in ("low", "mid", "high"):
        assert set(histogram.percentiles(QUANTILES, point)) == {value}
    assert (histogram.min, histogram.max, histogram.mean, histogram.stdev) == (value, value, value, 0.0)


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_percentiles_are_those_of_hdrhistogram(cubes, digits):
    theirs = HdrHistogram(1, 3_600_000_000, digits)
    for value in drawn("lognormal", 3000).tolist():
        theirs.record_value(value)
    ours = filled(cubes, drawn("lognormal", 3000), digits=digits)
    for q in (1, 10, 25, 50, 75, 90, 99, 99.9):
        assert ours.percentile(q, "high") == theirs.get_value_at_percentile(q)


def test_none_has_no_percentiles(cubes):
    histogram = cubes.Histogram(cubes.Shape())
    assert histogram.percentiles([0, 50, 100]) == [None, None, None]
    assert (histogram.count, histogram.sum, histogram.min, histogram.max, histogram.mean, histogram.stdev) == (
        0, 0, None, None, None, None)
    assert (histogram.m2, histogram.cdf(), histogram.buckets([1, 2]), histogram.proportion_below(5)) == (
        0.0, [], [0, 0, 0], None)
    assert histogram.buckets([1], proportion=True) == [0.0, 0.0] and histogram.is_empty
    assert repr(histogram).endswith(": 0 values")


@pytest.mark.parametrize("q", [-0.1, 100.1, math.nan, math.inf])
def test_a_percentage_out_of_range_is_refused(cubes, q):
    with pytest.raises(ValueError, match="from 0 to 100"):
        filled(cubes, [1, 2]).percentile(q)
    with pytest.raises(ValueError, match="one of low, mid, high"):
        filled(cubes, [1, 2]).percentile(50, "median")


def test_shares_and_buckets(cubes):
    histogram = filled(cubes, [1, 2, 3, 100, 101, 1000, 5000, -7], highest=4000, precision=7)
    assert histogram.buckets([2, 100, 1000]) == [3, 2, 2, 1]
    assert histogram.buckets([-8, -7, 10**9]) == [0, 1, 7, 0]
    assert histogram.buckets([math.inf]) == [8, 0]
    assert histogram.buckets([2, 100, 1000], proportion=True) == [0.375, 0.25, 0.25, 0.125]
    assert [histogram.proportion_below(v) for v in (-7, 1, 2.5, 100, 101, 10**9)] == [0, 0.125, 0.375, 0.5, 0.625, 1]
    assert histogram.cdf() == [(0, 0.125), (1, 0.25), (2, 0.375), (3, 0.5), (100, 0.625), (101, 0.75), (1003, 0.875),
                               (5000, 1.0)]
    for wrong in ([5, 4], [math.nan]):
        with pytest.raises(ValueError, match="boundar"):
            histogram.buckets(wrong)


# --- exact figures and merges ------------------------------------------------------------------------

@given(st.lists(st.integers(-2**63, 2**63 - 1) | st.integers(-9, 9), min_size=1, max_size=20))
def test_figures_are_exact(values):
    for build in BUILDS:
        histogram = filled(build.cubes, values, highest=1000)
        assert (histogram.count, histogram.sum) == (len(values), sum(values))
        assert (histogram.min, histogram.max) == (min(values), max(values))
        assert histogram.mean == sum(values) / len(values)
        assert histogram.m2 == pytest.approx(float(statistics.pvariance(values) * len(values)), rel=1e-12)
        assert (histogram.underflow, histogram.overflow) == (sum(v < 0 for v in values), sum(v > 1000 for v in values))


@settings(max_examples=60)
@given(st.data())
def test_any_tree_of_merges_gives_the_same(data):
    """Of parts with their counts, against one histogram that saw all; slots of 32 bits run over on the way."""
    rows = data.draw(st.lists(st.tuples(WHOLE, COUNT), max_size=40))
    for build in BUILDS:
        shape = build.cubes.Shape(1, 5000, 3)
        whole, parts = build.cubes.Histogram(shape), [build.cubes.Histogram(shape) for _ in range(4)]
        for value, count in rows:
            assert whole.record(value, count)
            data.draw(st.sampled_from(parts)).record(value, count)
        while len(parts) > 1:
            parts = data.draw(st.permutations(parts))
            parts[0].merge(parts.pop())
        assert parts[0].parts() == whole.parts()
        assert (parts[0].m2, parts[0].mean) == (whole.m2, whole.mean)


@given(st.lists(st.tuples(WHOLE | st.floats(-1e6, 1e6), COUNT), max_size=40), st.sampled_from([1.0, 1000.0, 0.3]))
def test_both_builds_are_the_same(rows, scale):
    made = []
    for build in BUILDS:
        histogram = build.cubes.Histogram(build.cubes.Shape(10, 10**7, 5, scale=scale))
        for value, count in rows:
            if isinstance(value, float) or abs(value) < 2**50:
                histogram.record(value, count)
        boundaries = [0, 1, 10.5, 99, 10**6]
        made.append([histogram.parts(), histogram.percentiles(QUANTILES), histogram.cdf(), histogram.m2,
                     histogram.stdev, histogram.buckets(boundaries), repr(histogram),
                     [histogram.proportion_below(boundary) for boundary in boundaries]])
    assert made[0] == made[1]


def test_figures_agree_with_numpy(native):
    values = drawn("lognormal", 300_000)
    parts = [filled(native.cubes, piece) for piece in np.array_split(values, 7)]
    for part in parts[1:]:
        parts[0].merge(part)
    assert (parts[0].count, parts[0].sum) == (len(values), values.sum())
    assert parts[0].m2 == pytest.approx(((values - values.mean()) ** 2).sum(), rel=1e-9)
    assert parts[0].stdev == pytest.approx(values.std(), rel=1e-9)


def test_other_shapes_are_not_merged(cubes):
    histogram = filled(cubes, [1, 2], precision=7)
    for other in (filled(cubes, [3], precision=8), filled(cubes, [3], highest=100), filled(cubes, [3], scale=2.0)):
        with pytest.raises(SchemaMismatch, match="cannot be merged into one of Shape"):
            histogram.merge(other)
    assert histogram.count == 2
    histogram.merge(filled(cubes, [3], digits=2))
    histogram.merge(histogram)
    assert (histogram.count, histogram.sum) == (6, 12)


def test_a_slot_runs_over_32_bits(cubes):
    histogram = cubes.Histogram(cubes.Shape())
    for _ in range(3):
        histogram.record(5, 2**32 - 1)
        histogram.record(7)
    other = histogram.copy()
    histogram.merge(other)
    histogram.merge(histogram)
    assert histogram.parts()[:2] == (5, [12 * (2**32 - 1), 0, 12])


def test_a_full_histogram_takes_no_more(cubes):
    histogram = cubes.Histogram(cubes.Shape())
    assert histogram.record(5, 2**63 - 2)
    assert not histogram.record(6, 2)
    assert histogram.record_many([1, 2, 3]) == 1
    assert not histogram.record_corrected(10, 5, 1)
    with pytest.raises(OverflowError, match="more than 2"):
        histogram.merge(histogram)
    assert (histogram.count, histogram.sum) == (2**63 - 1, 5 * (2**63 - 2) + 1)


def test_values_that_a_pause_kept_back(cubes):
    histogram, theirs = cubes.Histogram(cubes.Shape(digits=2)), HdrHistogram(1, 3_600_000_000, 2)
    for value in (3, 10, 1000, 990):        # of 995 theirs (0.10.8) records 5 as well, which is below the interval
        assert histogram.record_corrected(value, 10, 2)
        theirs.record_corrected_value(value, 10, 2)
    assert histogram.count == theirs.get_total_count()
    assert histogram.percentile(50, "high") == theirs.get_value_at_percentile(50)
    for interval, words in ((0, "above 0"), (-5, "above 0"), (1e-9, "above 0")):
        with pytest.raises(ValueError, match=words):
            histogram.record_corrected(100, interval)
    with pytest.raises(ValueError, match="in the unit of the values"):
        histogram.record_corrected(10**9, 1)
