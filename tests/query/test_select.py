"""Questions to a store: the worked answers of parts 4.4, 4.5 and 7.4, and our columns on one grid."""

from __future__ import annotations

from typing import Any

import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat.retention import Ladder, Rule, Rules
from istat_server.query import select
from istat_server.query.select import Buckets, buckets, series
from istat_server.testing.memory import MemoryStore

T = 1325394000  # aligned to an hour


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    clock.set(T + 3600)
    return MemoryStore(clock=clock)


def ask(store: MemoryStore, name: str, start: int, end: int, most: int) -> Buckets:
    counter = store.find(name.encode())
    assert counter is not None
    return buckets(store, [counter], start, end, most, T + 3600)[0]


def short(answer: Buckets) -> list[tuple[Any, ...]]:
    """(time, count, sum, min, max) of each bucket."""
    return [(time, count, total, low, high) for time, count, total, _, low, high in answer.rows.rows()]


def test_gauges_reduced_as_in_the_specification(store: MemoryStore) -> None:
    for k in range(10):
        store.add("g", T + 100 + 10 * k, 11 + k)
    for k in range(6):
        store.add("g", T + 300 + 10 * k, 31 + k)
    answer = ask(store, "g", T, T + 400, 10)
    assert (answer.start, answer.end, answer.interval) == (T, T + 420, 60)
    assert short(answer) == [
        (T + 60, 2, 23, 11, 12),
        (T + 120, 6, 93, 13, 18),
        (T + 180, 2, 39, 19, 20),
        (T + 300, 6, 201, 31, 36),
    ]


def test_events_reduced_as_in_the_specification(store: MemoryStore) -> None:
    base = T + 2560 - 2560 % 20
    for k in (1, 2, 3, 4):
        store.add("*e", base + 10 * k, 10)
    answer = ask(store, "e", base, base + 600, 30)
    assert answer.interval == 20
    found = short(answer)
    assert found[:4] == [
        (base, 2, 1, 0, 1),
        (base + 20, 2, 2, 1, 1),
        (base + 40, 2, 1, 0, 1),
        (base + 60, 2, 0, 0, 0),
    ]
    assert len(found) == 30
    assert answer.rows.row(0)[3] == pytest.approx(0.5)  # sumsq 1 less sum squared over count


def test_a_coarse_event_bucket_counts_the_fine_ones_that_were_not_there(store: MemoryStore) -> None:
    for time, value in [(0, 10), (1, 10), (2, 10), (60, 100), (120, 100), (180, 100)]:
        store.add("*e", T + time, value)
    assert [row[2] for row in short(ask(store, "e", T, T + 10, 0))] == [3]
    answer = ask(store, "e", T, T + 300, 1)
    assert short(answer) == [(T, 30, 33, 0, 10)]


def test_gauges_have_gaps_and_events_have_none(store: MemoryStore) -> None:
    store.add("g", T, 1)
    store.add("*e", T, 1)
    assert len(ask(store, "g", T, T + 100, 0).rows) == 1
    zeros = short(ask(store, "e", T, T + 100, 0))
    assert len(zeros) == 10
    assert zeros[1] == (T + 10, 1, 0, 0, 0)


def test_a_start_behind_the_last_bucket_gives_nothing_old(store: MemoryStore) -> None:
    store.add("g", T, 1)
    assert short(ask(store, "g", T + 600, T + 900, 10)) == []


def test_the_level_depends_on_the_age_of_the_start(store: MemoryStore) -> None:
    store.add("g", T, 5)
    store.add("g", T + 30, 7)
    assert ask(store, "g", T - 9 * 86400, T + 3600, 0).interval == 10
    coarse = ask(store, "g", T - 20 * 86400, T + 3600, 0)
    assert coarse.interval == 300
    assert short(coarse) == [(T, 2, 12, 5, 7)]


def test_empty_ranges_read_one_bucket(store: MemoryStore) -> None:
    store.add("g", T, 5)
    assert short(ask(store, "g", T, T, 5)) == [(T, 1, 5, 5, 5)]
    with pytest.raises(BadQuery, match="empty"):
        ask(store, "g", T, T, 1)


def test_a_range_of_years_does_not_become_a_million_zeros(store: MemoryStore) -> None:
    store.add("*e", T, 5)
    assert len(ask(store, "e", T - 86400, 10**10, 0).rows) == 86400


