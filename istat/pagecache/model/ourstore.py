"""What istatd's own store takes of a machine. It writes no page in place: samples go to a journal, rows to files that
are written once, so that writing needs no page cache at all, and memory is what the server itself keeps. Knows measured
figures (docs/sizing.md, which a test holds this to) and no formulas of faults.
"""

from __future__ import annotations

from dataclasses import dataclass

from istat.errors import LayoutError
from istat.retention import DEFAULT_RETENTION, HOUR, Ladder

FIRST = 100_000                     # counters that the base is for
BASE = 72_000_000                   # bytes of memory with these
EACH = 620                          # bytes of memory for each further one, at most (500 to 620)
# Bytes on the disk of a bucket: of the finest level, of coarser ones below 1 h, of others.
FINE_ROW, COARSE_ROW, HOURLY_ROW = 0.9, 5.1, 5.7
WRITTEN = 15.0                      # bytes written for a sample: journal, files and their merges
SPARE = 0.1                         # of the disk, free for merges


@dataclass(frozen=True)
class Store:
    """So many counters, heard at the interval of the finest level all the time."""

    counters: int
    ladder: Ladder

    @property
    def memory(self) -> int:
        """Bytes that the server takes (RSS)."""
        return BASE + EACH * max(0, self.counters - FIRST)

    @property
    def disk(self) -> int:
        """Bytes of files when all levels are full, with the room that merges want."""
        return round(self.counters * self.counter_bytes * (1 + SPARE))

    @property
    def counter_bytes(self) -> float:
        """Bytes of a counter's files when all levels are full."""
        finest, *coarser = self.ladder.levels
        return finest.samples * FINE_ROW + sum(
            level.samples * (COARSE_ROW if level.interval < HOUR else HOURLY_ROW) for level in coarser)

    @property
    def samples(self) -> float:
        """A second."""
        return self.counters / self.ladder.levels[0].interval

    @property
    def written(self) -> float:
        """Bytes a second that the disk has to take."""
        return self.samples * WRITTEN


def store(text: str, counters: int) -> Store:
    """Of `store` or `store:RETENTION`. BadRetention when the retention cannot be read."""
    kind, _, retention = text.partition(":")
    if kind != "store":
        raise LayoutError(f"{text!r} is no store of ours")
    return Store(counters, Ladder.parse(retention or DEFAULT_RETENTION))


def counters_that_fit(memory: int) -> int:
    """How many counters a server has room for in so many bytes of memory."""
    return 0 if memory < BASE else FIRST + (memory - BASE) // EACH
