"""istatd's name patterns and its listing (part 7.5 of the behaviour specification).

`matches` is the reference that the kernel's matcher is tested against. Knows names, not HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from istat.kernels import names
from istat.patterns import check_pattern
from istat_server.store.interface import Counter, Kind, Store

STAR, QUESTION, DOT = b"*?."
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


def matches(pattern: bytes, name: bytes) -> bool:
    """Whether the whole name fits: `*` is any run of bytes, `?` any run without dots, all else itself.

    An empty pattern fits nothing. All places in the pattern that the name's beginning can have led to are
    followed at once, so no pattern takes longer than its length times the name's.
    """
    if not pattern:
        return False
    places = _and_behind_runs(pattern, {0})
    for byte in name:
        ahead = set()
        for place in places:
            if place == len(pattern):
                continue
            token = pattern[place]
            if token == STAR or (token == QUESTION and byte != DOT):
                ahead.add(place)
            elif token == byte and token != QUESTION:
                ahead.add(place + 1)
        places = _and_behind_runs(pattern, ahead)
        if not places:
            return False
    return len(pattern) in places


def _and_behind_runs(pattern: bytes, places: set[int]) -> set[int]:
    """The places, and those reached from them by empty runs."""
    reached = set(places)
    for place in places:
        while place < len(pattern) and pattern[place] in b"*?" and place + 1 not in reached:
            place += 1
            reached.add(place)
    return reached


def in_pages(
    store: Store, pattern: bytes, limit: int, between: Callable[[], None], regex: bool = False
) -> Iterator[Counter]:
    """At most `limit` counters that fit; `between` is called between pages of a few milliseconds' work."""
    after = -1
    while limit > 0:
        page = store.match(pattern, min(limit, PAGE_NAMES), after, regex)
        yield from page
        if len(page) < PAGE_NAMES:
            return
        limit -= len(page)
        after = page[-1].id
        between()


def listing(store: Store, pattern: bytes, limit: int, between: Callable[[], None] = lambda: None) -> Iterator[Listed]:
    """Counters and dotted prefixes of counters that fit, from at most `limit` counters; prefixes first.

    A prefix that fits is found through the counters below it: their names fit the pattern followed by `.*`.
    """
    if not check_pattern(pattern):
        return
    prefixes = names.NameTable()
    for counter in in_pages(store, pattern + b".*", limit, between):
        prefix = counter.name.encode().rpartition(b".")[0]
        while prefix and prefixes.find(prefix) < 0:
            prefixes.add(prefix)
            prefix = prefix.rpartition(b".")[0]
    for id in prefixes.match(pattern):
        yield Listed(prefixes.name(id).decode(), TYPE_AGGREGATE)
    for counter in in_pages(store, pattern, limit, between):
        if prefixes.find(counter.name.encode()) < 0:
            yield Listed(counter.name, TYPE_COUNTER if counter.kind is Kind.EVENT else TYPE_GAUGE)
