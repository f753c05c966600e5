"""Rows of many samples: coded jointly where they are decimals, small, the same in both builds, exact."""

from __future__ import annotations

import itertools
import math
import random
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.blocks.test_blocks import BUILDS, Row, bits, each_build, read, short, write


def reduced(build: Any, samples: list[float], parts: int = 30) -> list[Row]:
    """Buckets of 300 s (or more) of samples 10 s apart."""
    fine = build.columns.Columns.from_rows((10 * i, 1, v, 0.0, v, v) for i, v in enumerate(samples))
    return fine.reduce(0, 10 * parts).rows()  # type: ignore[no-any-return]


def gauge(draw: random.Random, n: int) -> list[float]:
    return [round(draw.gauss(50, 1.6), 2) for _ in range(n)]


def counter(draw: random.Random, n: int) -> list[float]:
    return list(itertools.accumulate(float(9000 + round(draw.gauss(0, 60))) for _ in range(n)))


def integers(draw: random.Random, n: int) -> list[float]:
    return [float(sum(draw.random() < 0.4 for _ in range(10))) for _ in range(n)]


def below_zero(draw: random.Random, n: int) -> list[float]:
    return [-v for v in gauge(draw, n)]


def jumps(draw: random.Random, n: int) -> list[float]:
    """Sometimes still, sometimes wide."""
    return [round(draw.choice([0, 0, 1, 1000]) * draw.random(), 3) if i // 90 % 2 else 7.5 for i in range(n)]


def floats(draw: random.Random, n: int) -> list[float]:
    return [draw.random() for _ in range(n)]


def one_float(draw: random.Random, n: int) -> list[float]:
    return [math.pi if i == n // 2 else float(i % 7) for i in range(n)]


def large(draw: random.Random, n: int) -> list[float]:
    return [draw.randrange(10**15) * 1e3 for _ in range(n)]


KINDS: list[Callable[[random.Random, int], list[float]]] = [
    gauge, counter, integers, below_zero, jumps, floats, one_float, large,
]  # fmt: skip
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def kept(row: Row) -> bytes:
    """All of a row but M2, as bytes."""
    return struct.pack("<qqddd", *row[:3], *row[4:])


@each_build
@each_kind
@pytest.mark.parametrize("rows", [1, 15, 16, 150])
def test_all_but_m2_comes_back_bit_for_bit_and_m2_to_24_bits(build: Any, kind: Any, rows: int) -> None:
    given = reduced(build, kind(random.Random(rows), 30 * rows))
    [(_, _, found)] = read(build, write(build, [(1, False, given)], 300), 300)
    assert list(map(kept, found)) == list(map(kept, given))
    assert all(abs(b[3] - a[3]) <= 2.0**-24 * a[3] and b[3] == short(b[3]) for a, b in zip(given, found))


@each_build
@each_kind
def test_coding_again_changes_nothing(build: Any, kind: Any) -> None:
    """A merge decodes and codes again, year after year."""
    rows = reduced(build, kind(random.Random(9), 30 * 40))
    once = read(build, write(build, [(1, False, rows)], 300), 300)
    twice = read(build, write(build, once, 300), 300)
    assert bits(twice[0][2]) == bits(once[0][2])


@pytest.mark.skipif(len(BUILDS) < 2, reason="native kernels are not built")
@each_kind
@pytest.mark.parametrize("parts", [2, 30, 360])
def test_both_builds_write_the_same_bytes(kind: Any, parts: int) -> None:
    draw = random.Random(parts)
    rows = reduced(BUILDS[0], kind(draw, parts * 60), parts)
    late = reduced(BUILDS[0], kind(draw, 40 * 7), 7)  # other counts, and gaps between them
    rows += [(10 * parts * 61 + row[0], *row[1:]) for row in late]
    runs = [(1, False, rows), (2, True, rows[::3]), (3, False, rows[:20])]
    written = [write(build, runs, 10) for build in BUILDS]
    assert list(map(tuple, written[0])) == list(map(tuple, written[1]))
    found = [read(build, written[0], 10) for build in BUILDS]
    assert [bits(rows) for _, _, rows in found[0]] == [bits(rows) for _, _, rows in found[1]]


@st.composite
def decimal_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of samples of one scale, some with a sum or an M2 that the samples do not have."""
    scale = 10.0 ** draw(st.integers(0, 6))
    samples = st.integers(-(10 ** draw(st.integers(1, 12))), 10 ** draw(st.integers(1, 12)))
    buckets = draw(st.lists(st.lists(samples, min_size=1, max_size=5), min_size=16, max_size=24))
    times = draw(st.integers(1, 3))
    rows = []
    for i, bucket in enumerate(buckets):
        mean = sum(bucket) / len(bucket)
        m2 = short(sum((v - mean) ** 2 for v in bucket) / scale / scale) if len(set(bucket)) > 1 else 0.0
        row = (10 * i, len(bucket) * times, sum(bucket) / scale, m2, min(bucket) / scale, max(bucket) / scale)
        rows.append(row)
    for at in draw(st.lists(st.integers(0, 15), max_size=2)):
        odd = draw(st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0))
        column = draw(st.sampled_from([2, 4, 5]))
        rows[at] = (*rows[at][:column], odd, *rows[at][column + 1 :])
    return rows


@settings(max_examples=200)
@given(decimal_rows())
def test_any_decimals_come_back_from_both_builds(rows: list[Row]) -> None:
    written = [write(build, [(1, False, rows)]) for build in BUILDS]
    assert all(list(map(tuple, blocks)) == list(map(tuple, written[0])) for blocks in written)
    for build in BUILDS:
        [(_, _, found)] = read(build, written[0])
        assert list(map(kept, found)) == list(map(kept, rows))
        assert all(abs(b[3] - a[3]) <= 2.0**-24 * a[3] for a, b in zip(rows, found))


@each_build
@pytest.mark.parametrize(("kind", "most"), [(gauge, 6.2), (counter, 6.2), (integers, 2.0)])
def test_rows_of_decimals_are_small(build: Any, kind: Any, most: float) -> None:
    """Bytes a row; coded column by column they took 7.4, 8.5 and 4.2."""
    rows = reduced(build, kind(random.Random(4), 30 * 400))
    blocks = write(build, [(1, False, rows)], 300)
    assert sum(len(block.data) for block in blocks) / 400 < most


@each_build
def test_only_blocks_that_need_it_are_of_version_2(build: Any) -> None:
    single = [(10 * i, 1, float(i % 5), 0.0, float(i % 5), float(i % 5)) for i in range(40)]
    many = [(row[0] // 30, *row[1:]) for row in reduced(build, gauge(random.Random(1), 30 * 40))]
    of_floats = [(row[0] // 30, *row[1:]) for row in reduced(build, floats(random.Random(1), 30 * 40))]
    still = [(10 * i, 30, 150.0, 0.0, 5.0, 5.0) for i in range(40)]
    old, new = [[single], [of_floats], [still], [many[:15]]], [[many], [single, many]]
    for runs, version in [(runs, 1) for runs in old] + [(runs, 2) for runs in new]:
        [block] = write(build, [(id, False, rows) for id, rows in enumerate(runs)])
        assert block.data[0] == version


@each_build
def test_damage_is_a_value_error_or_reads_as_something(build: Any) -> None:
    draw = random.Random(12)
    runs = [(id, False, reduced(build, kind(draw, 30 * 20))) for id, kind in enumerate((gauge, counter, integers))]
    [block] = write(build, runs, 300)
    assert block.data[0] == 2
    for trial in range(4000 if build.name == "native" else 300):
        data = bytearray(block.data)
        for _ in range(draw.randrange(1, 3)):
            data[draw.randrange(20 if trial % 4 == 0 else len(data))] ^= 1 << draw.randrange(8)
        if trial % 5 == 0:
            del data[draw.randrange(len(data)) :]
        try:
            reader = build.blocks.BlockReader(bytes(data), 300)
            for id, _, _ in reader.runs():
                reader.read(id, 0, 1 << 62, build.columns.Columns())
        except ValueError:
            continue


@each_build
def test_sums_of_reduced_decimals_stay_next_to_the_decimal(build: Any) -> None:
    """Sums are compensated: 2,160 decimals add up to within one place of theirs."""
    draw = random.Random(2)
    hundredths = [draw.randrange(10_000) for _ in range(2160)]
    [row] = reduced(build, [v / 100 for v in hundredths], 2160)
    assert abs(row[2] - sum(hundredths) / 100) <= math.ulp(row[2])


@each_build
def test_sums_that_overflow_stay_at_the_largest_double(build: Any) -> None:
    most = 1.7976931348623157e308
    assert reduced(build, [most, most, 5.0, 1e300])[0][2] == most
    assert reduced(build, [-most, -most, -most])[0][2] == -most
