"""Slots of istatd's rings as rows: both builds give the same bits, also for slots that nobody wrote."""

from __future__ import annotations

import struct
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat import kernels

TWIN = kernels.implementation("python").rings


def _builds() -> list[ModuleType]:
    try:
        return [TWIN, kernels.implementation("native").rings]
    except ImportError:
        return [TWIN]


BUILDS = _builds()
each_build = pytest.mark.parametrize("build", BUILDS, ids=lambda module: module.__name__.split(".")[2])
T = 1325395000


def slot(time: int, total: float, low: float, high: float, count: int = 1, sumsq: float = 0.0) -> bytes:
    return struct.pack("<qdffif", time, total, low, high, count, sumsq)


@each_build
def test_buckets_come_by_time_with_their_statistics(build: ModuleType) -> None:
    ring = (slot(T + 40, 0.1, 0.1, 0.1) + slot(T + 10, 12.25, 5.0, 7.25, 2, 77.5625) + bytes(32)
            + slot(T - 10, 3.0, 3.0, 3.0))
    found = build.rows(ring, 10, T, 4, 0, 0).rows()
    assert found == [(T + 10, 2, 12.25, 77.5625 - 12.25 * 12.25 / 2, 5.0, 7.25), (T + 40, 1, 0.1, 0.0, 0.1, 0.1)]
    assert [row[0] for row in build.rows(ring, 10, T, 2, 0, 0).rows()] == [T - 10, T + 10]
    assert [row[0] for row in build.rows(ring, 10, T, 2, T + 41, 0).rows()] == [T - 10, T + 10, T + 40]
    assert [row[1] for row in build.rows(ring, 10, T, 4, 0, 30).rows()] == [30, 30]


@each_build
@pytest.mark.parametrize("numbers", [
    (b"x", 10, T, 0, 0, 0), (b"", 0, T, 0, 0, 0), (b"", 1 << 31, T, 0, 0, 0), (b"", 10, (1 << 60) + 1, 0, 0, 0),
    (b"", 10, T, -(1 << 60) - 1, 0, 0), (b"", 10, T, 0, 1 << 61, 0), (b"", 10, T, 0, 0, -1)])
def test_impossible_numbers_are_refused(build: ModuleType, numbers: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError):
        build.rows(*numbers)


any_time = st.integers(-(2**63), 2**63 - 1) | st.integers(T - 400, T + 400)
any_slot = st.builds(slot, any_time, st.floats() | st.integers(-5, 5).map(float), st.floats(width=32),
                     st.floats(width=32), st.integers(-(2**31), 2**31 - 1) | st.integers(0, 3), st.floats(width=32))
large = st.integers(-(2**60), 2**60)


@settings(max_examples=300)
@given(st.lists(any_slot, max_size=40), st.tuples(
    st.integers(1, 2**31 - 1) | st.just(10), large | st.just(T), large | st.integers(-50, 50), large | st.just(T),
    st.integers(0, 30)))
def test_both_builds_give_the_same_bits(slots: list[bytes], numbers: tuple[int, ...]) -> None:
    if len(BUILDS) < 2:
        pytest.skip("native kernels are not built")
    ours, theirs = ([struct.pack("<qqdddd", *row) for row in build.rows(b"".join(slots), *numbers).rows()]
                    for build in BUILDS)
    assert ours == theirs
