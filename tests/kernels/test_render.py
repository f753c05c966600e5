"""Columns as JSON text: both builds, against a JSON parser and against each other."""

from __future__ import annotations

import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels import Implementation, implementation, native_missing

T = 1325394000
ROWS = [(T, 2, 12.25, 2.53125, 5.0, 7.25), (T + 10, 1, -0.5, 0.0, -0.5, -0.5), (T + 30, 4, 1e300, 0.0, 0.0, 1e300)]
anything = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
decimals = st.tuples(st.integers(-(10**12), 10**12), st.integers(0, 9)).map(lambda p: p[0] / 10 ** p[1])
near_powers = st.tuples(st.integers(-45, 60), st.sampled_from([1, 1 + 2**-52, 1 - 2**-53])).map(
    lambda p: 2.0 ** p[0] * p[1]
)
needs_native = pytest.mark.skipif(bool(native_missing()), reason="native kernels not built")


def column(kernels: Implementation, which: str, start: int, interval: int, points: int) -> list[float | None]:
    columns = kernels.columns.Columns.from_rows(ROWS)
    found: list[float | None] = json.loads(kernels.render.column(columns, which, start, interval, points))
    return found


@pytest.mark.parametrize(
    ("which", "first"),
    [("count", 2), ("sum", 12.25), ("avg", 6.125), ("min", 5), ("max", 7.25), ("sumsq", 77.5625)],
)
def test_every_field_of_the_first_row(kernels: Implementation, which: str, first: float) -> None:
    assert column(kernels, which, T, 10, 1) == [first]


def test_the_deviation_is_that_of_a_sample(kernels: Implementation) -> None:
    assert column(kernels, "sdev", T, 10, 2) == [pytest.approx(1.59099, abs=1e-5), 0]


@pytest.mark.parametrize(("row", "avg", "sumsq"), [
    ((T, 2, 1.7976931348623157e308, 0.0, 1e308, 1.7e308), 1e308, 1.7976931348623157e308),
    ((T, 2, -1.7976931348623157e308, 0.0, -1.7e308, -1e308), -1e308, 1.7976931348623157e308),
    ((T, 3, 0.30000000000000004, 0.0, 0.1, 0.1), 0.1, 0.030000000000000006),
    ((T, 2, 10.0, 0.0, 5.0001, 6.0), 5.0001, 50.0), ((T, 2, 10.0, 0.0, 5.1, 6.0), 5, 50.0),     # the latter are events
    ((T, 2, 0.0, 1.7976931348623157e308, -1e308, 1e308), 0, 1.7976931348623157e308)])
def test_an_average_is_never_outside_and_sums_of_squares_have_a_bound(kernels: Implementation, row: tuple[float, ...],
                                                                      avg: float, sumsq: float) -> None:
    columns = kernels.columns.Columns.from_rows([row])
    assert json.loads(kernels.render.column(columns, "avg", T, 10, 1)) == [avg]
    assert json.loads(kernels.render.column(columns, "sumsq", T, 10, 1)) == [pytest.approx(sumsq)]
    text = kernels.render.rows(columns, (b"[", b",", b"]"), ("avg", "sdev"), b"")
    assert json.loads(text)[0] == avg and json.loads(text)[1] < 1e309


def test_gaps_are_null_and_what_is_outside_is_left_out(kernels: Implementation) -> None:
    assert column(kernels, "avg", T - 10, 10, 6) == [None, 6.125, -0.5, None, 1e300 / 4, None]
    assert column(kernels, "avg", T + 10, 10, 2) == [-0.5, None]
    assert column(kernels, "avg", T + 1000, 10, 3) == [None] * 3
    assert column(kernels, "avg", T, 10, 0) == []


def test_of_several_rows_in_a_cell_the_first_counts(kernels: Implementation) -> None:
    assert column(kernels, "count", T, 20, 2) == [2, 4]


