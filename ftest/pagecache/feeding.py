"""Samples that can be had again: what the n-th tick brings, for a store, for ring files, and for a process that feeds a
store until it is killed (`python -m ftest.pagecache.feeding FOLDER`: prints each tick once it is safe)."""
from __future__ import annotations

import random
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from istat.clock import FakeClock
from istat_server.store.statstore import StatStore
from tests.store.harness import NOW, open_store, put

COUNTERS = 100_000          # of the store
MIRRORED = 100              # of them are in ring files too
STEP = COUNTERS // MIRRORED
TICK = 10                   # [s]
LATE_EACH = 7               # ticks; then some counters hear of what was
LATE = 1500                 # [s] at most: the finest level still takes it
Sample = tuple[str, int, float]


def mirrored(tick: int) -> Iterator[Sample]:
    """(name, Unix seconds, value) of one tick, of those counters that are in ring files too. Values are floats of 32
    bits, as ring files keep minima."""
    chance, now = random.Random(tick), NOW + tick * TICK
    for one in range(0, COUNTERS, STEP):
        yield f"c.{one:06d}", now, _float(chance.gauss(100, 30))
    if tick % LATE_EACH == 0:
        for one in range(0, COUNTERS, 3 * STEP):
            yield f"c.{one:06d}", now - chance.randrange(min(LATE, max(tick * TICK, 1))), _float(chance.random())


def others(tick: int) -> Iterator[str]:
    """Lines of all other counters, which nobody asks about."""
    now = NOW + tick * TICK
    return (f"c.{one:06d} {now} {one * tick % 1009}" for one in range(COUNTERS) if one % STEP)


def feed(store: StatStore, clock: FakeClock, tick: int) -> None:
    """Have the store hear one tick. The clock stands at its time afterwards."""
    clock.advance(NOW + tick * TICK - clock.now())
    store.tick()
    put(store, *(f"{name} {when} {value!r}" for name, when, value in mirrored(tick)), *others(tick))


def _float(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def main(folder: Path) -> None:
    """Feed until killed."""
    clock = FakeClock(NOW)
    store = open_store(folder, clock)
    tick = 0
    while True:
        feed(store, clock, tick)
        store._hand_over()
        assert store._journal.sync(store._journal.handed, 60)
        print(tick, flush=True)
        tick += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
