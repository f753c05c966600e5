"""Questions about counters whose data came in other resolutions than those of their levels: imported, or by another
rule.

The rule: a question is answered from the finest level that misses nothing which a coarser one has.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from istat.clock import FakeClock
from istat.kernels import columns
from istat.retention import Ladder, Rule, Rules
from istat_server.query import select
from istat_server.store.files.manifest import Import
from istat_server.store.interface import Counter
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Appender, Series, open_store
from istat_server.store.statstore import StatStore

NOW = 1325404800
HOUR = 3600
RETENTION = "10s:4h,1m:2d,5m:10d"


def live(store: StatStore, clock: FakeClock, seconds: int, *names: str) -> None:
    """A value of 1 every 10 seconds."""
    for _ in range(seconds // 10):
        text = "".join(f"{name} {clock.now():.0f} 1\n" for name in names).encode()
        store.engine.feed(text, 0, len(text))
        for _code, line in store.engine.take_leftovers():
            store.learn(line.split()[0])
            store.engine.feed(line + b"\n", 0, len(line) + 1)
        clock.advance(10)
        store.tick()


def imported(store: StatStore, clock: FakeClock, name: str, *archives: tuple[int, int, int],
             event: bool = False) -> None:
    """Archives: (interval, from, to); each bucket is a 2."""
    made = [Archive(interval, columns.Columns.from_rows([(time, 1, 2.0, 0.0, 2.0, 2.0)
                                                         for time in range(start, end, interval)]), apart=True)
            for interval, start, end in archives]
    appender = Appender(store, clock)
    appender.append(Series(name.encode(), event, tuple(made), ""))
    appender.commit(Import(name, "", "", True, 0))


def ask(store: StatStore, start: int, end: int, *names: str) -> tuple[int, list[dict[int, float]]]:
    """Interval and means, of as many points as there can be; istatd's question agrees."""
    now = int(store._clock.now())
    found = select.series(store, names, start, end, 10_000, now)
    means = [{row[0]: row[2] / row[1] for row in rows.rows() if row[1] and row[5]} for rows in found.rows]
    if len(names) == 1:
        counter = store.find(names[0].encode())
        assert isinstance(counter, Counter)
        (other,) = select.buckets(store, [counter], start, end, 0, now)
        assert other.interval == found.grid.interval
        theirs = {row[0]: row[2] / row[1] for row in other.rows.rows() if row[1] and row[5]}
        assert {time for time in theirs if start <= time < end} <= set(means[0])
    return found.grid.interval, means


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[StatStore]:
    store = open_store(tmp_path / "store", clock, RETENTION)
    yield store
    store.close()


def test_coarse_buckets_show_beside_live_counters_of_any_age(store: StatStore, clock: FakeClock) -> None:
    live(store, clock, 5 * HOUR, "live")
    now = int(clock.now())
    imported(store, clock, "old.gauge", (60, now - 30 * HOUR, now))
    imported(store, clock, "old.event", (300, now - 30 * HOUR, now), event=True)
    for _ in range(2):
        assert ask(store, now - HOUR, now, "live") == (10, [dict.fromkeys(range(now - HOUR, now, 10), 1.0)])
        for start, end in ((now - HOUR, now), (now - HOUR, now - HOUR + 120)):
            assert ask(store, start, end, "old.gauge") == (60, [dict.fromkeys(range(start, end, 60), 2.0)])
        assert ask(store, now - HOUR, now, "old.event") == (300, [dict.fromkeys(range(now - HOUR, now, 300), 2.0)])
        interval, (one, other) = ask(store, now - HOUR, now, "live", "old.gauge")
        assert (interval, len(one), len(other)) == (60, 60, 60)
        store.compact()


def test_each_time_shows_as_fine_as_it_came(store: StatStore, clock: FakeClock) -> None:
    imported(store, clock, "c", (10, NOW - HOUR, NOW), (60, NOW - 10 * HOUR, NOW - HOUR))
    live(store, clock, HOUR, "c")
    now = int(clock.now())
    for _ in range(2):
        assert ask(store, NOW - HOUR, NOW, "c") == (10, [dict.fromkeys(range(NOW - HOUR, NOW, 10), 2.0)])
        assert ask(store, NOW, now, "c") == (10, [dict.fromkeys(range(NOW, now, 10), 1.0)])
        assert ask(store, NOW - HOUR, now, "c")[0] == 10
        assert ask(store, NOW - 2 * HOUR, NOW - HOUR, "c") == (
            60, [dict.fromkeys(range(NOW - 2 * HOUR, NOW - HOUR, 60), 2.0)])
        interval, (found,) = ask(store, NOW - 2 * HOUR, now, "c")      # as coarse as its oldest part
        assert (interval, len(found)) == (60, 180)
        store.compact()


def test_finer_buckets_that_are_imported_later_show(store: StatStore, clock: FakeClock) -> None:
    imported(store, clock, "c", (300, NOW - 20 * HOUR, NOW - 2 * HOUR))
    imported(store, clock, "other", (300, NOW - 20 * HOUR, NOW))
    imported(store, clock, "c", (10, NOW - 2 * HOUR, NOW))
    assert ask(store, NOW - HOUR, NOW, "c") == (10, [dict.fromkeys(range(NOW - HOUR, NOW, 10), 2.0)])
    assert ask(store, NOW - 3 * HOUR, NOW - 2 * HOUR, "c")[0] == 300
    assert ask(store, NOW - HOUR, NOW, "other")[0] == 300


def test_a_counter_that_is_young_or_silent_is_not_asked_coarser(store: StatStore, clock: FakeClock) -> None:
    imported(store, clock, "old", (60, NOW - 10 * HOUR, NOW))
    live(store, clock, 600, "young")
    assert ask(store, NOW - HOUR, NOW + 600, "young") == (10, [dict.fromkeys(range(NOW, NOW + 600, 10), 1.0)])
    assert ask(store, NOW - HOUR, NOW, "young") == (10, [{}])


