"""Deletes, undo and renames: what nobody finds any more, what comes back, what is refused."""

from __future__ import annotations

import pytest

from istat.buckets import Bucket
from istat.errors import BadQuery
from istat_server.store.interface import Capability, NamePattern, Syntax
from istat_server.testing.suite.opened import Opened, T, close_to

EVERYTHING = NamePattern(Syntax.GLOB, b"*")


class Changes:
    """What becomes of counters."""

    def test_a_deleted_counter_is_found_no_more(self, opened: Opened) -> None:
        opened.feed(f"a.b {T} 1\na.c {T} 2\n")
        store, (id,) = opened.store, opened.ids("a.b")
        assert store.delete([id]) == 1
        for _ in range(2):
            assert store.find(b"a.b") is None
            assert store.count() == 1
            assert opened.matching("*") == {"a.c"}
            assert store.search([b"b"], 9).items == []
            assert [child.label for child in store.children(b"a", 9).items] == ["c"]
            opened.rest()
        assert store.delete([id]) == 0

    def test_a_sample_of_a_deleted_name_makes_another_counter(self, opened: Opened) -> None:
        opened.feed(f"a {T} 1\n")
        before = opened.id("a")
        opened.store.delete([before])
        opened.feed(f"a {T} 5\n")
        assert opened.id("a") != before
        for _ in range(2):
            close_to(opened.one("a", 0, T, T + 10), [(T, Bucket.of(5))])
            opened.rest()

    def test_a_delete_can_be_undone(self, opened: Opened) -> None:
        opened.wants(Capability.UNDELETE)
        opened.feed(f"a {T} 1\nb {T} 2\n")
        store, ids = opened.store, opened.ids("a", "b")
        store.delete(ids)
        (entry,) = store.deleted(NamePattern(Syntax.GLOB, b"a"), 9)
        assert (entry.counter.name, entry.counter.id, entry.problem) == ("a", ids[0], "")
        assert len(store.deleted(EVERYTHING, 9)) == 2 and len(store.deleted(EVERYTHING, 1)) == 1
        first, last = store.deleted(EVERYTHING, 9)
        assert store.deleted(EVERYTHING, 9, (first.number, first.counter.id)) == [last]
        assert store.deleted(EVERYTHING, 9, (last.number, last.counter.id)) == []
        assert [one.counter.id for one in store.deleted_called({b"b", b"none"})] == [ids[1]]
        assert store.undelete([ids[0]]) == []
        assert opened.matching("*") == {"a"}
        assert opened.id("a") == ids[0]
        opened.feed(f"a {T} 3\n")
        close_to(opened.one("a", 0, T, T + 10), [(T, Bucket.of(1, 3))])

    def test_an_undo_is_refused_with_the_reason(self, opened: Opened) -> None:
        opened.wants(Capability.UNDELETE)
        opened.feed(f"a {T} 1\nb {T} 1\n")
        store, (a, b) = opened.store, opened.ids("a", "b")
        store.delete([a])
        opened.feed(f"a {T} 2\n")
        refused = store.undelete([a, b])
        assert [entry.counter.id for entry in refused] == [a, b]
        assert all(entry.problem for entry in refused)
        close_to(opened.one("a", 0, T, T + 10), [(T, Bucket.of(2))])

    def test_a_renamed_counter_keeps_its_buckets(self, opened: Opened) -> None:
        opened.wants(Capability.RENAME)
        opened.feed(f"old.a {T} 1\nold.b {T} 2\n")
        store, (a, b) = opened.store, opened.ids("old.a", "old.b")
        store.rename([(a, b"new.a"), (b, b"new.b")])
        for _ in range(2):
            assert opened.matching("*") == {"new.a", "new.b"}
            assert opened.ids("new.a", "new.b") == [a, b]
            assert store.counter(a).name == "new.a"
            close_to(opened.one("new.a", 0, T, T + 10), [(T, Bucket.of(1))])
            opened.rest()
        opened.feed(f"old.a {T} 5\n")
        assert opened.id("old.a") != a
        close_to(opened.one("new.a", 0, T, T + 10), [(T, Bucket.of(1))])

    @pytest.mark.parametrize("names", [(b"c", b"taken"), (b"c", b"c"), (b"", b"d"), (b"Upper", b"d")])
    def test_a_rename_is_of_all_or_none(self, opened: Opened, names: tuple[bytes, bytes]) -> None:
        opened.wants(Capability.RENAME)
        opened.feed(f"a {T} 1\nb {T} 1\ntaken {T} 1\n")
        pairs = list(zip(opened.ids("a", "b"), names, strict=True))
        assert list(opened.store.rename_problems(pairs))
        with pytest.raises(BadQuery) as caught:
            opened.store.rename(pairs)
        assert caught.value.status == 409
        assert opened.matching("*") == {"a", "b", "taken"}

    def test_the_clock_can_be_confirmed_where_it_is_guarded(self, opened: Opened) -> None:
        opened.wants(Capability.CLOCK_GUARD)
        assert opened.store.confirm_clock() == ""
