"""What is in memory of one level and not yet in a StatFile. Knows no names, no files, no clock.

This module is the specification; `native/ingest/head.pyx` is the fast build of it and the same tests run on both. What
rows there are, and in which order they are told, is specified; what they take in memory is each build's own business.
"""
from __future__ import annotations

from typing import TYPE_CHECKING

from istat.kernels.python.columns import Columns, merge_events, merge_gauges

if TYPE_CHECKING:
    from istat.kernels.python.blocks.coding import BlockWriter

Row = tuple[int, int, float, float, float, float]
ROW_BYTES = 64      # [bytes] what a row counts for in bytes()


class Head:
    """Open and closed partial buckets of one level."""

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self._rows: dict[int, list[Row]] = {}
        self._events: dict[int, bool] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def bytes(self) -> int:
        """Bytes in use by rows."""
        return self._length * ROW_BYTES

    def has(self, id: int) -> bool:
        """Whether a counter has a bucket here."""
        return id in self._rows

    def memory(self) -> int:
        """Bytes held: of rows, with the room to grow, and of the table of all ids (here there are only rows)."""
        return self.bytes()

    def heard(self) -> int:
        """How many counters have a bucket here."""
        return len(self._rows)

    def add(self, id: int, event: bool, time: int, count: int, sum: float, m2: float,
            min: float, max: float) -> None:
        """Add one sample or partial bucket; `time` is any second of the bucket, not negative."""
        time -= time % self.interval
        rows = self._rows.setdefault(id, [])
        self._events[id] = event
        if rows and rows[-1][0] == time:
            row = (time, count, sum, m2, min, max)
            rows[-1] = merge_events(rows[-1], row) if event else merge_gauges(rows[-1], row)
        else:
            rows.append((time, count, sum, m2, min, max))
            self._length += 1

    def collect(self, id: int, start: int, end: int, into: Columns) -> None:
        """Append the partial rows of a counter with start <= time < end, in order of arrival."""
        for row in self._rows.get(id, ()):
            if start <= row[0] < end:
                into.append(*row)

    def freeze(self) -> Frozen | None:
        """All of it as a Frozen head, or None when there is nothing; this head is empty afterwards."""
        if not self._rows:
            return None
        frozen = Frozen(self.interval, self._rows, self._events)
        self._rows, self._events, self._length = {}, {}, 0
        return frozen


class Frozen:
    """A head cut off: it only answers and is written."""

    def __init__(self, interval: int, rows: dict[int, list[Row]], events: dict[int, bool]) -> None:
        self.interval = interval
        self._rows = rows
        self._events = events
        self._length = sum(map(len, rows.values()))
        self.first_time = self.last_time = 0

    def spans(self, span: int) -> list[int]:
        """Starts of the spans of `span` seconds (a multiple of the interval) that rows lie in, ascending.

        Reads every row once and sets first_time and last_time on the way.
        """
        times = [row[0] for chain in self._rows.values() for row in chain]
        self.first_time, self.last_time = min(times), max(times)
        return sorted({time - time % span for time in times})

    def __len__(self) -> int:
        return self._length

    def bytes(self) -> int:
        """Bytes in use by rows."""
        return self._length * ROW_BYTES

    def collect(self, id: int, start: int, end: int, into: Columns) -> None:
        """Append the partial rows of a counter with start <= time < end, in order of arrival."""
        for row in self._rows.get(id, ()):
            if start <= row[0] < end:
                into.append(*row)

    def write(self, writer: BlockWriter) -> None:
        """Hand every counter's folded rows to the writer, ids ascending."""
        for id in sorted(self._rows):
            rows = Columns.from_rows(self._rows[id])
            rows.fold(self._events[id])
            writer.add_run(id, self._events[id], rows)
