"""The spool of a program: lines come in as frames, and stay until every group of targets has had them.

Knows no sockets. `append` writes at once (write(2)), but for what may wait; a thread of the spool's own syncs. All else
belongs to one thread.
"""
from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Self

from istat.access import ondisk
from istat.clock import Clock, ClockWatch
from istat.errors import SpoolError
from istat.spool import opening
from istat.spool.appending import Appending
from istat.spool.coarsening.beginning import Coarsening
from istat.spool.cursorfile import MOST_NAME, CursorFile, State, cursors_in
from istat.spool.cursors import Cursor
from istat.spool.frames import Frame, Mark
from istat.spool.losses import Loss, by_reason
from istat.spool.slots import Slots
from istat.spool.syncing import Syncer

log = logging.getLogger(__name__)

SEGMENT_BYTES = 8 << 20
LEAST_SEGMENT = 256 << 10       # [bytes] where the spool may have little
PARTS = 8                       # a spool has at least so many segments when it is full, or as old as it may be
SYNC_SECONDS = 1.0              # what waits longer than this is synced
# How old the time in the identity may be while nothing else is to be written [s]: less than a jump by which a clock is
# doubted at the next start (istat/clock.py).
TIME_SECONDS = 1800.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a spool keeps of what was not acknowledged: bytes on the disk, and for how long [s]. `wait` [s]: how
    long frames that may wait do so in memory alone, where the spool is the journal. `coarsen`: when there is more, the
    oldest lines are merged into ever longer buckets, and what is too old into hours; only what does not fit as hours
    goes. For spools that are their program's journal, too."""

    bytes: int = 1 << 30
    age: int = 3 * 86_400
    wait: float = 0.0
    coarsen: bool = False


