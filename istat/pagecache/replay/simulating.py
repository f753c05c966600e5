"""A log replayed: misses of each policy in caches of each size, by time of day. Knows the kernels, no formulas.

Demand paging: a reference hits, or brings in its one page. What readahead brings is in the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

from istat.errors import UsageError
from istat.kernels import replay as kernel
from istat.pagecache.model import slots
from istat.pagecache.replay.gathering import Arranged, Gathered, arranged, first_counted
from istat.pagecache.replay.pagelog import Header

#: Names on a command line -> classes of the kernel.
POLICIES = {"lru": "Lru", "fifo": "Fifo", "clock": "Clock", "2q": "TwoQueues", "arc": "Arc", "s3-fifo": "S3Fifo",
            "lirs": "Lirs", "linux2": "TwoLists", "mglru": "Generations", "opt": "Opt"}
WARMING = 7                     # the group of what does not count
MOST_SLOTS = WARMING            # groups 0 to 6
MOST_HISTOGRAM = 1 << 20        # frames up to which one pass gives LRU of all sizes
DEFAULT_INTERVAL = 300          # s, where the log does not say


@dataclass(frozen=True)
class Outcome:
    """Of one policy and size. `frames`: of the cache, or of each file's cache. `misses`, `cold`: by slot, in the order
    of `Simulation.slots`; cold ones are references to pages that were never there, and are among the misses."""

    policy: str
    frames: int
    references: int
    misses: tuple[int, ...]
    cold: tuple[int, ...]


@dataclass
class Simulation:
    """One log in caches: `private`: one for each file; `warm_up`: records of so many times come first and do not
    count."""

    gathered: Gathered
    header: Header
    private: bool
    warm_up: int = 0
    slots: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.slots = slots.names(self.header.levels or (1,), self.interval)[:MOST_SLOTS]
        self._counted_from = first_counted(self.gathered, self.warm_up) if len(self.gathered) else 0

    @property
    def interval(self) -> int:
        """Seconds from an update to the next."""
        return self.header.interval or DEFAULT_INTERVAL

    @cached_property
    def _groups(self) -> list[int]:
        """Of each record its slot, or WARMING."""
        levels = self.header.levels or (1,)
        known: dict[int, int] = {}
        for time in set(self.gathered.times):
            slot = slots.slot(time // self.interval, levels)
            known[time] = min(slot, MOST_SLOTS - 1) if time >= self._counted_from else WARMING
        return [known[time] for time in self.gathered.times]

    @cached_property
    def _arranged(self) -> Arranged:
        return arranged(self.gathered, self.private, self._groups.__getitem__)

    @cached_property
    def _stack(self) -> tuple[list[list[int]], int]:
        """Of each slot, how many references have each depth or a deeper one; at depth 0 how many come the first time.
        And the depth that stands for all deeper ones."""
        order = self._arranged
        depths = kernel.depths(order.references, order.bounds, self.gathered.pages)
        most = min(max(depths, default=0) + 1, MOST_HISTOGRAM)
        found = kernel.histogram(depths, order.groups, most)
        rows = (found[slot * (most + 1):(slot + 1) * (most + 1)] for slot in range(len(self.slots)))
        return [[row[0], *reversed(list(accumulate(reversed(row[1:]))))] for row in rows], most

    @cached_property
    def updates(self) -> tuple[int, ...]:
        """Updates that count, by slot."""
        return self._summed(self.gathered.updates)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """Pages that they write, by slot: each once for each record."""
        return self._summed(self.gathered.written)

    @cached_property
    def references(self) -> int:
        """References that count."""
        return sum(counts[0] + (counts[1] if len(counts) > 1 else 0) for counts in self._stack[0])

    @property
    def seconds(self) -> float:
        """How long what counts took."""
        return max(self.gathered.times) - self._counted_from + self.interval if len(self.gathered) else 0

    def pages_a_second(self, each: float, files: int) -> float:
        """Of so many files with so many misses an update, when they are updated as often as those of the log."""
        return each * sum(self.updates) / self.seconds * files / len(self.gathered.names)

    def _summed(self, values: Sequence[int]) -> tuple[int, ...]:
        found = [0] * (WARMING + 1)
        for group, value in zip(self._groups, values):
            found[group] += value
        return tuple(found[:len(self.slots)])

    @property
    def cold(self) -> tuple[int, ...]:
        """References to pages that were never there, by slot."""
        return tuple(counts[0] for counts in self._stack[0])

    def outcome(self, policy: str, frames: int) -> Outcome:
        """Replay. UsageError when there is no such policy, or the number of frames is none."""
        if policy not in POLICIES:
            raise UsageError(f"there is no policy {policy!r}; there are: {', '.join(POLICIES)}")
        if not 1 <= frames <= kernel.MOST_FRAMES:
            raise UsageError(f"{frames} frames: a cache has 1 to {kernel.MOST_FRAMES}")
        misses = self._of_all_sizes(frames) if policy == "lru" else None
        if misses is None:
            misses = self._replayed(policy, frames)
        return Outcome(policy, frames, self.references, misses, self.cold)

    def _of_all_sizes(self, frames: int) -> tuple[int, ...] | None:
        """LRU by the one pass; None when its histogram does not reach so far."""
        histograms, most = self._stack
        if frames >= most and most == MOST_HISTOGRAM:
            return None
        return tuple(counts[0] + (counts[frames + 1] if frames < most else 0) for counts in histograms)

    def _replayed(self, policy: str, frames: int) -> tuple[int, ...]:
        order = self._arranged
        cache = getattr(kernel, POLICIES[policy])(self.gathered.pages, frames)
        counts = kernel.counts(cache.replay(order.references, order.bounds), order.groups)
        return tuple(counts[:len(self.slots)])
