"""istatd's listing of names (part 7.5 of the behaviour specification). Knows names, not HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from istat.patterns.automata import check_pattern
from istat.patterns.globs import glob
from istat_server.store.interface import Counter, Kind, Store

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
    prefixes: dict[bytes, None] = {}       # in order of first appearance
    for counter in in_pages(store, pattern + b".*", limit, between):
        prefix = counter.name.encode().rpartition(b".")[0]
        while prefix and prefix not in prefixes:
            prefixes[prefix] = None
            prefix = prefix.rpartition(b".")[0]
    fitting = glob(pattern)
    for prefix in filter(fitting.fits, prefixes):
        yield Listed(prefix.decode(), TYPE_AGGREGATE)
    for counter in in_pages(store, pattern, limit, between):
        if counter.name.encode() not in prefixes:
            yield Listed(counter.name, TYPE_COUNTER if counter.kind is Kind.EVENT else TYPE_GAUGE)
