"""Taking a spool's folder into use: whose it is, which segments there are, where they end, and what of that counts.

Nothing that is damaged stops a start: it is told, and what can be read is used. A newer format stops it.
"""
from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from istat.access import ondisk
from istat.errors import SpoolLocked
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.spool.frames import Header, Mark
from istat.spool.losses import REASONS, Tally
from istat.spool.segments import ASIDE, Found, Segment, firsts_in, path_of, read_header
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
# id; epoch; salt; 1: it was closed; the first sequence that was certainly never given; the last one, frames and lines;
# the time that is believed [Unix s]; the last sequence that the store's journal has; from which sequence on and below
# which frames were cut, and the same of those that were in memory alone; frames and lines that came as batches behind
# what the journal has; frames and lines that no group ever saw, by reason.
_IDENTITY = struct.Struct(f"<16sQIIQQQQqQQQQQQQ{2 * len(REASONS)}Q")


@dataclass(slots=True)
class Identity:
    """Whose the frames of a spool are, and how many it has given. `rebuilt`: its file could not be read."""

    id: bytes
    epoch: int
    salt: int
    closed: int = 1
    ceiling: int = 1
    last: int = 0
    frames: int = 0
    lines: int = 0
    saved: int = 0
    journaled: int = 0
    cut_first: int = 0
    cut_below: int = 0
    memory_first: int = 0
    memory_below: int = 0
    again_frames: int = 0
    again_lines: int = 0
    lost: Tally = field(default_factory=Tally)
    rebuilt: bool = False

    def packed(self) -> bytes:
        """As the file has it."""
        return _IDENTITY.pack(self.id, self.epoch, self.salt, self.closed, self.ceiling, self.last, self.frames,
                              self.lines, self.saved, self.journaled, self.cut_first, self.cut_below,
                              self.memory_first, self.memory_below,
                              self.again_frames, self.again_lines, *self.lost.numbers)


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
        numbers = _IDENTITY.unpack(value)
        identity = Identity(*numbers[:16])
        identity.lost = Tally(numbers[16:])
        return identity
    for first in reversed(firsts_in(folder)):
        header, _length = read_header(path_of(folder, first))
        if header is not None:
            log.warning("%s is damaged or missing: taken from the segments", folder / NAME)
            return Identity(header.id, header.epoch, header.salt, 0, first + 2 * RESERVED, rebuilt=True)
    return Identity(os.urandom(16), max(1, int(now)), int.from_bytes(os.urandom(4), "little") or 1)


def load(folder: Path, identity: Identity) -> Shelf:
    """The segments of a spool. SpoolError when a newer istatd wrote one; OSError."""
    shelf = Shelf()
    shelf.lost = identity.lost
    shelf.was_lost(identity.cut_first, identity.cut_below, "unknown")
    shelf.was_lost(identity.memory_first, identity.memory_below, "disk")
    before = Header(identity.salt, identity.id, identity.epoch, 1, 0, 0, 0, {})
    through = 0         # up to which sequence the segments before have taken the place of others
    for aside in folder.glob(f"*{ASIDE}"):
        aside.unlink()
    for first in firsts_in(folder):
        path = path_of(folder, first)
        header, length = read_header(path)
        if header is None:
            log.warning("%s: the header is damaged; its frames are looked for all the same", path)
            # When it was made is not known: not later than this, so that it does not look old.
            made = identity.saved or int(path.stat().st_mtime)
            header = before._replace(first=first, marks={}, made=max(before.made, made))
        if header.id != identity.id:
            log.warning("%s is another spool's, and is left alone", path)
            continue
        if first <= through:    # what a kill left of segments that were written anew
            path.unlink()
            continue
        through = header.through
        segment = Segment(path, header, length, path.stat().st_size)
        if shelf.segments:
            shelf.segments[-1].ended = header.made
        shelf.segments.append(segment)
        before = header
    return shelf


def measure(shelf: Shelf, identity: Identity, following: int) -> dict[tuple[bytes, int], int]:
    """Where the spool ends: the shelf's totals, and the marks. Reads the newest segment. `following`: the first
    sequence that some group was never sent, as its file says, which may know more than a damaged identity: a spool
    whose targets are well has no segment that does."""
    if following > identity.ceiling:
        identity.closed, identity.ceiling = 0, following + 2 * RESERVED
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
            frames, lines = found.stands if not head.only else (0, 0)
            shelf.last, shelf.frames, shelf.lines = head.sequence, head.frames + frames, head.lines + lines
            segment.ended = max(segment.ended, head.clock)
            if found.frame is not None and found.frame.mark is not None:
                sender, epoch, sequence = found.frame.mark
                marks[sender, epoch] = sequence
            found = segment.find(end)
        segment.size = max(end, segment.begin)
        segment.close()
    # What is missing at the end is counted by the groups.
    shelf.last = shelf.came = max(shelf.last, identity.last)
    shelf.frames, shelf.lines = max(shelf.frames, identity.frames), max(shelf.lines, identity.lines)
    if not identity.closed:     # a power cut can have taken frames, and what the file says of them
        shelf.last = max(shelf.last, identity.ceiling - 1)
    return marks


