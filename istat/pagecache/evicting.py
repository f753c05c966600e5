"""Taking a file's pages out of memory, and telling what became of them.

The kernel's DONTNEED promises nothing: a dirty page stays, so it is written first; a page that a program has mapped
and touched stays; of a folio of many pages none goes unless all of it was meant. So pages are counted before and
after, what stayed is asked for once more, and staying.py says why the rest is still there. Knows no command line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from istat.pagecache import advising, staying, syscalls
from istat.pagecache import ranges as page_ranges
from istat.pagecache.ranges import Ranges
from istat.pagecache.residency import Name, Residency, measured, opened
from istat.pagecache.staying import MOST_FOLIO, Mappings
from istat.pagecache.syscalls import PAGE

# A page that could not go because it was dirty has been handed to the disk by that call; until then [s].
WRITING_SECONDS = 0.3
RETRY = 1
# Parts whose reasons are looked for, one by one.
MOST_PARTS = 10_000

#: How a file is written before its pages go: `fdatasync`, `fsync`, `range` (the range's pages only, without a commit of
#: the file system's journal: no promise against a power cut, but quick), `none`.
SYNCS: Mapping[str, Callable[[int, int, int], None] | None] = {
    "fdatasync": lambda fd, offset, length: os.fdatasync(fd),
    "fsync": lambda fd, offset, length: os.fsync(fd),
    "range": syscalls.sync_range,
    "none": None,
}


@dataclass(frozen=True)
class Eviction:
    """What is to be done. `range`: (offset, length) in bytes, length 0: up to the end; pages that are not wholly inside
    stay, but with `whole_folios` it is rounded outward to pages, and to folios where one reaches over an edge. `sync`:
    one of SYNCS; a file of which no page is dirty is not written. `retry`: how often what stayed is asked for again;
    None: RETRY times, but not without sync. `verify`: count, and tell why pages stayed. `keep`: pages that are to stay.
    """

    sync: str = "fdatasync"
    verify: bool = True
    range: tuple[int, int] | None = None
    whole_folios: bool = False
    retry: int | None = None
    keep: Ranges = ()


@dataclass(frozen=True)
class Evicted:
    """What became of a file; numbers in pages of it, of those that were asked to go; None is unknown.

    `left`: those that are there after it, and with reason `folio` all pages of the folios that they are in, where that
    may be known (root). `why`: words of staying.py, empty when nothing is left. `state`: as of Residency.
    """

    before: int | None
    synced: str
    after: int | None
    left: int | None
    why: tuple[str, ...] = ()
    state: str = "ok"

    @property
    def evicted(self) -> int | None:
        """Pages that went."""
        unknown = self.before is None or self.after is None or self.left is None
        return None if unknown else max(0, (self.before or 0) - (self.after or 0))


def evict(what: int | Name, sync: str = "fdatasync", verify: bool = True, **more: object) -> Evicted:
    """Evict a file by its name or descriptor. `more`: the other fields of Eviction. OSError for one that cannot be
    opened or written."""
    how = Eviction(sync, verify, **more)  # type: ignore[arg-type]
    if isinstance(what, int):
        return Evictor(how).evict(what, os.fstat(what))
    handle = opened(what)
    try:
        return Evictor(how).evict(handle, os.fstat(handle))
    finally:
        os.close(handle)


@dataclass
class Evictor:
    """Evicts many files in one way, and asks but once a second what all programs have mapped."""

    how: Eviction
    mappings: Mappings = field(default_factory=Mappings)

    def evict(self, fd: int, about: os.stat_result, keep: Ranges | None = None) -> Evicted:
        """Evict an open file; `about`: what fstat said of it, `keep`: in place of that of `how`. OSError."""
        asked = self._asked(about.st_size, self.how.keep if keep is None else keep)
        if not asked:
            return _of(measured(fd, about, range=(about.st_size, 0)))
        before = self._count(fd, about, asked)
        # Writing a clean file waits for the disk all the same: milliseconds, of a fleet a minute.
        clean = before.dirty == 0 and before.writeback == 0
        synced = self.how.sync if self._syncs and not clean else ""
        self._drop(fd, asked, write=not clean)
        if not self.how.verify:
            return Evicted(before.resident, synced, None, None, (), before.state)
        left = self._left(fd, about, asked)
        if left and self._syncs and self._times:
            synced = self.how.sync      # what is asked for again is written: it may have become dirty since
        left = self._again(fd, about, asked, left)
        return self._told(fd, about, asked, before, synced, left)

    @property
    def _syncs(self) -> bool:
        return SYNCS[self.how.sync] is not None

    @property
    def _times(self) -> int:
        """How often what stayed is asked for again."""
        return self.how.retry if self.how.retry is not None else RETRY if self._syncs else 0

    def _again(self, fd: int, about: os.stat_result, asked: Ranges, left: Ranges | None) -> Ranges | None:
        """Ask once more for what stayed, and give what is left. None: unknown."""
        for _ in range(self._times):
            if left == ():
                break
            if not self._syncs:
                time.sleep(WRITING_SECONDS)
            self._drop(fd, asked)
            left = self._left(fd, about, asked)
        return self._widen(fd, about, asked, left) if left and self.how.whole_folios else left

    def count(self, fd: int, about: os.stat_result, keep: Ranges | None = None) -> Residency:
        """The pages that `evict` would ask to go, counted (as `resident`). OSError."""
        return self._count(fd, about, self._asked(about.st_size, self.how.keep if keep is None else keep))

    def _asked(self, size: int, keep: Ranges) -> Ranges:
        """The pages that are to go."""
        offset, length = self.how.range or (0, 0)
        end = min(size, offset + length) if length else size
        first, last = (offset // PAGE, (end - 1) // PAGE)
        if not self.how.whole_folios:           # of a page that is only partly meant nothing goes
            first = -(-offset // PAGE)
            last = last if end == size else end // PAGE - 1
        return page_ranges.without(((first, last),), keep) if first <= last else ()

    def _count(self, fd: int, about: os.stat_result, asked: Ranges) -> Residency:
        """Counts of several parts as one."""
        found = [measured(fd, about, range=_bytes(first, last)) for first, last in asked]
        if len(found) == 1 or not found or not all(one.known for one in found):
            return found[0] if found else measured(fd, about, range=(about.st_size, 0))
        return found[0]._replace(pages=page_ranges.count(asked), resident=sum(one.resident or 0 for one in found),
                                 dirty=_sum(one.dirty for one in found),
                                 writeback=_sum(one.writeback for one in found))

    def _drop(self, fd: int, asked: Ranges, write: bool = True) -> None:
        sync = SYNCS[self.how.sync]
        if write and sync is not None:
            first, last = asked[0][0], asked[-1][1]
            sync(fd, *_bytes(first, last))
        for first, last in asked:
            advising.advise(fd, advising.DONTNEED, *_bytes(first, last))

    def _left(self, fd: int, about: os.stat_result, asked: Ranges) -> Ranges | None:
        """The pages that are still there. None: unknown."""
        found: list[tuple[int, int]] = []
        for first, last in asked:
            there = measured(fd, about, range=_bytes(first, last))
            if there.resident is None:
                return None
            if there.resident:
                found += measured(fd, about, pages=True, range=_bytes(first, last)).ranges or ()
        return page_ranges.merged(found)

    def _widen(self, fd: int, about: os.stat_result, asked: Ranges, left: Ranges) -> Ranges | None:
        """Ask for more and more around the pages at the edges that stayed, until the folio goes that they are in. What
        is left then."""
        order = 1
        remaining: Ranges | None = left
        while remaining and order < MOST_FOLIO and (edges := staying.edges(remaining, asked, about.st_size)):
            order *= 2
            for page in edges:
                first = page - page % order
                advising.advise(fd, advising.DONTNEED, *_bytes(first, first + order - 1))
            remaining = self._left(fd, about, asked)
        return remaining

    def _told(self, fd: int, about: os.stat_result, asked: Ranges, before: Residency, synced: str,
              left: Ranges | None) -> Evicted:
        if left is None:
            return Evicted(before.resident, synced, None, None, (), before.state)
        after = page_ranges.count(left)
        if not left:
            return Evicted(before.resident, synced, 0, 0, (), before.state)
        why = staying.reasons(fd, about, left[:MOST_PARTS], asked, self.mappings)
        if why == (staying.UNKNOWN,) and before.dirty and not synced:
            why = (staying.DIRTY,)      # it was when it was asked to go, and has been written since
        if why == (staying.FOLIO,):
            folios = [staying.folio_of(fd, page, about.st_size) for page in staying.edges(left, asked, about.st_size)]
            left = page_ranges.merged([*left, *(one for one in folios if one is not None)])
        return Evicted(before.resident, synced, after, page_ranges.count(left), why, before.state)


def _sum(counts: Iterable[int | None]) -> int | None:
    """None where one is unknown."""
    known = list(counts)
    return None if None in known else sum(one or 0 for one in known)


def _bytes(first: int, last: int) -> tuple[int, int]:
    """Pages as offset and length."""
    return first * PAGE, (last - first + 1) * PAGE


def _of(found: Residency) -> Evicted:
    """Of a file that has nothing to go."""
    return Evicted(found.resident, "", found.resident, found.resident, (), found.state)
