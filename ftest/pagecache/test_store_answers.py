"""The store answers as ring files would: count, minimum and maximum exactly, sums within what rounding explains; before
and after merging, after a restart, after kill -9, with deletes and late data."""
from __future__ import annotations

import math
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ftest.pagecache import feeding
from ftest.pagecache.feeding import MIRRORED, STEP, TICK
from ftest.pagecache.rings import Bucket, Rings
from istat.clock import FakeClock
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, NOW, open_store

READS = 1000
TICKS = 30
ROOT = Path(__file__).parents[2]
# Sums differ by the order in which they were added: some ulp for each sample.
ROUNDING = 1e-13
Read = tuple[str, int, int, int]


def reads(seed: int, ticks: int) -> list[Read]:
    """(name, level, start, end): any counter, any range of what was fed."""
    chance, found = random.Random(seed), []
    for _ in range(READS):
        start, end = sorted(NOW - 60 + chance.randrange(ticks * TICK + 120) for _ in range(2))
        found.append((f"c.{chance.randrange(MIRRORED) * STEP:06d}", chance.randrange(len(LADDER.levels)), start, end))
    return found


def answer(store: StatStore, read: Read) -> list[Bucket]:
    name, level, start, end = read
    counter = store.find(name.encode())
    if counter is None:
        return []
    interval = LADDER.levels[level].interval
    (found,) = store.select([counter.id], level, start - start % interval, end + -end % interval)
    return [(time, count, total, low, high) for time, count, total, _m2, low, high in found.rows()
            if start <= time < end]


def alike(ours: list[Bucket], theirs: list[Bucket]) -> bool:
    return [(one[0], one[1], *one[3:]) for one in ours] == [(one[0], one[1], *one[3:]) for one in theirs] and all(
        math.isclose(mine[2], other[2], rel_tol=ROUNDING * mine[1], abs_tol=ROUNDING * 300 * mine[1])
        for mine, other in zip(ours, theirs))


def different(store: StatStore, rings: Rings, seed: int, ticks: int) -> list[Read]:
    return [read for read in reads(seed, ticks) if not alike(answer(store, read), rings.read(*read))]


@pytest.mark.seconds(20)
def test_a_thousand_reads_are_answered_as_by_ring_files(folder: Path) -> None:
    clock = FakeClock(NOW)
    store, rings = open_store(folder / "store", clock), Rings(folder / "rings", LADDER)
    for tick in range(TICKS):
        feeding.feed(store, clock, tick)
        for sample in feeding.mirrored(tick):
            rings.put(*sample)
        if tick == TICKS // 2:
            for one in range(0, MIRRORED, 10):
                name = f"c.{one * STEP:06d}"
                store.delete([store.find(name.encode()).id])
                rings.flush()
                rings.delete(name)
    rings.flush()
    assert sum(bool(rings.read(*read)) for read in reads(1, TICKS)) > READS / 2
    assert different(store, rings, 1, TICKS) == []          # some in memory, some in files of single cuts
    store.flush()
    assert different(store, rings, 2, TICKS) == []
    before = store.housekeeping.jobs
    store.compact()
    assert store.housekeeping.jobs > before
    assert different(store, rings, 3, TICKS) == []
    store.close()
    store = open_store(folder / "store", clock)
    assert different(store, rings, 4, TICKS) == []
    for one in range(1, MIRRORED, 10):          # and a difference would be seen
        rings.put(f"c.{one * STEP:06d}", NOW + 300, 1e6)
    rings.flush()
    assert different(store, rings, 4, TICKS)
    store.close()


@pytest.mark.seconds(20)
def test_after_kill_9_nothing_that_was_safe_is_lost(folder: Path) -> None:
    with subprocess.Popen([sys.executable, "-m", "ftest.pagecache.feeding", str(folder / "store")], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            safe = next(tick for tick in map(int, process.stdout) if tick >= TICKS // 2)
        finally:
            process.kill()
    store = open_store(folder / "store", FakeClock(NOW + (safe + 1) * TICK))
    # A tick is one frame of the journal: those that came after the last safe one are there whole, or not.
    (found,) = store.select([store.find(b"c.000000").id], 0, NOW, NOW + 10 * TICKS * TICK)
    last = (found.rows()[-1][0] - NOW) // TICK
    assert last >= safe
    rings = Rings(folder / "rings", LADDER)
    for tick in range(last + 1):
        for sample in feeding.mirrored(tick):
            rings.put(*sample)
    rings.flush()
    assert different(store, rings, 5, last) == []
    store.close()
