"""One segment of a spool: a file of frames, read a frame at a time, damage stepped over. Knows no cursors.

Format: docs/formats/spool.md.
"""
from __future__ import annotations

import errno
import logging
import os
import struct
from pathlib import Path
from typing import NamedTuple

from istat.access import ondisk
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.spool.frames import HEAD_BYTES, Frame, Head, Header, frame_in, head_in, header_in, header_length

log = logging.getLogger(__name__)

SUFFIX = ".spool"
ASIDE = ".new"          # behind the name of one that is not whole yet
SEARCHED = 1 << 20      # [bytes] at once, for the next good frame after damage
HEADER_READ = 4096      # [bytes] at first: a header without many marks
MOST_FIRST = 1 << 62    # no spool comes so far; what has such a name would leave no sequences to be given
MOST_DIGITS = 19        # of one below that
MOST_HEADER = 2 << 20   # [bytes] more than this is damage
# Nothing is wrong with a file that cannot be opened for want of these: it is read later.
WANT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Found(NamedTuple):
    """A frame in a segment, or in memory where `at` is below 0."""

    head: Head
    frame: Frame | None     # None: its bytes are damaged
    at: int                 # where its head begins
    next: int               # where the next one does

    @property
    def stands(self) -> tuple[int, int]:
        """How many frames and lines came in its place: 1 and its own, unless it is a merged one."""
        merged = self.frame.stands if self.frame is not None else None
        return merged or (1, self.head.holds)


class Segment:
    """What is known of a segment. Frames of it are found whether or not its header can be read."""

    def __init__(self, path: Path, header: Header, begin: int, size: int) -> None:
        self.path, self.header = path, header
        self.begin = begin              # of its first frame [bytes]
        self.size = size                # [bytes] up to the end of its last frame
        self.ended = header.made        # when the last frame came [Unix s]
        self.gone = ""                  # why it was removed: a reason of losses, or "done"
        self.coarse = header.coarse     # seconds of the buckets to which its lines were merged as far as they can be
        self.recent: dict[int, Found] = {}      # frames that are still in memory, by where they are
        self._handle: int | None = None

    @property
    def first(self) -> int:
        """No frame in it has a lesser sequence."""
        return self.header.first

    def find(self, at: int, strict: bool = False) -> Found | None:
        """The frame there, or the next one behind damage; None: there is no more. OSError where the file cannot be
        opened for now, with `strict` where it cannot be read."""
        found = self.recent.get(at)
        if found is not None:
            return found
        try:
            while at + HEAD_BYTES <= self.size:
                head = head_in(self._read(at, HEAD_BYTES), self.header.salt)
                end = at + HEAD_BYTES + (head.length if head is not None else 0)
                if head is not None and end <= self.size:
                    return Found(head, frame_in(head, self._read(at + HEAD_BYTES, head.length)), at, end)
                at = self._search(at + 1)
        except OSError as error:
            if strict or error.errno in WANT:
                raise
            log.warning("%s cannot be read from byte %d on: %s", self.path, at, error.strerror)
        return None

    def scan(self, sequence: int) -> Found | None:
        """The frame of this sequence, looked for from the begin."""
        found = self.find(self.begin)
        while found is not None and found.head.sequence < sequence:
            found = self.find(found.next)
        return found if found is not None and found.head.sequence == sequence else None

    def _search(self, at: int) -> int:
        """Where the salt stands next; the end when it does not."""
        marker = struct.pack("<I", self.header.salt)
        while at < self.size:
            data = self._read(at, SEARCHED)
            place = data.find(marker)
            if place >= 0:
                return at + place
            if len(data) < SEARCHED:
                break
            at += SEARCHED - len(marker) + 1
        return self.size

    def _read(self, at: int, length: int) -> bytes:
        if self._handle is None:
            self._handle = ownfiles.descriptor(self.path, os.O_RDONLY, Use.SMALL, ondisk.plain)
            ownfiles.read_ahead(self._handle, [(at, self.size - at)])
        return os.pread(self._handle, length, at)

    def raw(self, found: Found) -> bytes:
        """All bytes of a frame of this segment. OSError."""
        return self._read(found.at, found.next - found.at)

    def close(self) -> None:
        """Let go of the file until it is read again."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def forget(self, reason: str) -> None:
        """Nobody reads it any more."""
        self.gone = reason
        self.recent.clear()
        self.close()

    def remove(self, reason: str) -> None:
        """Take it off the disk. OSError."""
        self.forget(reason)
        self.path.unlink(missing_ok=True)


def path_of(folder: Path, first: int) -> Path:
    """Where the segment is whose first sequence is this."""
    return folder / f"{first:016d}{SUFFIX}"


def firsts_in(folder: Path) -> list[int]:
    """The first sequences of the segments in a folder, ascending. Files of any other name are none of ours."""
    stems = [path.stem for path in folder.glob(f"*{SUFFIX}")]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdecimal() and len(stem) <= MOST_DIGITS
               and stem == f"{int(stem):016d}"]
    return sorted(number for number in numbers if 0 < number < MOST_FIRST)


def read_header(path: Path) -> tuple[Header | None, int]:
    """(the header, how many bytes it is) of a segment; (None, 0): it is damaged. SpoolError when a newer istatd wrote
    it, OSError when it cannot be read."""
    handle = ownfiles.descriptor(path, os.O_RDONLY, Use.SMALL, ondisk.plain)
    try:
        data = os.pread(handle, HEADER_READ, 0)
        length = header_length(data)
        if length > MOST_HEADER:
            return None, 0
        header = header_in(data[:length] if length <= len(data) else os.pread(handle, length, 0))
        return header, length if header is not None else 0
    finally:
        os.close(handle)
