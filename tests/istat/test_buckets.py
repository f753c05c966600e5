"""Single buckets: the worked examples of parts 4.2 to 4.5, merging, and conversions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.buckets import Bucket

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


def test_two_samples_of_the_specification() -> None:
    bucket = Bucket.of(5, 7.25)
    assert (bucket.count, bucket.sum, bucket.min, bucket.max) == (2, 12.25, 5, 7.25)
    assert bucket.avg == 6.125
    assert bucket.sumsq == pytest.approx(77.5625)
    assert bucket.sdev == pytest.approx(1.59099, abs=1e-5)


def test_three_samples_of_the_specification() -> None:
    bucket = Bucket.of(5, 7.25, 1000)
    assert bucket.sum == 1012.25
    assert bucket.avg == pytest.approx(337.4167, abs=1e-4)
    assert bucket.sdev == pytest.approx(573.815, abs=1e-3)


def test_an_event_bucket_of_the_specification() -> None:
    rates = Bucket.of(3, 10, 10, 10)
    padded = rates.merge(Bucket(26, 0, 0, 0, 0))
    assert (padded.count, padded.sum, padded.min, padded.max) == (30, 33, 0, 10)
    assert padded.sumsq == pytest.approx(309)
    assert padded.avg == pytest.approx(1.1)
    assert padded.sdev == pytest.approx(3.0665, abs=1e-4)


def test_an_empty_bucket_is_all_zeros_and_merges_as_nothing() -> None:
    empty, one = Bucket(), Bucket.of(3)
    assert (empty.avg, empty.sdev, empty.sumsq) == (0, 0, 0)
    assert empty.merge(one) == one == one.merge(empty)


def test_equal_samples_have_no_deviation_however_large() -> None:
    bucket = Bucket.of(*[1e15 + 0.3] * 5)
    assert bucket.m2 == 0
    assert bucket.sdev == 0


def test_the_sum_of_squares_never_makes_a_negative_deviation() -> None:
    assert Bucket.from_sumsq(2, 2e9, 1.9e18, 999999999.0, 1000000001.0).m2 == 0
    assert Bucket.from_sumsq(1, 3, 100, 3, 3).m2 == 0


@given(values)
def test_conversion_to_and_from_the_sum_of_squares(samples: list[float]) -> None:
    bucket = Bucket.of(*samples)
    again = Bucket.from_sumsq(bucket.count, bucket.sum, bucket.sumsq, bucket.min, bucket.max)
    assert again.m2 == pytest.approx(bucket.m2, rel=1e-6, abs=1e-9 * (1 + bucket.sumsq))


@given(values, values)
def test_merging_equals_one_bucket_of_all_samples(left: list[float], right: list[float]) -> None:
    merged, whole = Bucket.of(*left).merge(Bucket.of(*right)), Bucket.of(*left, *right)
    assert (merged.count, merged.min, merged.max) == (whole.count, whole.min, whole.max)
    assert merged.sum == pytest.approx(math.fsum(left + right), abs=1e-6)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-3)


@pytest.mark.parametrize(
    ("bucket", "plausible"),
    [
        (Bucket(0, 0, 0, 0, 0), False),
        (Bucket(1, 5, 0, 5, 5), True),
        (Bucket(2, 10, 0, 6, 7), False),
        (Bucket(2, 20, 0, 6, 7), False),
        (Bucket(2, 12, 0, 7, 5), False),
        (Bucket(1, 10.0005, 0, 10, 10), True),
    ],
)
def test_the_plausibility_rule(bucket: Bucket, plausible: bool) -> None:
    assert bucket.plausible is plausible


def test_rows_go_there_and_back() -> None:
    bucket = Bucket.of(1, 2, 4)
    assert Bucket.from_row(bucket.row(1325394000)) == bucket


def test_sums_stop_at_the_largest_double_and_averages_stay_inside() -> None:
    bucket = Bucket.of(1e308, 1.7e308)
    assert bucket.finite and bucket.avg == 1e308 and math.isfinite(bucket.sumsq)
    assert Bucket.of(-1e308, -1.7e308).avg == -1e308
    assert Bucket.of(-1e308, 1e308).finite
    assert Bucket.of(0.1, 0.1, 0.1).avg == 0.1
