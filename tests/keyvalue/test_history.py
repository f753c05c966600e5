"""The lines of a `.versions` file: read back, damaged ones left out, cut ones cut off, old ones dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.errors import StoreCorrupt
from istat_server.keyvalue import history, syntax
from istat_server.keyvalue.history import HEADER, Version

PAGE = Path(__file__).parents[2] / "docs/formats/namespaces.md"
TEXT = st.text(st.characters(codec="utf-8"))
KEYS = TEXT.filter(syntax.is_key)
VERSIONS = st.builds(Version, st.integers(1, 1 << 62), st.integers(0, 1 << 40), st.none() | TEXT)


def file_of(*changes: tuple[str, Version]) -> bytes:
    return HEADER + b"".join(history.line_of(key, version) for key, version in changes)


def test_the_lines_that_the_page_of_the_format_shows() -> None:
    data = file_of(("b", Version(1, 1325394000, "true")), ("b", Version(2, 1325394070, "false")),
                   ("b", Version(3, 1325394090, None)))
    assert f"```\n{data.decode()}```\n" in PAGE.read_text()


@given(KEYS, VERSIONS)
def test_a_line_is_read_back(key: str, version: Version) -> None:
    line = history.line_of(key, version)
    assert line.count(b"\n") == 1 and history.parse(line) == (key, version)


@given(st.lists(st.tuples(KEYS, VERSIONS), min_size=1, max_size=5), st.data())
def test_a_file_that_is_cut_anywhere_has_its_whole_lines(changes: list[tuple[str, Version]],
                                                         data: st.DataObject) -> None:
    whole = file_of(*changes)
    cut = data.draw(st.integers(0, len(whole)))
    index = history.read(whole[:cut])
    assert index.damaged == 0 and index.whole <= cut
    assert sum(map(len, index.records.values())) == max(0, whole[:cut].count(b"\n") - 1)


@given(st.lists(st.tuples(KEYS, VERSIONS), min_size=1, max_size=5), st.data())
def test_a_byte_that_turned_costs_its_line_only(changes: list[tuple[str, Version]], data: st.DataObject) -> None:
    whole = bytearray(file_of(*changes))
    at = data.draw(st.integers(len(HEADER), len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    index = history.read(bytes(whole))
    assert sum(map(len, index.records.values())) >= len(changes) - 2, "two where the line feed between turned"


@given(st.binary())
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for given_ in (data, HEADER + data):
        try:
            index = history.read(given_)
        except StoreCorrupt:
            continue
        assert index.whole <= len(given_)


@pytest.mark.parametrize(("data", "words"), [(b"# istatd versions 2\n", "a newer istatd may have written it"),
                                             (b"a=1\n", "its first line is not '# istatd versions 1'")])
def test_another_file_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(StoreCorrupt, match=words):
        history.read(data)


def test_the_newest_of_each_key_are_kept_and_no_more_bytes_than_there_may_be() -> None:
    changes = [(f"k{number % 3}", Version(number, 0, f"v{number}")) for number in range(1, 31)]
    data = file_of(*changes)
    index = history.read(data)

    def numbers(each: int, most: int) -> list[int]:
        left = history.rewritten(data, history.kept(index, each, most))
        return sorted(record.number for records in history.read(left).records.values() for record in records)

    assert numbers(2, 10_000) == [25, 26, 27, 28, 29, 30]
    assert numbers(10, 100) == [27, 28, 29, 30]
    assert numbers(10, 0) == [28, 29, 30], "what keys are now always stays"


def test_a_deleted_key_goes_where_there_is_no_room_but_its_number_stays() -> None:
    data = file_of(("a", Version(1, 0, "x")), ("b", Version(2, 0, "y")), ("a", Version(3, 0, None)))
    left = history.read(history.rewritten(data, history.kept(history.read(data), 5, 0)))
    assert left.last == 3 and left.newest("a") == 0 and left.newest("b") == 2
