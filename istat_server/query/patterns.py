"""istatd's name patterns and its listing (part 7.5 of the behaviour specification).

`matches` is the reference that the kernel's matcher is tested against. Knows names, not HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from istat.errors import BadQuery
from istat_server.store.interface import Kind, Store

STAR, QUESTION, DOT = b"*?."
# Longest pattern taken [bytes]: matching costs its length times the name's.
PATTERN_ROOM = 1000
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
        while place < len(pattern) and pattern[place] in b"*?":
            place += 1
            reached.add(place)
    return reached


def check_pattern(pattern: bytes) -> bytes:
    """The pattern. BadQuery when it is longer than PATTERN_ROOM."""
    if len(pattern) > PATTERN_ROOM:
        raise BadQuery(f"a pattern has at most {PATTERN_ROOM} bytes")
    return pattern


def listing(store: Store, pattern: bytes, limit: int) -> Iterator[Listed]:
    """Counters and dotted prefixes of counters that fit, from at most `limit` counters; prefixes first.

    A prefix that fits is found through the counters below it: their names fit the pattern followed by `.*`.
    """
    if not check_pattern(pattern):
        return
    prefixes: dict[str, bool] = {}
    for counter in store.match(pattern + b".*", limit):
        prefix = counter.name.rpartition(".")[0]
        while prefix and prefix not in prefixes:
            prefixes[prefix] = matches(pattern, prefix.encode())
            prefix = prefix.rpartition(".")[0]
    for prefix, fits in prefixes.items():
        if fits:
            yield Listed(prefix, TYPE_AGGREGATE)
    for counter in store.match(pattern, limit):
        if counter.name not in prefixes:
            yield Listed(counter.name, TYPE_COUNTER if counter.kind is Kind.EVENT else TYPE_GAUGE)
