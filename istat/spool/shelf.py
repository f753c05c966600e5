"""What a spool has: segments in order, and frames in memory that wait for the disk. Knows no groups."""
from __future__ import annotations

import bisect
import logging
from collections import deque
from collections.abc import Callable, Sequence

from istat.spool.frames import Head
from istat.spool.losses import Loss, Losses, Tally
from istat.spool.segments import Found, Segment

log = logging.getLogger(__name__)

NEVER = 1 << 63             # no sequence is so high
MOST_REMEMBERED = 1000      # segments that were lost, so that it is known why a frame is not there


class Shelf:
    """The segments and the frames in memory of one spool, and how much ever came in."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []       # oldest first; at the end the one that is written to
        self.pending: list[Found] = []          # frames that are not on the disk yet, oldest first
        # From this sequence on frames are in memory alone, and nothing on the disk says that they ever came: a kill
        # leaves nothing of them, so that sending them needs no note. NEVER: there are none, or the disk is full.
        self.untold = NEVER
        self.last = 0                           # the last sequence that was given
        self.frames = self.lines = 0            # that ever came in, those before a frame are in its head
        self.came = 0                           # the last sequence that came before this start
        self.removing: Callable[[], None] = lambda: None    # called before a segment is removed
        self.losses = Losses()
        self.lost = Tally()                     # what no group ever saw
        self._lost: deque[tuple[int, int, str]] = deque(maxlen=MOST_REMEMBERED)     # from, below, why

    @property
    def stuck(self) -> bool:
        """Whether frames are in memory since the disk does not take them."""
        return bool(self.pending) and self.untold == NEVER

    @property
    def told(self) -> tuple[int, int, int]:
        """The last sequence, frames and lines that came, without those of which the disk is to know nothing yet."""
        if self.pending and self.untold != NEVER:
            head = self.pending[0].head
            return head.sequence - 1, head.frames, head.lines
        return self.last, self.frames, self.lines

    def after(self, segment: Segment | None) -> Segment | None:
        """The segment that follows on another one, which may be gone; None: there is none."""
        place = 0 if segment is None else bisect.bisect_right(self.segments, segment.first, key=_first)
        return self.segments[place] if place < len(self.segments) else None

    def holding(self, sequence: int) -> Segment | None:
        """The segment in which this sequence is if it is anywhere: the first one where that is newer."""
        place = max(0, bisect.bisect_right(self.segments, sequence, key=_first) - 1)
        return self.segments[place] if self.segments else None

    def waiting(self, sequence: int) -> Found | None:
        """The first frame from this sequence on that waits for the disk."""
        place = bisect.bisect_left(self.pending, sequence, key=_sequence)
        return self.pending[place] if place < len(self.pending) else None

    def locate(self, sequence: int, at: int) -> Found | None:
        """The frame of a sequence, which began at this byte of its segment if that is not negative; None: it is gone,
        or damaged."""
        found = self.waiting(sequence)
        if found is not None and found.head.sequence == sequence:
            return found
        segment = self.holding(sequence)
        if segment is None:
            return None
        found = segment.find(at) if at >= 0 else None
        if found is None or found.head.sequence != sequence:
            found = segment.scan(sequence)
        return found if found is not None and found.frame is not None else None

    def add(self, segment: Segment) -> None:
        """A new segment, to be written to; one at the end without a frame had its name, and is not there any more."""
        if self.segments and self.segments[-1].first == segment.first:
            self.segments.pop().forget("done")
        self.segments.append(segment)

    def lose(self, head: Head) -> None:
        """A frame that the disk did not take, and memory cannot keep."""
        self.losses.note(Loss("", "disk", head.sequence, head.sequence, head.holds, head.clock, head.clock))
        self.lost.add("disk", 1, head.holds)

    def remove_oldest(self, reason: str) -> None:
        """Let the oldest segment go, lost for this reason or "done"."""
        self.removing()
        segment = self.segments.pop(0)
        after = self.segments[0].first if self.segments else self.last + 1
        if reason != "done":
            self.was_lost(0, after, reason)
        try:
            segment.remove(reason)
        except OSError as error:
            log.warning("%s cannot be removed: %s", segment.path, error.strerror)

    def exchange(self, run: Sequence[Segment], into: Segment) -> None:
        """Another segment has the frames of these, which follow on each other. Walks through them know it already."""
        place = self.segments.index(run[0])
        self.segments[place:place + len(run)] = [into]
        for segment in run:
            segment.forget("merged")

    def why(self, sequence: int) -> str:
        """The reason for which a frame is not there any more; "": it should be."""
        return next((reason for first, below, reason in self._lost if first <= sequence < below), "")

    def was_lost(self, first: int, below: int, reason: str) -> None:
        """Remember why these sequences are not there."""
        self._lost.append((first, below, reason))

    @property
    def begin(self) -> tuple[int, int, int]:
        """The first sequence that there may be, and how many frames and lines were before it."""
        if self.segments:
            header = self.segments[0].header
            return header.first, header.frames, header.lines
        return self.last + 1, self.frames, self.lines

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(segment.size for segment in self.segments)


class Walk:
    """A place in the segments, from which one goes from frame to frame."""

    def __init__(self, shelf: Shelf, segment: Segment | None, at: int) -> None:
        """`at`: where in the segment; 0: at its begin."""
        self._shelf, self.segment, self.at = shelf, segment, max(at, segment.begin if segment is not None else 0)
        self._found: Found | None = None

    def peek(self) -> Found | None:
        """The next frame, across damage and segments; None: there is none yet."""
        if self._found is not None and self.segment is not None and not self.segment.gone:
            return self._found
        self._found = None
        if self.segment is None or self.segment.gone:
            self._enter(self._shelf.after(self.segment))
        while self.segment is not None:
            self._found = self.segment.find(self.at)
            if self._found is not None:
                return self._found
            following = self._shelf.after(self.segment)
            if following is None:
                return None
            self.segment.close()
            self._enter(following)
        return None

    def step(self) -> None:
        """Go past the frame that `peek` gave."""
        if self._found is not None:
            self.at = self._found.next
            self._found = None

    def _enter(self, segment: Segment | None) -> None:
        if segment is not None:
            self.segment, self.at = segment, segment.begin


def _first(segment: Segment) -> int:
    return segment.first


def _sequence(found: Found) -> int:
    return found.head.sequence
