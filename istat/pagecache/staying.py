"""Why pages of a file are still in memory though they were to go. Looks at the file's counts, at what other programs
have mapped (/proc/PID/maps, smaps and pagemap of proc(5)), and, for root, at the folios themselves (/proc/kpageflags).
Changes nothing."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from istat.pagecache import ranges as page_ranges
from istat.pagecache import syscalls
from istat.pagecache.ranges import Range, Ranges
from istat.pagecache.syscalls import PAGE

#: What may keep a page: not written yet; being written; mapped and touched by a program; the same and held by mlock(2);
#: part of a larger folio, which goes as a whole or not at all.
DIRTY, WRITEBACK, MAPPED, LOCKED, FOLIO, UNKNOWN = "dirty", "writeback", "mapped", "locked", "folio", "unknown"

# What all programs have mapped is read again for another file after so long [s]: reading it takes milliseconds.
MAPS_SECONDS = 1.0
# Of /proc/PID/pagemap: eight bytes a page; bit 63: the program has it in memory; bits 0-54: which frame (root only).
ENTRY, PRESENT, FRAME = 8, 63, (1 << 55) - 1
# Of /proc/kpageflags: eight bytes a frame; first and further frames of a folio of more than one.
HEAD, TAIL = 15, 16
# madvise(2): map pages as reading would; of those behind the file's end it says EFAULT, where reading ends a program.
POPULATE_READ = 22
# Larger folios than this are not looked for [pages]: 8 MiB, the most that the page cache makes.
MOST_FOLIO = 1 << 11
_LINE = re.compile(rb"([0-9a-f]+)-([0-9a-f]+) [^ ]+ ([0-9a-f]+) [0-9a-f]+:[0-9a-f]+ ([0-9]+)")


@dataclass(frozen=True)
class Mapping:
    """A part of a file in the memory of a program. `start`: its address, `offset`: where in the file, both [bytes]."""

    process: str
    start: int
    offset: int
    length: int


class Mappings:
    """What all programs have mapped, as far as the caller may look at them; by inode."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc, self._read_at = proc, float("-inf")
        self._known: dict[int, list[Mapping]] = {}

    def reason(self, about: os.stat_result, left: Ranges) -> str:
        """MAPPED or LOCKED where some of these pages of a file are in a program's memory, else empty."""
        locked = False
        mapped = False
        for one in self._of(about.st_ino):
            pages = (one.offset // PAGE, (one.offset + one.length - 1) // PAGE)
            if self._same_file(one, about) and self._touched(one, page_ranges.clipped(left, *pages)):
                mapped = True
                locked = locked or self._held(one)
        return LOCKED if locked else MAPPED if mapped else ""

    def _of(self, inode: int) -> list[Mapping]:
        if time.monotonic() - self._read_at > MAPS_SECONDS:
            known: dict[int, list[Mapping]] = {}        # threads share it: nobody may see one that is half made
            for process in os.listdir(self._proc):
                if process.isdecimal():
                    for number, one in _mapped_by(self._proc, process):
                        known.setdefault(number, []).append(one)
            self._known, self._read_at = known, time.monotonic()
        return self._known.get(inode, [])

    def _same_file(self, one: Mapping, about: os.stat_result) -> bool:
        """Some file systems tell another device's number in maps than by stat: the file itself is asked, where one
        may."""
        try:
            link = self._proc / one.process / "map_files" / f"{one.start:x}-{one.start + one.length:x}"
            found = os.stat(link)
        except OSError:
            return True         # not root: the same inode is taken for the same file
        return (found.st_dev, found.st_ino) == (about.st_dev, about.st_ino)

    def _touched(self, one: Mapping, left: Ranges) -> bool:
        try:
            with (self._proc / one.process / "pagemap").open("rb") as file:
                for first, last in left:
                    file.seek((one.start + first * PAGE - one.offset) // PAGE * ENTRY)
                    entries = memoryview(file.read((last - first + 1) * ENTRY)).cast("Q")
                    if any(entry >> PRESENT for entry in entries):
                        return True
        except (OSError, TypeError):    # it has ended, or is another user's: TypeError of half an entry
            return False
        return False

    def _held(self, one: Mapping) -> bool:
        """Whether mlock(2) holds it."""
        begin = f"{one.start:08x}-".encode()    # as the kernel writes it
        try:
            inside = False
            for line in (self._proc / one.process / "smaps").read_bytes().splitlines():
                if _LINE.match(line):
                    inside = line.startswith(begin)
                elif inside and line.startswith(b"VmFlags:"):
                    return b"lo" in line.split()
        except OSError:
            return False
        return False


def _mapped_by(proc: Path, process: str) -> Iterator[tuple[int, Mapping]]:
    """Inode and mapping of each file that a program has mapped. None of one that has ended, or may not be seen."""
    try:
        lines = (proc / process / "maps").read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        match = _LINE.match(line)
        if match is not None and (inode := int(match[4])):
            start, end, offset = (int(match[number], 16) for number in (1, 2, 3))
            yield inode, Mapping(process, start, offset, end - start)


def reasons(fd: int, about: os.stat_result, left: Ranges, asked: Ranges, mappings: Mappings) -> tuple[str, ...]:
    """Why these pages stayed, of those that were asked to go: one or more of the words above. OSError."""
    found = _being_written(fd, left)
    if mapped := mappings.reason(about, left):
        found.append(mapped)
    if not found and edges(left, asked, about.st_size):
        found.append(FOLIO)
    return tuple(found) or (UNKNOWN,)


def _being_written(fd: int, left: Ranges) -> list[str]:
    """DIRTY, WRITEBACK, both or none; before Linux 6.5 nobody knows."""
    try:
        counts = [syscalls.cachestat(fd, first * PAGE, (last - first + 1) * PAGE) for first, last in left]
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return []
    return [word for word, some in ((DIRTY, any(count.dirty for count in counts)),
                                    (WRITEBACK, any(count.writeback for count in counts))) if some]


def edges(left: Ranges, asked: Ranges, size: int) -> list[int]:
    """The pages that stayed at an edge of what was asked to go, beyond which the file goes on: a folio may reach over
    it."""
    end = (size - 1) // PAGE
    ends = {first for first, _ in asked if first > 0} | {last for _, last in asked if last < end}
    return sorted(page for page in ends if any(first <= page <= last for first, last in left))


def folio_of(fd: int, page: int, size: int) -> Range | None:
    """First and last page of the folio that a resident page of a file is in. None where only root may know.

    Pages beside it are mapped one by one as long as they belong to it, so nothing is brought into memory. None, too, of
    a file that becomes shorter meanwhile, and before Linux 5.14.
    """
    base = page - page % MOST_FOLIO         # a folio of 2^n pages begins at a multiple of 2^n
    length = min(MOST_FOLIO * PAGE, size - base * PAGE)
    try:
        with open("/proc/self/pagemap", "rb", 0) as frames, open("/proc/kpageflags", "rb", 0) as flags, \
                mmap.mmap(fd, length, access=mmap.ACCESS_COPY, offset=base * PAGE) as mapping:
            mapping.madvise(mmap.MADV_RANDOM)
            found = _Frames(mapping, frames.fileno(), flags.fileno()).folio(page - base, -(-length // PAGE))
    except (OSError, ValueError):       # ValueError: there is not so much of the file any more
        return None
    return None if found is None else (base + found[0], base + found[1])


class _Frames:
    """The frames that the pages of a mapping are in."""

    def __init__(self, mapping: mmap.mmap, frames: int, flags: int) -> None:
        self._mapping, self._frames, self._flags = mapping, frames, flags
        first = ctypes.c_char.from_buffer(mapping)
        self._first = ctypes.addressof(first) // PAGE
        del first           # as long as it is there the mapping cannot be closed

    def folio(self, page: int, pages: int) -> Range | None:
        """The folio around a page of a mapping of so many."""
        frame = self._frame(page)
        if not frame:
            return None
        first = last = page
        while first > 0 and self._is(self._frame(first), TAIL):     # the one before belongs to it: it is in memory too
            first -= 1
        if self._is(self._frame(first), HEAD):
            # Of the next page nothing is known; but the frames of a folio follow each other.
            while last + 1 < pages and self._is(frame + last + 1 - page, TAIL):
                last += 1
        return first, last

    def _frame(self, page: int) -> int:
        """0 where one may not know."""
        self._mapping.madvise(POPULATE_READ, page * PAGE, PAGE)
        return int.from_bytes(os.pread(self._frames, ENTRY, (self._first + page) * ENTRY), sys.byteorder) & FRAME

    def _is(self, frame: int, flag: int) -> bool:
        return bool(int.from_bytes(os.pread(self._flags, ENTRY, frame * ENTRY), sys.byteorder) >> flag & 1)