def cut_unknown(shelf: Shelf, identity: Identity, known: Callable[[Mark], bool], slots: Slots) -> Identity:
    """Cut the spool where the store's journal ends: at the first frame whose batch is not known, or of which that
    cannot be told, behind the last one that is and behind what the journal was told to have. The identity as it is:
    batches that the journal has not are sent again by their senders, since nobody acknowledged them; all else that was
    cut stays counted, and is missing. OSError."""
    cut: tuple[int, Found] | None = None
    frames, lines = identity.again_frames, identity.again_lines
    for place in reversed(range(len(shelf.segments))[-LOOK_BACK:]):
        end = _End(identity, known)
        end.search(shelf.segments[place])
        frames, lines = frames - end.frames, lines - end.lines
        if end.unknown is not None:
            cut = place, end.unknown
        if end.any_known:
            break
    identity = replace(identity, again_frames=0, again_lines=0, frames=identity.frames - max(0, frames),
                       lines=identity.lines - max(0, lines))
    if cut is None:
        return identity
    place, found = cut
    identity.cut_first, identity.cut_below = found.head.sequence, max(identity.last, _last(shelf)) + 1
    if identity.rebuilt:
        identity.frames, identity.lines = _came(shelf)
    log.info("%d segments of the spool, from sequence %d on, are cut: the store does not have what came then; who sent "
             "batches sends them again, other lines are lost", len(shelf.segments) - place, found.head.sequence)
    slots.write(identity.packed())      # first: a kill in between has the same cut once more
    while len(shelf.segments) > place + 1:
        shelf.segments.pop().remove("unknown")
    segment = shelf.segments[place]
    segment.close()
    handle = ownfiles.descriptor(segment.path, os.O_WRONLY, Use.WRITTEN, ondisk.plain)
    try:
        os.ftruncate(handle, found.at)
        os.fdatasync(handle)
    finally:
        os.close(handle)
    segment.size = found.at
    shelf.was_lost(identity.cut_first, identity.cut_below, "unknown")
    return identity


class _End:
    """Where the journal ends in a segment: `unknown`, the first frame behind that; None: it has them all. `any_known`:
    whether it has one of them. `frames` and `lines` of batches that it has although it was not noted that it does."""

    def __init__(self, identity: Identity, known: Callable[[Mark], bool]) -> None:
        self.unknown: Found | None = None
        self.any_known = False
        self.frames = self.lines = 0
        self._journaled, self._known = identity.journaled, known
        self._damage_counts = identity.again_frames > 0     # what is damaged may be a batch

    def search(self, segment: Segment) -> None:
        """Look at all of its frames: the journal has all that came before one that it has."""
        came = segment.header.frames
        found = segment.find(segment.begin)
        while found is not None:
            head = found.head
            mark = found.frame.mark if found.frame is not None else None
            damaged = found.frame is None or head.frames != came
            if head.sequence <= self._journaled or mark is not None and self._known(mark):
                self.unknown, self.any_known = None, True
                if head.sequence > self._journaled:
                    self.frames, self.lines = self.frames + 1, self.lines + head.holds
            elif self.unknown is None and (mark is not None or damaged and self._damage_counts):
                self.unknown = found
            came = head.frames + (not head.only)
            found = segment.find(found.next)
        segment.close()


def _last(shelf: Shelf) -> int:
    """The last sequence that can be read of the newest segment."""
    return max([found.head.sequence for found in _frames(shelf.segments[-1])], default=0)


def _came(shelf: Shelf) -> tuple[int, int]:
    """Frames and lines that came by the end of the newest segment, as far as can be read."""
    heads = [found.head for found in _frames(shelf.segments[-1])]
    return max([(head.frames + 1, head.lines + head.holds) for head in heads], default=(0, 0))


def _frames(segment: Segment) -> Iterator[Found]:
    found = segment.find(segment.begin)
    while found is not None:
        yield found
        found = segment.find(found.next)
    segment.close()


def note_end(identity: Identity, shelf: Shelf, believed: float) -> None:
    """Have the identity of a spool that is open say how much came by now, what of it is in memory alone, and which
    sequences may be given before its ceiling is raised again."""
    if identity.closed or nears_ceiling(identity, shelf):
        identity.closed, identity.ceiling = 0, shelf.last + 1 + RESERVED
    identity.last, identity.frames, identity.lines = shelf.told
    identity.saved = int(believed)
    if shelf.stuck:
        identity.memory_first, identity.memory_below = shelf.pending[0].head.sequence, shelf.last + 1
    elif identity.memory_first > shelf.came:    # it is on the disk
        identity.memory_first = identity.memory_below = 0


def nears_ceiling(identity: Identity, shelf: Shelf) -> bool:
    """Whether the ceiling is to be raised, long before its sequence is given."""
    return shelf.last + RESERVED // 2 > identity.ceiling


def note_closed(identity: Identity) -> None:
    """Have the identity say that the spool ended cleanly."""
    identity.closed, identity.ceiling = 1, identity.last + 1
