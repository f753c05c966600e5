"""Names in order: a range of ids, sorted by their names, so that those with a beginning lie together.

This module is the specification; `native/search/segments.pyx` is the fast build of it and the same tests run on both.
There a segment has signatures besides, which only tell what need not be looked at.
"""
from __future__ import annotations

import bisect
from collections.abc import Sequence
from heapq import merge as merge_sorted

from istat.kernels.python.names import NameTable


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