class Spool:
    """A folder of frames and cursors. One process has it open at a time. Made by `open`."""

    def __init__(self, folder: Path, limits: Limits, clock: Clock, slots: Slots,
                 known: Callable[[Mark], bool] | None) -> None:
        """`slots`: of the identity, locked."""
        self.folder, self.limits = folder, limits
        self._clock, self._slots = clock, slots
        self._identity = opening.identity_of(folder, slots, clock.now())
        self.id, self.epoch = self._identity.id, self._identity.epoch
        self._shelf = opening.load(folder, self._identity)
        if known is not None and not self._identity.closed:
            self._identity = opening.cut_unknown(self._shelf, self._identity, known, slots)
        found, self._unread = cursors_in(folder)        # those that cannot be read
        marks = opening.measure(self._shelf, self._identity, max([state.next for _file, state in found], default=1))
        self._identity.journaled = self._shelf.last     # what is there now is not cut any more
        self._identity.again_frames = self._identity.again_lines = 0
        segments = self._shelf.segments
        self.watch = ClockWatch(clock, max([self._identity.saved, *(one.header.made for one in segments[-1:])]))
        self._syncer = Syncer(folder)
        self._segment_bytes = min(SEGMENT_BYTES, max(LEAST_SEGMENT, limits.bytes // PARTS))
        self._appending = Appending(
            folder, self._shelf, self._identity, None if known is not None else marks, self._syncer, clock, self.watch,
            self._segment_bytes, self._low, self._flush)
        self._cursors: dict[str, Cursor] = {}
        self._coarsening = Coarsening(self._shelf, self._syncer, self._cursors.values, limits.bytes, limits.age,
                                      self._segment_bytes, clock, self.watch)
        self._kept = False                      # all groups are known
        self._trouble = ""                      # why the identity cannot be written
        self._batches: deque[tuple[int, int]] = deque()     # sequences and lines of those the journal may not have
        self._cursors.update((file.name, self._cursor(file, state)) for file, state in found)
        self._noted_at, self._synced = clock.monotonic(), 0     # when the identity was written, and the synced ceiling
        self._note_end()
        self._synced = self._identity.ceiling
        os.fdatasync(slots.handle)              # before the first sequence is given
        if slots.fresh:
            ondisk.sync_folder(folder)

    @classmethod
    def open(cls, folder: Path, limits: Limits, clock: Clock, known: Callable[[Mark], bool] | None = None) -> Self:
        """Take a folder into use; it is made if it is missing. `known`: whether the store's journal has a batch; the
        spool is cut at the first frame whose batch it has not, unless it was closed. None: the spool is the journal,
        and keeps marks.

        SpoolError: another process has it, no permission, a newer format.
        """
        try:
            ondisk.make_folder(folder)
            slots = opening.lock(folder)
            try:
                return cls(folder, limits, clock, slots, known)
            except BaseException:
                slots.close()
                raise
        except OSError as error:
            raise SpoolError(f"the spool {folder} cannot be opened: {error.strerror} ({error.filename or folder}); "
                             f"make it ours and give it room, or name another place (setting spool)") from error

    # -- what comes in

    @property
    def last(self) -> int:
        """The last sequence that was given; 0: none yet."""
        return self._shelf.last

    @property
    def written(self) -> int:
        """The last sequence that is in the file, so that it outlives the process."""
        return self._appending.written

    @property
    def refusing(self) -> str:
        """Why nothing should be taken for the spool now, in a sentence; "": nothing is wrong."""
        return f"the spool {self.folder} cannot be written: {self._appending.trouble}" if self._shelf.stuck else ""

    def append(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None,
               waits: bool = False) -> int:
        """The sequence of a new frame: whole lines, at most MOST_TEXT bytes. It is in the file when this returns
        (`written`), or in memory while the disk is full; 0: there is too much of that, it is lost and counted. A frame
        with a mark is never in memory alone where the spool is the journal: 0, it is not taken, and not lost. `waits`:
        it may be in memory for `Limits.wait`, is written then unless all groups have had it, and goes with a kill.

        ValueError: too long, or a number that cannot be one.
        """
        frame = Frame(self._shelf.last + 1, clock, interval, count, text, mark)
        may_wait = waits and mark is None and self.limits.wait > 0 and self._appending.marks is not None
        if not may_wait or not self._appending.wait(frame):
            return self._append(frame, 0)
        if opening.nears_ceiling(self._identity, self._shelf):
            self._note_end()
        return frame.sequence

    def _renew(self, frame: Frame, only: int) -> int:
        """The lines of a frame once more, for one group."""
        return self._append(Frame(self._shelf.last + 1, frame.clock, frame.interval, frame.count, frame.text), only)

    def _append(self, frame: Frame, only: int) -> int:
        segments = len(self._shelf.segments)
        sequence = self._appending.append(frame, only)
        if sequence and frame.mark is not None and self._appending.marks is None:
            self._batches.append((sequence, frame.count))
            self._identity.again_frames += 1
            self._identity.again_lines += frame.count
        self._note_end()
        if len(self._shelf.segments) > segments:
            self._bound()
        return sequence

    def release(self, sequence: int) -> None:
        """The store's journal has all frames up to this one: a start does not cut them."""
        identity = self._identity
        if sequence <= identity.journaled:
            return
        identity.journaled = sequence
        while self._batches and self._batches[0][0] <= sequence:
            _sequence, lines = self._batches.popleft()
            identity.again_frames, identity.again_lines = identity.again_frames - 1, identity.again_lines - lines
        self._note_end()

    def knows(self, mark: Mark) -> bool:
        """Whether this batch, or a later one of its sender and epoch, is in the spool or was. Of no meaning where
        `known` was given: the store answers that."""
        sender, epoch, sequence = mark
        return sequence <= self.marks().get((sender, epoch), 0)

    def marks(self) -> dict[tuple[bytes, int], int]:
        """The last sequence of each (sender, epoch)."""
        return self._appending.marks or {}

    # -- groups

    def group(self, name: str) -> Cursor:
        """The cursor of a group, the same one each time. One that was not there begins with what other groups have
        not had yet; one that cannot be read with the oldest frame. SpoolError: the name is too long."""
        if name in self._cursors:
            return self._cursors[name]
        if not 0 < len(name.encode()) <= MOST_NAME:
            raise SpoolError(f"a group of targets has a name of 1 to {MOST_NAME} bytes: {name[:100]}")
        file = CursorFile(self.folder, name)
        cursor = self._cursors[name] = self._cursor(file, self._begin_of(file))
        cursor.flush()
        return cursor

    def _begin_of(self, file: CursorFile) -> State:
        """Where a group begins whose cursor is not there."""
        others = [] if file.path in self._unread else list(self._cursors.values())
        if others:
            least = min(others, key=attrgetter("next"))
            if self.last:
                log.info("%s is new among those that are forwarded to: it begins with what %s has not had yet, "
                         "sequence %d", file.name, least.name, least.next)
            return least.place()
        if file.path in self._unread:
            log.warning("the cursor of %s cannot be read: all that there is is sent again", file.name)
            self._unread.discard(file.path)
        first, frames, lines = self._shelf.begin
        return State(first, frames, lines, trusted=self._shelf.last if self._shelf.segments else 0)

    def keep(self, names: Iterable[str]) -> None:
        """Forget the cursors of all other groups."""
        wanted = set(names)
        self._kept = True
        for name in [name for name in self._cursors if name not in wanted]:
            cursor = self._cursors.pop(name)
            frames, lines, _seconds = cursor.behind
            log.info("%s is forwarded to no more; it has not had %d frames, %d lines", name, frames, lines)
            try:
                cursor.remove()
            except OSError as error:
                log.warning("the cursor of %s cannot be removed: %s", name, error.strerror)
        for path in self._unread:
            path.unlink(missing_ok=True)
        self._unread.clear()

    def _cursor(self, file: CursorFile, state: State) -> Cursor:
        return Cursor(self._shelf, file, state, self._clock, self._renew, self._write_waiting)

    def _low(self) -> int:
        """The first sequence that some group may still need."""
        return min([cursor.oldest for cursor in self._cursors.values()], default=self._shelf.last + 1)

    # -- what goes

    def tick(self) -> None:
        """Let go of what is done, too much or too old; have synced what waits. To be called every second or so."""
        for cursor in self._cursors.values():
            cursor.correct()
        self._write_waiting(self.limits.wait)
        if self._appending.retry() or self._clock.monotonic() - self._noted_at >= self._time_seconds:
            self._note_end()
        if self._identity.ceiling != self._synced:
            self._synced = self._identity.ceiling
            self._syncer.hand_over([os.dup(self._slots.handle)])
        self._age()
        low = self._low()
        if self._kept and self._done(low):
            self._flush()       # first: else one would look for what is gone, after a kill
            while self._done(low):
                self._shelf.remove_oldest("done")
        if self._kept and self.limits.coarsen:
            self._coarsening.look()
        self._bound()
        self._appending.forget(low)
        if self._syncer.failed:     # what the kernel could not write it may have dropped: only a new file is trusted
            self._appending.end_segment()
        self._sync(low)

    def _flush(self) -> None:
        for cursor in self._cursors.values():
            cursor.flush()

    def _done(self, low: int) -> bool:
        """Whether the oldest segment has nothing for anybody; never the one that is written to."""
        segments = self._shelf.segments
        return len(segments) > 1 and segments[1].first <= low

    def _write_waiting(self, seconds: float = 0.0) -> None:
        """Write the frames of which the oldest has waited for so long."""
        if self._appending.write_waiting(seconds):
            self._note_end()

    @property
    def _time_seconds(self) -> float:
        """How old the time in the identity may be: a server's spool is written to all the time anyhow."""
        return TIME_SECONDS if self._appending.marks is not None else 0.0

    def _bound(self) -> None:
        """Let the oldest segments go while there is too much."""
        while len(self._shelf.segments) > 1 and self._shelf.size > self._coarsening.most:
            self._remove("bytes")

    def _age(self) -> None:
        """Let segments go that are too old, unless the clock is in doubt. The one that is written to ends in time."""
        segments, now = self._shelf.segments, self.watch.believed()
        if not segments or self.watch.doubt():
            return
        newest = segments[-1]
        if newest.size > newest.begin and now - newest.header.made > self.limits.age / PARTS:
            self._appending.end_segment()
            if now - newest.ended > self.limits.age:
                try:
                    self._appending.begin_segment()
                except OSError as error:
                    log.debug("no new segment of the spool: %s", error)
        while not self.limits.coarsen and len(segments) > 1 and now - segments[0].ended > self.limits.age:
            self._remove("age")

    def _remove(self, reason: str) -> None:
        """Let the oldest segment go, whoever still needs it."""
        self._shelf.remove_oldest(reason)
        for cursor in self._cursors.values():
            cursor.catch_up()

    def coarsen(self) -> None:
        """Go on with merging lines, if that is begun, for some milliseconds: to be called as often as there is time."""
        self._coarsening.work()

    @property
    def coarsens(self) -> bool:
        """Whether that has something to do."""
        return self._coarsening.busy

    @property
    def coarsened(self) -> int:
        """How many lines less there are by that, since the start."""
        return self._coarsening.lines

    def _sync(self, low: int) -> None:
        """Have synced what was written a second ago and is not acknowledged by all."""
        since, writer = self._appending.unsynced_since, self._appending.writer
        if since is None or writer is None or self._syncer.behind or self._clock.monotonic() - since < SYNC_SECONDS:
            return
        self._appending.unsynced_since = None
        if low <= self.written:
            self._syncer.hand_over([*self._cursor_handles(), writer.duplicate()])

    def _cursor_handles(self) -> list[int]:
        handles = [cursor.duplicate() for cursor in self._cursors.values()]
        return [handle for handle in handles if handle is not None]

    def _note_end(self) -> None:
        """Write down how much came, so that after a kill it is known what is missing at the end, and which sequences
        may be given: after a power cut those are left out that may have been."""
        self._noted_at = self._clock.monotonic()
        self._appending.tell()
        opening.note_end(self._identity, self._shelf, self.watch.believed())
        self._write_identity()

    def _write_identity(self) -> None:
        try:
            self._slots.write(self._identity.packed())
            self._trouble = ""
        except OSError as error:
            if not self._trouble:
                log.warning("%s cannot be written: %s", self._slots.path, error.strerror)
            self._trouble = f"{self._slots.path} cannot be written: {error.strerror}"

    # -- what is told

    def losses(self) -> list[Loss]:
        """What was lost, the newest last; bounded. `status` has the sums."""
        return self._shelf.losses.told()

    def lost(self) -> dict[str, dict[str, int]]:
        """Frames and lines by reason that were lost since the spool was made, by all groups together."""
        return by_reason([self._shelf.lost, *(cursor.lost for cursor in self._cursors.values())])

    def status(self) -> dict[str, object]:
        """Bytes on the disk and how many they may be, segments, bytes in memory, what was lost by reason (lines since
        the start, all since the spool was made), and what is wrong."""
        problems = [self.refusing, self._trouble, self._syncer.failed,
                    *(cursor.problem for cursor in self._cursors.values())]
        return {"spool_bytes": self._shelf.size, "spool_most_bytes": self.limits.bytes,
                "spool_segments": len(self._shelf.segments), "spool_memory": self._appending.memory,
                "spool_lost": dict(self._shelf.losses.lines), "spool_lost_ever": self.lost(),
                "spool_problem": next((problem for problem in problems if problem), ""),
                # Without the advice to confirm it, which is about a store: here it ends by itself, after a day.
                "spool_clock": self.watch.doubt().partition("; is it right?")[0]}

    def close(self, whole: bool = True) -> None:
        """Sync, and let go of the folder. What the disk did not take is lost, and counted by the next start. `whole`:
        the store has all that is in it; else the next start looks for what it has not, as after a kill."""
        self._appending.write_waiting()
        self._appending.retry()
        if self._shelf.pending:
            log.warning("%d frames are lost with the end, unless they were sent: the disk did not take them",
                        len(self._shelf.pending))
        self._coarsening.close()
        handles, writer = self._cursor_handles(), self._appending.writer
        for cursor in self._cursors.values():
            cursor.close()
        self._syncer.hand_over([*handles, *([writer.end()] if writer is not None else [])], folder=True)
        synced = self._syncer.close()
        for segment in self._shelf.segments:
            segment.close()
        if whole and synced:
            self._say_closed()
        self._slots.close()

    def _say_closed(self) -> None:
        self._note_end()
        opening.note_closed(self._identity)
        self._write_identity()
        try:
            os.fdatasync(self._slots.handle)
        except OSError as error:
            log.warning("%s cannot be synced: %s", self._slots.path, error.strerror)
