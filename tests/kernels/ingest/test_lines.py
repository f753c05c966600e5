"""The line grammar: what istatd's specification says, and kernel = twin on anything."""
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.kernels import implementation

TWIN = implementation("python").lines
CODE = TWIN.CODES


@pytest.mark.parametrize(("line", "value"), [
    (b"a 5", 5.0), (b"a +5", 5.0), (b"a -5", -5.0), (b"a .1", 0.1), (b"a 5.", 5.0), (b"a 1e3", 1000.0),
    (b"  a\t5 \r", 5.0), (b"a nan", 0.0), (b"a -NaN", 0.0), (b"a 0.1e-2", 0.001), (b"a -0", 0.0),
    (b"a 123456789.123", 123456789.123), (b"a 12345678901234567890", 12345678901234567890.0),
])
def test_value_lines(kernels, line, value):
    parsed = kernels.lines.parse(line)
    assert parsed[:4] == (CODE["SAMPLE"], b"a", 2, None)
    assert parsed[4] == value
    assert math.copysign(1, parsed[4]) == math.copysign(1, value)


@pytest.mark.parametrize(("line", "code"), [
    (b"", "EMPTY"), (b"\r", "EMPTY"), (b"#hostname db1", "META"), (b"@x", "RESERVED"), (b"%a 1", "RESERVED"),
    (b"a", "BAD_FIELDS"), (b"  ", "BAD_FIELDS"), (b"q 1 2 3", "BAD_FIELDS"), (b"q 1 2 3 4 5", "BAD_FIELDS"),
    (b"a abc", "BAD_NUMBER"), (b"a 0x10", "BAD_NUMBER"), (b"a 1.5e3 3", "BAD_NUMBER"), (b"a 1e", "BAD_NUMBER"),
    (b"a .", "BAD_NUMBER"), (b"a .5 3", "BAD_NUMBER"), (b"a 1.5.2 3", "BAD_NUMBER"), (b"a + 3", "BAD_NUMBER"),
    (b"a 1.-2 3", "BAD_NUMBER"), (b"a 1,000", "BAD_NUMBER"), (b"a 1 10 34 2 5 -3", "BAD_NUMBER"),
    (b"a inf", "NOT_FINITE"), (b"a -Infinity", "NOT_FINITE"), (b"a NAN", "NOT_FINITE"), (b"a 1e999", "NOT_FINITE"),
])
def test_lines_that_are_no_samples(kernels, line, code):
    assert kernels.lines.parse(line) == (CODE[code],)


def test_pre_aggregated_line_ignores_what_follows_the_seventh_token(kernels):
    expected = (CODE["SAMPLE"], b"agg.x", 7, 1325394000, 10.0, 34.0, 2.0, 5.0, 3)
    assert kernels.lines.parse(b"agg.x 1325394000 10 34 2 5 3") == expected
    assert kernels.lines.parse(b"agg.x 1325394000 10 34 2 5 3 junk 9") == expected


@pytest.mark.parametrize(("time", "second"), [
    (b"1325394000.999", 1325394000), (b"1325394000.", 1325394000), (b"-1.9", -1), (b"+7.5", 7),
    (b"1325394000." + b"9" * 300, 1325394000), (b"1" * 18 + b".5", 111111111111111111)])
def test_the_fraction_of_a_time_is_cut_off(kernels, time, second):
    assert kernels.lines.parse(b"a " + time + b" 3")[:5] == (CODE["SAMPLE"], b"a", 3, second, 3.0)
    assert kernels.lines.parse(b"a " + time + b" 10 34 2 5 3")[2:4] == (7, second)


@pytest.mark.parametrize("line", [b"a nan", b"a 5 -NaN", b"a 5 10 nan 2 5 3"])
def test_nan_is_0_or_refused(kernels, line):
    assert kernels.lines.parse(line)[0] == CODE["SAMPLE"]
    assert kernels.lines.parse(line, True) == (CODE["NOT_FINITE"],)
    assert kernels.lines.parse(line.replace(b"nan", b"1").replace(b"-NaN", b"1"), True)[0] == CODE["SAMPLE"]


PIECES = st.sampled_from([b"a", b"b.c", b" ", b"\t", b"\r", b"\x0b", b"1", b"-2.5", b"1e5", b"1e400", b"nan", b"Inf",
                          b".", b"+", b"e", b"0" * 30, b"#", b"@", b"*", b"^", b"\x00", b"\x1c", b"\xff",
                          b"1325394000", b"1325394000.5"])


@given(st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=20).map(b"".join)))
def test_kernel_is_twin(native, line):
    line = line.replace(b"\n", b"")
    for refuse_nan in (False, True):
        assert native.lines.parse(line, refuse_nan) == TWIN.parse(line, refuse_nan)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_double_written_with_repr_comes_back(native, value):
    line = b"a " + repr(value).encode()
    assert native.lines.parse(line)[4] == TWIN.parse(line)[4] == value


def test_a_name_cannot_begin_with_a_reserved_byte_behind_spaces_either(kernels):
    codes = kernels.lines.CODES
    for line in (b" #x 1", b"\t@x 1", b" :x 5 1"):
        assert kernels.lines.parse(line) == (codes["RESERVED"],)
