"""Search over a name table: sorted segments, and plain scans of what is in none yet.

This module is the specification; `native/search.pyx` is the fast build of it and the same tests run on both. There a
segment has signatures besides, which only tell what need not be looked at.
"""
from __future__ import annotations

import bisect
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge as merge_sorted
from heapq import nsmallest

from istat.kernels.python.names import NameTable

Tail = tuple[int, int]      # ids from, up to but not including


class Pattern:
    """A compiled pattern: a deterministic automaton, and what its names must begin with and contain.

    classes: 256 bytes, the class of each byte. moves: little-endian 16-bit states, a row of classes for each
    state; state 0 fails, 1 accepts whatever follows, 2 is the first. accepts: a byte for each state. ValueError
    when that does not fit together.
    """

    def __init__(self, classes: bytes, moves: bytes, accepts: bytes, prefix: bytes = b"",
                 literals: Iterable[bytes] = ()) -> None:
        if len(classes) != 256 or len(accepts) < 3:
            raise ValueError("a pattern has 256 classes and at least 3 states")
        self._classes, self._accepts, self._width = classes, accepts, max(classes) + 1
        if len(moves) != 2 * len(accepts) * self._width:
            raise ValueError(f"{len(accepts)} states of {self._width} classes are not {len(moves)} bytes")
        self._moves: tuple[int, ...] = struct.unpack(f"<{len(moves) // 2}H", moves)
        if max(self._moves) >= len(accepts):
            raise ValueError(f"there is no state {max(self._moves)}")
        self.prefix, self.literals = prefix, tuple(literals)

    def fits(self, name: bytes) -> bool:
        """Whether the whole name fits."""
        state = 2
        for byte in name:
            state = self._moves[state * self._width + self._classes[byte]]
            if state < 2:
                return state == 1
        return bool(self._accepts[state])


class Segment:
    """The names of the ids first..stop-1 in order, without those that were gone. Made by `build` and `merge`; never
    changed."""

    def __init__(self, first: int, stop: int, ids: Sequence[int], names: Sequence[bytes]) -> None:
        self.first, self.stop = first, stop
        self.ids, self.names = ids, names       # the names are those that the ids had when it was made

    def __len__(self) -> int:
        return len(self.ids)

    def memory(self) -> int:
        """Bytes held, roughly."""
        return 16 * len(self.ids)

    def among(self, prefix: bytes) -> tuple[int, int]:
        """The places of the names that begin with a prefix."""
        low = bisect.bisect_left(self.names, prefix)
        return low, bisect.bisect_left(self.names, True, low, key=lambda name: not name.startswith(prefix))


def build(table: NameTable, first: int, stop: int) -> Segment:
    """The segment of the ids first..stop-1, without those that are gone, which are marked as skipped. ValueError when
    some of them are not there."""
    if not 0 <= first <= stop <= len(table):
        raise ValueError(f"there are no ids {first}..{stop} among {len(table)}")
    gone = table.gone_among(first, stop)
    table.skipped |= gone
    rows = sorted((table.name(id), id) for id in range(first, stop) if id not in gone)
    return Segment(first, stop, [id for _name, id in rows], [name for name, _id in rows])


def merge(table: NameTable, left: Segment, right: Segment) -> Segment:
    """One segment of two neighbours. ValueError when they are none."""
    if left.stop != right.first or right.stop > len(table):
        raise ValueError(f"{left.first}..{left.stop} and {right.first}..{right.stop} are no neighbours")
    rows = list(merge_sorted(zip(left.names, left.ids), zip(right.names, right.ids)))
    return Segment(left.first, right.stop, [id for _name, id in rows], [name for name, _id in rows])


def _ids(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], prefix: bytes) -> Iterator[int]:
    """The ids of names in the table that can begin with a prefix: those in segments and tail whose name is their first
    one, and the moved ones."""
    elsewhere = set(table.moved)
    for segment in segments:
        if segment.stop > len(table):
            raise ValueError("this segment is of another table")
        low, high = segment.among(prefix)
        yield from (id for id in segment.ids[low:high] if id not in elsewhere and table.has(id))
    yield from (id for id in range(tail[0], min(tail[1], len(table))) if id not in elsewhere and table.has(id))
    yield from (id for id in moved if table.has(id))


def find(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], pattern: Pattern,
         after: int = -1, limit: int = -1) -> list[int]:
    """Ids above `after` whose whole name fits, ascending, at most `limit`.

    `segments` and `tail`, a range of ids, together have each id once, in ascending order; `moved` is a copy of the
    table's.
    """
    ids = _ids(table, segments, tail, moved, pattern.prefix)
    found = (id for id in ids if id > after and pattern.fits(table.name(id)))
    return nsmallest(len(table) if limit < 0 else limit, found)


def find_words(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], words: list[bytes],
               limit: int = -1) -> list[int]:
    """Ids whose names hold all the words, shorter names first, then by name; at most `limit`."""
    def rank(id: int) -> tuple[int, bytes]:
        return len(table.name(id)), table.name(id)

    found = (id for id in _ids(table, segments, tail, moved, b"") if all(word in table.name(id) for word in words))
    return nsmallest(len(table) if limit < 0 else limit, found, key=rank)


def work(table: NameTable, segments: list[Segment], tail: Tail, pattern: Pattern | None, words: list[bytes]) -> int:
    """How many names a question would look at, at most."""
    prefix = pattern.prefix if pattern else b""
    places: Callable[[Segment], tuple[int, int]] = lambda segment: segment.among(prefix)    # noqa: E731
    return tail[1] - tail[0] + sum(high - low for low, high in map(places, segments))


def children(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], prefix: bytes,
             limit: int) -> list[tuple[bytes, int, bool]]:
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label; at
    most `limit`, and then not always the first. The empty prefix gives the first labels of all names."""
    stem = prefix + b"." if prefix else b""
    labels: dict[bytes, tuple[int, bool]] = {}
    for id in _ids(table, segments, tail, moved, stem):
        name = table.name(id)
        if name.startswith(stem):
            label, dot, _ = name[len(stem):].partition(b".")
            before, deeper = labels.get(label, (-1, False))
            labels[label] = (before, True) if dot else (id, deeper)
    return sorted((label, id, deeper) for label, (id, deeper) in labels.items())[:limit]
