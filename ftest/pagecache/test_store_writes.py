"""What the store writes: little, in few files, all with advice; and what it lets go of: no more than it should."""
from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from ftest.pagecache.devices import traffic
from istat.clock import FakeClock
from istat.retention import Ladder
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.opens import watched
from tests.store.harness import LADDER, NOW, open_store, rows, send

COUNTERS, TICKS, TICK = 100_000, 30, 10
WRITTEN = 60_000_000         # [bytes] for five minutes of data; ring files: 1,934 MB
FLUSHING = 2.0              # [s] of CPU for these
FILES = 200                 # after a day
CUT = 120                   # [s] between two cuts


class Values:
    """A hard mix: constants, rates of a kernel, walks of three decimals, random doubles."""

    def __init__(self) -> None:
        self._chance = random.Random(1)
        self._last = [self._chance.randrange(1000) for _ in range(COUNTERS)]

    def line(self, one: int, now: int) -> str:
        kind, last, chance = one % 20, self._last[one], self._chance
        if kind < 6:
            value = f"{last}"
        elif kind < 16:
            value = f"{max(0, last + chance.randrange(-9, 10))}"
        elif kind < 19:
            value = f"{last + chance.randrange(-5000, 5000) / 1000}"
        else:
            value = repr(chance.random())
        return f"host{one // 100}.metric{one % 100} {now} {value}"


def ticked(store: StatStore) -> float:
    """Seconds of CPU of what a store does by itself: hand over, cut, flush, merge. All in this thread but the journal's
    writes."""
    began = time.process_time()
    store.tick()
    return time.process_time() - began


@pytest.mark.seconds(60)
def test_five_minutes_of_100_000_counters_and_a_day(folder: Path) -> None:
    clock, values = FakeClock(NOW), Values()
    folder = folder / "store"
    with watched(folder.parent) as opens:
        store = StatStore.open(folder, Ladder.parse(), clock, options=Options(key=1))
        before, spent = traffic(folder), 0.0
        for _ in range(TICKS):
            clock.advance(TICK)
            now = int(clock.now())
            spent += ticked(store)
            text = "\n".join(values.line(one, now) for one in range(COUNTERS)).encode() + b"\n"
            assert not store.accept(memoryview(text), 0, len(text)).left
        began = time.process_time()
        store.flush()
        spent += time.process_time() - began
        written = traffic(folder).since(before).written
        print(f"written {written / 1e6:.1f} MB, flushing {spent:.2f} s of CPU")
        assert 3_000_000 < written <= WRITTEN
        assert spent < FLUSHING
        most = a_day(store, clock, values)
        store.close()
    print(f"at most {most} files, {opens.advised} opens")
    assert most < FILES
    assert opens.advised > 1000 and opens.without == []


def a_day(store: StatStore, clock: FakeClock, values: Values) -> int:
    """A day of cuts; some counters of all are heard in each. The most files that there were at once."""
    most = 0
    for cut in range(86400 // CUT):
        clock.advance(CUT)
        now = int(clock.now())
        send(store, *(values.line(one, now) for one in range(cut % 500, COUNTERS, 500)))
        store.flush()
        store.housekeeping.work_off()
        most = max(most, sum(path.is_file() for path in store.folder.rglob("*")))
    return most


def test_expiry_leaves_nothing_too_old_and_takes_nothing_too_young(folder: Path) -> None:
    clock = FakeClock(NOW)
    store, days = open_store(folder, clock, cut_seconds=3600.0), 3
    step = 300
    for _ in range(days * 86400 // step):
        clock.advance(step)
        send(store, f"g.one {clock.now():.0f} 1")
        if clock.now() % 3600 < step:
            store.flush()
            store.housekeeping.work_off()
    now = int(clock.now())
    store.flush()
    store.housekeeping.work_off()
    for level, of in enumerate(LADDER.levels):
        oldest = now - of.keep
        times = {time for time, *_ in rows(store, "g.one", level)}
        young = {when - when % of.interval for when in range(now, oldest, -step)}
        assert {when for when in young if when >= oldest} <= times
        kept = [file for file in store.files.open_files().values() if file.header.level == level]
        assert kept and min(file.first_time for file in kept) >= oldest - LADDER.window(level) - 3600
    live = set(store.files.open_files())
    store.compact()
    store.close()
    on_disk = {str(path.relative_to(folder)) for path in folder.rglob("*.statfile")}
    assert len(on_disk) <= len(live) + 10


def test_a_delete_hides_at_once(folder: Path) -> None:
    clock = FakeClock(NOW)
    store = open_store(folder, clock)
    send(store, f"g.one {NOW} 1", f"g.two {NOW} 1")
    store.flush()
    send(store, f"g.one {NOW} 1")
    store.delete([store.find(b"g.one").id])
    assert store.find(b"g.one") is None and store.count() == 1
    send(store, f"g.one {NOW} 5")
    assert [row[:3] for row in rows(store, "g.one", 0)] == [(NOW, 1, 5.0)]
    store.close()
