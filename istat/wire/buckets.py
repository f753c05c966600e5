"""Lines merged into buckets: of each counter and span of time one line of seven words, as exact as all of them.

Count, minimum and maximum are those of the samples, the sum that of doubles added. Knows neither files nor counters:
names are what lines say, with their carets and stars. What cannot be merged stays the line it is: one that no grammar
takes, or that some counters would refuse, so that it spoils no other.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from istat.kernels import lines as kernel
from istat.wire.batches import MOST_LINES, MOST_TEXT

#: [bytes] A longer line has a name that no counter can have, and may be too long for a piece once it has a time.
LONGEST_LINE = 4096
_SAMPLE = kernel.CODES["SAMPLE"]
_NO_NAMES = b"#@$%&;:"
_MOST_TIME = 1 << 40        # [Unix s] what is beyond is refused by everybody
# Merged counts stay below what a line can say, however often they are merged.
_MOST_COUNT = 1 << 40
# How far a mean may be outside of minimum and maximum, as a share: rounding of sums; less than what a server takes.
_ROUNDING = 1e-6
_WHOLE = 1e15               # whole numbers below are written without a fraction


class Piece(NamedTuple):
    """Whole lines with their times: a frame's worth, and how many it is; of how many lines they were made."""

    text: bytes
    lines: int
    stands: int


class _Row:
    """A counter in a bucket. `line`: the only one that there was yet, with its time."""

    __slots__ = ("count", "high", "line", "lines", "low", "sum", "sumsq")

    def __init__(self, line: bytes, count: int, total: float, sumsq: float, low: float, high: float) -> None:
        self.line: bytes | None = line
        self.count, self.sum, self.sumsq, self.low, self.high, self.lines = count, total, sumsq, low, high, 1

    def merge(self, count: int, total: float, sumsq: float, low: float, high: float) -> bool:
        """Add some samples; False: the sums would be beyond all numbers, and nothing is added."""
        total, sumsq = self.sum + total, self.sumsq + sumsq
        if not math.isfinite(sumsq) or not math.isfinite(total):
            return False
        self.count += count
        self.sum, self.sumsq = total, sumsq
        if low < self.low:
            self.low = low
        if high > self.high:
            self.high = high
        self.lines += 1
        self.line = None
        return True

    def text(self, name: bytes, start: int) -> bytes:
        """As a line."""
        if self.line is not None:
            return self.line
        return b"%b %d %b %b %b %b %d" % (name, start, _number(self.sum), _number(self.sumsq), _number(self.low),
                                          _number(self.high), self.count)


def mergeable(text: bytes, clock: int) -> bool:
    """Whether Buckets takes these lines: none of them is too long, and their clock is a time."""
    return 0 <= clock < _MOST_TIME and (len(text) <= LONGEST_LINE or max(map(len, text.split(b"\n"))) <= LONGEST_LINE)


class Buckets:
    """Buckets of so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.rows = 0           # how many lines it will be
        self._seconds = seconds
        self._buckets: dict[int, dict[bytes, _Row]] = {}
        self._kept: list[bytes] = []

    def add(self, text: bytes, clock: int) -> int:
        """Take whole lines, which are `mergeable`; how many. `clock` [Unix s]: the time of those without one."""
        parse, seconds = kernel.parse, self._seconds
        lines = text.split(b"\n")
        lines.pop()
        start, bucket, kept = -seconds, {}, len(self._kept)     # no time is in that one
        for line in lines:
            parsed = parse(line, True)      # NaN is a mistake to some servers, and 0 to others
            if parsed[0] != _SAMPLE:
                self._kept.append(_with_time(line, clock))
                continue
            _code, name, words, time, total, sumsq, low, high, count = parsed   # type: ignore[misc]
            if time is None:
                time = clock
            elif not 0 <= time < _MOST_TIME or words == 7 and not _plausible(count, total, sumsq, low, high):
                self._kept.append(line)
                continue
            if not 0 <= time - start < seconds:
                start = time - time % seconds
                bucket = self._buckets.setdefault(start, {})
            row = bucket.get(name)
            if row is None:
                bucket[name] = _Row(_with_time(line, clock) if words == 2 else line, count, total, sumsq, low, high)
                self.rows += 1
            elif not row.merge(count, total, sumsq, low, high):
                self._kept.append(_with_time(line, clock))
        self.rows += len(self._kept) - kept
        return len(lines)

    def pieces(self) -> Iterator[Piece]:
        """All that came, the oldest bucket first, and forget it."""
        parts: list[bytes] = []
        size = stands = 0
        for text, lines in self._lines():
            if size + len(text) + 1 > MOST_TEXT or len(parts) == MOST_LINES:
                yield _piece(parts, stands)
                parts, size, stands = [], 0, 0
            parts.append(text)
            size, stands = size + len(text) + 1, stands + lines
        if parts:
            yield _piece(parts, stands)
        self._buckets, self._kept, self.rows = {}, [], 0

    def _lines(self) -> Iterator[tuple[bytes, int]]:
        for start in sorted(self._buckets):
            for name, row in self._buckets[start].items():
                yield row.text(name, start), row.lines
        for line in self._kept:
            yield line, 1


def _piece(parts: list[bytes], stands: int) -> Piece:
    return Piece(b"\n".join(parts) + b"\n", len(parts), stands)


def _with_time(line: bytes, clock: int) -> bytes:
    """A line that may have no time with that of its frame."""
    words = line.split()
    if len(words) != 2 or words[0][0] in _NO_NAMES:
        return line
    return b"%b %d %b" % (words[0], clock, words[1])


def _plausible(count: int, total: float, sumsq: float, low: float, high: float) -> bool:
    """Whether all counters take a pre-aggregated sample: gauges refuse what contradicts itself."""
    if not 0 < count < _MOST_COUNT or not low <= high or sumsq < 0.0:
        return False
    mean = total / count
    return low - abs(low) * _ROUNDING <= mean <= high + abs(high) * _ROUNDING


def _number(value: float) -> bytes:
    """A double as text from which it is read back."""
    return b"%d" % value if abs(value) < _WHOLE and value.is_integer() else repr(value).encode()
