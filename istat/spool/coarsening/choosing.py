"""Which segments of a spool are merged next, and into buckets of how many seconds. Knows no frames and no groups.

What waits is finest at its end: of the bytes that a spool may have each step keeps a share, beyond which its oldest
segments go on to the next one. So detail is kept for as long as there is room for it; where hours have more than what
the shares leave, all else goes on, as what does not fit even so is lost.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from istat.spool.segments import Segment

#: Seconds of the buckets, in steps: 1 min, 5 min, 1 h.
STEPS = (60, 300, 3600)
HOURS = STEPS[-1]
# In eighths of the spool's bytes: samples as they came, minutes, five minutes. What is left is for hours: a fortnight
# of 300 counters in 20 MB.
_SHARES = {0: 3, STEPS[0]: 2, STEPS[1]: 1}
_EIGHTHS = 8
# So many small segments of one step in a row are joined, with the same buckets: each is a file.
_MANY = 32
_SMALL = 16             # such a part of a segment


class Choice(NamedTuple):
    """Segments that follow on each other, to be merged into buckets of so many seconds."""

    run: list[Segment]
    seconds: int


def due(size: int, most: int, segment_bytes: int) -> bool:
    """Whether a spool of this size should be made smaller: time must be left for it before it is full [bytes]."""
    return size > most - 2 * segment_bytes


def choose(segments: Sequence[Segment], most: int, segment_bytes: int, old_before: float,
           busy: Callable[[Segment], bool]) -> Choice | None:
    """What is next; None: nothing. The last segment is the one that is written to. With the seconds that its segments
    have already it is only to be joined.

    most: bytes that the spool may have. old_before [Unix s]: what ended before is merged into hours. busy: whether a
    group is at work in a segment, which is taken last.
    """
    closed = [segment for segment in segments[:-1] if segment.begin]    # a damaged header says not enough
    old = [segment for segment in closed if segment.ended < old_before and segment.coarse < HOURS]
    found = _run(segments, old, segment_bytes, busy)
    if found:
        return Choice(found, HOURS)
    found = _many(segments, closed, segment_bytes, busy)
    if found:
        return Choice(found, found[0].coarse)
    size = sum(segment.size for segment in segments)
    if not due(size, most, segment_bytes):
        return None
    for (coarse, share), seconds in zip(_SHARES.items(), STEPS, strict=True):
        if sum(segment.size for segment in segments if segment.coarse == coarse) > most * share // _EIGHTHS:
            found = _run(segments, [segment for segment in closed if segment.coarse == coarse], segment_bytes, busy)
            if found:
                return Choice(found, seconds)
    if size <= most - segment_bytes:
        return None
    for coarse, seconds in reversed([*zip(_SHARES, STEPS, strict=True)]):
        found = _run(segments, [segment for segment in closed if segment.coarse == coarse], segment_bytes, busy)
        if found:
            return Choice(found, seconds)
    return None


def _many(segments: Sequence[Segment], closed: Sequence[Segment], segment_bytes: int,
          busy: Callable[[Segment], bool]) -> list[Segment]:
    """Small ones to be joined, of one step; none where there are few."""
    for seconds in STEPS:
        small = [segment for segment in closed if segment.coarse == seconds and segment.size < segment_bytes // _SMALL]
        while len(small) >= _MANY:
            found = _run(segments, small, segment_bytes, busy)
            if len(found) > 1:
                return found
            small = [segment for segment in small if segment not in found]      # it stands alone
    return []


def _run(segments: Sequence[Segment], wanted: Sequence[Segment], most: int,
         busy: Callable[[Segment], bool]) -> list[Segment]:
    """The oldest of these that follow on each other, about `most` bytes: fewer would leave more parts of buckets."""
    found: list[Segment] = []
    size, after = 0, -1
    free = [segment for segment in wanted if not busy(segment)]
    for segment in free or wanted:
        place = segments.index(segment)
        if size >= most or found and place != after:
            break
        found.append(segment)
        size, after = size + segment.size, place + 1
    return found
