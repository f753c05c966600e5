"""What many files are like together: totals, how many have how many pages in memory, how many have each page. Knows
counts of files one after the other, and keeps none of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from istat.pagecache.residency import CHANGED, EMPTY, SPECIAL, Residency
from istat.pagecache.syscalls import PAGE


@dataclass
class Totals:
    """Sums of files. Pages and bytes are those of files with numbers (`known`); `unknown`, `failed`, `special` have
    none. What no file has a number of, such as dirty pages by mincore, is None."""

    files: int = 0
    known: int = 0
    unknown: int = 0
    failed: int = 0
    special: int = 0
    empty: int = 0
    changed: int = 0
    size: int = 0
    pages: int = 0
    resident: int = 0
    dirty: int | None = None
    writeback: int | None = None
    evicted: int | None = None
    recently_evicted: int | None = None

    @property
    def resident_bytes(self) -> int:
        """Bytes of memory."""
        return self.resident * PAGE

    @property
    def share(self) -> float | None:
        """Resident pages of all pages; None without any."""
        return self.resident / self.pages if self.pages else None

    def add(self, one: Residency) -> None:
        """Count a file."""
        self.files += 1
        if one.resident is None or one.pages is None or one.size is None:
            if one.state == SPECIAL:
                self.special += 1
            elif one.failed:
                self.failed += 1
            else:
                self.unknown += 1
            return
        self.known += 1
        self.size += one.size
        self.pages += one.pages
        self.resident += one.resident
        if one.state == EMPTY:
            self.empty += 1
        elif one.state == CHANGED:
            self.changed += 1
        if one.dirty is not None:
            self.dirty = (self.dirty or 0) + one.dirty
            self.writeback = (self.writeback or 0) + (one.writeback or 0)
            self.evicted = (self.evicted or 0) + (one.evicted or 0)
            self.recently_evicted = (self.recently_evicted or 0) + (one.recently_evicted or 0)


class Bucket(NamedTuple):
    """Files with so many resident pages; their share, and that of files with so many or fewer."""

    pages: int
    files: int
    share: float
    cumulative: float


class Histogram:
    """How many files have how many resident pages: figure 12 of the paper, whose knee is what one page more a file
    would bring."""

    def __init__(self) -> None:
        self._files: Counter[int] = Counter()

    def add(self, one: Residency) -> None:
        """Count a file, if it is known."""
        if one.resident is not None:
            self._files[one.resident] += 1

    def buckets(self) -> Iterator[Bucket]:
        """By number of pages."""
        total, sofar = self._files.total(), 0
        for pages, files in sorted(self._files.items()):
            sofar += files
            yield Bucket(pages, files, files / total, sofar / total)


class PageShare(NamedTuple):
    """Pages first..last, which all are in memory of the same number of `files`, out of `of` that have such pages."""

    first: int
    last: int
    files: int
    of: int

    @property
    def share(self) -> float:
        """0..1"""
        return self.files / self.of if self.of else 0.0


class ByPage:
    """Of each page number: in how many files it is in memory. The hot blocks of figure 6. Memory is needed for places
    where something changes, not for pages: a large sparse file is nothing special."""

    def __init__(self) -> None:
        self._steps: Counter[int] = Counter()       # page -> how many more files have it than the page before
        self._ends: Counter[int] = Counter()        # pages of a file -> files
        self._files = 0

    def add(self, one: Residency) -> None:
        """Count a file, if its pages are listed. A file of which a range was counted has the pages before that too."""
        if one.ranges is None or one.size is None:
            return
        self._files += 1
        self._ends[-(-one.size // PAGE)] += 1
        for first, last in one.ranges:
            self._steps[first] += 1
            self._steps[last + 1] -= 1

    def shares(self) -> Iterator[PageShare]:
        """By page number, up to the largest file's end."""
        having, of = 0, self._files
        changes = {place for steps in (self._steps, self._ends) for place, step in steps.items() if step}
        places = sorted({0, *changes})
        for place, after in zip(places, places[1:]):
            of -= self._ends[place]
            having += self._steps[place]
            yield PageShare(place, after - 1, having, of)
