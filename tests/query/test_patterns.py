"""Name patterns and the listing: the table of part 7.5 of the behaviour specification."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat.kernels import BUILDS, Implementation, implementation, native_missing
from istat_server.query.patterns import Listed, listing, matches
from istat_server.store.memory import MemoryStore

TABLE = [
    ("foo.b?.baz", "foo.bar.baz", True),
    ("f*a*bar", "foo.bar", False),
    ("istatd.*.http", "istatd.http.errors.http", True),
    ("tep.?", "tep.child", True),
    ("tep.?", "tep.child.deeper", False),
    ("?.baz", "foo.bar.baz", False),
    ("?.baz", "foo.baz", True),
    ("a??b", "ab", True),
    ("a??b", "axxb", True),
    ("a??b", "a.b", False),
    ("?*", "any.thing", True),
    ("*?a", "fa", True),  # istatd fails on this one
    ("*?a", "faa", True),
    ("*", "a.b.c", True),
    ("*", "", True),
    ("", "", False),
    ("", "a", False),
    ("foo", "foo", True),
    ("foo", "foobar", False),
    ("Foo", "foo", False),
    ("a.*", "a", False),
    ("a.*", "a.", True),
    ("(x)[y]+", "(x)[y]+", True),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), TABLE)
def test_the_table(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern.encode(), name.encode()) is fits


@given(st.text("ab.*?", min_size=1, max_size=8), st.text("ab.", max_size=8))
def test_it_means_what_the_regular_expression_means(pattern: str, name: str) -> None:
    regex = "".join({"*": ".*", "?": "[^.]*"}.get(c, re.escape(c)) for c in pattern)
    assert matches(pattern.encode(), name.encode()) is (re.fullmatch(regex, name) is not None)


def test_the_kernels_agree_with_the_table(kernels: Implementation) -> None:
    for pattern, name, fits in TABLE:
        if name:
            table = kernels.names.NameTable()
            table.add(name.encode())
            assert (table.match(pattern.encode()) == [0]) is fits, (pattern, name)


HARD = [b"*a" * 200, b"*" * 998 + b"x", b"?*" * 499 + b"x", b"?" * 998 + b"x", b"*.*" * 300]


@pytest.mark.parametrize("pattern", HARD, ids=lambda pattern: pattern[:4].decode())
def test_no_pattern_takes_long(kernels: Implementation, pattern: bytes) -> None:
    """Time tells by ten thousands and more: what backtracks here does so for longer than anyone waits."""
    began = time.monotonic()
    assert not matches(pattern, b"a" * 199)
    table = kernels.names.NameTable()
    for number in range(50):
        table.add(b"cpu.user.host.%d.a.b" % number + b"a" * 100)
    assert not table.match(pattern)
    assert time.monotonic() - began < 5


@given(pattern=st.text("a.*?", min_size=1, max_size=12), name=st.text("a.b", min_size=1, max_size=12))
def test_kernels_agree_with_the_reference(pattern: str, name: str) -> None:
    for build in BUILDS:
        if build == "native" and native_missing():
            continue
        table = implementation(build).names.NameTable()
        table.add(name.encode())
        assert (table.match(pattern.encode()) == [0]) is matches(pattern.encode(), name.encode())


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    store = MemoryStore(clock=clock)
    for name in ("foo.bar", "foo.bar.baz", "tep.a.x", "tep.b", "*mail.sent", "foobar"):
        store.add(name, None, 1)
    return store


def listed(store: MemoryStore, pattern: bytes, limit: int = 1000) -> set[tuple[str, int]]:
    found = list(listing(store, pattern, limit))
    assert len(found) == len({row.name for row in found})
    return {(row.name, row.type) for row in found}


def test_the_listing_has_counters_and_prefixes(store: MemoryStore) -> None:
    assert listed(store, b"*") == {
        ("foo", 2), ("foo.bar", 2), ("foo.bar.baz", 0), ("tep", 2), ("tep.a", 2), ("tep.a.x", 0), ("tep.b", 0),
        ("mail", 2), ("mail.sent", 1), ("foobar", 0),
    }  # fmt: skip
    assert listed(store, b"foo*") == {("foo", 2), ("foo.bar", 2), ("foo.bar.baz", 0), ("foobar", 0)}
    assert listed(store, b"tep.?") == {("tep.a", 2), ("tep.b", 0)}
    assert listed(store, b"?") == {("foo", 2), ("tep", 2), ("mail", 2), ("foobar", 0)}
    assert listed(store, b"") == set() == listed(store, b"FOO*")


def test_only_leaves_are_leaves(store: MemoryStore) -> None:
    assert [row.is_leaf for row in (Listed("a", 0), Listed("a", 1), Listed("a", 2))] == [True, True, False]


def test_long_patterns_are_refused(store: MemoryStore) -> None:
    with pytest.raises(BadQuery, match="1000"):
        list(listing(store, b"*" * 1001, 10))
