"""Blocks of coded runs, written and read: the specification.

A block is a directory and the coded runs (runs.py) of many counters, ids ascending; a long run comes in
several parts. What BlockReader reads is specification; where a block ends and the next begins is BlockWriter's choice
(by max_values and by ID_BITS), and blocks cut otherwise are read as well. The native build of the same name gives the
same bytes. Knows neither files nor checksums.
"""

from __future__ import annotations

from typing import NamedTuple

from istat.kernels.python.blocks import runs
from istat.kernels.python.columns import Columns, Row
from istat.kernels.python.varints import get_varint, put_varint

VERSION = 1
JOINT_VERSION = 2  # has a fourth flag; written only where a run needs that
MOST_ROWS = 1 << 20  # rows of one block: bounds what hostile bytes can make a reader allocate
MOST_ID = (1 << 32) - 1
VALUES_OF_ROW = 5
# The ids of one block agree above this many bits, so that files can be cut between blocks at the same ids.
ID_BITS = 18


class Block(NamedTuple):
    """One finished block; first_time and last_time are of the first and the last bucket in it."""

    first_id: int
    last_id: int
    rows: int
    first_time: int
    last_time: int
    data: bytes


class Entry(NamedTuple):
    """One run in the directory of a block."""

    id: int
    rows: int
    flags: int
    time: int
    last: int
    data: bytes


class BlockWriter:
    """Collects runs of rows into blocks. interval: seconds that all times are multiples of."""

    def __init__(self, max_values: int = 16000, interval: int = 1) -> None:
        if not VALUES_OF_ROW <= max_values <= MOST_ROWS:
            raise ValueError("max_values must be from 5 to 2**20")
        if not 1 <= interval <= runs.LAST_TIME:
            raise ValueError("interval must be positive")
        self._max_values = max_values
        self._unit = interval
        self._last_id = -1
        self._entries: list[Entry] = []
        self._values = 0
        self._finished: list[Block] = []

    def add_run(self, id: int, event: bool, columns: Columns) -> None:
        """Add one counter's rows, in time order and unique; ids must not descend. ValueError if not so."""
        rows = columns.rows()
        if not rows:
            return
        if not 0 <= id <= MOST_ID:
            raise OverflowError("an id has 32 bits")
        if id < self._last_id:
            raise ValueError("runs must come by ascending id")
        before = -1
        for row in rows:
            if row[0] % self._unit or not before < row[0] <= runs.LAST_TIME or row[1] < 1:
                raise ValueError("rows need ascending times >= 0 on the interval, and counts >= 1")
            before = row[0]
        width = 1 if runs.is_single(rows) else VALUES_OF_ROW
        part = self._max_values // width
        for first in range(0, len(rows), part):
            self._put_part(id, event, rows[first : first + part], width)
        self._last_id = id

    def _put_part(self, id: int, event: bool, rows: list[Row], width: int) -> None:
        values = len(rows) * width
        if self._entries and (self._values + values > self._max_values
                              or self._entries[-1].id >> ID_BITS != id >> ID_BITS):
            self._close()
        flags, data = runs.encode_run(rows, self._unit, event)
        self._entries.append(Entry(id, len(rows), flags, rows[0][0], rows[-1][0], data))
        self._values += values

    def _close(self) -> None:
        """Put directory and runs together as a finished block."""
        entries = self._entries
        if not entries:
            return
        first_time = min(entry.time for entry in entries)
        head = (self._unit, first_time // self._unit, len(entries))
        joint = any(entry.flags & runs.JOINT for entry in entries)
        parts = [bytes([JOINT_VERSION if joint else VERSION]), *map(put_varint, head)]
        before = 0
        for entry in entries:
            parts.append(put_varint(entry.id - before))
            parts.append(put_varint(entry.rows << (4 if joint else 3) | entry.flags))
            parts.append(put_varint((entry.time - first_time) // self._unit))
            parts.append(put_varint(len(entry.data)))
            before = entry.id
        parts += [entry.data for entry in entries]
        rows, last = sum(entry.rows for entry in entries), max(entry.last for entry in entries)
        self._finished.append(Block(entries[0].id, before, rows, first_time, last, b"".join(parts)))
        self._entries = []
        self._values = 0

    def take(self) -> list[Block]:
        """Give the finished blocks, and forget them."""
        blocks, self._finished = self._finished, []
        return blocks

    def finish(self) -> list[Block]:
        """Close the open block and give all finished blocks; ids may begin anew after it."""
        self._close()
        self._last_id = -1
        return self.take()


class _Cursor:
    """Numbers read from untrusted bytes."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def next(self, most: int) -> int:
        """Read a number; ValueError if it is over most or not all there."""
        value, self.at = get_varint(self.data, self.at)
        if value > most:
            raise ValueError("malformed block")
        return value


class BlockReader:
    """The runs of one block, decoded one by one. Safe for reading by many threads at once.

    ValueError: the bytes are no block, or a run in it is damaged.
    """

    def __init__(self, data: bytes, interval: int) -> None:
        data = bytes(data)
        if len(data) < 4 or interval < 1:
            raise ValueError("no block")
        if data[0] not in (VERSION, JOINT_VERSION):
            raise ValueError("malformed block")
        cursor = _Cursor(data, 1)
        self._unit = cursor.next(runs.LAST_TIME)
        if self._unit < 1 or interval % self._unit:
            raise ValueError("malformed block")
        self.entries = self._directory(cursor, 4 if data[0] == JOINT_VERSION else 3)

    def _directory(self, cursor: _Cursor, flags: int) -> list[Entry]:
        most, length = runs.LAST_TIME // self._unit, len(cursor.data)
        base = cursor.next(most)
        count = cursor.next(MOST_ROWS)
        if count * 4 > length:
            raise ValueError("malformed block")
        found: list[tuple[int, int, int, int]] = []
        id = rows = 0
        for _ in range(count):
            id += cursor.next(MOST_ID)
            packed = cursor.next((MOST_ROWS + 1 << flags) - 1)
            start = base + cursor.next(most)
            size = cursor.next(length)
            rows += packed >> flags
            if id > MOST_ID or packed >> flags == 0 or rows > MOST_ROWS or start > most:
                raise ValueError("malformed block")
            found.append((id, packed, start * self._unit, size))
        if sum(size for *_, size in found) != length - cursor.at:
            raise ValueError("malformed block")
        entries = []
        for id, packed, time, size in found:
            data = cursor.data[cursor.at : cursor.at + size]
            entries.append(Entry(id, packed >> flags, packed & ((1 << flags) - 1), time, time, data))
            cursor.at += size
        return entries

    def decode(self, entry: Entry) -> list[Row]:
        """Give the rows of one run."""
        return runs.decode_run(entry.data, entry.flags, entry.rows, entry.time, self._unit)

    def runs(self) -> list[tuple[int, bool, int]]:
        """List ``(id, event, rows)`` of every run, in order; a long run may come in several parts."""
        return [(entry.id, bool(entry.flags & runs.EVENT), entry.rows) for entry in self.entries]

    def read(self, id: int, start: int, end: int, into: Columns) -> int:
        """Append the rows of id with start <= time < end to into; give how many. ValueError if damaged."""
        kept: list[Row] = []
        for entry in self.entries:
            if entry.id == id and entry.time < end:
                kept += [row for row in self.decode(entry) if start <= row[0] < end]
        for row in kept:
            into.append(*row)
        return len(kept)
