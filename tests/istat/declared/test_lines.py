"""The line that declares a metric: what it says comes back, and nothing that a stranger writes does more than that."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.declared.lines import BEGINS, MOST_TEXT, declared_line, is_link, metric_line, metric_lines, read, why_not
from istat.errors import BadLine
from istat.metrics import Metric

TEXTS = st.text(max_size=600)
PARTS = st.from_regex(r"[a-z][a-z0-9_-]{0,8}(<[a-z]{1,5}>)?", fullmatch=True)
NAMES = st.lists(PARTS, min_size=1, max_size=6).map(".".join)


def text_of(line: bytes) -> bytes:
    assert line.startswith(BEGINS) and line.endswith(b"\n") and line.count(b"\n") == 1
    return line[len(BEGINS):-1]


def test_a_line_says_what_a_collector_declares() -> None:
    metric = Metric("disk.<device>.read_ms", "ms", "time of reads, as iostat's r_await", link="https://example.net/d#r")
    line = metric_line(metric)
    assert line == (b'#metric disk.<device>.read_ms {"unit":"ms","kind":"gauge",'
                    b'"help":"time of reads, as iostat\'s r_await","link":"https://example.net/d#r"}\n')
    assert read(text_of(line)) == metric
    assert read(text_of(metric_line(Metric("temp", "°C", "of the rack", event=True)))).unit == "°C"


def test_what_is_left_out_is_empty_and_what_is_not_known_is_passed_over() -> None:
    assert read(b"a {}") == Metric("a", "", "")
    assert read(b'*A/b {"kind":"event","since":7}') == Metric("a_b", "", "", event=True)


@given(NAMES, st.text(max_size=10), TEXTS, st.booleans())
def test_any_metric_has_a_line_of_a_bounded_length_that_is_read_as_it_was_meant(
        name: str, unit: str, help: str, event: bool) -> None:
    line = metric_line(Metric(name, unit, help, event))
    assert len(line) <= len(BEGINS) + MOST_TEXT + 1
    if not line:
        return
    found = read(text_of(line))
    plain = " ".join("".join(c if c.isprintable() else " " for c in help).split())
    assert (found.name, found.event) == (name, event)
    assert found.help == plain or (found.help.endswith("...") and plain.startswith(found.help[:-3]))


def test_only_metrics_that_a_line_can_tell_are_told_each_name_once() -> None:
    lines = metric_lines([Metric("a", "", "one"), Metric("<name>", "", "whatever a script prints"),
                          Metric("a b", "", ""), Metric("a", "", "two"), Metric("b", "x" * 40, ""),
                          Metric("c", "", "", link="javascript:1"), Metric("d", 7, None)])  # type: ignore[arg-type]
    assert [read(text_of(line)).help for line in lines] == ["two"]


@pytest.mark.parametrize("text, why", [
    (b"a", "JSON"), (b"a [1]", "object"), (b"a {", "JSON"), (b'a {"unit":7}', "unit is no text"), (b"", "JSON"),
    (b'a {"kind":"rate"}', "gauge or event"), (b'a {"unit":"' + b"u" * 33 + b'"}', "more than 32 bytes"),
    (b'a {"help":"' + b"h" * 512 + b'"}', "512 is the most"), (b"n" * 201 + b" {}", "1 to 200 bytes"),
    (b"<all> {}", "its beginning"), (b"a^b {}", "without carets"), (b"a.<b.c {}", "without carets"),
    (b"a.<b><c> {}", "without carets"), (b"a." + b"b." * 20 + b"c {}", "16 parts"), (b'a {"help":"\xff"}', "UTF-8"),
    (b"a " + b"[" * 480, "JSON"), (b'a {"link":"javascript:alert(1)"}', "link"), (b'a {"help":"\\ud800"}', ""),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_sentence(text: bytes, why: str) -> None:
    if not why:     # half of a sign is no text that could be told on
        assert read(text).help.encode() == b""
        return
    with pytest.raises(BadLine, match=why) as caught:
        read(text)
    assert caught.value.kind == "bad_metadata"


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "a\n", " a", "x\u2028y"])
def test_a_name_with_a_blank_or_a_line_feed_makes_no_line(name: str) -> None:
    with pytest.raises(BadLine, match="NAME has no blanks"):
        declared_line(Metric(name, "s", "help"))
    assert metric_line(Metric(name, "s", "help")) == b""


def test_what_is_wrong_with_a_line_is_told() -> None:
    assert why_not(b"#metric a {\n").startswith("a metric is declared by `#metric NAME JSON`: JSON is an object")
    assert "1 to 200 bytes" in why_not(b"#metric\n") or "JSON" in why_not(b"#metric\n")
    assert why_not(b"#metric a {}\n") == why_not(b"#metrics a\n") == why_not(b"a 1\n") == ""


def test_signs_that_would_do_something_are_blanks() -> None:
    told = json.dumps({"help": "a\n\x1b[31m\u202eb\u0000 <img onerror=x>", "unit": "m\ts"}).encode()
    found = read(b"a " + told)
    assert found.help == "a [31m b <img onerror=x>" and found.unit == "m s"


@pytest.mark.parametrize("text, good", [
    ("https://example.net", True), ("http://[::1]:80/x?a=b#c", True), ("HTTPS://example.net", False),
    ("javascript:alert(1)", False), ("https://a\" onclick=\"x", False), ("https://user:word@example.net/", False),
    ("https://example.net/ x", False), ("//example.net", False), ("https://", False), ("ftp://a/b", False),
    ("https://example.net/" + "x" * 300, False), ("https://ex\u0430mple.net/", False),
])  # fmt: skip
def test_a_link_is_http_and_nothing_else(text: str, good: bool) -> None:
    assert is_link(text) == good
