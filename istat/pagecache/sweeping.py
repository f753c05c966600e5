"""Many files: evicted or read in, each once, in order. What a name means says scanning.py, what becomes of a file
evicting.py. Knows no command line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import NamedTuple

from istat.pagecache import advising
from istat.pagecache.advising import DONTNEED
from istat.pagecache.evicting import Evicted, Eviction, Evictor
from istat.pagecache.fleets.snapshots import Snapshot
from istat.pagecache.ranges import Ranges
from istat.pagecache.residency import Residency, measured, special
from istat.pagecache.scanning import Selection, visit

NOTHING = Evicted(None, "", None, None)


class Swept(NamedTuple):
    """A file and what became of it. `residency` says in its state when it failed."""

    path: str
    residency: Residency
    evicted: Evicted


class _Acted(Residency):
    """What visit() wants, and what became of the file."""

    outcome: Evicted


@dataclass
class Sweeper:
    """One advice for many files. `keep`: pages that an eviction leaves in memory; `not_owner`: files of other users are
    evicted too; `dry_run`: they are counted only."""

    advice: str
    how: Eviction
    keep: Snapshot | None = None
    not_owner: bool = False
    dry_run: bool = False
    _evictor: Evictor = field(init=False)

    def __post_init__(self) -> None:
        self._evictor = Evictor(self.how)

    def sweep(self, names: Iterable[str], jobs: int = 1, selection: Selection = Selection(),  # noqa: B008 - frozen
              ) -> Iterator[Swept]:
        """All files that names mean, in `jobs` threads."""
        for found in visit(names, self._act, jobs, selection):
            yield _swept(found.path, found.residency)

    def descriptor(self, fd: int) -> Iterator[Swept]:
        """The file behind a descriptor. OSError."""
        yield _swept(f"/dev/fd/{fd}", self._act(fd, os.fstat(fd)))

    def _act(self, fd: int, about: os.stat_result) -> Residency:
        if not stat.S_ISREG(about.st_mode):
            return special()
        evicted = self._evict(fd, about) if self.advice == DONTNEED else self._advise(fd, about)
        found = _Acted(*special()._replace(size=about.st_size, resident=evicted.before, state=evicted.state))
        found.outcome = evicted
        return found

    def _evict(self, fd: int, about: os.stat_result) -> Evicted:
        keep = self._kept(fd)
        if self.dry_run:
            counted = self._evictor.count(fd, about, keep)
            return Evicted(counted.resident, "", None, None, (), counted.state)
        if about.st_uid != os.geteuid() and not self.not_owner:
            raise PermissionError(errno.EPERM, "it is another user's, whose cache it is; --not-owner evicts it all the "
                                  "same")
        return self._evictor.evict(fd, about, keep)

    def _advise(self, fd: int, about: os.stat_result) -> Evicted:
        before = measured(fd, about, range=self.how.range)
        if self.dry_run:
            return Evicted(before.resident, "", None, None, (), before.state)
        advising.advise(fd, self.advice, *(self.how.range or (0, 0)))
        after = measured(fd, about, range=self.how.range) if self.how.verify else None
        return Evicted(before.resident, "", after.resident if after else None, None, (), before.state)

    def _kept(self, fd: int) -> Ranges:
        """The pages of a file that the snapshot lists, by the name that the file has now."""
        if self.keep is None:
            return ()
        path = os.readlink(f"/proc/self/fd/{fd}")
        entry = self.keep.of(path) or self.keep.of(self._other_names.get(path, ""))
        return entry.ranges if entry is not None else ()

    @cached_property
    def _other_names(self) -> dict[str, str]:
        """Name without links -> the snapshot's, where that has links in it."""
        resolved = cache(os.path.realpath)
        names: dict[str, str] = {}
        for path in self.keep.texts if self.keep is not None else ():
            folder, name = os.path.split(path)
            real = os.path.join(resolved(folder), name)
            if os.path.islink(real):
                real = os.path.realpath(real)
            if real != path:
                names[real] = path
        return names


def _swept(path: str, found: Residency) -> Swept:
    return Swept(path, found, found.outcome if isinstance(found, _Acted) else NOTHING)
