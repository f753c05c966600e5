"""A ring file is changed: buckets are put into their slots in memory, by istatd's rules (part 6.6 of its behaviour);
then the file is written anew, whole. What is no ring file is refused before that, and untouched.
"""

from __future__ import annotations

import fcntl
import math
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path

from istat import owners
from istat.access import guarded
from istat.kernels.python.rings import MOST, to_float
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.foreign import ring
from istat_server.foreign.ring import COARSE, EVENT, SLOT, Bucket, Ring, RingError
from istat_server.store.ondisk import sync_folder

MOST_COUNT = (1 << 31) - 1
MOST_TOTAL = (1 << 63) - 1  # of the header's count, which may be anything in a file that is damaged
F_SETSIG = 10               # fcntl's; the module has no name for it
EMPTY = Bucket(0, 0.0, 0.0, 0.0, 0, 0.0)


class Mode(Enum):
    """What becomes of a bucket that is there."""

    MERGE = "merged with it; in the finest file of an event counter, replaced"
    OVERWRITE = "replaced"
    FILL = "replaced if it is empty, merged if not"
    IF_EMPTY = "replaced if it is empty, and kept if not"


class Edit:
    """A ring in memory that takes buckets. `changed`: how many it took."""

    def __init__(self, ring: Ring) -> None:
        self.header, self._slots, self.changed = ring.header, bytearray(ring.slots), 0

    @property
    def ring(self) -> Ring:
        """As it is now."""
        return Ring(self.header, bytes(self._slots))

    def start(self, time: int) -> int:
        """Where the bucket of a time begins."""
        return time - (time - self.header.created) % self.header.interval

    def at(self, start: int) -> Bucket:
        """The bucket that begins at a time; EMPTY when there is none, or its slot has another one."""
        found = self._slot(self._place(start))
        return found if found.time == start and found.samples > 0 else EMPTY

    def buckets(self, start: int, end: int) -> Iterator[Bucket]:
        """The buckets that begin in `start` <= time < `end`, in order of slots."""
        header = self.header
        for number, found in enumerate(map(Bucket._make, SLOT.iter_unpack(self._slots))):
            if start <= found.time < end and sound(found) and found.time == self.start(found.time):
                index = (found.time - header.created) // header.interval
                if header.last_bucket - header.capacity < index <= header.last_bucket \
                        and self._place(found.time) == number:
                    yield found

    def holds(self, start: int) -> bool:
        """Whether a time is not too old for the ring."""
        header = self.header
        return (start - header.created) // header.interval > header.last_bucket - header.capacity

    def put(self, bucket: Bucket, mode: Mode) -> bool:
        """Put a bucket where its time belongs; False when it is not taken: too old for the ring, of numbers that no
        bucket has, or not to replace what is there."""
        if not sound(bucket):
            return False
        start = self.start(bucket.time)
        if not self.holds(start):
            return False
        there = self.at(start)
        if mode is Mode.IF_EMPTY and there.samples:
            return False
        new = self._merged(there, bucket._replace(time=start), mode)
        self._extend((start - self.header.created) // self.header.interval, start)
        SLOT.pack_into(self._slots, SLOT.size * self._place(start), *new)
        self.changed += 1
        self.header = replace(self.header, cumulative_sum=self.header.cumulative_sum + bucket.sum,
                               cumulative_sum_sq=self.header.cumulative_sum_sq + bucket.sumsq,
                               cumulative_count=min(self.header.cumulative_count + bucket.samples, MOST_TOTAL))
        return True

    def _merged(self, there: Bucket, new: Bucket, mode: Mode) -> Bucket:
        flags = self.header.flags
        kept = there.samples and (mode is Mode.FILL or (mode is Mode.MERGE and not flags & EVENT))
        if kept:
            new = Bucket(new.time, there.sum + new.sum, min(there.min, new.min), max(there.max, new.max),
                         min(there.samples + new.samples, MOST_COUNT), there.sumsq + new.sumsq)
        if mode is Mode.MERGE and flags & COARSE and self.header.fixed_count > 0:
            new = new._replace(samples=self.header.fixed_count)
        return new._replace(min=to_float(new.min), max=to_float(new.max), sumsq=to_float(new.sumsq))

    def _extend(self, index: int, start: int) -> None:
        header = self.header
        if index > header.last_bucket:
            first = max(header.first_bucket, index - header.capacity + 1)
            header = replace(header, last_bucket=index, last_time=start, first_bucket=first)
        self.header = replace(header, first_bucket=min(header.first_bucket, index))

    def _place(self, start: int) -> int:
        """The slot of a bucket. istatd puts late ones from before a file's creation one slot further: found there they
        stay there."""
        header = self.header
        index = (start - header.created) // header.interval
        further = header.slot(index + 1)
        if index < 0 and self._slot(further).time == start:
            return further
        return header.slot(index)

    def _slot(self, number: int) -> Bucket:
        return Bucket(*SLOT.unpack_from(self._slots, number * SLOT.size))


def sound(bucket: Bucket) -> bool:
    """Whether a bucket's numbers are such as one has."""
    return (0 < bucket.time <= MOST and 0 < bucket.samples <= MOST_COUNT
            and all(map(math.isfinite, (bucket.sum, bucket.min, bucket.max, bucket.sumsq))))


def open_elsewhere(path: Path) -> bool:
    """Whether a process has a file open for writing, as far as the kernel tells whose file it is: by a lease, which it
    gives for no such file."""
    handle = ownfiles.descriptor(path, os.O_RDONLY | os.O_NONBLOCK, Use.SMALL, guarded.open_file)
    try:
        fcntl.fcntl(handle, F_SETSIG, signal.SIGURG)        # who opens it right now does not end us
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False            # another's file, or a file system without leases
    finally:
        os.close(handle)
    return False


def load(path: Path) -> Edit:
    """The ring of a file that is to be changed. RingError, which names it, when it is none or a process writes to it;
    OSError."""
    if path.is_symlink():
        raise RingError(f"{path} is a link: name the file itself")
    if path.exists() and not path.is_file():
        raise RingError(f"{path} is no plain file")
    try:
        found = ring.read(path)
    except RingError as error:
        raise RingError(f"{path} {error}") from error
    if open_elsewhere(path):
        raise RingError(f"{path} is open in another process, which would undo the change: end that one first")
    return Edit(found)


def save(path: Path, edit: Edit) -> None:
    """Put the changed ring in place of the file, or where there is none. It belongs to whom its folder belongs to."""
    with owners.as_owner(path.absolute().parent):
        mode = path.stat().st_mode if path.exists() else None
        ring.put(path, edit.ring)
        if mode is not None:
            os.chmod(path, mode & 0o777)
        sync_folder(path.parent)


def nearest(folder: Path) -> Path:
    """The folder, or the first above it that is there."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
