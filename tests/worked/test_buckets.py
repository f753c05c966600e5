"""Bucket arithmetic: the worked examples of part 4 of istatd's behaviour, with all digits, at every level."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from istat.clock import FakeClock
from tests.worked.site import HOUR, Site

T = HOUR


def m2(sumsq: float, total: float, count: int) -> float:
    """What we keep instead of the sum of squares."""
    return sumsq - total * total / count


def test_values_keep_all_their_digits(site: Site) -> None:
    site.feed(f"g {T} 123456789.123", f"n {T} -123456789.123", f"n {T} -3e38")
    assert site.buckets("g", T, T + 10, "sum", "avg", "min", "max") == [(T, *[123456789.123] * 4)]
    assert site.buckets("n", T, T + 10, "min", "max") == [(T, -3e38, -123456789.123)]


def test_average_and_deviation(site: Site) -> None:
    site.feed(f"g {T} 5", f"g {T + 1} 7.25", f"one {T} 5", f"same {T} 0.1", f"same {T} 0.1")
    ((_, avg, sdev, total, sumsq, count),) = site.buckets("g", T, T + 10, "avg", "sdev", "sum", "sumsq", "count")
    assert (avg, total, sumsq, count) == (6.125, 12.25, 77.5625, 2)
    assert sdev == pytest.approx(1.59099, abs=1e-5)
    assert site.buckets("one", T, T + 10, "avg", "sdev") == [(T, 5, 0)]
    assert site.buckets("same", T, T + 10, "sdev") == [(T, 0)]


def test_merging(site: Site) -> None:
    site.feed(f"g {T} 10 34 2 5 3", f"g {T} 7", f"g {T} 5 13 2 3 2")
    assert site.buckets("g", T, T + 10, "sum", "sumsq", "min", "max", "count") == [
        (T, 22, pytest.approx(34 + 49 + 13), 2, 7, 6)]


def test_events_at_every_level(site: Site) -> None:
    """Three times 10 in one bucket of ten seconds, and 100 in three others of the same five minutes."""
    site.feed(*[f"*e {T + k} 10" for k in (0, 4, 9)], *[f"*e {T + k} 100" for k in (60, 120, 180)])
    for _ in range(3):
        fine = {row[0] - T: row[1:] for row in site.level("e", 0)}
        assert fine == {0: (1, 3, 0, 3, 3), 60: (1, 10, 0, 10, 10), 120: (1, 10, 0, 10, 10), 180: (1, 10, 0, 10, 10)}
        ((time, count, total, squares, low, high),) = site.level("e", 1)
        assert (time, count, total, low, high) == (T, 30, 33, 0, 10)
        assert squares == pytest.approx(m2(309, 33, 30))
        assert total / count == 1.1 and math.sqrt(squares / (count - 1)) == pytest.approx(3.0665, abs=1e-4)
        assert total / count * 300 == pytest.approx(330), "as many events as came"
        ((_, count, total, _, low, high),) = site.level("e", 2)
        assert (count, total, low, high) == (360, 33, 0, 10)
        site.restart()


def test_events_of_five_minutes_as_they_are_asked_for(site: Site) -> None:
    site.feed(*[f"*e {T + k} 10" for k in (0, 4, 9)], *[f"*e {T + k} 100" for k in (60, 120, 180)])
    ((time, total, sumsq, low, high, count, avg, sdev),) = site.buckets(
        "e", T, T + 300, "sum", "sumsq", "min", "max", "count", "avg", "sdev", samples=1)
    assert (time, total, low, high, count, avg) == (T, 33, 0, 10, 30, 1.1)
    assert (sumsq, sdev) == (pytest.approx(309), pytest.approx(3.0665, abs=1e-4))


def test_a_coarser_level_of_events_has_all_of_them_also_when_every_bucket_had_some(site: Site) -> None:
    site.feed(*(f"*e {T + k} 30" for k in range(0, 300, 10)))
    assert site.level("e", 1) == [(T, 30, 90, pytest.approx(0), 3, 3)]


def test_gauges_at_every_level(site: Site) -> None:
    site.feed(f"g {T} 5", f"g {T + 2} 7.25", f"g {T + 30} 1000")
    for _ in range(2):
        for level in (1, 2):
            ((time, count, total, squares, low, high),) = site.level("g", level)
            assert (time, count, total, low, high) == (T, 3, 1012.25, 5, 1000)
            assert (total / count, math.sqrt(squares / 2)) == (pytest.approx(337.4167), pytest.approx(573.815))
        site.restart()


def test_a_level_that_trails_a_season(make: Callable[..., Site], clock: FakeClock) -> None:
    """2, an hour later 5, an hour later 10 and 1 in one minute. Our averages stay between minimum and maximum."""
    clock.set(100000)
    site = make("--retention", "10s:1h,1h:3h,1m:1h:ma-1h:0.9")
    wanted = []
    for lines, bucket in ((("a 100000 2",), (99960, 2, 2, 2, 1)), (("a 103601 5",), (103560, 2.3, 2.3, 2.3, 1)),
                          (("a 107209 10", "a 107210 1"), (107160, 2.62, 2.17, 3.07, 1))):
        site.at(int(lines[-1].split()[1]) + 1, *lines)
        wanted.append(pytest.approx(bucket))
        for _ in range(2):
            assert [(row[0], row[2] / row[1], row[4], row[5], row[1]) for row in site.level("a", 2)] == wanted
            site.crash()
    (last,) = site.buckets("a", 107160, 107220, "avg", "min", "max", "count", trailing=1)
    assert last == pytest.approx((107160, 2.62, 2.17, 3.07, 1))


def test_the_second_example_of_a_season(make: Callable[..., Site], clock: FakeClock) -> None:
    clock.set(100001)
    site = make("--retention", "10s:2h,10s:1h:s:0.875")
    site.at(100001, "a 100000 1")
    site.at(103601, "a 103600 2")
    assert [(row[0], row[2]) for row in site.level("a", 1)] == [(100000, 1), (103600, 1.125)]


def test_a_season_takes_late_samples_and_part_of_a_bucket_never_replaces_it(make: Callable[..., Site],
                                                                            clock: FakeClock) -> None:
    clock.set(100001)
    site = make("--retention", "10s:2h,1m:1h:s:0.5")
    for value in (2, 4):
        site.at(100001, f"a 100000 {value}")
        site.store.flush()
    site.at(103601, "a 103600 7")
    site.restart()
    site.feed("a 100000 6", "a 103600 9")
    assert [(row[0], row[2] / row[1]) for row in site.level("a", 1)] == [(99960, 4), (103560, pytest.approx(6))]


def test_without_a_bucket_one_season_before_it_stays_as_it_is(make: Callable[..., Site], clock: FakeClock) -> None:
    clock.set(100001)
    site = make("--retention", "10s:3h,1m:1h:s:0.5")
    site.at(100001, "a 100000 2")
    site.at(107201, "a 107200 10")
    assert [(row[0], row[2]) for row in site.level("a", 1)] == [(99960, 2), (107160, 10)]
