"""What comes into a spool: frames are written at once, or are in memory: those that may wait for a while, so that what
is acknowledged soon is never written, and all while the disk is full.

Knows segments, and no groups: how far these are it is told.

Of frames that wait the disk knows nothing: neither the identity counts them, nor need a cursor say that one is sent. So
whatever is written next begins with the cursors (`note`): else a frame of which one says that it was never sent could
go to another target after a kill, and frames that were acknowledged would count as missing.
"""
from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from istat.clock import Clock, ClockWatch
from istat.spool.frames import Frame, Header, Mark, encode
from istat.spool.opening import Identity
from istat.spool.segments import Found, Segment
from istat.spool.shelf import NEVER, Shelf
from istat.spool.syncing import Syncer
from istat.spool.writing import Writer

log = logging.getLogger(__name__)

MEMORY = 1 << 20        # [bytes] of frames kept while the disk is full
MOST_WAITING = MEMORY // 2      # [bytes] of frames that wait although the disk would take them
REMEMBERED = 8 << 20    # [bytes] of frames that need not be read again: what a server takes until its journal has it,
REMEMBERED_SENT = 1 << 20       # where the spool is the journal, what is sent at once
MOST_MARKS = 4096       # senders and epochs of which the last batch is known; the longest silent is forgotten