def test_a_bucket_of_which_a_part_is_asked_for_does_not_make_it_coarse(store: StatStore, clock: FakeClock) -> None:
    imported(store, clock, "edge", (300, NOW - HOUR, NOW - HOUR + 300))
    assert ask(store, NOW - HOUR + 200, NOW, "edge")[0] == 10
    assert ask(store, NOW - HOUR + 200, NOW - HOUR + 500, "edge")[0] == 300     # as no whole one is asked for
    imported(store, clock, "edge", (10, NOW - HOUR + 300, NOW - 300))
    assert ask(store, NOW - HOUR + 200, NOW, "edge")[0] == 10
    assert ask(store, NOW - HOUR, NOW, "edge")[0] == 300


@pytest.mark.parametrize(("event", "interval"), [(False, 60), (True, 10)])
def test_a_coarse_zero_of_a_gauge_is_a_value_and_of_events_is_nothing(
        store: StatStore, clock: FakeClock, event: bool, interval: int) -> None:
    rows = [Archive(60, columns.Columns.from_rows([(time, 6, 0.0, 0.0, 0.0, 0.0)
                                                   for time in range(NOW - HOUR, NOW, 60)]))]
    appender = Appender(store, clock)
    appender.append(Series(b"c", event, tuple(rows), ""))
    appender.commit(Import("c", "", "", True, 0))
    assert select.series(store, ["c"], NOW - 600, NOW, 10_000, NOW).grid.interval == interval


def test_an_hour_only_counter_shows_where_every_finer_level_is_empty(store: StatStore, clock: FakeClock) -> None:
    imported(store, clock, "hourly", (HOUR, NOW - 30 * HOUR, NOW))
    interval, (found,) = ask(store, NOW - HOUR, NOW, "hourly")
    assert interval == 300 and set(found.values()) == {2.0}


def test_finer_buckets_that_are_imported_after_a_longer_retention_show(tmp_path: Path, clock: FakeClock) -> None:
    store = open_store(tmp_path / "s", clock, "10s:1h,1m:2d")
    live(store, clock, 3 * HOUR, "live", "hidden")
    store.compact()
    store.housekeeping.work_off()
    store.close()
    clock.advance(2 * HOUR)
    store = StatStore.open(tmp_path / "s", Ladder.parse("10s:1d,1m:2d"), clock)
    imported(store, clock, "fine", (10, NOW - HOUR, NOW + HOUR))
    for _ in range(2):
        assert ask(store, NOW, NOW + HOUR, "fine") == (10, [dict.fromkeys(range(NOW, NOW + HOUR, 10), 2.0)])
        assert ask(store, NOW, NOW + HOUR, "live") == (60, [dict.fromkeys(range(NOW, NOW + HOUR, 60), 1.0)])
        store.compact()
    store.close()


def test_counters_of_a_rule_with_counters_of_its_own_show_what_they_had(tmp_path: Path, clock: FakeClock) -> None:
    was = Rules(Ladder.parse("1m:2d,5m:10d"), (Rule.parse("db.* = 10s:4h,5m:10d"),))
    store = StatStore.open(tmp_path / "s", was, clock)
    live(store, clock, 2 * HOUR, "db.one", "web.one")
    store.close()
    store = StatStore.open(tmp_path / "s", Rules(was.default, (Rule.parse("*.one = 10s:4h,5m:10d"),)), clock)
    live(store, clock, 600, "db.one", "web.one")
    store.close()
    both = Rules(was.default, (Rule.parse("db.* = 10s:4h,5m:10d"), Rule.parse("web.* = 10s:4h,5m:10d")))
    store = StatStore.open(tmp_path / "s", both, clock)
    now = NOW + 2 * HOUR + 600
    for _ in range(2):
        assert ask(store, NOW, NOW + HOUR, "web.one") == (300, [dict.fromkeys(range(NOW, NOW + HOUR, 300), 1.0)])
        assert ask(store, now - 600, now, "web.one")[0] == 10
        assert ask(store, NOW, NOW + HOUR, "db.one")[0] == 10
        store.compact()
    store.close()


@pytest.mark.parametrize("seed", range(6))
def test_whatever_there_is_shows(store: StatStore, clock: FakeClock, seed: int) -> None:
    """Counters of any pasts: a narrow question gives a value wherever a level of the counter has one, from the finest
    level with data from the question's start on."""
    draw = random.Random(seed)
    pasts: dict[str, list[tuple[int, int, int]]] = {}
    for number in range(12):
        edges = sorted(draw.sample(range(NOW - 12 * HOUR, NOW, 300), 2))
        steps = draw.choice(((300, 60, 10), (60, 10, 0), (300, 10, 0), (10, 0, 0), (0, 60, 10), (300, 0, 0)))
        past = zip(steps, (NOW - 12 * HOUR, *edges), (*edges, NOW), strict=True)
        pasts[f"c{number}"] = [one for one in past if one[0]]
        imported(store, clock, f"c{number}", *pasts[f"c{number}"])
    for name, past in pasts.items():
        for _ in range(4):
            start = draw.randrange(NOW - 3 * HOUR, NOW - 600, 300)
            end = start + draw.randrange(300, NOW - start + 1, 300)
            interval, (found,) = ask(store, start, end, name)
            there = {at for step, first, last in past for time in range(first, last, step)
                     for at in [time - time % interval] if start <= at < end}
            assert set(found) == there, (name, past, start - NOW, end - NOW)
            first = [step for step, since, until in past if since < end and until > start]
            assert interval == (first[0] if first else 10)
