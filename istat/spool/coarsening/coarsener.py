"""When what waits in a spool is made coarser, and how the new segment comes in the place of the old ones.

The new file is written aside in small steps, synced by the spool's thread, and renamed over the first of the old ones;
its header says which others it swallowed, so that those which a kill leaves are removed by the next start. What groups
have sent meanwhile is seen to before that: where it matters the new file is thrown away.
"""
from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from istat.clock import Clock
from istat.spool.coarsening.choosing import choose
from istat.spool.coarsening.rewriting import Rewriting
from istat.spool.cursors import Cursor, Places
from istat.spool.frames import Header
from istat.spool.segments import Segment
from istat.spool.shelf import Shelf
from istat.spool.syncing import Syncer, Ticket

log = logging.getLogger(__name__)

# Less than this share of the old segments' bytes has to be gone, or they are kept as they are.
WORTH = 1 / 16
# Until the next try where groups went on among what was merged, and where the disk failed [s].
SOON, LATER = 5.0, 60.0


class Coarsener:
    """Of one spool. `look` every second or so, `work` as often as there is time."""

    def __init__(self, shelf: Shelf, syncer: Syncer, cursors: Callable[[], Collection[Cursor]], most: int,
                 segment_bytes: int, clock: Clock) -> None:
        """most: bytes that the spool may have. cursors: of all groups."""
        self.lines = 0              # fewer than before, since the start
        self.hopes = True           # that more can be merged: false once it is known that nothing can, or fails
        self._shelf, self._syncer, self._cursors = shelf, syncer, cursors
        self._most, self._segment_bytes, self._clock = most, segment_bytes, clock
        self._rewriting: Rewriting | None = None
        self._steps: Iterator[None] = iter(())
        self._places: list[Places] = []
        self._ticket: Ticket | None = None          # of the new file, while it is synced
        self._swallowed: list[Path] = []            # old segments whose frames are in a new one,
        self._renamed: Ticket | None = None         # while that is not known to be on the disk
        shelf.removing = self.clear     # else a start would find segments that one had swallowed which is gone
        self._pause_until = float("-inf")
        self._failed = False                        # the last try, which was told

    @property
    def busy(self) -> bool:
        """Whether there is something to be done by `work`."""
        return self._rewriting is not None or self._renamed is not None

    def look(self, old_before: float) -> None:
        """Begin with what is next, if anything is. old_before [Unix s]: what ended before is merged into hours."""
        if self.busy or self._clock.monotonic() < self._pause_until:
            return
        choice = choose(self._shelf.segments, self._most, self._segment_bytes, old_before, self._at_work)
        self.hopes = choice is not None
        if choice is None:
            return
        first, last = choice.run[0], choice.run[-1]
        after = self._shelf.after(last)
        assert after is not None        # the one that is written to is never taken
        header = first.header._replace(coarse=choice.seconds, through=after.first - 1,
                                       marks=self._marks(last, after.header))
        self._places = self._places_in(header)
        self._rewriting = Rewriting(choice.run, header, [place for place, _doubts in self._places],
                                    frozenset().union(*(doubts for _place, doubts in self._places)))
        self._steps = self._rewriting.steps()

    def work(self) -> None:
        """Go on, for some milliseconds."""
        if self._renamed is not None and self._renamed.over:
            self.clear()
        rewriting = self._rewriting
        if rewriting is None:
            return
        if any(segment.gone for segment in rewriting.run):
            self._give_up(0.0)
        elif self._ticket is None:
            self._write(rewriting)
        elif self._ticket.over:
            self._put_in_place(rewriting)

    def clear(self) -> None:
        """Remove what was swallowed: before any other segment is, and once the rename is on the disk."""
        for path in self._swallowed:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s cannot be removed: %s", path, error.strerror)
        self._swallowed, self._renamed = [], None

    def close(self) -> None:
        """Let go of all files."""
        if self._rewriting is not None:
            self._give_up(0.0)

    # -- one run

    def _write(self, rewriting: Rewriting) -> None:
        """A step."""
        try:
            next(self._steps)
            return
        except StopIteration:
            pass
        except OSError as error:
            self._fails(error)
            return
        except BaseException:       # a fault of ours: half of it must not be taken for all
            self._give_up(LATER)
            raise
        joins = all(segment.coarse == rewriting.header.coarse for segment in rewriting.run)
        if not joins and rewriting.saved < WORTH * sum(segment.size for segment in rewriting.run):
            self._leave_as_it_is(rewriting)
            return
        self._ticket = self._syncer.hand_over([rewriting.handle], finished=True)
        rewriting.handle = -1

    def _leave_as_it_is(self, rewriting: Rewriting) -> None:
        """It would not be smaller: not tried again, with these buckets, before the next start."""
        for segment in rewriting.run:
            segment.coarse = max(segment.coarse, rewriting.header.coarse)
        self._give_up(0.0)

    def _put_in_place(self, rewriting: Rewriting) -> None:
        """The new segment is on the disk."""
        assert self._ticket is not None
        if self._ticket.failed:
            self._fails(OSError(errno.EIO, "it cannot be synced"))
            return
        if self._places_in(rewriting.header) != self._places:
            self._give_up(SOON)
            return
        segment, run = rewriting.segment, rewriting.run
        for cursor in self._cursors():
            cursor.flush()      # first: else one would look for what was merged as in doubt, after a kill
        try:
            os.rename(rewriting.aside, segment.path)
        except OSError as error:
            self._fails(error)
            return
        for cursor in self._cursors():
            cursor.moved(run, segment, rewriting.places)
        self._shelf.exchange(run, segment)
        self._swallowed = [one.path for one in run[1:]]
        self._renamed = self._syncer.hand_over([], folder=True)
        self._rewriting, self._ticket, self._failed = None, None, False
        self.lines += rewriting.merged
        log.info("%d lines of %d segments of the spool were merged into buckets of %d s, since it is short of room or "
                 "they are old; %d KiB are less by that",
                 rewriting.merged, len(run), segment.coarse, rewriting.saved >> 10)

    def _fails(self, error: OSError) -> None:
        if not self._failed:
            log.warning("samples that wait in the spool cannot be merged: %s; tried again every minute",
                        error.strerror or error)
        self._failed, self.hopes = True, False
        self._give_up(LATER)

    def _give_up(self, pause: float) -> None:
        assert self._rewriting is not None
        self._pause_until = self._clock.monotonic() + pause
        try:
            self._rewriting.abandon()
        except OSError as error:
            log.debug("%s stays until the next start: %s", self._rewriting.aside, error)
        self._rewriting, self._ticket, self._steps = None, None, iter(())

    # -- groups

    def _places_in(self, header: Header) -> list[Places]:
        """Where groups are in what the new segment takes the place of."""
        return [cursor.places(header.first, header.through + 1) for cursor in self._cursors()]

    def _at_work(self, segment: Segment) -> bool:
        after = self._shelf.after(segment)
        below = after.first if after is not None else self._shelf.last + 1
        return any(segment.first < place < below or doubts
                   for place, doubts in (cursor.places(segment.first, below) for cursor in self._cursors()))

    def _marks(self, last: Segment, after: Header) -> dict[tuple[bytes, int], int]:
        """The last batches that had come when the run ended, which frames will not tell any more."""
        return dict(after.marks or last.header.marks)