class Appending:
    """The end of a spool at which frames come in."""

    def __init__(self, folder: Path, shelf: Shelf, identity: Identity, marks: dict[tuple[bytes, int], int] | None,
                 syncer: Syncer, clock: Clock, watch: ClockWatch, segment_bytes: int,
                 low: Callable[[], int], note: Callable[[], None]) -> None:
        """`marks`: None, or the last batches, which are kept. `low`: the first sequence that some group may need.
        `note`: have the files of the cursors say how far they are."""
        self.marks = marks
        self.written = shelf.last               # the last sequence that is in the file
        self.trouble = ""                       # why the disk takes nothing
        self.memory = 0                         # [bytes] of frames that wait for the disk
        self.unsynced_since: float | None = None    # monotonic; None: all is synced, or on its way
        self.writer: Writer | None = None
        self._folder, self._shelf, self._identity, self._syncer = folder, shelf, identity, syncer
        self._clock, self._watch, self._segment_bytes, self._low = clock, watch, segment_bytes, low
        self._note = note
        self._behind = False                    # files of cursors may be behind frames that are gone from memory
        self._times: deque[float] = deque()     # when those came that wait (monotonic)
        self._begin_anew = False                # the segment that is written to has to end
        self._remembered: deque[tuple[Segment, int, int]] = deque()
        self._remembered_bytes = 0

    def append(self, frame: Frame, only: int) -> int:
        """Its sequence, the shelf's next; 0: it is lost, or has a mark and the spool is the journal: then nobody was
        told that it is kept, and whoever sent it still has it. `only`: the key of the group that it is for, 0: all.
        ValueError: something of it does not fit."""
        self.write_waiting()
        shelf = self._shelf
        head, data = encode(self._identity.salt, frame, shelf.frames, shelf.lines, only)
        at = -1 if shelf.pending else self._write(data)
        if at >= 0:
            self._remember(Found(head, frame, at, at + len(data)))
            self.written = frame.sequence
        elif self.marks is not None and frame.mark is not None:
            return 0
        elif not self._keep_in_memory(Found(head, frame, -1, -1)):
            shelf.last = frame.sequence
            shelf.lose(head)
            return 0
        self._came(frame, only)
        return frame.sequence

    def wait(self, frame: Frame) -> bool:
        """Take a frame, the shelf's next, into memory alone; False: there is no room, or the disk is full. It is
        without a mark, and for all groups. ValueError: something of it does not fit."""
        shelf = self._shelf
        head, _data = encode(self._identity.salt, frame, shelf.frames, shelf.lines)
        if shelf.stuck or self.memory + head.length > MOST_WAITING:
            return False
        if not shelf.pending:
            shelf.untold = frame.sequence
        shelf.pending.append(Found(head, frame, -1, -1))
        self.memory += head.length
        self._times.append(self._clock.monotonic())
        self._behind = True
        self._came(frame, 0)
        return True

    def _came(self, frame: Frame, only: int) -> None:
        """A frame is kept."""
        shelf = self._shelf
        shelf.last = frame.sequence
        if not only:        # else its group has it in its cursor, and to all others it is nothing
            shelf.frames, shelf.lines = shelf.frames + 1, shelf.lines + frame.count
        if self.marks is not None and frame.mark is not None:
            self._mark(self.marks, frame.mark)

    def _mark(self, marks: dict[tuple[bytes, int], int], mark: Mark) -> None:
        sender, epoch, sequence = mark
        marks[sender, epoch] = max(sequence, marks.pop((sender, epoch), 0))
        if len(marks) > MOST_MARKS:
            del marks[next(iter(marks))]

    def _write(self, data: bytes) -> int:
        """Write a frame; where it is in its segment, negative: the disk does not take it."""
        self.tell()
        try:
            writer = self.writer
            if writer is None or writer.broken or self._begin_anew or (
                    writer.segment.size + len(data) > self._segment_bytes):
                writer = self.begin_segment()
            at = writer.write(data)
        except OSError as error:
            if not self.trouble:
                log.warning("the spool %s cannot be written: %s; %d KiB are kept in memory meanwhile", self._folder,
                            error.strerror, MEMORY >> 10)
            self.trouble = error.strerror or str(error)
            return -1
        self.trouble = ""
        writer.segment.ended = int(self._watch.believed())
        if self.unsynced_since is None:
            self.unsynced_since = self._clock.monotonic()
        return at

    def begin_segment(self) -> Writer:
        """End the segment that is written to, and begin another one. OSError."""
        self.tell()
        shelf, identity = self._shelf, self._identity
        first, frames, lines = shelf.last + 1, shelf.frames, shelf.lines
        if shelf.pending:
            waiting = shelf.pending[0].head
            first, frames, lines = waiting.sequence, waiting.frames, waiting.lines
        writer = Writer(self._folder, Header(identity.salt, identity.id, identity.epoch, first, frames, lines,
                                             int(self._watch.believed()), dict(self.marks or {})))
        ended = [self.writer.end()] if self.writer is not None else []
        self._syncer.hand_over(ended, finished=True, folder=True)
        self.writer, self._begin_anew = writer, False
        shelf.add(writer.segment)
        return writer

    def end_segment(self) -> None:
        """Have the next frame begin another segment."""
        self._begin_anew = True

    def _remember(self, found: Found) -> None:
        """A frame that was written is soon read: keep it in memory for so long."""
        segment = self._shelf.segments[-1]
        segment.recent[found.at] = found
        self._remembered.append((segment, found.at, found.next - found.at))
        self._remembered_bytes += found.next - found.at
        while self._remembered_bytes > (REMEMBERED if self.marks is None else REMEMBERED_SENT):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        segment, at, size = self._remembered.popleft()
        segment.recent.pop(at, None)
        self._remembered_bytes -= size

    def forget(self, low: int) -> None:
        """Frames before this sequence are read no more."""
        while self._remembered:
            segment, at, _size = self._remembered[0]
            found = segment.recent.get(at)
            if found is not None and found.head.sequence >= low:
                break
            self._forget_oldest()

    # -- what waits

    def tell(self) -> None:
        """What is written next says how much came: have the files of the cursors say so before."""
        if self._behind:
            self._note()
            self._behind = self._shelf.untold != NEVER      # what still waits may be sent without a note

    def write_waiting(self, seconds: float = 0.0) -> bool:
        """Write what waits once the oldest has done so for so long; whether anything was written. What all groups have
        had by then is never written."""
        shelf = self._shelf
        if shelf.untold == NEVER:
            return False
        self._forget_done()
        if not shelf.pending:
            shelf.untold = NEVER
        elif self._clock.monotonic() - self._times[0] >= seconds:
            shelf.untold = NEVER
            self._times.clear()
            self.tell()
            return self.retry()
        return False

    # -- while the disk is full

    def _keep_in_memory(self, found: Found) -> bool:
        if self.memory + found.head.length > MEMORY:
            self._forget_done()
        if self.memory + found.head.length > MEMORY:
            return False
        self._shelf.pending.append(found)
        self.memory += found.head.length
        return True

    def _forget_done(self) -> None:
        """Frames in memory that all groups have had need not get to the disk."""
        low = self._low()
        while self._shelf.pending and self._shelf.pending[0].head.sequence < low:
            self._drop_first()

    def _drop_first(self) -> None:
        self.memory -= self._shelf.pending.pop(0).head.length
        if self._times:
            self._times.popleft()

    def retry(self) -> bool:
        """Write what is in memory for want of room on the disk, as far as that takes it; whether there was any."""
        shelf = self._shelf
        if not shelf.stuck:
            return False
        self._forget_done()
        while shelf.pending:
            found = shelf.pending[0]
            assert found.frame is not None
            head = found.head
            _head, data = encode(self._identity.salt, found.frame, head.frames, head.lines, head.only)
            if self._write(data) < 0:
                return True
            self.written = head.sequence
            self._drop_first()
        self.written = shelf.last
        self.trouble = ""
        return True
