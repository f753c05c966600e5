"""Which segments of a spool are merged next: detail stays for as long as there is room for it."""
from __future__ import annotations

from pathlib import Path

import pytest

from istat.spool.coarsening.choosing import choose, due
from istat.spool.frames import Header
from istat.spool.segments import Segment

PART = 1000
MOST = 8 * PART


def spool(*told: tuple[int, int]) -> list[Segment]:
    """Segments of (bytes, seconds of their buckets), the oldest first; each ended as many seconds after 0."""
    made = []
    for number, (size, coarse) in enumerate(told):
        header = Header(1, bytes(16), 1, 100 * number + 1, 0, 0, number, {}, coarse, 100 if coarse else 0)
        made.append(Segment(Path(f"{number}"), header, 80, size))
    return made


def next_of(segments: list[Segment], old_before: float = float("-inf"),
            busy: tuple[int, ...] = ()) -> tuple[list[int], int] | None:
    choice = choose(segments, MOST, PART, old_before, lambda segment: segments.index(segment) in busy)
    return None if choice is None else ([segments.index(one) for one in choice.run], choice.seconds)


def test_nothing_while_there_is_room() -> None:
    assert not due(6 * PART, MOST, PART) and due(6 * PART + 1, MOST, PART)
    assert next_of(spool(*[(1000, 0)] * 6)) is None


@pytest.mark.parametrize(("told", "expected"), [
    ([(1000, 0)] * 7, ([0], 60)),
    ([(400, 0)] * 17, ([0, 1, 2], 60)),                                             # as after many starts
    ([(1000, 60)] * 3 + [(1000, 0)] * 4, ([3], 60)),                                # the finest first
    ([(700, 60)] * 5 + [(1000, 0)] * 3, ([0, 1], 300)),
    ([(300, 300)] * 4 + [(650, 60)] * 3 + [(1000, 0)] * 3 + [(1, 0)], ([7], 60)),
    ([(300, 300)] * 7 + [(650, 60)] * 3 + [(900, 0)] * 3, ([0, 1, 2, 3], 3600)),
    ([(3000, 3600), (900, 300), (1900, 60), (900, 0), (1, 0)], None),               # detail stays as there is room,
    ([(4500, 3600), (900, 300), (1900, 60), (900, 0)], ([1], 3600)),                # and goes before hours do
    ([(5500, 3600), (1900, 60), (900, 0)], ([1], 300)),
    ([(7500, 3600), (400, 0), (900, 0)], ([1], 60)),
    ([(9000, 3600), (900, 0)], None),                                               # then the oldest go
])
def test_what_has_more_than_its_share_goes_on(told: list[tuple[int, int]], expected: object) -> None:
    assert next_of(spool(*told)) == expected


def test_where_a_group_is_at_work_is_taken_last() -> None:
    segments = spool(*[(1000, 0)] * 7)
    assert next_of(segments, busy=(0, 1)) == ([2], 60)
    assert next_of(segments, busy=tuple(range(7))) == ([0], 60)


def test_what_is_old_goes_into_hours_at_once() -> None:
    segments = spool((600, 3600), (600, 60), (600, 0), (600, 0), (600, 0))
    assert next_of(segments, old_before=3) == ([1, 2], 3600)
    assert next_of(segments, old_before=1) is None


def test_many_small_ones_are_joined() -> None:
    assert next_of(spool(*[(10, 60)] * 31, (10, 0))) is None
    assert next_of(spool(*[(10, 60)] * 40, (10, 0))) == (list(range(40)), 60)
    assert next_of(spool((10, 60), (900, 60), *[(10, 60)] * 40, (10, 0))) == (list(range(2, 42)), 60)
    assert next_of(spool(*[(10, 60), (90, 60)] * 40, (10, 0))) is None


def test_neither_the_last_nor_one_with_a_damaged_header() -> None:
    segments = spool(*[(1000, 0)] * 7)
    segments[0].begin = 0
    assert next_of(segments) == ([1], 60)
    assert next_of(spool((9000, 0))) is None
