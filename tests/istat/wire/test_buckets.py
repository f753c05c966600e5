"""Lines merged into buckets: whatever they are and in whatever order, of each counter and hour count, minimum and
maximum are what they were, the sum but for rounding; and what cannot be merged is the line that it was."""
from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadLine
from istat.wire.batches import MOST_LINES, MOST_TEXT
from istat.wire.buckets import LONGEST_LINE, Buckets, Piece, mergeable
from istat.wire.lines import Sample, parse_line

HOUR = 3600
CLOCK = 1325395000
MOST_ULPS = 1e-13       # of a few hundred doubles added in another order, as a share of their magnitudes


def merged(seconds: int, *frames: tuple[bytes, int]) -> list[Piece]:
    buckets = Buckets(seconds)
    for text, clock in frames:
        assert mergeable(text, clock)
        assert buckets.add(text, clock) == text.count(b"\n")
    rows = buckets.rows
    pieces = list(buckets.pieces())
    assert rows == sum(piece.lines for piece in pieces) and buckets.rows == 0
    return pieces


def text_of(pieces: list[Piece]) -> bytes:
    return b"".join(piece.text for piece in pieces)


class Sums:
    """What a server would know of lines: by name and hour; and the lines that it would not take."""

    def __init__(self) -> None:
        self.known: dict[tuple[bytes, int], list[float]] = {}
        self.others: Counter[bytes] = Counter()

    def add(self, text: bytes, clock: int) -> None:
        for line in text.splitlines():
            try:
                sample = parse_line(line)
            except BadLine:
                self.others[line] += 1
                continue
            assert isinstance(sample, Sample)
            if not self.add_sample(sample, clock):
                self.others[line] += 1

    def add_sample(self, sample: Sample, clock: int) -> bool:
        time = clock if sample.time is None else sample.time
        if sample.count <= 0 or sample.min > sample.max or time < 0:
            return False
        key = sample.name, time // HOUR
        count, total, size, low, high = self.known.get(key, [0, 0.0, 0.0, math.inf, -math.inf])
        self.known[key] = [count + sample.count, total + sample.sum, size + abs(sample.sum),
                           min(low, sample.min), max(high, sample.max)]
        return True


def same(before: Sums, after: Sums) -> None:
    assert after.others == before.others
    assert after.known.keys() == before.known.keys()
    for key, (count, total, size, low, high) in before.known.items():
        found = after.known[key]
        assert (found[0], *found[3:]) == (count, low, high), key
        assert found[1] == pytest.approx(total, abs=size * MOST_ULPS, rel=0)


NAMES = st.sampled_from([b"a", b"A", b"*a", b"b^x^y", b"disk.sda1^host.web1^", b"**c"])
VALUES = st.one_of(st.integers(-10**6, 10**6), st.floats(allow_nan=False, allow_infinity=False, width=32))
TIMES = st.integers(CLOCK - 2 * HOUR, CLOCK + 60)


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    name, kind = draw(NAMES), draw(st.integers(0, 9))
    if kind < 3:
        return b"%b %b" % (name, repr(draw(VALUES)).encode())
    if kind < 6:
        return b"%b\t%d.5 %b\r" % (name, draw(TIMES), repr(draw(VALUES)).encode())
    if kind < 8:
        values = draw(st.lists(VALUES, min_size=1, max_size=3))
        squares = float(sum(value * value for value in values))
        return b"%b %d %b %b %b %b %d" % (name, draw(TIMES), *(repr(number).encode() for number in (
            sum(values), squares, min(values), max(values))), len(values))
    return draw(st.sampled_from([b"a nan", b"a 5 nan", b"b 1 2 3", b"a -5 7", b"x 1e999", b"*a 1325395000 5 0 0 0 0",
                                 b"a 1325395000 5 0 9 1 3", b"a 1325395000 x"]))


FRAMES = st.lists(st.tuples(st.lists(lines(), min_size=1, max_size=12), st.integers(CLOCK - 7200, CLOCK + 7200)),
                  min_size=1, max_size=12)