def test_our_columns_share_one_grid(store: MemoryStore) -> None:
    store.add("g", T + 5, 1)
    store.add("g", T + 25, 3)
    store.add("*e", T + 15, 20)
    answer = series(store, ["g", "nope", "*E", "e"], T, T + 60, 100, T + 30)
    assert (answer.grid.start, answer.grid.interval, answer.grid.points) == (T, 10, 6)
    assert [counter.name for counter in answer.found] == ["g", "e"]
    assert answer.missing == ["nope"]
    gauge, event = (rows.rows() for rows in answer.rows)
    assert [(row[0] - T, row[2]) for row in gauge] == [(0, 1), (20, 3)]
    # Zeros up to the present moment, nothing claimed about what is to come, nor of what was before the first one.
    assert [(row[0] - T, row[2]) for row in event] == [(10, 2), (20, 0), (30, 0)]


def test_an_event_ahead_of_the_clock_is_shown(store: MemoryStore, clock: FakeClock) -> None:
    clock.set(T)
    store.add("*e", T + 10, 20)
    rows = series(store, ["e"], T - 10, T + 30, 100, T).rows[0].rows()
    assert [(row[0] - T, row[2]) for row in rows] == [(10, 2)]


def test_long_questions_are_read_in_turns(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b", "c"):
        store.add(name, T, 1)
    monkeypatch.setattr(select, "ROWS_AT_ONCE", 700)
    turns: list[int] = []
    answer = series(store, ["a", "b", "c"], T, T + 3600, 500, T, lambda: turns.append(1))
    assert len(turns) == 2
    assert [len(rows) for rows in answer.rows] == [1, 1, 1]


@pytest.mark.parametrize(("start", "end"), [(10, 10), (20, 10), (-5, 10), (10, 10**12)])
def test_impossible_ranges(store: MemoryStore, start: int, end: int) -> None:
    with pytest.raises(BadQuery):
        series(store, ["a"], start, end, 100, T)


def test_one_bucket_of_an_unaligned_range(store: MemoryStore) -> None:
    for k in range(6):
        store.add("g", T + 10 * k, k)
        store.add("*e", T + 10 * k, 10)
    answer = ask(store, "g", T + 12, T + 49, 1)
    inside = [k for k in range(6) if answer.start <= T + 10 * k < answer.end]
    assert answer.interval == answer.end - answer.start
    assert short(answer) == [(answer.start, len(inside), sum(inside), inside[0], inside[-1])]
    assert len(ask(store, "e", T + 12, T + 49, 1).rows) == 1


def test_a_seasonal_level_is_asked_by_its_name_or_as_istatd_does(clock: FakeClock) -> None:
    clock.set(T + 7200)
    rules = Rules(Ladder.parse("10s:2h,1h:3h,1m:1h:ma-1h:0.9"), (Rule.parse("plain = 10s:1d"),))
    store = MemoryStore(rules, clock)
    for at, value in ((T, 2), (T + 3600, 5), (T + 7195, 11)):
        for name in ("a", "plain"):
            store.add(name, at, value)
    answer = series(store, ["a", "plain"], T, T + 7200, 1000, T + 7200, named="ma-1h")
    assert (answer.grid.interval, answer.grid.points) == (60, 120)
    found = [[(row[0], row[2]) for row in rows.rows()] for rows in answer.rows]
    assert found == [[(T, 2.0), (T + 3600, pytest.approx(2.3)), (T + 7140, 11.0)], []]
    hourly = series(store, ["a"], T, T + 7200, 2, T + 7200, named="ma-1h")
    found = [[(row[0], row[1], row[2]) for row in rows.rows()] for rows in hourly.rows]
    assert found == [[(T, 1, 2.0), (T + 3600, 2, pytest.approx(13.3))]]
    with pytest.raises(BadQuery, match="level called 'ma-1h'"):
        series(store, ["plain"], T, T + 7200, 1000, T + 7200, named="ma-1h")
    counters = answer.found
    trailing = buckets(store, counters, T + 3600, T + 7200, 0, T + 7200, trailing=True)
    assert [(one.interval, [row[0] for row in one.rows.rows()]) for one in trailing] == [
        (60, [T + 3600, T + 7140]), (10, [])]
    assert buckets(store, counters[:1], T + 3599, T + 7200, 0, T + 7200, trailing=True)[0].rows.rows() == []
