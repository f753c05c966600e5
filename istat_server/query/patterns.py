"""Lists of names in portions that others can bear: pages of a store's, and istatd's listing (part 7.5 of the behaviour
specification). Knows names, not HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from istat.patterns.automata import check_pattern
from istat_server.store.interface import Counter, Kind, NamePattern, Page, Store, Syntax

T = TypeVar("T")

PAGE_NAMES = 1000       # counters described at once: some 3 ms
# What is looked at between turns of others [bytes of names, each with so many more]: some 3 ms.
BYTES_AT_ONCE, MORE_EACH = 600_000, 100
PREFIX_BYTES = 130      # that a prefix takes in memory besides its text
# What a row of a listing has besides its name [bytes]: `{"is_leaf":false,"type":2,"name":""},`
ROW_BYTES = 37
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


def portions(
    ask: Callable[[int, str], Page[T]], skip: int, limit: int, token: str, between: Callable[[], None],
    room: Callable[[], int],
) -> Iterator[Page[T]]:  # fmt: skip
    """At most `limit` items behind `skip` others of what `ask(limit, token)` gives, in portions of a few milliseconds'
    work. The token of each asks for what follows it.

    `room`: how many more items whoever takes them has place for, whatever they are; the end when that is none.
    """
    while limit > 0:
        page = ask(min(skip or limit, PAGE_NAMES, *([] if skip else [room()])), token)
        token = page.token
        if skip:
            skip -= len(page.items)
        else:
            limit -= len(page.items)
            yield page
        if not token or room() < 1:
            return
        between()


class Listing:
    """Counters and dotted prefixes of counters that fit, from at most `limit` counters and with at most `room` bytes of
    rows; prefixes first. `cut`, once it was walked: there is more.

    A prefix that fits is found through the counters below it: their names fit the pattern followed by `.*`.
    """

    def __init__(self, store: Store, pattern: bytes, limit: int, room: int, between: Callable[[], None] = lambda: None,
                 holding: Callable[[int], None] = lambda _size: None) -> None:
        """`between` is called between portions of a few milliseconds' work, `holding` with bytes that it takes in
        memory."""
        self._store, self._pattern, self._limit, self._between = store, check_pattern(pattern), limit, between
        self._room, self._holding = room, holding
        self._done = self._held = 0
        self.cut = False

    def __iter__(self) -> Iterator[Listed]:
        if not self._pattern:
            return
        prefixes = self._prefixes()
        left = self._room
        for listed in self._rows(prefixes):
            left -= len(listed.name) + ROW_BYTES
            if left < 0:
                self.cut = True
                return
            yield listed

    def _rows(self, prefixes: dict[bytes, None]) -> Iterator[Listed]:
        fitting = NamePattern(Syntax.ISTATD, self._pattern)
        fits = fitting.compiled().fits
        for prefix in prefixes:
            self._looked_at(prefix)
            if fits(prefix):
                yield Listed(prefix.decode(), TYPE_AGGREGATE)
        if self.cut:        # which of the counters are no leaves is not known
            return
        for counter in self._counters(fitting):
            if counter.name.encode() not in prefixes:
                yield Listed(counter.name, TYPE_COUNTER if counter.kind is Kind.EVENT else TYPE_GAUGE)

    def _prefixes(self) -> dict[bytes, None]:
        """All prefixes of the counters below those that fit, in order of first appearance."""
        found: dict[bytes, None] = {}
        left = self._room
        for counter in self._counters(NamePattern(Syntax.ISTATD, self._pattern + b".*")):
            prefix = counter.name.encode().rpartition(b".")[0]
            while prefix and prefix not in found:
                left -= len(prefix) + ROW_BYTES
                if left < 0:
                    self.cut = True
                    return found
                found[prefix] = None
                self._looked_at(prefix, PREFIX_BYTES)
                prefix = prefix.rpartition(b".")[0]
        return found

    def _looked_at(self, prefix: bytes, held: int = 0) -> None:
        """A prefix was; it is kept and takes its text and so many bytes, or not."""
        self._done += len(prefix) + MORE_EACH
        self._held += len(prefix) + held if held else 0
        if self._done >= BYTES_AT_ONCE:
            self._holding(self._held)
            self._done = self._held = 0
            self._between()

    def _counters(self, pattern: NamePattern) -> Iterator[Counter]:
        """Those that fit, of which there may be too many."""
        left = self._limit
        token = ""
        while True:
            self._between()
            page = self._store.match(pattern, min(left, PAGE_NAMES), token)
            yield from page.items
            left, token = left - len(page.items), page.token
            if not token:
                return
            if left <= 0:
                self.cut = True
                return