@given(frames=FRAMES, seconds=st.sampled_from([60, 300, 3600]), again=st.booleans())
def test_hours_are_what_they_were(frames: list[tuple[list[bytes], int]], seconds: int, again: bool) -> None:
    texts = [(b"".join(line + b"\n" for line in some), clock) for some, clock in frames]
    before, after = Sums(), Sums()
    for text, clock in texts:
        # One that is not taken keeps its meaning when it has the time of its frame.
        before.add(b"".join(b"a %d nan\n" % clock if line == b"a nan" else b"x %d 1e999\n" % clock
                            if line == b"x 1e999" else line + b"\n" for line in text.split(b"\n")[:-1]), clock)
    pieces = merged(seconds, *texts)
    assert sum(piece.stands for piece in pieces) == sum(text.count(b"\n") for text, _clock in texts)
    if again:       # as with what was merged to minutes before
        pieces = merged(HOUR, *((piece.text, 5) for piece in pieces))
    after.add(text_of(pieces), 5)       # a clock that no line needs
    same(before, after)


def test_samples_of_one_bucket_are_one_line() -> None:
    (piece,) = merged(60, (b"a 5\nb 1\n*e 2\n", 1020), (b"a 1030 7.5\n*e 3\n", 1031), (b"a 1085 1 1 1 1 1\n", 1090))
    assert piece.text == (b"a 1020 12.5 81.25 5 7.5 2\n" b"b 1020 1\n" b"*e 1020 5 13 2 3 2\n"
                          b"a 1085 1 1 1 1 1\n")
    assert (piece.lines, piece.stands) == (4, 6)


def test_the_oldest_bucket_is_first() -> None:
    (piece,) = merged(60, (b"a 5\n", 1320), (b"a 6\n", 1200), (b"a 120 7\na 121 7\n", 1320))
    assert piece.text == b"a 120 14 98 7 7 2\na 1200 6\na 1320 5\n"


@pytest.mark.parametrize("seconds", [60, 300, 3600])
@pytest.mark.parametrize("time", [0, 1, 58, 59, 60, 3599, 3600])
def test_the_first_buckets_of_all_times_are_buckets_like_others(seconds: int, time: int) -> None:
    """A machine without a clock begins at 0."""
    (piece,) = merged(seconds, (b"a %d 5\na %d 7\n" % (time, time), 1_700_000_000))
    assert piece.text == b"a %d 12 74 5 7 2\n" % (time - time % seconds)


def test_what_was_merged_merges_again() -> None:
    minutes = merged(60, *((b"a %d\n" % value, 7200 + 10 * value) for value in range(60)))
    assert minutes[0].lines == 10
    (piece,) = merged(3600, (minutes[0].text, 7800))
    assert piece.text == b"a 7200 1770 70210 0 59 60\n"


def test_numbers_beyond_all_sums_stay_lines() -> None:
    (piece,) = merged(60, (b"a 1e200\na 2e200\na 3\n", 1020), (b"b 1.5e308\nb 1e308\n", 1020))
    assert piece.text.splitlines() == [b"a 1020 1e200", b"b 1020 1.5e308", b"a 1020 2e200", b"a 1020 3",
                                       b"b 1020 1e308"]


def test_counts_do_not_outgrow_a_line() -> None:
    line = b"a 1020 %d 0 0 0 %d\n" % (0, 10**17)
    (piece,) = merged(60, (line * 20, 1020))
    assert piece.text == line * 20


def test_pieces_fit_into_frames() -> None:
    pieces = merged(60, *((b"".join(b"n%d 1\n" % number for number in range(first, first + 4000)), 1020)
                          for first in range(0, 20_000, 4000)))
    assert all(len(piece.text) <= MOST_TEXT and piece.lines <= MOST_LINES for piece in pieces)
    assert all(len(one.text) > MOST_TEXT - 100 or one.lines == MOST_LINES for one, _ in pairwise(pieces))
    assert sorted(text_of(pieces).splitlines()) == sorted(b"n%d 1020 1" % number for number in range(20_000))


def test_what_is_not_mergeable() -> None:
    assert mergeable(b"a 1\n", 0) and mergeable(b"a 1\n" * 5000, 5)
    assert not mergeable(b"a 1\n", -1)
    assert not mergeable(b"b 1\n" + b"a" * LONGEST_LINE + b" 1\n", 5)
