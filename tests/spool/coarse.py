"""Spools that are made coarser, for tests: samples that come, what arrives of them, and how much that is."""
from __future__ import annotations

import math
import random
import time
from pathlib import Path

from istat.clock import FakeClock
from istat.spool.cursors import Cursor
from istat.spool.frames import Frame
from istat.spool.spool import Limits, Spool
from istat.wire.lines import Sample, parse_line
from tests.spool.harness import GROUP, NOW, open_spool

HOUR = 3600
BUDGET = 2 << 20        # [bytes] eight of the smallest segments
LIMITS = Limits(bytes=BUDGET, age=30 * 86_400, coarsen=True)


class Ledger:
    """Count, minimum and maximum of each counter and hour, and the sum, of whole numbers: so it is exact."""

    def __init__(self) -> None:
        self.hours: dict[tuple[bytes, int], tuple[int, float, float, float]] = {}

    def add(self, text: bytes, clock: int) -> None:
        """Count some lines."""
        for line in text.splitlines():
            sample = parse_line(line)
            assert isinstance(sample, Sample)
            at = clock if sample.time is None else sample.time
            key = sample.name, at // HOUR
            count, total, low, high = self.hours.get(key, (0, 0.0, math.inf, -math.inf))
            self.hours[key] = (count + sample.count, total + sample.sum, min(low, sample.min), max(high, sample.max))


def samples(rng: random.Random, counters: int, clock: int) -> bytes:
    """A line of each counter, some with their times, some of events."""
    made = []
    for number in range(counters):
        name = b"%bcpu.core%d.host.web1^all" % (b"*" if number % 7 == 0 else b"", number)
        value = rng.randrange(-1000, 1000)
        made.append(b"%b %d\n" % (name, value) if number % 3 else b"%b %d %d\n" % (
            name, clock - rng.randrange(20), value))
    return b"".join(made)


def finish(spool: Spool) -> None:
    """Have what is begun of making it coarser done."""
    while spool.coarsens:
        spool.coarsen()
        time.sleep(0.0005)      # the spool's thread syncs


class Source:
    """Samples that come, each few seconds, into a spool whose group is away."""

    def __init__(self, folder: Path, seed: int = 1, counters: int = 150, limits: Limits = LIMITS,
                 groups: tuple[str, ...] = (GROUP,)) -> None:
        self.rng, self.counters = random.Random(seed), counters
        self.folder, self.limits, self.groups = folder, limits, groups
        self.clock = FakeClock(NOW)
        self.ledger = Ledger()
        self.frames = self.lines = 0
        self.spool = self.open()

    def open(self) -> Spool:
        """The spool as it is on the disk."""
        return open_spool(self.folder, self.clock, self.limits, groups=self.groups)

    def come(self, frames: int, seconds: int = 10, whole: bool = True) -> None:
        """So many frames; `whole`: what becomes coarser has the time for it."""
        for _ in range(frames):
            self.clock.advance(seconds)
            now = int(self.clock.now())
            text = samples(self.rng, self.counters, now)
            self.ledger.add(text, now)
            assert self.spool.append(text, now, self.counters)
            self.frames, self.lines = self.frames + 1, self.lines + self.counters
            self.spool.tick()
            if whole:
                finish(self.spool)


def take(spool: Spool, cursor: Cursor, member: str = "a", last: int = 0) -> list[Frame]:
    """Send and acknowledge what there is, and look that sequences grow."""
    got: list[Frame] = []
    while (frame := cursor.read(spool.last)) is not None:
        assert frame.sequence > last
        assert frame.count == frame.text.count(b"\n")
        cursor.sending(member, frame.sequence)
        got.append(frame)
        cursor.done(member, frame.sequence)
        last = frame.sequence
    return got


def ledger_of(frames: list[Frame]) -> Ledger:
    """What a server would make of them."""
    ledger = Ledger()
    for frame in frames:
        ledger.add(frame.text, frame.clock)
    return ledger


def stood_for(frames: list[Frame]) -> tuple[int, int]:
    """How many frames and lines they were."""
    stands = [frame.stands or (1, frame.count) for frame in frames]
    return sum(one[0] for one in stands), sum(one[1] for one in stands)
