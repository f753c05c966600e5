"""The file of what is declared: what was written is read, and what is damaged is left out and told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.declared.pages import Kept, decode, encode

KEPT = [Kept("udp 10.0.0.7", b'cpu.user {"unit":"%"}'), Kept("unix 7 of web", "t {\"unit\":\"°C\"}".encode())]
WORDS = ["udp_10.0.0.7", "unix_7_of_web"]
FIXTURE = Path(__file__).parents[2] / "fixtures/declared/metrics.declared"
PAGE = Path(__file__).parents[3] / "docs/formats/declared.md"


def test_what_was_written_is_read() -> None:
    page = decode(encode(KEPT))
    assert page.problems == []
    assert [(one.by, one.text) for one in page.kept] == [(by, one.text) for by, one in zip(WORDS, KEPT)]
    assert decode(encode([])).kept == decode(encode([])).problems == []


def test_files_of_the_first_version_are_read_for_ever() -> None:
    data = FIXTURE.read_bytes()
    page = decode(data)
    assert page.problems == [] and encode(page.kept) == data
    assert [one.text.split()[0] for one in page.kept] == [b"cpu.user", b"disk.<device>.read_ms", b"jobs.done"]
    assert data.decode() in PAGE.read_text()


@pytest.mark.parametrize("data, kept, problem", [
    (b"", 0, "first line"), (b"# istatd declared metrics 2\n", 0, "first line"),
    (encode(KEPT)[:-8], 2, "its end is missing"), (encode(KEPT).replace(b"%", b"$"), 1, "1 damaged lines"),
    (encode(KEPT)[:60], 0, "its end is missing"), (encode(KEPT).replace(b"# end 2", b"# end 3"), 2, "its end"),
])  # fmt: skip
def test_what_is_damaged_is_left_out_and_told(data: bytes, kept: int, problem: str) -> None:
    page = decode(data)
    assert len(page.kept) == kept and len(page.problems) == 1 and problem in page.problems[0]


@given(st.data())
def test_no_change_of_a_byte_is_taken_for_what_was_written(data: st.DataObject) -> None:
    whole = bytearray(encode(KEPT))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    page = decode(bytes(whole))
    assert page.problems
    assert {one.text for one in page.kept} <= {one.text for one in KEPT}
