"""Numbers as bytes; the native ones are seen through journal records and blocks."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels.python.varints import get_varint, put_varint, unzigzag, wrap, zigzag


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_number_comes_back(value: int, behind: bytes) -> None:
    made = put_varint(value)
    assert get_varint(b"x" + made + behind, 1) == (value, 1 + len(made))
    assert len(made) == max(1, -(-value.bit_length() // 7))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\x00"])
def test_what_is_no_number_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="cut off or too large"):
        get_varint(data, 0)


@given(st.integers(-2**63, 2**63 - 1))
def test_signed_numbers_are_small_near_zero(value: int) -> None:
    assert unzigzag(zigzag(value)) == value == wrap(value + 2**64)
    assert zigzag(value) == (2 * value if value >= 0 else -2 * value - 1)