def test_far_times_and_starts_do_not_overflow(kernels: Implementation) -> None:
    columns = kernels.columns.Columns.from_rows([(-(2**62), 1, 1, 0, 1, 1), (2**62, 1, 2, 0, 2, 2)])
    assert kernels.render.column(columns, "sum", -(2**62), 10, 2) == b"[1,null]"
    assert kernels.render.column(columns, "sum", 2**62 - 10, 10, 2) == b"[null,2]"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, b"0"), (-0.0, b"0"), (1.0, b"1"), (-17.0, b"-17"), (0.1, b"0.1"), (-12.34, b"-12.34"),
        (1e-9, b"0.000000001"), (1 / 3, b"0.3333333333333333"), (2.0**53, b"9007199254740992"),
        (1e22, b"1e+22"), (math.nan, b"null"), (math.inf, b"null"), (-math.inf, b"null"), (5e-324, None),
    ],
)  # fmt: skip
def test_how_numbers_are_written(kernels: Implementation, value: float, text: bytes | None) -> None:
    written = kernels.render.number(value)
    assert written == text if text else float(written) == value


@given(anything | decimals | near_powers)
def test_numbers_come_back_exactly(value: float) -> None:
    for name in ["python"] if native_missing() else ["python", "native"]:
        text = implementation(name).render.number(value)
        assert len(text) < 80
        if math.isfinite(value):
            assert json.loads(text) == value
        else:
            assert text == b"null"


@needs_native
@given(st.lists(st.tuples(st.integers(0, 400), anything | decimals | near_powers, st.integers(0, 9)), max_size=20))
def test_both_builds_write_the_same_bytes(samples: list[tuple[int, float, int]]) -> None:
    ordered = sorted(samples, key=lambda sample: sample[0])
    rows = [(time, count, value, abs(value), value, value) for time, value, count in ordered]
    texts = []
    for build in (implementation("python"), implementation("native")):
        columns = build.columns.Columns.from_rows(rows)
        texts.append(
            [build.render.column(columns, which, 50, 7, 40) for which in build.render.FIELDS]
            + [build.render.rows(columns, [b"(", b",", b")"], ["iso", "sdev"], b";")]
        )
    assert texts[0] == texts[1]


def test_rows_are_written_between_fixed_parts(kernels: Implementation) -> None:
    columns = kernels.columns.Columns.from_rows(ROWS[:2])
    written = kernels.render.rows(columns, [b"<", b" ", b">"], ["iso", "avg"], b"|")
    assert written == b"<2012-01-01T05:00:00Z 6.125>|<2012-01-01T05:00:10Z -0.5>"
    assert kernels.render.rows(columns, [b"", b""], ["time"], b",") == b"%d,%d" % (T, T + 10)
    assert kernels.render.rows(kernels.columns.Columns(), [b"", b""], ["time"], b",") == b""


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (0, b"1970-01-01T00:00:00Z"), (951782400, b"2000-02-29T00:00:00Z"), (4107542399, b"2100-02-28T23:59:59Z"),
        (-1, b"1969-12-31T23:59:59Z"), (10**15, b"9999-12-31T23:59:59Z"), (-(10**15), b"0000-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_dates(kernels: Implementation, when: int, text: bytes) -> None:
    columns = kernels.columns.Columns.from_rows([(when, 1, 0, 0, 0, 0)])
    assert kernels.render.rows(columns, [b"", b""], ["iso"], b"") == text


def test_wrong_questions_are_refused(kernels: Implementation) -> None:
    columns = kernels.columns.Columns()
    for which, interval, points in [("median", 10, 1), ("avg", 0, 1), ("avg", 10, -1), ("avg", 10, 10**9)]:
        with pytest.raises(ValueError, match="column|grid"):
            kernels.render.column(columns, which, 0, interval, points)
    with pytest.raises(ValueError, match="part"):
        kernels.render.rows(columns, [b""], ["time"], b"")
    with pytest.raises(ValueError, match="field"):
        kernels.render.rows(columns, [b"", b""], ["median"], b"")
