"""Buckets of several counters as those of one: merged exactly, never from averages. Knows rows, no ids and no files."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from istat.kernels import columns

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns


class Combined:
    """One series of many counters' buckets, which may come in portions. Not for two threads at once."""

    def __init__(self) -> None:
        self._gauges: Columns = columns.Columns()
        self._rates: Columns = columns.Columns()
        self._events = 0        # how many event counters there were

    def add(self, some: Sequence[Columns], events: Sequence[bool]) -> None:
        """Add final rows of counters, all of one level."""
        for rows, event in zip(some, events, strict=True):
            (self._rates if event else self._gauges).extend(rows)
        self._events += sum(events)
        self._gauges.fold(False)
        self._rates.fold(False)

    def rows(self, interval: int, parts: int) -> Columns:
        """The series, in buckets of `interval` seconds, which have `parts` of the finest level. Of events there are
        zeros where none came, for each counter."""
        whole: Columns = columns.Columns()
        whole.extend(self._gauges)
        if self._events:
            whole.extend(self._rates.reduce(0, interval, self._events * parts))
        whole.fold(False)
        return whole
