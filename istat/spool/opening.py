"""Taking a spool's folder into use: whose it is, which segments there are, where they end, and what of that counts.

Nothing that is damaged stops a start: it is told, and what can be read is used. A newer format stops it.
"""
from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from istat.access import ondisk
from istat.errors import SpoolLocked
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.spool.frames import Header, Mark
from istat.spool.segments import Found, Segment, firsts_in, path_of, read_header
from istat.spool.shelf import Shelf
from istat.spool.slots import Slots

log = logging.getLogger(__name__)

NAME = "identity"
MAGIC = b"ISTATSPI"
ROOM = 512              # [bytes] of a slot
# Sequences that may have been given when the spool was not closed: so many from the last one that is known are not
# given again, since a power cut can have taken the frames that had them after they were sent.
RESERVED = 1 << 20
# How far back frames are looked for that the store does not know: the store's journal has at most 32 MiB that wait to
# be written, and lines are some four times as long as its records [segments].
LOOK_BACK = 16
# id; epoch; salt; 1: it was closed; the first sequence that was never given; the last one, frames and lines; the time
# that is believed [Unix s].
_IDENTITY = struct.Struct("<16sQIIQQQQq")


@dataclass(frozen=True)
class Identity:
    """Whose the frames of a spool are, and how many it has given."""

    id: bytes
    epoch: int
    salt: int
    closed: int = 1
    ceiling: int = 1
    last: int = 0
    frames: int = 0
    lines: int = 0
    saved: int = 0

    def packed(self) -> bytes:
        """As the file has it."""
        return _IDENTITY.pack(self.id, self.epoch, self.salt, self.closed, self.ceiling, self.last, self.frames,
                              self.lines, self.saved)


def lock(folder: Path) -> Slots:
    """The file of the identity, locked. SpoolLocked; OSError."""
    slots = Slots(folder / NAME, MAGIC, ROOM)
    try:
        fcntl.flock(slots.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        slots.close()
        raise SpoolLocked(f"another process has the spool {folder} open: each program needs one of its own "
                          f"(setting spool)") from error
    return slots


def identity_of(folder: Path, slots: Slots, now: float) -> Identity:
    """Who the spool is: as its file says, else as its newest segment does, else somebody new."""
    value = slots.read()
    if value is not None and len(value) == _IDENTITY.size:
        return Identity(*_IDENTITY.unpack(value))
    for first in reversed(firsts_in(folder)):
        header, _length = read_header(path_of(folder, first))
        if header is not None:
            log.warning("%s is damaged or missing: taken from the segments", folder / NAME)
            return Identity(header.id, header.epoch, header.salt, 0, first + 2 * RESERVED)
    return Identity(os.urandom(16), max(1, int(now)), int.from_bytes(os.urandom(4), "little") or 1)


def load(folder: Path, identity: Identity) -> Shelf:
    """The segments of a spool. SpoolError when a newer istatd wrote one; OSError."""
    shelf = Shelf()
    before = Header(identity.salt, identity.id, identity.epoch, 1, 0, 0, 0, {})
    for first in firsts_in(folder):
        path = path_of(folder, first)
        header, length = read_header(path)
        if header is None:
            log.warning("%s: the header is damaged; its frames are looked for all the same", path)
            header = replace_first(before, first)
        if header.id != identity.id:
            log.warning("%s is another spool's, and is left alone", path)
            continue
        segment = Segment(path, header, length, path.stat().st_size)
        if shelf.segments:
            shelf.segments[-1].ended = header.made
        shelf.segments.append(segment)
        before = header
    return shelf


def replace_first(header: Header, first: int) -> Header:
    """A header for a segment whose own cannot be read, of that before it."""
    return header._replace(first=first, marks={})


def measure(shelf: Shelf, identity: Identity) -> dict[tuple[bytes, int], int]:
    """Where the spool ends: the shelf's totals, and the marks. Reads the newest segment."""
    marks: dict[tuple[bytes, int], int] = {}
    begin = next((place for place in reversed(range(len(shelf.segments))) if shelf.segments[place].begin), 0)
    for segment in shelf.segments[begin:]:
        header, end = segment.header, segment.begin
        shelf.last = max(shelf.last, header.first - 1)
        shelf.frames, shelf.lines = max(shelf.frames, header.frames), max(shelf.lines, header.lines)
        marks.update(header.marks)
        found = segment.find(segment.begin)
        while found is not None:
            head, end = found.head, found.next
            shelf.last, shelf.frames, shelf.lines = head.sequence, head.frames + 1, head.lines + head.holds
            segment.ended = max(segment.ended, head.clock)
            if found.frame is not None and found.frame.mark is not None:
                sender, epoch, sequence = found.frame.mark
                marks[sender, epoch] = sequence
            found = segment.find(end)
        segment.size = max(end, segment.begin)
        segment.close()
    if identity.closed:     # else it is not known what was written behind it
        shelf.last, shelf.frames = max(shelf.last, identity.last), max(shelf.frames, identity.frames)
        shelf.lines = max(shelf.lines, identity.lines)
    else:
        shelf.last = max(shelf.last, identity.ceiling - 1)
    return marks


def cut_unknown(shelf: Shelf, known: Callable[[Mark], bool]) -> None:
    """Cut the spool at the first frame whose batch is not known: neither it nor what came after it is in the store.
    OSError."""
    cut: tuple[int, Found] | None = None
    for place in reversed(range(len(shelf.segments))[-LOOK_BACK:]):
        unknown, any_known = _first_unknown(shelf.segments[place], known)
        if unknown is not None:
            cut = place, unknown
        if any_known:
            break
    if cut is None:
        return
    place, found = cut
    log.info("%d segments of the spool, from sequence %d on, are cut: the store does not have what came then, and who "
             "sent it sends it again", len(shelf.segments) - place, found.head.sequence)
    while len(shelf.segments) > place + 1:
        shelf.segments.pop().remove("done")
    segment = shelf.segments[place]
    segment.close()
    handle = ownfiles.descriptor(segment.path, os.O_WRONLY, Use.WRITTEN, ondisk.plain)
    try:
        os.ftruncate(handle, found.at)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    segment.size = found.at


def _first_unknown(segment: Segment, known: Callable[[Mark], bool]) -> tuple[Found | None, bool]:
    """The first frame of a segment whose batch is not known, and whether one before it is."""
    any_known = False
    found = segment.find(segment.begin)
    while found is not None:
        mark = found.frame.mark if found.frame is not None else None
        if mark is not None:
            if not known(mark):
                segment.close()
                return found, any_known
            any_known = True
        found = segment.find(found.next)
    segment.close()
    return None, any_known


def closed(identity: Identity, shelf: Shelf, believed: float) -> Identity:
    """The identity of a spool that ends cleanly."""
    return replace(identity, closed=1, ceiling=shelf.last + 1, last=shelf.last, frames=shelf.frames,
                   lines=shelf.lines, saved=int(believed))


def reserved(identity: Identity, shelf: Shelf, believed: float) -> Identity:
    """The identity of a spool that is open, and may give so many sequences more before this is written again."""
    return replace(identity, closed=0, ceiling=shelf.last + 1 + RESERVED, saved=int(believed))
