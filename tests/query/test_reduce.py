"""Grids: the worked examples of part 7.4 of the behaviour specification, and our own fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadQuery
from istat.retention import DAY, HOUR, Ladder
from istat_server.query.levels import Reach, covering_level, fit, level_for
from istat_server.query.reduce import Grid, normalise

LADDER = Ladder.parse("10s:10d,5m:1y9d,1h:6y12d")
NOW = 1325394000


def test_one_bucket_takes_the_span_as_its_interval() -> None:
    assert normalise(3580, 3610, 10, 1) == (3570, 3630, 60)


def test_the_fit_is_tested_before_widening() -> None:
    start, end, interval = normalise(2560, 6160, 300, 6)
    assert (start, end, interval) == (2400, 6600, 600)
    assert (end - start) // interval == 7


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ((1000, 1400, 10, 10), (960, 1440, 60)),
        ((2560, 3160, 10, 30), (2560, 3160, 20)),
        ((1003, 1017, 10, 1000), (1000, 1020, 10)),
        ((1003, 1017, 10, 0), (1000, 1020, 10)),
        ((0, 100 * DAY, 10, 3), (0, 100 * DAY, DAY)),  # the coarsest there is, though it does not fit
        ((0, 20 * DAY, 2 * DAY, 3), (0, 20 * DAY, 20 * DAY // 3)),  # no step fits: a share of the range
        ((0, 20 * DAY, 2 * DAY, 9), (0, 20 * DAY, 2 * DAY)),
        ((1000, 1000, 10, 5), (1000, 1000, 10)),
    ],
)
def test_normalising(question: tuple[int, int, int, int], answer: tuple[int, int, int]) -> None:
    assert normalise(*question) == answer


def test_an_empty_range_as_one_bucket_is_an_error() -> None:
    with pytest.raises(BadQuery, match="empty"):
        normalise(1000, 1000, 10, 1)


def test_only_the_start_decides_the_level() -> None:
    assert covering_level(Reach(LADDER), NOW - 10 * DAY, NOW) == 0
    assert covering_level(Reach(LADDER), NOW - 10 * DAY - 1, NOW) == 1
    assert covering_level(Reach(LADDER), NOW - 400 * DAY, NOW) == 2
    assert covering_level(Reach(LADDER), 0, NOW) == 2
    assert covering_level(Reach(LADDER), NOW + 100, NOW) == 0


@pytest.mark.parametrize(
    ("span", "points", "level", "interval"),
    [
        (6 * HOUR, 2160, 0, 10),
        (6 * HOUR, 10000, 0, 10),
        (6 * HOUR, 300, 0, 80),
        (HOUR, 1000, 0, 10),
        (DAY, 288, 1, 300),
        (DAY, 200, 1, 600),
        (9 * DAY, 9, 2, DAY),
        (20 * DAY, 10000, 1, 300),
        (1000 * DAY, 10, 2, 100 * DAY),
        (1000 * DAY, 10000, 2, HOUR * 3),
    ],
)
def test_our_fit(span: int, points: int, level: int, interval: int) -> None:
    end = NOW - NOW % DAY
    grid = fit([Reach(LADDER)], end - span, end, points, NOW)
    assert (level_for(Reach(LADDER), grid, end - span, NOW), grid.interval) == (level, interval)


@given(st.integers(0, NOW), st.integers(1, 10**9), st.integers(1, 10000))
def test_our_grid_covers_the_range_with_few_points(start: int, span: int, points: int) -> None:
    grid = fit([Reach(LADDER)], start, start + span, points, NOW)
    assert grid.start <= start
    assert grid.start > start - grid.interval
    assert start + span <= grid.end < start + span + grid.interval
    assert grid.points <= points + 1
    assert grid.start % grid.interval == 0
    assert grid.interval % LADDER.levels[level_for(Reach(LADDER), grid, start, NOW)].interval == 0


def test_ladders_that_fit_no_day_still_give_multiples() -> None:
    ladder = Ladder.parse("7s:1d,1001s:10d")
    grid = fit([Reach(ladder)], NOW - 3600, NOW, 100, NOW)
    assert grid.interval == 42
    assert isinstance(grid, Grid)


def test_one_grid_serves_several_ladders_each_from_a_level_of_its_own() -> None:
    other = Ladder.parse("30s:1d,10m:100d,1d:1000d")
    for span, points, levels, interval in (
        (HOUR, 1000, (0, 0), 30),
        (DAY, 288, (1, 0), 300),
        (9 * DAY, 1000, (1, 1), 1200),
        (20 * DAY, 1000, (1, 1), 1800),
    ):
        grid = fit([Reach(LADDER), Reach(other)], NOW - span, NOW, points, NOW)
        found = tuple(level_for(Reach(one), grid, NOW - span, NOW) for one in (LADDER, other))
        assert (found, grid.interval) == (levels, interval)
