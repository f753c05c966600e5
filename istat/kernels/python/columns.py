"""Rows of buckets held as columns, and the arithmetic of merging them: the specification.

The native build of the same name gives the same bits for the same calls, so every floating-point
expression here is written in the order in which it is evaluated there. Knows rows, not counters: what
an id, a level or a file is stands elsewhere. Rows are ``(time, count, sum, m2, min, max)``: time in Unix
seconds of the bucket's start, count >= 1, m2 the sum of squared deviations from the mean.

All of it is specification, down to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Row = tuple[int, int, float, float, float, float]

#: Sums and M2 that would overflow stop here, so that no column ever holds an infinity or NaN.
MAX_DOUBLE = 1.7976931348623157e308
MAX_INT64 = 2**63 - 1
MIN_INT64 = -(2**63)


def _bounded(value: float) -> float:
    """Give value, or the largest double of its sign when it overflowed."""
    if value > MAX_DOUBLE:
        return MAX_DOUBLE
    if value < -MAX_DOUBLE:
        return -MAX_DOUBLE
    return value


def _rounded_off(a: float, b: float, total: float) -> float:
    """What rounding took from a + b, exactly, when it gave total (Knuth's TwoSum)."""
    part = total - a
    return (a - (total - part)) + (b - part)


def _with_lost(row: Row, lost: float) -> Row:
    """The row with what rounding took from its sum, unless that overflowed."""
    if not -MAX_DOUBLE <= lost <= MAX_DOUBLE:
        return row
    return (*row[:2], _bounded(row[2] + lost), *row[3:])


def merge_gauges(a: Row, b: Row) -> Row:
    """Merge two partial buckets by Chan's formula; the time is a's.

    M2 is 0 when min = max. Counts saturate at 2**63 - 1, sums and M2 at the largest double.
    """
    time, count_a, sum_a, m2_a, min_a, max_a = a
    _, count_b, sum_b, m2_b, min_b, max_b = b
    low = min_b if min_b < min_a else min_a
    high = max_b if max_b > max_a else max_a
    m2 = 0.0
    if low != high:
        size_a = float(count_a)
        size_b = float(count_b)
        distance = sum_b / size_b - sum_a / size_a
        m2 = m2_a + m2_b + distance * distance * size_a * size_b / (size_a + size_b)
        if not m2 <= MAX_DOUBLE:
            m2 = MAX_DOUBLE
    return (time, min(count_a + count_b, MAX_INT64), _bounded(sum_a + sum_b), m2, low, high)


def merge_events(a: Row, b: Row) -> Row:
    """Add the totals of two partial event buckets; count stays 1, min = max = total."""
    total = _bounded(a[2] + b[2])
    return (a[0], 1, total, 0.0, total, total)


def merge_rates(a: Row, b: Row) -> Row:
    """Add the rates of two sources of events over the same fine buckets: sums, M2, min and max add, the count stays."""
    total, m2 = _bounded(a[2] + b[2]), _bounded(a[3] + b[3])
    return (a[0], max(a[1], b[1]), total, m2, _bounded(a[4] + b[4]), _bounded(a[5] + b[5]))


class Columns:
    """A growing list of rows. Not safe for use by two threads at once."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: list[Row] = []

    @staticmethod
    def from_rows(rows: Iterable[Row]) -> Columns:
        """Build from ``(time, count, sum, m2, min, max)`` tuples."""
        made = Columns()
        for row in rows:
            made.append(*row)
        return made

    def __len__(self) -> int:
        return len(self._rows)

    def row(self, index: int) -> Row:
        """Give one row; IndexError outside 0 <= index < len."""
        if not 0 <= index < len(self._rows):
            raise IndexError("no such row")
        return self._rows[index]

    def rows(self) -> list[Row]:
        """Give all rows, in their order."""
        return list(self._rows)

    def append(self, time: int, count: int, sum: float, m2: float, min: float, max: float) -> None:
        """Add one row at the end; OverflowError if time or count is no int64."""
        if not (MIN_INT64 <= time <= MAX_INT64 and MIN_INT64 <= count <= MAX_INT64):
            raise OverflowError("time and count are 64 bit")
        self._rows.append((time, count, float(sum), float(m2), float(min), float(max)))

    def extend(self, other: Columns) -> None:
        """Add all rows of other at the end."""
        self._rows.extend(list(other._rows))

    def fold(self, event: bool) -> None:
        """Sort by time (stable) and merge rows of equal time from left to right, in place."""
        self._fold(merge_events if event else merge_gauges)

    def fold_rates(self) -> None:
        """Sort by time (stable) and add event rates of equal time (`merge_rates`), in place."""
        self._fold(merge_rates)

    def _fold(self, merge: Callable[[Row, Row], Row]) -> None:
        folded: list[Row] = []
        for row in sorted(self._rows, key=lambda each: each[0]):
            if folded and folded[-1][0] == row[0]:
                folded[-1] = merge(folded[-1], row)
            else:
                folded.append(row)
        self._rows = folded

    def slice(self, start: int, end: int) -> Columns:
        """Copy the rows with start <= time < end."""
        made = Columns()
        made._rows = [row for row in self._rows if start <= row[0] < end]
        return made

    def rates(self, interval: int) -> None:
        """Turn event totals of buckets of interval seconds into rates per second, in place."""
        if interval < 1:
            raise ValueError("interval must be positive")
        rates = [(row[0], row[2] / float(interval)) for row in self._rows]
        self._rows = [(time, 1, rate, 0.0, rate, rate) for time, rate in rates]

    def reduce(self, start: int, interval: int, event_count: int = 0) -> Columns:
        """Merge time-ordered rows into buckets of interval seconds that begin at start.

        Groups without rows are left out. Sums are compensated, so that sums of decimals stay next to the
        decimal however many rows there are. For events (event_count > 0: fine buckets in a group) the
        missing fine buckets are merged in as zeros and the count becomes event_count.
        """
        if interval < 1:
            raise ValueError("interval must be positive")
        made = Columns()
        groups = made._rows
        lost = 0.0
        for row in self._rows:
            time = start + (row[0] - start) // interval * interval
            if groups and groups[-1][0] == time:
                before = groups[-1][2]
                groups[-1] = merge_gauges(groups[-1], row)
                lost += _rounded_off(before, row[2], groups[-1][2])
                continue
            if groups:
                groups[-1] = _with_lost(groups[-1], lost)
            groups.append((time, *row[1:]))
            lost = 0.0
        if groups:
            groups[-1] = _with_lost(groups[-1], lost)
        if event_count > 0:
            made._rows = [_with_zeros(row, event_count) for row in groups]
        return made

    def fill_zero(self, start: int, end: int, interval: int, count: int) -> Columns:
        """Copy the time-ordered rows of start <= time < end; every step without one becomes a zero.

        Zeros carry the given count. For events, where no bucket means that nothing happened.
        """
        if interval < 1:
            raise ValueError("interval must be positive")
        made = Columns()
        kept = [row for row in self._rows if start <= row[0] < end]
        index = 0
        for step in range(start, end, interval):
            if index >= len(kept) or kept[index][0] >= step + interval:
                made._rows.append((step, count, 0.0, 0.0, 0.0, 0.0))
            while index < len(kept) and kept[index][0] < step + interval:
                made._rows.append(kept[index])
                index += 1
        return made

    def add_direct(self, direct: Columns, interval: int, fine_interval: int) -> None:
        """Add event totals that arrived at a coarse level to that level's rate rows, in place.

        Both hold buckets of interval seconds. The total counts as spread evenly over the fine buckets:
        sum is exact, min, max and M2 are what that spreading gives.
        """
        if fine_interval < 1 or interval < fine_interval:
            raise ValueError("interval must be a multiple of fine_interval")
        parts = interval // fine_interval
        totals = Columns()
        totals.extend(direct)
        totals.fold(True)
        rates = {row[0]: row[2] / float(fine_interval) for row in totals._rows}
        added: list[Row] = []
        for row in self._rows:
            if row[0] in rates:
                rate = rates.pop(row[0])
                share = rate / float(parts)
                time, count, total, m2, low, high = row
                row = (time, count, _bounded(total + rate), m2, _bounded(low + share), _bounded(high + share))
            added.append(row)
        for time, rate in rates.items():
            share = rate / float(parts)
            added.append((time, parts, rate, 0.0, share, share))
        self._rows = sorted(added, key=lambda each: each[0])


def _with_zeros(row: Row, count: int) -> Row:
    """Merge in the zeros that bring a group of event rates to count rows."""
    if row[1] < count:
        row = merge_gauges(row, (row[0], count - row[1], 0.0, 0.0, 0.0, 0.0))
    return (row[0], count, *row[2:])
