"""Where event counters have zeros, and where nobody knows: before the first sample, after the last one, and while there
was no server."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from istat.clock import FakeClock
from istat_server.query import zeros
from istat_server.query.select import series
from istat_server.selfmetrics import METRICS, PREFIX
from istat_server.testing.memory import MemoryStore

T = 1325394000  # aligned to an hour
HOUR, DAY = 3600, 86400
NAME = "shop.orders"


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    clock.set(T)
    return MemoryStore(clock=clock)


def sent(store: MemoryStore, clock: FakeClock, *times: int, name: str = f"*{NAME}") -> None:
    """Ten events at each of these times after T, when they happen."""
    for time in times:
        clock.set(T + time)
        assert store.add(name, T + time, 10)


def runs(store: MemoryStore, clock: FakeClock, start: int, end: int) -> None:
    """The server says every ten seconds that it is there."""
    sent(store, clock, *range(start, end, 10), name=zeros.WITNESS.decode())


def ask(store: MemoryStore, clock: FakeClock, start: int, end: int, points: int = 10_000,
        name: str = NAME) -> dict[int, tuple[float, int]]:
    """Seconds after T -> sum and count of the buckets that are no gap."""
    rows = series(store, [name], T + start, T + end, points, int(clock.now())).rows[0].rows()
    return {row[0] - T: (row[2], row[1]) for row in rows}


def test_nothing_is_claimed_of_the_time_before_the_first_sample(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 1000)
    clock.set(T + 1025)
    assert ask(store, clock, 0, 1060) == {1000: (1, 1), 1010: (0, 1), 1020: (0, 1)}
    assert ask(store, clock, 0, 1000) == {}
    assert ask(store, clock, 0, 1060, 1) == {0: (1, 120)}, "a bucket that has samples is whole"


def test_the_line_ends_a_while_after_the_last_sample(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, 20)
    clock.set(T + 2 * DAY)
    found = ask(store, clock, 0, HOUR)
    assert list(found) == list(range(0, 30 + zeros.SILENCE, 10))
    assert found[10] == found[30] == (0, 1)
    assert ask(store, clock, 100, HOUR) == dict.fromkeys(range(100, 30 + zeros.SILENCE, 10), (0, 1))
    assert ask(store, clock, HOUR, 2 * HOUR) == {}
    assert ask(store, clock, 0, DAY, 24) == {0: (2, 360)}, "no hour is told in which nobody sent"


def test_a_pause_is_one_in_which_nothing_happened(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, 3 * HOUR)
    assert ask(store, clock, 0, 3 * HOUR + 1, 4) == {
        0: (1, 360), HOUR: (0, 360), 2 * HOUR: (0, 360), 3 * HOUR: (1, 360)}
    assert ask(store, clock, HOUR, HOUR + 20) == {HOUR: (0, 1), HOUR + 10: (0, 1)}, "seen from inside"
    assert ask(store, clock, 10, HOUR, 1) == {0: (1, 360)}


def test_samples_far_from_what_is_asked_are_found(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, 9 * DAY)
    assert ask(store, clock, 4 * DAY, 4 * DAY + 20) == {4 * DAY: (0, 1), 4 * DAY + 10: (0, 1)}


def test_there_are_no_zeros_of_hours_without_a_server(store: MemoryStore, clock: FakeClock) -> None:
    runs(store, clock, 0, HOUR)
    sent(store, clock, HOUR - 20)
    runs(store, clock, 4 * HOUR, 4 * HOUR + 60)
    sent(store, clock, 4 * HOUR + 70)
    assert ask(store, clock, 0, 4 * HOUR + 100, 5) == {0: (1, 360), 4 * HOUR: (1, 360)}
    assert list(ask(store, clock, HOUR - 30, 4 * HOUR + 20)) == [HOUR - 20, HOUR - 10, 4 * HOUR, 4 * HOUR + 10]
    assert ask(store, clock, 2 * HOUR, 3 * HOUR) == {}


def test_a_server_that_was_started_again_at_once_missed_nothing(store: MemoryStore, clock: FakeClock) -> None:
    runs(store, clock, 0, 600)
    runs(store, clock, 640, 1200)
    sent(store, clock, 0, 1200)
    assert len(ask(store, clock, 0, 1201)) == 121


def test_data_that_are_older_than_the_server_have_zeros(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, 600)
    runs(store, clock, DAY, DAY + 60)
    assert len(ask(store, clock, 0, 600)) == 60


def test_the_servers_own_events_go_on_while_it_answers(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, name="*istatd.refused.bad_number")
    clock.set(T + HOUR)
    assert len(ask(store, clock, 0, HOUR, name="istatd.refused.bad_number")) == 360


def test_gauges_have_gaps(store: MemoryStore, clock: FakeClock) -> None:
    sent(store, clock, 0, 30, name="load")
    assert list(ask(store, clock, 0, 60, name="load")) == [0, 30]


def test_the_witness_is_a_gauge_of_the_server() -> None:
    assert zeros.WITNESS.decode().removeprefix(PREFIX) in {metric.name for metric in METRICS if not metric.event}
    assert zeros.OWN == PREFIX


def test_days_of_a_time_zone_are_known_or_not_as_a_whole(store: MemoryStore, clock: FakeClock) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    march = int(datetime(2012, 3, 24, 12, tzinfo=berlin).timestamp())       # the 25th has 23 hours
    for time in (march, march + 3 * DAY):
        clock.set(time)
        assert store.add(f"*{NAME}", time, 10)
    clock.set(march + 9 * DAY)
    (rows,) = series(store, [NAME], march - DAY, march + 8 * DAY, 10, int(clock.now()), where=berlin).rows
    assert [(datetime.fromtimestamp(row[0], berlin).day, row[2], row[1] / 360) for row in rows.rows()] == [
        (24, 1, 24), (25, 0, 23), (26, 0, 24), (27, 1, 24)]
