"""istatd's listing of names (part 7.5 of the behaviour specification). Knows names, not HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from istat.patterns.automata import check_pattern
from istat_server.store.interface import Counter, Kind, NamePattern, Page, Store, Syntax

T = TypeVar("T")

PAGE_NAMES = 2000       # counters described at once: some 4 ms
TYPE_GAUGE, TYPE_COUNTER, TYPE_AGGREGATE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Listed:
    """One name of a listing. A name with longer names below it is an aggregate and no leaf."""

    name: str
    type: int

    @property
    def is_leaf(self) -> bool:
        """Whether no name goes on below this one."""
        return self.type != TYPE_AGGREGATE


def in_pages(store: Store, pattern: NamePattern, limit: int, between: Callable[[], None]) -> Iterator[Counter]:
    """At most `limit` counters that fit; `between` is called between pages of a few milliseconds' work."""
    token = ""
    while limit > 0:
        page = store.match(pattern, min(limit, PAGE_NAMES), token)
        yield from page.items
        token = page.token
        if not token:
            return
        limit -= len(page.items)
        between()


def page_of(
    ask: Callable[[int, str], Page[T]], skip: int, limit: int, token: str, between: Callable[[], None]
) -> Page[T]:
    """A page of at most `limit` items of what `ask(limit, token)` gives in smaller ones, behind `skip` others."""
    found: list[T] = []
    while True:
        page = ask(min(skip or limit - len(found), PAGE_NAMES), token)
        token = page.token
        if skip:
            skip -= len(page.items)
        else:
            found += page.items
        if not token or (not skip and len(found) >= limit):
            return Page(found, token)
        between()


def listing(store: Store, pattern: bytes, limit: int, between: Callable[[], None] = lambda: None) -> Iterator[Listed]:
    """Counters and dotted prefixes of counters that fit, from at most `limit` counters; prefixes first.

    A prefix that fits is found through the counters below it: their names fit the pattern followed by `.*`.
    """
    if not check_pattern(pattern):
        return
    fitting = NamePattern(Syntax.ISTATD, pattern)
    prefixes: dict[bytes, None] = {}       # in order of first appearance
    for counter in in_pages(store, NamePattern(Syntax.ISTATD, pattern + b".*"), limit, between):
        prefix = counter.name.encode().rpartition(b".")[0]
        while prefix and prefix not in prefixes:
            prefixes[prefix] = None
            prefix = prefix.rpartition(b".")[0]
    for prefix in filter(fitting.compiled().fits, prefixes):
        yield Listed(prefix.decode(), TYPE_AGGREGATE)
    for counter in in_pages(store, fitting, limit, between):
        if counter.name.encode() not in prefixes:
            yield Listed(counter.name, TYPE_COUNTER if counter.kind is Kind.EVENT else TYPE_GAUGE)
