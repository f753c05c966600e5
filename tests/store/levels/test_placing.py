"""Placing an archive's buckets: every bucket comes out as it was in the source, whatever the levels of either."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat.kernels import columns
from istat.retention import Ladder
from istat_server.store.levels.placing import Archive, Limits, Placed, place, total_of

T = 1325394000
LADDER = Ladder.parse("10s:1h,5m:1d,1h:10d")
NOW = T + 3 * 3600
LIMITS = Limits(tuple(NOW - level.keep for level in LADDER.levels), NOW + 10)
Row = tuple[int, int, float, float, float, float]


def archive(interval: int, *rows: Row) -> Archive:
    return Archive(interval, columns.Columns.from_rows(rows))


def answered(placed: Placed, level: int, event: bool) -> dict[int, Row]:
    """What the store answers of a level: fine rows reduced, settled rows added."""
    rows: Any = columns.Columns()
    rows.extend(placed.fine)
    step = LADDER.levels[level].interval
    if event:
        rows.rates(10)
    if level:
        rows = rows.reduce(0, step, step // 10 if event else 0)
        rows.extend(placed.settled.get(level, columns.Columns()))
        if event:
            rows.fold_rates()
        else:
            rows.fold(False)
    return {row[0]: row for row in rows.rows()}


def single(time: int, value: float) -> Row:
    return (time, 1, value, 0.0, value, value)


def test_young_rows_are_fine_and_older_ones_are_settled_at_every_level_that_holds_them() -> None:
    placed = place(False, [archive(10, *(single(NOW - age, age) for age in (7200, 7190, 60, 50)))], LADDER, LIMITS)
    assert [row[2] for row in placed.fine.rows()] == [60, 50]
    assert [row[:3] for row in placed.settled[1].rows()] == [(NOW - 7200, 2, 14390.0)]
    assert [row[:3] for row in placed.settled[2].rows()] == [(NOW - 7200, 2, 14390.0)]
    assert placed.taken == 4


def test_what_no_level_holds_is_refused_and_counted() -> None:
    rows = [single(-10, 1.0), single(NOW - 11 * 86400, 1.0), single(NOW - 60, 2.0), single(NOW + 20, 3.0)]
    placed = place(False, [archive(10, *rows)], LADDER, LIMITS)
    assert placed.refused == {"from_past": 2, "from_future": 1} and placed.taken == 1


def test_only_the_residue_of_a_coarse_bucket_is_settled() -> None:
    """The fine ring has lost two of four samples; the coarse bucket has all."""
    fine = archive(10, single(NOW - 300, 5.0), single(NOW - 200, 7.0))
    coarse = archive(300, (NOW - 300, 4, 30.0, 53.0, 2.0, 16.0))
    placed = place(False, [coarse, fine], LADDER, LIMITS)
    [(time, count, total, m2, low, high)] = placed.settled[1].rows()
    assert (time, count, total, low, high) == (NOW - 300, 2, 18.0, 2.0, 16.0)
    whole = answered(placed, 1, False)[NOW - 300]
    assert whole[:3] + whole[4:] == (NOW - 300, 4, 30.0, 2.0, 16.0)
    assert whole[3] == pytest.approx(53.0)
    assert answered(placed, 2, False)[NOW - NOW % 3600 - 3600][:3] == (NOW - 3600, 4, 30.0)


def test_a_coarse_bucket_that_the_finer_ones_explain_settles_nothing() -> None:
    fine = archive(10, single(NOW - 300, 5.0), single(NOW - 200, 7.0))
    placed = place(False, [fine, archive(300, (NOW - 300, 2, 12.0, 2.0, 5.0, 7.0))], LADDER, LIMITS)
    assert not placed.settled and placed.covered == 1


def test_event_rates_are_totals_at_the_finest_level() -> None:
    """istatd's example (4.4): 33 of rates in 30 fine buckets, two of them lost in the fine ring."""
    fine = archive(10, single(NOW - 300, 3.0), single(NOW - 240, 10.0))
    coarse = archive(300, (NOW - 300, 30, 33.0, 309 - 33**2 / 30, 0.0, 10.0))
    placed = place(True, [fine, coarse], LADDER, LIMITS)
    assert [row[:3] for row in placed.fine.rows()] == [(NOW - 300, 1, 30.0), (NOW - 240, 1, 100.0)]
    time, count, total, _m2, low, high = answered(placed, 1, True)[NOW - 300]
    assert (count, low, high) == (30, 0.0, 10.0) and total == pytest.approx(33.0, rel=1e-15)


