"""A run of segments written anew into one, aside, with their lines merged into buckets. Knows no groups.

Frames that may have been sent, that are for one group alone, or that are coarser already, stand there as they are, and
none is merged with another across a place where some group is. A merged frame has a sequence of one that it is made of,
and the last one of a portion its last: so whatever is left of the old segments by a kill is known to be older. How many
frames and lines were before a frame stays true, so that what is missing between two of them is still counted.
"""
from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate

from istat.access import ondisk
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.spool.frames import HEAD_BYTES, Frame, Header, encode, header_bytes
from istat.spool.segments import ASIDE, Found, Segment
from istat.wire.buckets import Buckets, Piece, mergeable

LINES_AT_ONCE = 2048        # between two turns of others: some 5 ms,
# where a frame costs as much as so many lines, and more by its size: there may be one line in each.
FRAME_COSTS = 8
_COPIED_AS_A_LINE = 1024    # [bytes]
# A portion is merged at once, and ends where a bucket does once it has this [bytes],
PORTION = 1 << 20
# and at the latest when it has this, so many frames, or would leave so many lines: memory is bounded by all of them.
MOST_PORTION = 4 << 20
MOST_FRAMES = 4096
MOST_ROWS = 1 << 16


class Rewriting:
    """One run. `steps` does it; then `segment` is the new one, whose file `aside` is still to be synced and renamed."""

    def __init__(self, run: Sequence[Segment], header: Header, nexts: Collection[int], alone: Collection[int]) -> None:
        """header: of the new segment. nexts: sequences before which a portion ends. alone: those that stay."""
        self.run = list(run)
        self.header = header
        self.aside = run[0].path.with_name(run[0].path.name + ASIDE)
        self.handle = -1            # of `aside`; whoever takes it sets this
        self.merged = 0             # lines fewer than before
        self.places: dict[int, int] = {}        # of those that stay alone: where they are in the new file
        self._nexts, self._alone = sorted(nexts), frozenset(alone)
        self._buckets = Buckets(header.coarse)
        self._portion: list[tuple[Segment, Found]] = []
        self._bytes = 0             # of the portion
        self._worked = 0            # lines since others had their turn
        self._size = 0              # of the new file

    @property
    def segment(self) -> Segment:
        """The new segment, once its file has its name."""
        segment = Segment(self.run[0].path, self.header, len(header_bytes(self.header)), self._size)
        segment.ended = self.run[-1].ended
        return segment

    @property
    def saved(self) -> int:
        """Bytes fewer than before."""
        return sum(segment.size for segment in self.run) - self._size

    def steps(self) -> Iterator[None]:
        """Write the new file, a few milliseconds at a time. OSError where that cannot be, or the old ones cannot be
        read."""
        self.handle = ownfiles.descriptor(self.aside, os.O_WRONLY | os.O_TRUNC, Use.WRITTEN, ondisk.private)
        self._write(header_bytes(self.header))
        for segment in self.run:
            at = segment.begin
            while (found := segment.find(at, strict=True)) is not None:
                at = found.next
                yield from self._take(segment, found)
        yield from self._end_portion()
        for segment in self.run:
            segment.close()

    def abandon(self) -> None:
        """Let go of what was written."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        self.aside.unlink(missing_ok=True)      # also where somebody else syncs it
        for segment in self.run:
            segment.close()

    # -- frames

    def _take(self, segment: Segment, found: Found) -> Iterator[None]:
        frame = found.frame
        if frame is None:       # damaged: it is missing between those before and behind it, and is counted so
            yield from self._turn(found)
            return
        if not self._merges(found, frame):
            yield from self._end_portion()
            if frame.sequence in self._alone:
                self.places[frame.sequence] = self._size
            self._write(segment.raw(found))
            yield from self._turn(found)
            return
        if self._portion and self._ends_before(found):
            yield from self._end_portion()
        self._portion.append((segment, found))
        self._bytes += found.next - found.at
        yield from self._turn(found, self._buckets.add(frame.text, frame.clock))

    def _turn(self, found: Found, lines: int = 0) -> Iterator[None]:
        """Give others their turn when enough was done: a frame more, of which so many lines were merged."""
        self._worked += FRAME_COSTS + (found.next - found.at) // _COPIED_AS_A_LINE + lines
        if self._worked >= LINES_AT_ONCE:
            self._worked = 0
            yield

    def _merges(self, found: Found, frame: Frame) -> bool:
        return not (found.head.only or frame.sequence in self._alone or frame.interval > self.header.coarse
                    or not frame.text.endswith(b"\n")) and mergeable(frame.text, frame.clock)

    def _ends_before(self, found: Found) -> bool:
        """Whether the portion must not have this frame, or is better ended before it."""
        before, head = self._portion[-1][1], found.head
        frames, lines = before.stands
        if (head.frames, head.lines) != (before.head.frames + frames, before.head.lines + lines):
            return True         # something is missing between them
        if any(before.head.sequence < one <= head.sequence for one in self._nexts):
            return True
        other = before.head.clock // self.header.coarse != head.clock // self.header.coarse
        return (other and self._bytes >= PORTION or self._bytes >= MOST_PORTION or len(self._portion) >= MOST_FRAMES
                or self._buckets.rows >= MOST_ROWS)

    def _end_portion(self) -> Iterator[None]:
        """Write what the portion was merged to, or as it was where that is not less."""
        portion, size = self._portion, self._bytes
        pieces: list[Piece] = []
        for piece in self._buckets.pieces():
            pieces.append(piece)
            yield
        self._portion, self._bytes = [], 0
        if 0 < len(pieces) <= len(portion) and sum(len(one.text) + HEAD_BYTES for one in pieces) < size:
            self._write_merged(portion, pieces)
            return
        for segment, found in portion:
            self._write(segment.raw(found))
            yield from self._turn(found)

    def _write_merged(self, portion: Sequence[tuple[Segment, Found]], pieces: Sequence[Piece]) -> None:
        """Frames in place of those of a portion, of which they take the last sequences."""
        found = [one for _segment, one in portion]
        frames, lines = (sum(numbers) for numbers in zip(*(one.stands for one in found), strict=True))
        head = found[0].head
        # Which of the frames one of them was made of is not known: each has its part of their number.
        ends = [frames * number // len(pieces) for number in range(1, len(pieces) + 1)]
        lasts = [*list(accumulate(piece.stands for piece in pieces))[:-1], lines]
        begin = done = 0
        for piece, one, end, last in zip(pieces, found[-len(pieces):], ends, lasts, strict=True):
            frame = Frame(one.head.sequence, head.clock, self.header.coarse, piece.lines, piece.text,
                          stands=(end - begin, max(0, last - done)))
            _head, data = encode(self.header.salt, frame, head.frames + begin, head.lines + done)
            self._write(data)
            begin, done = end, max(done, last)
        self.merged += sum(one.head.holds for one in found) - sum(piece.lines for piece in pieces)

    def _write(self, data: bytes) -> None:
        at = self._size
        self._size += len(data)
        while data:
            done = os.pwrite(self.handle, data, at)
            data, at = data[done:], at + done
