"""Columns: merging, reducing and filling rows; the twin says what is right, both builds must say the same."""

from __future__ import annotations

import math
import struct
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat import kernels

TWIN = kernels.implementation("python").columns


def _builds() -> list[ModuleType]:
    try:
        return [TWIN, kernels.implementation("native").columns]
    except ImportError:
        return [TWIN]


BUILDS = _builds()
each_build = pytest.mark.parametrize("build", BUILDS, ids=lambda module: module.__name__.split(".")[2])

doubles = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(1, 2**63 - 1) | st.integers(1, 5)


@st.composite
def a_row(draw: st.DrawFn) -> tuple[int, int, float, float, float, float]:
    low, high = sorted((draw(doubles), draw(doubles)))
    m2 = abs(draw(doubles)) if low != high else 0.0
    return (draw(st.integers(-40, 40)) * 10, draw(counts), draw(doubles), m2, low, high)


rows_of_any_kind = st.lists(a_row(), max_size=40)


def bits(rows: list[tuple[int, int, float, float, float, float]]) -> bytes:
    """The rows as bytes: equality that tells -0.0 from 0.0."""
    return b"".join(struct.pack("<qqdddd", *row) for row in rows)


def single(time: int, value: float) -> tuple[int, int, float, float, float, float]:
    return (time, 1, value, 0.0, value, value)


@each_build
def test_a_bucket_of_single_samples_has_their_statistics(build: ModuleType) -> None:
    columns = build.Columns.from_rows([single(10, 5.0), single(10, 7.25), single(10, 1000.0)])
    columns.fold(False)
    [(time, count, total, m2, low, high)] = columns.rows()
    assert (time, count, total, low, high) == (10, 3, 1012.25, 5.0, 1000.0)
    assert math.sqrt(m2 / (count - 1)) == pytest.approx(573.815, abs=1e-3)


@each_build
def test_equal_samples_have_no_deviation(build: ModuleType) -> None:
    columns = build.Columns.from_rows([single(10, 0.1)] * 3)
    columns.fold(False)
    assert columns.row(0)[3] == 0.0


@each_build
def test_fold_sorts_and_keeps_the_order_of_equal_times(build: ModuleType) -> None:
    columns = build.Columns.from_rows([single(20, 1.0), single(10, 2.0), single(20, 3.0), single(10, 4.0)])
    columns.fold(False)
    assert [(row[0], row[2]) for row in columns.rows()] == [(10, 6.0), (20, 4.0)]


@each_build
def test_event_totals_add_and_become_rates(build: ModuleType) -> None:
    columns = build.Columns.from_rows([single(0, 10.0), single(0, 10.0), single(0, 10.0), single(10, 100.0)])
    columns.fold(True)
    columns.rates(10)
    assert columns.rows() == [single(0, 3.0), single(10, 10.0)]


@each_build
def test_reducing_event_rates_counts_missing_buckets_as_zeros(build: ModuleType) -> None:
    """istatd's own example: 3/s, 10/s, 10/s, 10/s within five minutes."""
    rates = build.Columns.from_rows([single(0, 3.0), single(60, 10.0), single(120, 10.0), single(180, 10.0)])
    [(time, count, total, m2, low, high)] = rates.reduce(0, 300, 30).rows()
    assert (time, count, total, low, high) == (0, 30, 33.0, 0.0, 10.0)
    assert math.sqrt(m2 / 29) == pytest.approx(3.0665, abs=1e-4)


@each_build
def test_reduce_groups_from_its_start_and_leaves_gaps_out(build: ModuleType) -> None:
    rows = [single(100 + 10 * i, 11.0 + i) for i in range(10)] + [
        single(300 + 10 * i, 31.0 + i) for i in range(6)
    ]
    reduced = build.Columns.from_rows(rows).reduce(0, 60)
    assert [(r[0], r[1], r[2]) for r in reduced.rows()] == [
        (60, 2, 23.0),
        (120, 6, 93.0),
        (180, 2, 39.0),
        (300, 6, 201.0),
    ]


@each_build
def test_fill_zero_gives_every_step(build: ModuleType) -> None:
    filled = build.Columns.from_rows([single(0, 1.0), single(20, 2.0), single(90, 9.0)]).fill_zero(
        0, 40, 10, 1
    )
    assert filled.rows() == [single(0, 1.0), single(10, 0.0), single(20, 2.0), single(30, 0.0)]


@each_build
def test_direct_totals_are_added_to_rates(build: ModuleType) -> None:
    rates = build.Columns.from_rows([(300, 30, 33.0, 270.0, 0.0, 10.0)])
    rates.add_direct(build.Columns.from_rows([single(300, 300.0), single(600, 60.0)]), 300, 10)
    assert rates.rows() == [(300, 30, 63.0, 270.0, 1.0, 11.0), (600, 30, 6.0, 0.0, 0.2, 0.2)]


@each_build
def test_nothing_overflows_into_infinity(build: ModuleType) -> None:
    huge = 1.7e308
    columns = build.Columns.from_rows([single(0, huge), single(0, huge), single(0, -huge)])
    columns.fold(False)
    assert all(math.isfinite(value) for value in columns.row(0))
    counts = build.Columns.from_rows([(0, 2**63 - 1, 1.0, 0.0, 1.0, 1.0)] * 2)
    counts.fold(False)
    assert counts.row(0)[1] == 2**63 - 1


@each_build
def test_rates_of_two_sources_add_and_the_count_stays(build: ModuleType) -> None:
    columns = build.Columns.from_rows([(300, 30, 33.0, 4.0, 0.0, 10.0), (0, 30, 1.0, 0.0, 0.0, 1.0)])
    columns.extend(build.Columns.from_rows([(300, 30, 60.0, 0.5, 2.0, 2.0)]))
    columns.fold_rates()
    assert columns.rows() == [(0, 30, 1.0, 0.0, 0.0, 1.0), (300, 30, 93.0, 4.5, 2.0, 12.0)]


@each_build
def test_mistakes_are_python_errors(build: ModuleType) -> None:
    columns = build.Columns()
    with pytest.raises(IndexError):
        columns.row(0)
    with pytest.raises(OverflowError):
        columns.append(2**63, 1, 0.0, 0.0, 0.0, 0.0)
    for wrong in (
        lambda: columns.rates(0),
        lambda: columns.reduce(0, 0),
        lambda: columns.fill_zero(0, 1, 0, 1),
    ):
        with pytest.raises(ValueError):
            wrong()


@settings(max_examples=300)
@given(rows_of_any_kind, rows_of_any_kind, st.booleans(), st.integers(1, 90), st.integers(-200, 200))
def test_both_builds_give_the_same_bits(
    rows: list, other: list, event: bool, interval: int, start: int
) -> None:
    if len(BUILDS) < 2:
        pytest.skip("native kernels are not built")
    results = []
    for build in BUILDS:
        columns = build.Columns.from_rows(rows)
        columns.extend(build.Columns.from_rows(other))
        seen = [bits(columns.slice(start, start + 100).rows())]
        columns.fold(event)
        seen.append(bits(columns.rows()))
        seen.append(bits(columns.reduce(start, interval).rows()))
        seen.append(bits(columns.reduce(start, interval, 12).rows()))
        seen.append(bits(columns.fill_zero(start, start + 200, interval, 3).rows()))
        columns.rates(interval)
        columns.add_direct(build.Columns.from_rows(other), interval * 3, interval)
        seen.append(bits(columns.rows()))
        columns.extend(build.Columns.from_rows(other))
        columns.fold_rates()
        seen.append(bits(columns.rows()))
        results.append(seen)
    assert results[0] == results[1]