def test_rates_of_other_intervals_keep_the_total() -> None:
    minute = archive(60, *((NOW - 600 + 60 * i, 6, 6 * 2.0, 0.0, 2.0, 2.0) for i in range(5)))
    placed = place(True, [minute], LADDER, LIMITS)
    assert placed.settled[1].rows() == [(NOW - 600, 30, 60.0, 0.0, 2.0, 2.0)]
    day = place(True, [archive(7200, (T, 1, 5.0, 0.0, 5.0, 5.0))], LADDER, LIMITS)
    assert [row[:3] for row in day.settled[2].rows()] == [(T, 360, 1800.0), (T + 3600, 360, 1800.0)]
    odd = place(True, [archive(15, *(single(NOW - 300 + 15 * i, 4.0) for i in range(20)))], LADDER, LIMITS)
    assert odd.settled[1].rows() == [(NOW - 300, 30, 120.0, 0.0, 4.0, 4.0)]


def test_events_far_coarser_than_our_levels_are_refused_and_counted() -> None:
    assert place(True, [archive(1 << 31, single(0, 1.0))], LADDER, LIMITS).refused["too_coarse"] == 1
    assert place(False, [archive(1 << 31, single(T, 1.0))], LADDER, LIMITS).settled[2].rows() == [single(T, 1.0)]
    with pytest.raises(ValueError):
        place(True, [archive(0, single(0, 1.0))], LADDER, LIMITS)


def test_of_what_is_known_only_the_rest_is_placed() -> None:
    held = {0: [single(NOW - 100, 1.0), (NOW - 90, 2, 6.0, 2.0, 2.0, 4.0)], 1: [(NOW - 300, 3, 7.0, 4.667, 1.0, 4.0)]}
    source = archive(10, single(NOW - 100, 1.0), (NOW - 90, 3, 11.0, 4.667, 2.0, 5.0), single(NOW - 80, 3.0))
    coarse = Archive(300, columns.Columns.from_rows([single(NOW - 600, 8.0), single(NOW - 300, 9.0)]), apart=True)
    placed = place(False, [source, coarse], LADDER, LIMITS, lambda level, start, end: columns.Columns.from_rows(
        row for row in held.get(level, []) if start <= row[0] < end))
    assert [row[:3] for row in placed.fine.rows()] == [(NOW - 90, 1, 5.0), (NOW - 80, 1, 3.0)]
    assert placed.settled[1].rows() == [single(NOW - 600, 8.0)]
    assert (placed.taken, placed.covered) == (3, 2)


def test_of_known_events_only_what_is_more_is_placed() -> None:
    held = [single(NOW - 100, 1.0), single(NOW - 90, 5.0), single(NOW - 80, 2.0)]
    source = archive(10, single(NOW - 100, 1.0), single(NOW - 90, 3.0), single(NOW - 80, 3.5))
    placed = place(True, [source], LADDER, LIMITS, lambda level, start, end: columns.Columns.from_rows(held))
    assert [row[:3] for row in placed.fine.rows()] == [(NOW - 80, 1, 15.0)]


@given(st.floats(0, 2.0**40, width=32))
def test_a_rate_of_24_bits_comes_out_as_it_was(rate: float) -> None:
    assert total_of(rate, 10) / 10 == rate


SAMPLE = st.tuples(st.integers(0, 1100), st.integers(-40, 1000))     # slot of 10 s, value


def short(value: float) -> float:
    """As 24 bits of mantissa, which is how istatd keeps min and max."""
    found: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return found


@settings(max_examples=200)
@given(st.lists(SAMPLE, min_size=1, max_size=60, unique_by=lambda pair: pair[0]),
       st.booleans(), st.integers(0, 1100), st.integers(0, 1100))
def test_a_store_whose_rings_overlap_comes_out_as_it_was(
    samples: list[tuple[int, int]], event: bool, lost: int, forgotten: int
) -> None:
    """A source with three levels of its own, whose fine ring begins at `lost` and whose middle one at `forgotten`."""
    start = NOW - 11000
    rows = sorted(single(start - start % 10 + 10 * slot, abs(value) if event else value) for slot, value in samples)
    whole = columns.Columns.from_rows(rows)
    levels = []
    for step, first in ((10, lost), (300, forgotten), (3600, 0)):
        parts = step // 10 if event and step > 10 else 0
        all_of = whole.reduce(0, step, parts) if step > 10 else whole
        levels.append(Archive(step, all_of.slice(start + 10 * first, 1 << 62)))
    placed = place(event, levels, LADDER, LIMITS)
    for number, level in enumerate(levels):
        found = answered(placed, number, event)
        for row in level.rows.slice(LIMITS.oldest[number], 1 << 62).rows():
            time, count, total, m2, low, high = found[row[0]]
            # A bucket at the edge of a ring may hold more here, from the finer ring, than its own level says.
            if row[0] - row[0] % 3600 >= LIMITS.oldest[number] and not event:
                assert (count, low, high) == (row[1], row[4], row[5])
            if event:
                assert (short(low), short(high)) == (short(row[4]), short(row[5]))
            assert math.isclose(total, row[2], rel_tol=1e-9, abs_tol=1e-6)
