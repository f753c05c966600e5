"""The text of `.set` files: what was set is read back, and what others wrote is read as istatd reads it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from istat.errors import StoreCorrupt
from istat_server.keyvalue import syntax

TEXT = st.text(st.characters(codec="utf-8"))
KEYS = TEXT.filter(syntax.is_key)
ISTATDS_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def as_istatd(value: str) -> str:
    """A value as istatd's rules read a line of ours: unescaped, then without blanks at its ends; `\\0` is nothing."""
    meant = {"0": "", "b": "\b", "t": "\t", "n": "\n", "r": "\r", "Z": "\x1a"}
    return ISTATDS_ESCAPE.sub(lambda found: meant.get(found[1], found[1]), value).strip(" \t\r\n\v\f")


@given(st.dictionaries(KEYS, TEXT))
@example({"a": " "}).via("only a blank")
@example({"a": "\\ ", "b": " \\", "c": "\n", "d": "x\v\f \t", "e": "\0"}).via("ends that could be lost")
def test_what_was_set_is_read_back(values: dict[str, str]) -> None:
    data = syntax.encode(values)
    assert syntax.decode(data) == values
    assert syntax.decode(data.replace(b"\n", b"\r\n")) == values, "an editor of another system"
    assert data.count(b"\n") == len(values) + 1 and syntax.has_header(data)


@given(TEXT)
def test_istatd_reads_our_lines_as_its_own(value: str) -> None:
    assert as_istatd(syntax.escape(value)) == value.replace("\0", "").strip(" \t\r\n\v\f")


@given(st.binary())
@example(b"=\n==\n\\=\\\n").via("keys and values of signs that mean something")
def test_any_bytes_are_values_or_refused_and_stay_the_same(data: bytes) -> None:
    try:
        values = syntax.decode(data)
    except StoreCorrupt:
        return
    assert syntax.decode(syntax.encode(values)) == values


@pytest.mark.parametrize(("line", "values"), [
    (b" key = value \r", {"key": "value"}), (b"#a=b", {}), (b"no equals sign", {}), (b"a=b=c", {"a": "b=c"}),
    (rb"a=\x\y\"", {"a": 'xy"'}), (rb"a=\ b\ ", {"a": " b "}), (rb"a=b\\ ", {"a": "b\\"}),
    (rb"a=b" + b"\\", {"a": "b\\"}),
    (b"a=1\na=2", {"a": "2"}), (b"a=", {"a": ""}), (b"a=caf\xe9", {"a": "caf\u00e9"}),
    (b"a=caf\xc3\xa9", {"a": "caf\u00e9"}),
    (rb"a=\n\t\b\r\Z", {"a": "\n\t\b\r\x1a"}), (b"e e=1", {"e e": "1"}),
    (b"  # a=1", {"# a": "1"}),
])
def test_lines_that_others_wrote(line: bytes, values: dict[str, str]) -> None:
    assert syntax.decode(b"# istatd settings 1\n" + line + b"\n") == values
    assert syntax.decode(line) == values, "without the first line"
    assert syntax.decode(b"\xef\xbb\xbf" + line) == values, "with an editor's mark"


@pytest.mark.parametrize(("data", "words"), [
    (b"a=\0", "it has zero bytes"), (b"# istatd settings 2\na=1\n", "its first line says '# istatd settings 2'"),
    (b"# istatd settings\n", "which this istatd does not know"),
])
def test_what_is_no_such_file_is_told(data: bytes, words: str) -> None:
    with pytest.raises(StoreCorrupt, match=re.escape(words)):
        syntax.decode(data)


@pytest.mark.parametrize("key", [*"\\/:;*?\"'%()[]{}~$^#=+- \r\n\t\b\0\x7f", "a b", "\ud800"])
def test_no_key_has_signs_that_istatd_refuses(key: str) -> None:
    assert not syntax.is_key(key) and not syntax.is_key(f"a{key}b")


@pytest.mark.parametrize("key", ["a", "dashboard.front_page", "user.cit", "<>,.!|@`&", "\u00e9", "A1"])
def test_any_other_key_may_be(key: str) -> None:
    assert syntax.is_key(key)


@pytest.mark.parametrize(("name", "may_be"), [("", True), ("cit", True), ("A-z_0.9", True), (".", True), ("..", True),
                                              ("a/b", False), ("a b", False), ("a\n", False), ("\u00e9", False)])
def test_names(name: str, may_be: bool) -> None:
    assert syntax.is_name(name) is may_be
