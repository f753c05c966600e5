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


def test_lines_that_are_no_samples_are_found_where_they_are(kernels):
    text = b"a 1\nbad\n#host x\n\nb 5 2\nc nan\n@r\nno end"
    found = kernels.lines.sift(text, 0, len(text))
    assert [(code, text[start:end]) for code, start, end in found] == [
        (CODE["BAD_FIELDS"], b"bad\n"), (CODE["META"], b"#host x\n"), (CODE["EMPTY"], b"\n"),
        (CODE["RESERVED"], b"@r\n")]
    assert [(text[start:end]) for _code, start, end in kernels.lines.sift(text, 0, len(text), True)][-2] == b"c nan\n"
    assert kernels.lines.sift(memoryview(bytearray(text)), 4, 8) == [(CODE["BAD_FIELDS"], 4, 8)]
    assert kernels.lines.sift(b"", 0, 0) == [] == kernels.lines.sift(text, 2, 2)
    for start, end in ((-1, 2), (3, 2), (0, len(text) + 1)):
        with pytest.raises(ValueError):
            kernels.lines.sift(text, start, end)
        with pytest.raises(ValueError):
            kernels.lines.timed(text, start, end, 7)


@pytest.mark.parametrize(("line", "sent"), [
    (b"a 123456789.125\n", b"a 1325395000 123456789.125\n"), (b" *ev^h \t 1e3\r\n", b"*ev^h 1325395000 1e3\n"),
    (b"a 1325394000 0.1\n", b"a 1325394000 0.1\n"), (b"a -1.9 0.1\r\n", b"a -1 0.1\n"),
    (b"a 1325394000.75 10 34 2 5 3 junk 9\n", b"a 1325394000 10 34 2 5 3\n"), (b"a nan\n", b"a 1325395000 nan\n"),
    (b"bad\n", b""), (b"#host a\n", b""), (b"\n", b""), (b"a 1", b"")])
def test_an_original_istatd_gets_each_sample_with_a_time_and_all_its_digits(kernels, line, sent):
    text = b"x 1 2\n" + line
    assert kernels.lines.timed(text, 0, len(text), 1325395000) == b"x 1 2\n" + sent
    assert kernels.lines.timed(text, 6, len(text), 1325395000) == sent


@given(st.lists(PIECES | st.just(b"\n"), max_size=40).map(b"".join), st.integers(-(1 << 62), 1 << 62))
def test_sifting_and_timing_are_the_twins(native, text, clock):
    for start in (0, len(text) // 2):
        for refuse_nan in (False, True):
            found = native.lines.sift(text, start, len(text), refuse_nan)
            assert found == TWIN.sift(text, start, len(text), refuse_nan)
        assert native.lines.timed(text, start, len(text), clock) == TWIN.timed(text, start, len(text), clock)


@given(st.lists(PIECES | st.just(b"\n"), max_size=40).map(b"".join))
def test_what_was_timed_means_the_same_and_is_left_as_it_is(native, text):
    text += b"\n"
    timed = TWIN.timed(text, 0, len(text), 1325395000)
    before = [TWIN.parse(line) for line in text.split(b"\n")]
    after = [TWIN.parse(line) for line in timed.split(b"\n")[:-1]]
    assert [(one[1], one[3] if one[3] is not None else 1325395000, *one[4:]) for one in before
            if one[0] == CODE["SAMPLE"]] == [(one[1], *one[3:]) for one in after]
    assert native.lines.timed(timed, 0, len(timed), 7) == timed
