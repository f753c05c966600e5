"""The listing: part 7.5 of the behaviour specification."""

from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat_server.query.patterns import Listed, listing
from istat_server.testing.memory import MemoryStore


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
