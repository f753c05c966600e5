"""Lines as programs write and read them."""
from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadLine, BadName
from istat.wire.lines import Meta, Sample, brief, parse_line, sample_line


@pytest.mark.parametrize(("line", "meaning"), [
    (b"a.b 5\n", Sample(b"a.b", None, 5.0, 25.0, 5.0, 5.0, 1)),
    (b"*hits 1325394000 3\r\n", Sample(b"*hits", 1325394000, 3.0, 9.0, 3.0, 3.0, 1)),
    (b"agg.x 1325394000 10 34 2 5 3", Sample(b"agg.x", 1325394000, 10.0, 34.0, 2.0, 5.0, 3)),
    (b"#hostname  db1 \n", Meta(b"hostname", b"db1")), (b"\n", None),
])
def test_what_a_line_means(line, meaning):
    assert parse_line(line) == meaning


@pytest.mark.parametrize(("line", "kind"), [
    (b"a\n", "bad_fields"), (b"a b\n", "bad_number"), (b"a inf\n", "not_finite"), (b"@x\n", "reserved"),
    (b"#alone\n", "bad_metadata"),
])
def test_what_is_wrong_with_a_line(line, kind):
    with pytest.raises(BadLine) as caught:
        parse_line(line)
    assert caught.value.kind == kind


def test_what_is_written_is_read_back():
    assert parse_line(sample_line("*a^host.x", 0.1, 1325394000.9)) == Sample(
        b"*a^host.x", 1325394000, 0.1, 0.1 * 0.1, 0.1, 0.1, 1)
    with pytest.raises(BadName):
        sample_line("a b", 1)
    with pytest.raises(BadLine):
        sample_line("a", float("inf"))


class Told(float):
    """As numpy's: a float that is written in another way."""

    def __repr__(self) -> str:
        return f"Told({float(self)})"


@pytest.mark.parametrize(("value", "sent"), [
    (True, b"a 1.0\n"), (Decimal("2.5"), b"a 2.5\n"), (Fraction(1, 4), b"a 0.25\n"), (Told(3), b"a 3.0\n"),
    (3, b"a 3\n")])
def test_numbers_of_other_types_are_written_as_the_protocol_has_them(value: Any, sent: bytes) -> None:
    assert sample_line("a", value) == sent


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (2**63, "9223372036854775808"), (3.0, "3"), (1 / 3, "0.3333333333"),
     (123456789012.0, "123456789012"),
     (-0.5, "-0.5"), (1e-9, "1e-09"), (1e300, "1e+300")],
)  # fmt: skip
def test_numbers(value: float, text: str) -> None:
    assert brief(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_they_were_to_ten_digits(value: float) -> None:
    assert float(brief(value)) == pytest.approx(value, rel=1e-9, abs=0)
