"""What a store of ring files costs, beside which ours is told: pages dirtied, read when it is cold, and kept."""
from __future__ import annotations

import json
import os
import random
from pathlib import Path

import pytest

from ftest.pagecache.devices import traffic
from ftest.pagecache.pages import evict
from ftest.pagecache.rings import Rings
from istat.cli import command
from istat.pagecache.residency import residency
from istat.pagecache.syscalls import PAGE
from istat.retention import Ladder
from tests.store.harness import NOW

COUNTERS, TICK, FLUSH = 200, 10, 300
LADDER = Ladder.parse("10s:2h,5m:2d")       # the two files that a flush of five minutes writes, both of several pages
PAGES = 4.3             # a counter and flush: 2 headers, a page of 5m, and 1.23 of 10s, as 960 bytes may lie on two
pytestmark = pytest.mark.skipif(PAGE != 4096, reason="the numbers are those of pages of 4 KiB")


class Fleet:
    """Ring files of some counters, each of which has gone round from a place of its own."""

    def __init__(self, folder: Path) -> None:
        chance = random.Random(1)
        self.rings = Rings(folder / "rings", LADDER, full=True)
        self._turned = [TICK * chance.randrange(LADDER.coarsest.keep // TICK) for _ in range(COUNTERS)]
        self._now = NOW - NOW % FLUSH
        self.feed()
        self.rings.flush()
        self.evict()

    def paths(self) -> list[Path]:
        return [self.rings.path(f"c{one}", level) for one in range(COUNTERS) for level in LADDER.levels]

    def evict(self) -> None:
        for path in self.paths():
            evict(path)

    def feed(self) -> None:
        """Five minutes of samples, not written yet."""
        for tick in range(FLUSH // TICK):
            for one, turned in enumerate(self._turned):
                self.rings.put(f"c{one}", self._now + turned - turned % FLUSH + tick * TICK, 1.0)
        self._now += FLUSH

    def dirty(self) -> int:
        return sum(residency(path).dirty or 0 for path in self.paths())


def test_a_flush_dirties_four_pages_a_counter_and_reads_as_many_when_cold(folder: Path) -> None:
    fleet = Fleet(folder)
    dirtied, read = [], []
    for _ in range(6):
        fleet.feed()
        before = traffic(folder)
        fleet.rings.flush()
        dirtied.append(fleet.dirty())
        read.append(traffic(folder).since(before).read // PAGE)
        fleet.evict()
    mean = sum(dirtied) / len(dirtied) / COUNTERS
    print(f"{mean:.2f} pages dirtied and {sum(read) / len(read) / COUNTERS:.2f} read, a counter and cold flush")
    assert 3.5 < mean <= PAGES
    assert sum(dirtied) <= sum(read) <= 1.1 * sum(dirtied)


def test_after_half_an_hour_each_file_has_at_most_four_pages_in_memory(
        folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = Fleet(folder)
    for _ in range(6):
        fleet.feed()
        fleet.rings.flush()
    capsys.readouterr()
    assert command.main(["fincore", "-r", "--hist", "--json", os.fspath(folder)]) == 0
    histogram = dict(json.loads(capsys.readouterr().out)["histogram"])
    assert sum(histogram.values()) == 2 * COUNTERS
    assert min(histogram) >= 2 and max(histogram) <= 4
