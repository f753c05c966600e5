"""The listing: part 7.5 of the behaviour specification."""

from __future__ import annotations

import pytest

from istat.clock import FakeClock
from istat.errors import BadQuery
from istat_server.query.patterns import BYTES_AT_ONCE, ROW_BYTES, Listed, Listing
from istat_server.testing.memory import MemoryStore

ROOM = 1 << 20      # bytes


@pytest.fixture
def store(clock: FakeClock) -> MemoryStore:
    store = MemoryStore(clock=clock)
    for name in ("foo.bar", "foo.bar.baz", "tep.a.x", "tep.b", "*mail.sent", "foobar"):
        store.add(name, None, 1)
    return store


def listed(store: MemoryStore, pattern: bytes, limit: int = 1000) -> set[tuple[str, int]]:
    found = list(Listing(store, pattern, limit, ROOM))
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
        Listing(store, b"*" * 1001, 10, ROOM)


@pytest.mark.parametrize(("limit", "room", "cut"), [(1000, ROOM, False), (6, ROOM, False), (5, ROOM, True),
                                                    (1000, 4 * ROW_BYTES, True), (1000, 0, True)])
def test_a_listing_says_that_it_was_cut(store: MemoryStore, limit: int, room: int, cut: bool) -> None:
    found = Listing(store, b"*", limit, room)
    rows = list(found)
    assert found.cut is cut
    assert sum(len(row.name) + ROW_BYTES for row in rows) <= room
    assert (len(rows) == 10) is not cut


def test_deep_names_do_not_fill_memory(clock: FakeClock) -> None:
    store = MemoryStore(clock=clock)
    for host in range(20):
        store.add(f"h{host}" + ".x" * 400, None, 1)
    found = Listing(store, b"*", 1000, 100_000)
    rows = list(found)
    assert found.cut and 100 < sum(len(row.name) + ROW_BYTES for row in rows) <= 100_000
    assert all(row.type == 2 for row in rows), "which are leaves is not known"


def test_others_have_their_turns_while_prefixes_are_looked_at(clock: FakeClock) -> None:
    store = MemoryStore(clock=clock)
    for host in range(60):
        store.add(f"h{host}" + ".x" * 400, None, 1)
    turns: list[int] = []
    rows = list(Listing(store, b"*", 1000, 1 << 30, lambda: turns.append(1)))
    assert len(rows) == 60 * 401
    assert len(turns) >= 2 * sum(len(row.name) for row in rows) // BYTES_AT_ONCE
