"""Seasonal levels: a bucket is mostly the same bucket of the season before. Values as a user sees them."""
from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from istat.buckets import Bucket
from istat.clock import FakeClock
from istat.retention import Ladder
from istat_server.store.statstore import StatStore
from istat_server.testing.memory import MemoryStore
from istat_server.testing.suite.opened import Opened
from tests.store.harness import crash, send

EXAMPLE = Ladder.parse("10s:1h,1h:3h,1m:1h:ma-1h:0.9")
SEASONAL = 2


def seen(store: Any, name: str, level: int = SEASONAL, start: int = 0, end: int = 10**9) -> list[tuple[float, ...]]:
    """(time, average, min, max, count) of each bucket."""
    (rows,) = store.select([store.find(name.encode()).id], level, start, end)
    return [(row[0], pytest.approx(row[2] / row[1]), pytest.approx(row[4]), pytest.approx(row[5]), row[1])
            for row in rows.rows()]


def test_the_worked_example(tmp_path: Path, clock: FakeClock) -> None:
    """2, then 0.9 * 2 + 0.1 * 5 = 2.3; then 10 and 1 in one minute: mean 5.5, so 0.9 * 2.3 + 0.1 * 5.5. (istatd blends
    the sums and comes to 3.17, more than the maximum of 3.07.)"""
    clock.set(100001)
    store = StatStore.open(tmp_path, EXAMPLE, clock)
    wanted = [(99960, 2, 2, 2, 1), (103560, 2.3, 2.3, 2.3, 1), (107160, 2.62, 2.17, 3.07, 1)]
    for number, (now, lines) in enumerate(((100001, ["a 100000 2"]), (103602, ["a 103601 5"]),
                                           (107211, ["a 107209 10", "a 107210 1"]))):
        clock.set(now)
        send(store, *lines)
        for _ in range(2):
            assert seen(store, "a") == wanted[:number + 1]
            store.compact()
        crash(store)
        store = StatStore.open(tmp_path, EXAMPLE, clock)
    clock.advance(3 * 3600)
    store.compact()
    assert seen(store, "a", start=107160 - 3600) == wanted[1:]
    store.close()


def test_the_second_example(tmp_path: Path, clock: FakeClock) -> None:
    clock.set(100001)
    store = StatStore.open(tmp_path, Ladder.parse("10s:2h,10s:1h:s:0.875"), clock)
    send(store, "a 100000 1")
    clock.set(103601)
    send(store, "a 103600 2")
    for _ in range(2):
        assert [row[:2] for row in seen(store, "a", 1)] == [(100000, 1), (103600, 1.125)]
        store.compact()
        clock.advance(2000)
    store.close()


def test_without_a_bucket_exactly_a_season_before_it_begins_anew(tmp_path: Path, clock: FakeClock) -> None:
    clock.set(100001)
    store = StatStore.open(tmp_path, EXAMPLE, clock)
    for season, value in ((0, 2), (2, 5)):
        clock.set(100001 + season * 3600)
        send(store, f"a {100000 + season * 3600} {value}")
        store.compact()
    assert [row[1] for row in seen(store, "a")] == [2, 5]
    store.close()


@pytest.mark.parametrize("retention", ["10s:4h,1m:12h,5m:2h:s:0.5,1m:30m:t:0.9", "10s:12h,10m:12h,20m:4h:s:0.8"])
def test_as_the_model_whatever_comes_late_and_however_it_is_derived(tmp_path: Path, clock: FakeClock,
                                                                    retention: str) -> None:
    chance = random.Random(5)
    ladder = Ladder.parse(retention)
    clock.set(1325376000)
    model, store = MemoryStore(ladder, clock), StatStore.open(tmp_path, ladder, clock)
    for _ in range(40):
        for _ in range(25):
            name, age, value = chance.choice(["g", "*e"]), chance.choice([5, 700, 5000, 12000]), chance.randrange(50)
            at = int(clock.now()) - chance.randrange(age)
            model.add(name, at, value)
            send(store, f"{name} {at} {value}")
        # Rows of coarser levels, of a counter that has no others as well.
        coarse = [(name, int(clock.now()) - chance.choice([5, 5000]), Bucket.of(float(chance.randrange(50))))
                  for name in ("g", "*e", "coarse")]
        for one in (model, store):
            Opened(one, clock).batch(*coarse, interval=60)
        for name in ("g", "e", "coarse"):
            for level in range(len(ladder.levels), len(ladder.stored)):
                now = int(clock.now())
                start = (now - 3 * 3600) // 3600 * 3600
                assert seen(store, name, level, start, now) == seen(model, name, level, start, now)
        step = chance.random()
        if step < 0.2:
            crash(store)
            store = StatStore.open(tmp_path, ladder, clock)
        elif step < 0.6:
            store.compact()
        clock.advance(chance.choice([300, 900]))
    assert any(entry.level >= len(ladder.levels) for entry in store.files.manifest.files)
    store.close()
