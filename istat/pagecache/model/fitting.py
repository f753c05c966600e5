"""How many files fit into a memory, and what happens beyond: pages a file gets, faults a second, the knee. Each file
has whole pages only; where several kinds of files share a memory, what is written most often is kept first. Knows the
models by name only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from istat.errors import UsageError
from istat.pagecache.model import rates
from istat.pagecache.model.overheads import OVERHEADS, Overhead
from istat.pagecache.model.workload import Workload

MOST_FILES = 1 << 40        # more than any file system has
MOST_PAGES = 1 << 24        # of a file: 64 GiB of 4 KiB each


@dataclass(frozen=True)
class Fleet:
    """Files of one kind. `count`: how many there are."""

    work: Workload
    count: int


@dataclass(frozen=True)
class Cache:
    """The memory for pages [bytes], what the kernel takes of it, the model that is asked, and how many pages of each
    file are for its inode and indirect blocks (0 to 2)."""

    memory: int
    overhead: Overhead = OVERHEADS["none"]
    model: str = "lru"
    meta: int = 0

    def faults(self, work: Workload, pages: int) -> float:
        """Faults an update."""
        return rates.faults(self.model, work, pages, self.meta)

    def each(self, fleet: Fleet) -> int:
        """Whole pages that each file of one fleet gets, when it has the memory for itself; at most all of its pages."""
        if fleet.count <= 0:
            return most_pages(fleet.work, self.meta)
        given = max(0, self.overhead.pages(self.memory, fleet.count, fleet.work.page_size))
        return min(given, most_pages(fleet.work, self.meta))

    def rate(self, fleet: Fleet, pages: int) -> float:
        """Faults a second of a whole fleet, whose files have so many pages each."""
        return fleet.count * self.faults(fleet.work, pages) / fleet.work.interval


def most_pages(work: Workload, meta: int = 0) -> int:
    """The pages from which on a file has no faults, or none that more memory would save."""
    return (work.pages or work.header + len(work.every)) + meta


def pages_wanted(cache: Cache, fleet: Fleet, budget: float) -> int | None:
    """The fewest pages of each file with which the fleet stays below so many faults a second; None when it never does.

    The memory is not asked: this says how much of it is wanted.
    """
    return next((pages for pages in sizes(cache, fleet.work) if cache.rate(fleet, pages) < budget), None)


def sizes(cache: Cache, work: Workload) -> list[int]:
    """The numbers of pages at which faults change: from none up to that at which all rings fit, and the whole file."""
    most = most_pages(work, cache.meta)
    return sorted({*range(min(most, work.header + len(work.every) + cache.meta) + 1), most})


def knee(cache: Cache, work: Workload, budget: float) -> int:
    """The fewest files that have more than so many faults a second; one more than what can be had.

    The paper's formula may rise with memory, where few rings are followed by many: so each size is looked at.
    """
    fewest = 1
    for pages in reversed(sizes(cache, work)):
        last = cache.overhead.files(cache.memory, pages, work.page_size) if pages else MOST_FILES
        faults = cache.faults(work, pages)
        first = budget * work.interval / faults if faults else float("inf")
        if first < MOST_FILES:
            found = max(fewest, _first_over(cache, work, pages, budget, int(first)))
            if found <= last:
                return found
        fewest = max(fewest, last + 1)
    raise UsageError("no number of files has so many faults a second; is the memory right?")


def _first_over(cache: Cache, work: Workload, pages: int, budget: float, near: int) -> int:
    """The fewest files above the budget, if each has so many pages. `near`: it, but for rounding."""
    count = max(0, near - 1)
    while cache.rate(Fleet(work, count), pages) <= budget:
        count += 1
    return count


def shared(cache: Cache, fleets: Sequence[Fleet]) -> list[int]:
    """The pages that each file of each fleet gets when all share the memory: first those that each update touches, then
    rings in the order of how often they are written, then the rest of the files. Of one fleet as `Cache.each`."""
    left = cache.memory - sum(fleet.count * cache.overhead.file for fleet in fleets)
    given = [0] * len(fleets)
    wishes = _wishes(cache, fleets)
    for seconds in sorted(wishes):
        wanted = dict(wishes[seconds])
        while wanted:           # all that is used as often gets as much
            one = sum(fleets[place].count * (fleets[place].work.page_size + cache.overhead.page) for place in wanted)
            most = min(wanted.values())
            pages = min(most, max(0, left) // one) if one else most
            for place in wanted:
                given[place] += pages
            left -= pages * one
            if pages < most:    # what is used less often does not come before it
                return given
            wanted = {place: count - pages for place, count in wanted.items() if count > pages}
    return given


def _wishes(cache: Cache, fleets: Sequence[Fleet]) -> dict[float, dict[int, int]]:
    """Seconds from one use to the next -> place of the fleet -> so many pages of each file."""
    found: dict[float, dict[int, int]] = {}

    def wish(seconds: float, place: int, pages: int) -> None:
        here = found.setdefault(seconds, {})
        here[place] = here.get(place, 0) + pages

    for place, fleet in enumerate(fleets):
        work = fleet.work
        wish(work.interval, place, work.header + cache.meta)
        for step, count in zip(work.levels, work.rings):
            wish(work.interval * step, place, count)
        rest = most_pages(work, cache.meta) - cache.meta - work.header - len(work.every)
        if rest > 0:            # once in a round of the whole file
            wish(work.interval * work.levels[-1] * work.rows_a_page * work.pages, place, rest)
    return found


def total(cache: Cache, fleets: Sequence[Fleet]) -> float:
    """Faults a second of all fleets that share the memory."""
    return sum(cache.rate(fleet, pages) for fleet, pages in zip(fleets, shared(cache, fleets)))


def growth(cache: Cache, fleets: Sequence[Fleet], budget: float) -> float:
    """How many times as many files of each kind there may be until there are more than so many faults a second (below
    1: there are too many). To one in ten thousand."""
    def over(factor: float) -> bool:
        grown = [replace(fleet, count=max(1, int(fleet.count * factor))) for fleet in fleets]
        return total(cache, grown) > budget

    low, high = 0.0, 1.0
    while not over(high):
        low, high = high, high * 2
        if high > MOST_FILES:
            raise UsageError("no number of files has so many faults a second; is the memory right?")
    while high - low > high * 1e-4 and high > 1e-9:
        middle = (low + high) / 2
        low, high = (low, middle) if over(middle) else (middle, high)
    return low
