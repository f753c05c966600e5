"""Questions about the names of a table: which fit a pattern, which hold some words.

Segments narrow them down, and the tail, the ids that are in no segment yet, is looked at one by one. This module is the
specification; `native/search/questions.pyx` is the fast build of it and the same tests run on both. What is found, and
in which order, is specified; how many names `work` foretells is each build's own estimate.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import nsmallest

from istat.kernels.python.names import NameTable
from istat.kernels.python.search.patterns import Pattern
from istat.kernels.python.search.segments import Segment

Tail = tuple[int, int]      # ids from, up to but not including


def ids_of(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], prefix: bytes) -> Iterator[int]:
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
    ids = ids_of(table, segments, tail, moved, pattern.prefix)
    found = (id for id in ids if id > after and pattern.fits(table.name(id)))
    return nsmallest(len(table) if limit < 0 else limit, found)


def find_words(table: NameTable, segments: list[Segment], tail: Tail, moved: list[int], words: list[bytes],
               limit: int = -1, behind: bytes | None = None) -> list[int]:
    """Ids whose names hold all the words, shorter names first, then by name; at most `limit`, of those that come
    behind a name."""
    def rank(id: int) -> tuple[int, bytes]:
        return len(table.name(id)), table.name(id)

    found = (id for id in ids_of(table, segments, tail, moved, b"")
             if (behind is None or rank(id) > (len(behind), behind)) and all(word in table.name(id) for word in words))
    return nsmallest(len(table) if limit < 0 else limit, found, key=rank)


def work(table: NameTable, segments: list[Segment], tail: Tail, pattern: Pattern | None, words: list[bytes]) -> int:
    """How many names a question would look at, at most."""
    prefix = pattern.prefix if pattern else b""
    places: Callable[[Segment], tuple[int, int]] = lambda segment: segment.among(prefix)    # noqa: E731
    return tail[1] - tail[0] + sum(high - low for low, high in map(places, segments))
