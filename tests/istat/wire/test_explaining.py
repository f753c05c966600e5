"""What is wrong with lines, in words, and the lines that were meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import BadLine
from istat.wire.explaining import Explained, explain
from istat.wire.lines import Meta, Sample, parse_line

NOW = 1325395000.0      # 2012-01-01 05:16:40 UTC
RIGHT = [b"a.b 5", b"*a.b 1325395000 5", b"a 1325395060 -.5e1", b"a 1325394000 10 34 2 5 3", b"#agent web1", b"",
         b"a 1262304000 1", b"a 1325395000", b"*e 1325394000 10 0 9 1 0"]


@pytest.mark.parametrize("line", RIGHT)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_nothing_is_wrong_with_lines_as_they_should_be(line: bytes, end: bytes) -> None:
    assert explain(line + end, NOW) is None


@pytest.mark.parametrize(("line", "right", "words"), [
    # Graphite's order, which is taken for a time long ago, or for no number
    ("shop.orders 17 1325395000", "shop.orders 1325395000 17", "as Graphite has it"),
    ("shop.orders -5 1325395000", "shop.orders 1325395000 -5", "as Graphite has it"),
    ("a 17.5e3 1325395000.25", "a 1325395000 17.5e3", "as Graphite has it"),
    ("a 9999999999 1325395000", "a 1325395000 9999999999", "as Graphite has it"),
    ("a 17 1325395000123", "a 1325395000 17", "in milliseconds"),
    ("a 1,5 1325395000", "a 1325395000 1.5", "comma for a decimal point (LC_NUMERIC=C), and the time stands behind"),
    # times that are no seconds
    ("a 1325395000123 5", "a 1325395000 5", "its time is in milliseconds"),
    ("a 1325395000123456 5", "a 1325395000 5", "in microseconds"),
    ("a 1325395000123456789 5", "a 1325395000 5", "in nanoseconds"),
    ("a 1325394000000 10 34 2 5 3", "a 1325394000 10 34 2 5 3", "in milliseconds"),
    ("a 2012-01-01T05:16:40Z 5", "a 1325395000 5", "its time is a date"),
    ("a 2012-01-01T06:16:40+01:00 5", "a 1325395000 5", "its time is a date"),
    # numbers
    ("a 1,5", "a 1.5", "has a comma"), ("a 1_000", "a 1000", "_ between its digits"), ('a "5"', "a 5", "quotes"),
    ("a 5%", "a 5", "has a unit"), ("a 12ms", "a 12", "has a unit"), ("a 0x1F", "a 31", "hexadecimal"),
    ("a 1325395000 5kB", "a 1325395000 5", "has a unit"),
    # names, and other protocols
    ("cpu usage 5", "cpu_usage 5", "blanks in the name"),
    ("cpu usage in % 5", "cpu_usage_in_% 5", "blanks in the name"),
    ("cpu usage 1325395000 5", "cpu_usage 1325395000 5", "blanks in the name"),
    ("$a 5", "a 5", "no name begins with $"), ("a=5", "a 5", "a blank, and nothing else, stands between"),
    ("a:5", "a 5", "a blank, and"), ("a = 5", "a 5", "nothing else"), ("a.b : 5", "a.b 5", "nothing else"),
    ("5 a.b", "a.b 5", "the name does not stand first"), ("1325395000 *a.b 5", "*a.b 1325395000 5", "stand first"),
    ("1325395000 5 a.b", "a.b 1325395000 5", "stand first"),
    ("1325395000123 a.b 5", "a.b 1325395000 5", "does not stand first, and its time is in milliseconds"),
    ("a.b:5|c", "*a.b 5", "statsd"), ("a.b:3|c|@0.1", "*a.b 30", "statsd"), ("a.b:320|ms", "a.b 320", "statsd"),
    ("a.b:7|g|#tag:x", "a.b 7", "statsd"),
    ("\ufeffa.b 5", "a.b 5", "byte-order mark"), ("\ufeffa.b 5 1325395000", "a.b 1325395000 5", "and the time stands"),
])
def test_what_was_meant(line: str, right: str, words: str) -> None:
    found = explain(line.encode(), NOW)
    assert found is not None
    assert (found.right, words in found.wrong) == (right, True), found
    assert explain(found.right.encode(), NOW) is None


@pytest.mark.parametrize(("line", "kind", "words"), [
    ("a", "bad_fields", "it has 1 word;"), ("a 1 2 3 4", "bad_fields", "it has 5 words"),
    ("a b", "bad_number", "'b' is no number"), ("a 1,000,000", "bad_number", "'1,000,000'"),
    ("a 1,000", "bad_number", "'1,000' is no number"),
    ("a nil", "bad_number", "'nil'"), ("5 null", "bad_number", "'null'"), ("7 a.b 5", "bad_number", "'a.b'"),
    ("a inf", "not_finite", "send nothing"), ("@", "reserved", "begins with"),
    ("# ", "bad_metadata", "`#key value`"), ("#", "bad_metadata", "`#key value`"), ("* 5", "no_name", "no counter"),
    ("^ 5", "no_name", "no counter"), ("n" * 1001 + " 5", "name_too_long", "1,000 bytes"),
    ("a 1325395061 5", "from_future", "more than a minute ahead"), ("a 86400 5", "from_past", "before the year 2000"),
    ("a 1325394000 10 34 5 2 3", "rejected", "contradict"), ("a 1325394000 10 34 2 5 0", "rejected", "contradict"),
    ("a nan", "", "'nan' is taken as 0"), ("a 1325395000 -NaN", "", "'-NaN' is taken as 0"),
    ("$a nan", "reserved", "$"),
    ("GET /?q=* HTTP/1.1", "bad_number", "http-port"), ("a 2012-01-01T05:16:40 5", "bad_number", "is no number"),
])
def test_what_is_wrong_where_nobody_can_guess(line: str, kind: str, words: str) -> None:
    found = explain(line.encode(), NOW)
    assert found is not None
    assert (found.kind, found.right) == (kind, "")
    assert words in found.wrong


@given(st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(
    ["a", "#", "5", "1325395000", "1325395000123", "1,5", "x=1", "a:1|c", "nan", "-", "\ufeff", "$", "5%", "\x00",
     "\u0663"]),
    max_size=8).map(lambda words: " ".join(words).encode())), st.floats(0, 4e9))
def test_any_bytes_are_explained_and_what_is_given_for_right_is(line: bytes, now: float) -> None:
    line = line.replace(b"\n", b" ")
    try:
        parsed = parse_line(line)
    except BadLine:
        parsed = None
        assert isinstance(explain(line, now), Explained)
    if isinstance(parsed, Meta) and parsed.key:
        assert explain(line, now) is None
    found = explain(line, now)
    if found is not None and found.right:
        assert explain(found.right.encode("utf-8", "surrogateescape"), now) is None
        assert isinstance(parse_line(found.right.encode("utf-8", "surrogateescape")), Sample | Meta | None)


def test_a_long_line_takes_no_longer_than_its_length() -> None:
    for text in ("a" * 60_000 + "=", "1" * 60_000 + "x", "a b " * 15_000, ":" * 60_000, "a=" * 30_000,
                 "\ufeff" * 20_000):
        explain(text.encode(), NOW)
