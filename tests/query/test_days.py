"""Days of a time zone: where they begin, and what is in them."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat.retention import DAY, HOUR, Ladder
from istat_server.query import days
from istat_server.query.reduce import Grid
from istat_server.query.select import LATEST, series
from istat_server.testing.memory import MemoryStore

BERLIN = ZoneInfo("Europe/Berlin")


def at(zone: str, *when: int) -> int:
    return int(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp())     # type: ignore[arg-type, misc]


@pytest.mark.parametrize(("zone", "day", "hours"), [
    ("Europe/Berlin", (2012, 3, 25), 23), ("Europe/Berlin", (2012, 10, 28), 25), ("Europe/Berlin", (2012, 6, 1), 24),
    ("America/Sao_Paulo", (2012, 10, 21), 23), ("America/Havana", (2012, 11, 4), 25),
    ("Australia/Lord_Howe", (2012, 4, 1), 24.5)])
def test_a_day_is_as_long_as_it_is_there(zone: str, day: tuple[int, int, int], hours: float) -> None:
    start = at(zone, *day, 12)
    (found,) = pairwise(days.days(ZoneInfo(zone), start, start + 1, HOUR, 1).bounds)
    assert found[1] - found[0] == hours * 3600
    assert days.days(ZoneInfo(zone), found[0], found[1], HOUR, 1).bounds == found
    assert datetime.fromtimestamp(found[0], ZoneInfo(zone)).day == day[2]
    assert datetime.fromtimestamp(found[0] - 1, ZoneInfo(zone)).day != day[2]


def test_a_day_that_was_left_out_is_no_cell() -> None:
    where = "Pacific/Apia"
    grid = days.days(ZoneInfo(where), at(where, 2011, 12, 28), at(where, 2012, 1, 2), HOUR, 9)
    assert [end - start for start, end in pairwise(grid.bounds)] == [DAY] * 4
    assert grid.points == 4


def test_a_month_with_an_hour_more_is_as_many_points_as_days() -> None:
    start, end = at("Europe/Berlin", 2012, 10, 1), at("Europe/Berlin", 2012, 11, 1)
    grid = days.days(BERLIN, start, end, HOUR, 31)
    assert (grid.points, grid.start, grid.end, grid.interval) == (31, start, end, DAY)
    assert grid.stretches == [Grid(start, DAY, 27), Grid(start + 27 * DAY, 25 * HOUR, 1),
                              Grid(start + 27 * DAY + 25 * HOUR, DAY, 3)]
    assert days.days(BERLIN, start + 5, end + 5, HOUR, 31).points == 32
    weeks = days.days(BERLIN, start, end, HOUR, 5)
    assert weeks.interval == 6 * DAY or weeks.interval == 7 * DAY
    assert weeks.points <= 6 and weeks.start <= start and weeks.end >= end


def test_in_utc_cells_are_those_of_no_zone() -> None:
    utc = ZoneInfo("UTC")
    grid = days.days(utc, 40 * DAY, 71 * DAY, HOUR, 31)
    assert grid.stretches == [Grid(40 * DAY, DAY, 31)]
    assert days.days(utc, 43 * DAY, 71 * DAY, HOUR, 4).start % (7 * DAY) == 0


@pytest.mark.parametrize(("start", "end", "points"), [
    (0, LATEST, 1), (0, LATEST, 10_000), (LATEST - 1, LATEST, 1), (0, 1, 1)])
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Kiritimati", "Asia/Kathmandu"])
def test_the_longest_ranges_have_days_too(zone: str, start: int, end: int, points: int) -> None:
    grid = days.days(ZoneInfo(zone), start, end, HOUR, points)
    assert grid.start <= start and grid.end >= end and grid.points <= points + 1


@pytest.mark.parametrize("name", [
    "Nowhere/City", "Europe", "../etc/passwd", "/etc/localtime", "", "x" * 5000, "a\0b", "\udcff"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(BadQuery, match="time zone"):
        days.zone(name)


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    clock.set(at("Europe/Berlin", 2012, 11, 1))
    return MemoryStore(Ladder.parse("5m:60d,1h:400d"), clock=clock)


def test_counts_are_those_of_the_days(store: MemoryStore) -> None:
    start, end = at("Europe/Berlin", 2012, 10, 27), at("Europe/Berlin", 2012, 10, 30)
    for time in range(start, end, HOUR):
        store.add("g", time, 1)
        store.add("*e", time, 3600)
    answer = series(store, ["g", "e"], start, end, 3, end, where=BERLIN)
    assert answer.grid.times == (start, start + DAY, start + 49 * HOUR, end)
    gauges, events = (rows.rows() for rows in answer.rows)
    assert [row[1] for row in gauges] == [24, 25, 24]
    assert [row[1] for row in events] == [24 * 12, 25 * 12, 24 * 12]
    assert [row[2] / row[1] for row in events] == pytest.approx([1, 1, 1])
    plain = series(store, ["g"], start, end, 3, end)
    assert plain.grid.times == () and sum(row[1] for row in plain.rows[0].rows()) == 73


def test_days_half_an_hour_off_are_read_from_levels_that_they_are_made_up_of(store: MemoryStore) -> None:
    start = at("Asia/Kolkata", 2012, 10, 20)
    for time in (start - 1, start, start + DAY - 1, start + DAY):
        store.add("g", time, 1)
    answer = series(store, ["g"], start, start + DAY, 1, start + 5 * DAY, where=ZoneInfo("Asia/Kolkata"))
    assert [row[1] for row in answer.rows[0].rows()] == [2]
    late = start - 100 * DAY         # hours only: one that lies in two days counts to that which it begins in
    for time in (late, late + DAY - 1):
        store.add("h", time, 1)
    answer = series(store, ["h"], late - DAY, late + DAY, 2, start + 5 * DAY, where=ZoneInfo("Asia/Kolkata"))
    assert [row[1] for row in answer.rows[0].rows()] == [1, 1]
