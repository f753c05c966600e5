"""Counters by their names: which there are, patterns in four syntaxes, search, what is below a prefix, all in pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import pytest

from istat.buckets import Bucket
from istat.errors import BadQuery
from istat.names import stored
from istat_server.store.interface import (
    TOKEN_ROOM,
    Child,
    Counter,
    Description,
    Function,
    Kind,
    NamePattern,
    Page,
    Question,
    Syntax,
)
from istat_server.testing.suite.opened import LADDER, NOW, Opened, T, close_to

S = TypeVar("S")

EVERYTHING = NamePattern(Syntax.GLOB, b"*")


def all_pages(ask: Callable[[str], Page[S]], most: int, token: str = "") -> list[S]:
    """The items of all pages, or of those from a token on; none is larger than `most`."""
    found: list[S] = []
    while True:
        page = ask(token)
        assert len(page.items) <= most and len(page.token) <= TOKEN_ROOM
        found += page.items
        if not page.token:
            return found
        assert page.token != token
        token = page.token


def named(page: Page[Counter]) -> list[str]:
    """The names of a page."""
    return [counter.name for counter in page.items]


class Names:
    """Finding counters."""

    def test_an_empty_store(self, opened: Opened) -> None:
        store = opened.store
        assert store.count() == 0
        assert store.find(b"a") is None
        assert store.match(EVERYTHING, 10) == Page([]) == store.search([b"a"], 10)
        assert store.children(b"", 10) == Page([])
        assert store.read(Question([], T, T + 10, 0)) == [] == store.describe([])
        assert store.combine(Question([], T, T + 10, 0), [], Function.SUM) == []
        assert store.refusing == store.read_only == ""
        assert isinstance(dict(store.status()), dict)

    def test_carets_feed_every_counter_with_the_whole_value(self, opened: Opened) -> None:
        opened.feed(f"cpu.idle^host.a^class.b^ {T} 7\n*hits^host.a^^class.b {T} 10\n")
        for name in ("cpu.idle.host.a", "cpu.idle.class.b", "cpu.idle"):
            close_to(opened.one(name, 0, T, T + 10), [(T, Bucket.of(7))])
        close_to(opened.one("hits.class.b", 0, T, T + 10), [(T, Bucket.of(1))])
        assert opened.store.count() == 5

    def test_the_first_sample_fixes_the_kind(self, opened: Opened) -> None:
        opened.feed(f"g {T} 1\n*g {T} 5\n*e {T} 10\ne {T} 20\n")
        close_to(opened.one("g", 0, T, T + 10), [(T, Bucket.of(1, 5))])
        close_to(opened.one("e", 0, T, T + 10), [(T, Bucket.of(3))])

    def test_names_in_any_spelling(self, opened: Opened) -> None:
        opened.feed(f"*Web.Hits:A {T} 10\n")
        store = opened.store
        counter = store.find(b"*WEB.hits/a")
        assert counter is not None
        assert (counter.name, counter.kind) == ("web.hits_a", Kind.EVENT)
        assert store.counter(counter.id) == counter
        assert store.find(b"web.hits") is None
        assert store.count() == 1

    def test_patterns_and_search(self, opened: Opened) -> None:
        names = ["cpu.user.host.a", "cpu.user.host.bb", "cpu.idle", "disk.user"]
        opened.feed("".join(f"{name} {T} 1\n" for name in names))
        store = opened.store
        assert opened.matching("*") == set(names)
        assert opened.matching("cpu.?") == {"cpu.idle"}
        assert opened.matching("*user*") == {"cpu.user.host.a", "cpu.user.host.bb", "disk.user"}
        assert opened.matching("") == set()
        assert named(store.match(EVERYTHING, 3)) == named(store.match(EVERYTHING, 4))[:3]
        assert named(store.search([b"user"], 10)) == ["disk.user", "cpu.user.host.a", "cpu.user.host.bb"]
        assert named(store.search([b"host", b"cpu"], 1)) == ["cpu.user.host.a"]
        assert named(store.search([b"HOST", b"disk"], 10)) == []

    @pytest.mark.parametrize(("syntax", "text", "wanted"), [
        (Syntax.REGEX, r"^web\d+\.", {"web1.cpu.user", "web12.cpu", "web2.cpu.idle"}),
        (Syntax.REGEX, "idle$", {"web2.cpu.idle"}),
        (Syntax.ISTATD, "web?.cpu", {"web12.cpu"}),
        (Syntax.ISTATD, "web*", {"web1.cpu.user", "web12.cpu", "web2.cpu.idle"}),
        (Syntax.ISTATD, "", set()),
        (Syntax.GRAPHITE, "web*", set()),
        (Syntax.GRAPHITE, "web*.cpu", {"web12.cpu"}),
        (Syntax.GRAPHITE, "web?.*.*", {"web1.cpu.user", "web2.cpu.idle"}),
        (Syntax.GRAPHITE, "web[2-9].cpu.{idle,user}", {"web2.cpu.idle"}),
        (Syntax.GRAPHITE, "{db,web[!2]}*.cp{u,{x,y}}*", {"web12.cpu"}),
        (Syntax.GRAPHITE, "", set()),
    ])
    def test_the_syntaxes_of_patterns(self, opened: Opened, syntax: Syntax, text: str, wanted: set[str]) -> None:
        opened.feed(f"web1.cpu.user {T} 1\nweb12.cpu {T} 1\nweb2.cpu.idle {T} 1\nwebx {T} 1\n".replace("webx", "w"))
        assert opened.matching(text, syntax) == wanted

    @pytest.mark.parametrize(("syntax", "text"), [
        (Syntax.GLOB, "a" * 1001), (Syntax.REGEX, "("), (Syntax.GRAPHITE, "a{b"), (Syntax.GRAPHITE, "a[b")])
    def test_a_pattern_that_cannot_be_is_refused(self, opened: Opened, syntax: Syntax, text: str) -> None:
        with pytest.raises(BadQuery):
            opened.matching(text, syntax)

    def test_children(self, opened: Opened) -> None:
        opened.feed(f"cpu.user.b {T} 1\ncpu.user {T} 1\n*cpu.ctx {T} 1\ncpux {T} 1\n")
        store = opened.store
        found = {name: store.find(name.encode()) for name in ("cpu.user", "cpu.ctx", "cpux", "cpu.user.b")}
        assert store.children(b"", 9).items == [
            Child("cpu", "cpu", None, True), Child("cpux", "cpux", found["cpux"], False)]
        assert store.children(b"cpu", 9).items == [
            Child("ctx", "cpu.ctx", found["cpu.ctx"], False),
            Child("user", "cpu.user", found["cpu.user"], True),
        ]
        assert store.children(b"cpu.user", 9).items == [Child("b", "cpu.user.b", found["cpu.user.b"], False)]
        assert store.children(b"nothing", 9) == Page([])

    @pytest.mark.parametrize("size", [1, 2, 3, 1000])
    def test_odd_names_can_all_be_reached_and_none_holds_itself(self, opened: Opened, size: int) -> None:
        told = [".x.y", "x..y", "x.", "...", "x", "x...", "x.-b", "x.y", "**star", "**star.x", "**", ".x..y.", "a-b.c",
                "a"]
        opened.feed("".join(f"{name} {T} 1\n" for name in told) + f"^*gauge {T} 1\n")
        store, found, prefixes = opened.store, set[str](), [""]
        for _ in range(2):
            found.clear()
            while prefixes:
                prefix = prefixes.pop()
                below = all_pages(lambda token: store.children(stored(prefix.encode()), size, token), size)   # noqa: B023
                assert below and len({child.label for child in below}) == len(below)
                for child in below:
                    assert child.name == (f"{prefix}.{child.label}" if prefix else child.label)
                    assert child.counter is None or child.counter.name == child.name
                    found |= {child.name} if child.counter else set()
                    prefixes += [child.name] if child.branches else []
            assert found == {*told, "**gauge"}
            prefixes = [""]
            opened.rest()
        for name in found:
            counter = store.find(name.encode())
            assert counter is not None and counter.name == name
        assert opened.matching("*star*") == {"**star", "**star.x"}
        assert named(store.search([b"star"], 9)) == ["**star", "**star.x"]
        assert store.find(b"*star") is None

    @pytest.mark.parametrize("size", [1, 2, 7, 1000])
    def test_lists_in_pages_are_the_whole_lists(self, opened: Opened, size: int) -> None:
        labels = sorted({f"w{a}{b}" for a in ("", "-1", "-1-2", ".x", "0") for b in ("", "-z", ".q", "-z.q", "!")})
        names = [f"h.{label}" for label in labels] + ["other"]
        opened.feed("".join(f"{name} {T} 1\n" for name in names))
        store = opened.store
        for _ in range(2):
            found = all_pages(lambda token: store.match(EVERYTHING, size, token), size)
            assert sorted(counter.name for counter in found) == sorted(names)
            found = all_pages(lambda token: store.search([b"w", b"h."], size, token), size)
            assert [one.name for one in found] == sorted(names[:-1], key=lambda name: (len(name), name))
            below = all_pages(lambda token: store.children(b"h", size, token), size)
            assert [child.label for child in below] == sorted({label.partition(".")[0] for label in labels})
            opened.rest()

    def test_pages_leave_nothing_out_while_counters_come_and_go(self, opened: Opened) -> None:
        opened.feed("".join(f"n{at:03} {T} 1\n" for at in range(30)))
        store = opened.store
        asked: list[Callable[[str], Page[Counter]]] = [
            lambda token: store.match(EVERYTHING, 10, token), lambda token: store.search([b"n"], 10, token)]
        for number, ask in enumerate(asked):
            first = ask("")
            store.delete([first.items[-1].id, first.items[0].id])
            opened.feed(f"n{900 + number} {T} 1\n")
            rest = all_pages(ask, 10, first.token)
            stayed = {f"n{at:03}" for at in range(30)} & opened.matching("*")
            assert {one.name for one in (*first.items, *rest)} >= stayed
            names = [one.name for one in rest]
            assert len(names) == len(set(names)) and not set(names) & {one.name for one in first.items}

    @pytest.mark.parametrize("token", ["?", "no token", "1" * 5000, "m1;drop", "\u20ac"])
    def test_a_token_of_nobody_is_refused(self, opened: Opened, token: str) -> None:
        opened.feed(f"a.b {T} 1\n")
        for ask in (lambda: opened.store.match(EVERYTHING, 9, token), lambda: opened.store.search([b"a"], 9, token),
                    lambda: opened.store.children(b"", 9, token)):
            with pytest.raises(BadQuery, match="token"):
                ask()

    def test_a_token_of_another_list_is_refused(self, opened: Opened) -> None:
        opened.feed("".join(f"a{at}.b {T} 1\n" for at in range(3)))
        token = opened.store.children(b"", 1).token
        assert token
        with pytest.raises(BadQuery, match="token"):
            opened.store.match(EVERYTHING, 9, token)
        with pytest.raises(BadQuery, match="token"):
            opened.store.search([b"a"], 9, token)

    def test_counters_are_described(self, opened: Opened) -> None:
        opened.feed(f"g {T + 15} 1\ng {T + 725} 1\n*e {T + 40} 1\nold {NOW - 5 * 86400} 1\n")
        opened.feed(f"both {NOW - 5 * 86400} 1\nboth {T + 725} 1\n")
        g, e, old, both = (opened.store.find(name) for name in (b"g", b"e", b"old", b"both"))
        assert g is not None and e is not None and old is not None and both is not None
        day = NOW - 5 * 86400
        for _ in range(2):
            assert opened.store.describe([e.id, g.id, old.id, both.id]) == [
                Description(e, LADDER, T + 40, T + 40), Description(g, LADDER, T + 10, T + 720),
                Description(old, LADDER, day - day % 300, day - day % 300),
                Description(both, LADDER, day - day % 300, T + 720)]
            opened.rest()
