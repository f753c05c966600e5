"""Columns of histograms and of HyperLogLog sketches: as `metrics`, which these belong to. A cell has none before its
first value.

This module is the specification; the native build has it in `native/cubes/metrics.pyx`, and the same tests run on both.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from istat.kernels.python.cubes.cells import CoreBase, KeyBatch
from istat.kernels.python.cubes.hashing import hash_id, hashed
from istat.kernels.python.cubes.histogram import MOST_CORRECTED, TOO_MANY, Histogram
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.keys import is_single, spread
from istat.kernels.python.cubes.metrics import Metric
from istat.kernels.python.cubes.shapes import MOST_VALUES, Shape, times_of


class HistogramMetric(Metric["Histogram | None"]):
    """How values are distributed."""

    kind = "histogram"

    def __init__(self, name: str, core: CoreBase, shape: Shape) -> None:
        super().__init__(name, core)
        self.shape = shape
        self._total = Histogram(shape)

    @property
    def total(self) -> Histogram:
        """All values, those of refused and evicted cells as well; a copy."""
        return self._total.copy()

    def record(self, target: object, value: Any, count: int = 1) -> bool:
        """Record a value, `count` times. TypeError, ValueError, OverflowError for what is no value of the shape."""
        key, number, times = self.key(target), self.checked([value], 1)[0], _counts(count, 1)[0]
        with self.core.guard:
            return self._record(key, number, times)

    def record_corrected(self, target: object, value: Any, expected_interval: Any, count: int = 1) -> bool:
        """As `record`, and the values that a caller would have seen who asks each `expected_interval` and had to wait
        for this one: value - interval, value - 2 intervals, ... down to the interval."""
        key, times = self.key(target), _counts(count, 1)[0]
        number, interval = self.checked([value, expected_interval], 2)
        _check_interval(number, interval)
        with self.core.guard:
            return self._record(key, number, times, interval)

    def record_many(self, rows: KeyBatch, values: Any, counts: Any = 1) -> int:
        """As `record` for each row; how many had a cell."""
        keys = self.keys(rows)
        numbers, times = self.checked(values, len(keys)), _counts(counts, len(keys))
        with self.core.guard:
            return sum([self._record(*row) for row in zip(keys, numbers, times)])

    def record_corrected_many(self, rows: KeyBatch, values: Any, expected_interval: Any, counts: Any = 1) -> int:
        """As `record_corrected` for each row; how many had a cell."""
        keys = self.keys(rows)
        numbers, times = self.checked(values, len(keys)), _counts(counts, len(keys))
        intervals = self.checked(expected_interval, len(keys))
        for number, interval in zip(numbers, intervals):
            _check_interval(number, interval)
        with self.core.guard:
            return sum([self._record(*row) for row in zip(keys, numbers, times, intervals)])

    def checked(self, values: Any, rows: int) -> list[int]:
        if is_single(values):
            return [self.shape.whole(values)] * rows
        return [self.shape.whole(value) for value in spread(values, rows)]

    def apply(self, key: bytes, value: int) -> bool:
        return self._record(key, value, 1)

    def _record(self, key: bytes, number: int, count: int, interval: int = 0) -> bool:
        slot = self.core.slot_of(key)
        place = slot if slot >= 0 else self.core.cells.overflow
        for histogram in [self._total] if place < 0 else [self._total, self._of(place)]:
            if interval > 0:
                taken = histogram.record_corrected_whole(number, interval, count)
            else:
                taken = histogram.record_whole(number, count)
            self.core.saturated |= not taken
        return slot >= 0

    def rank(self, slot: int) -> float:
        found = self.values[slot]
        return 0 if found is None else found.count

    def _of(self, slot: int) -> Histogram:
        """The histogram of a slot, made now if need be."""
        found = self.values[slot]
        if found is None:
            found = self.values[slot] = Histogram(self.shape)
        return found

    def empty(self) -> Histogram | None:
        return None

    def value(self, slot: int) -> Histogram:
        """A copy of the histogram of a slot."""
        found = self.values[slot]
        return Histogram(self.shape) if found is None else found.copy()

    def merged(self, slots: Iterable[int]) -> Histogram:
        together = Histogram(self.shape)
        for found in [self.values[slot] for slot in slots]:
            if found is not None:
                self._merge(together, found)
        return together

    def put(self, slot: int, value: Histogram) -> None:
        self.values[slot] = value.copy() if value.count else None

    def put_total(self, value: Histogram) -> None:
        """Set the totals: for readers of files."""
        self._total = value.copy()

    def merge_cell(self, slot: int, other: Metric[Histogram | None], of: int) -> None:
        theirs = other.values[of]
        if theirs is not None:
            self._merge(self._of(slot), theirs)

    def _merge(self, mine: Histogram, theirs: Histogram) -> None:
        """Add a histogram, unless there would be too many values: the cube tells so then."""
        if mine.count + theirs.count > MOST_VALUES:
            self.core.saturated = True
        else:
            mine.merge(theirs)

    def clear(self, room: int) -> None:
        super().clear(room)
        self._total = Histogram(self.shape)

    def merge_totals(self, other: Metric[Histogram | None]) -> None:
        assert isinstance(other, HistogramMetric)
        self._merge(self._total, other._total)

    def memory(self) -> int:
        return super().memory() + sum(found.memory() for found in self.values if found is not None)

    def __repr__(self) -> str:
        return f"HistogramMetric({self.name!r}, {self.shape.parameters()})"


class HllMetric(Metric["HyperLogLog | None"]):
    """How many distinct items there are."""

    kind = "hll"

    def __init__(self, name: str, core: CoreBase, precision: int = 12, hash: str = "xxh64") -> None:
        super().__init__(name, core)
        self._total = HyperLogLog(precision, hash)
        self.precision, self.hash = precision, hash
        self._hash = hash_id(hash)

    @property
    def total(self) -> HyperLogLog:
        """All items, those of refused and evicted cells as well; a copy."""
        return self._total.copy()

    def add(self, target: object, item: Any) -> bool:
        """Add an item: str, bytes or int. TypeError for anything else, OverflowError for an int of more than 64
        bits."""
        key, hash = self.key(target), hashed(item, self._hash)
        with self.core.guard:
            return self.apply(key, hash)

    def add_many(self, rows: KeyBatch, items: Any) -> int:
        """As `add` for each row; how many had a cell."""
        keys = self.keys(rows)
        hashes = self.checked(items, len(keys))
        with self.core.guard:
            return sum([self.apply(key, hash) for key, hash in zip(keys, hashes)])

    def checked(self, values: Any, rows: int) -> list[int]:
        if is_single(values):
            return [hashed(values, self._hash)] * rows
        return [hashed(item, self._hash) for item in spread(values, rows)]

    def apply(self, key: bytes, value: int) -> bool:
        core = self.core
        self._total.add_hash(value)
        ranks = core.primary is self
        slot = core.rank_up(key, 1, value) if ranks else core.slot_of(key)
        place = slot if slot >= 0 else core.cells.overflow
        if place >= 0 and not (ranks and slot >= 0):
            self.of(place).add_hash(value)
        return slot >= 0

    def raise_by(self, slot: int, amount: int, item: int) -> tuple[int, int]:
        return self.of(slot).add_ranks(item)

    def rank(self, slot: int) -> float:
        found = self.values[slot]
        return 0 if found is None else found.estimate()

    def fold(self, precision: int) -> None:
        """Give all sketches fewer registers, in the guard. ValueError for more, and where the metric ranks cells."""
        if self.core.primary is self:
            raise ValueError(f"{self.name} ranks the cells of its cube: its precision stays")
        self._total = self._total.fold(precision)
        self.values = [None if found is None else found.fold(precision) for found in self.values]
        self.precision = precision

    def of(self, slot: int) -> HyperLogLog:
        """The sketch of a slot, made now if need be."""
        found = self.values[slot]
        if found is None:
            found = self.values[slot] = HyperLogLog(self.precision, self.hash)
        return found

    def empty(self) -> HyperLogLog | None:
        return None

    def value(self, slot: int) -> HyperLogLog:
        """A copy of the sketch of a slot."""
        found = self.values[slot]
        return HyperLogLog(self.precision, self.hash) if found is None else found.copy()

    def merged(self, slots: Iterable[int]) -> HyperLogLog:
        together = HyperLogLog(self.precision, self.hash)
        for found in [self.values[slot] for slot in slots]:
            if found is not None:
                together.merge(found)
        return together

    def put(self, slot: int, value: HyperLogLog) -> None:
        self.values[slot] = None if value.is_empty else value.copy()

    def put_total(self, value: HyperLogLog) -> None:
        """Set the totals: for readers of files."""
        self._total = value.copy()

    def merge_cell(self, slot: int, other: Metric[HyperLogLog | None], of: int) -> None:
        theirs = other.values[of]
        if theirs is not None:
            self.of(slot).merge(theirs)

    def clear(self, room: int) -> None:
        super().clear(room)
        self._total = HyperLogLog(self.precision, self.hash)

    def merge_totals(self, other: Metric[HyperLogLog | None]) -> None:
        assert isinstance(other, HllMetric)
        self._total.merge(other._total)

    def memory(self) -> int:
        return 2 * super().memory() + sum(found.memory() for found in self.values if found is not None)

    def __repr__(self) -> str:
        return f"HllMetric({self.name!r}, precision={self.precision})"


def _check_interval(number: int, interval: int) -> None:
    """ValueError when it is no interval, or one at which too many values would have come."""
    if interval <= 0:
        raise ValueError("an interval is above 0")
    if number // interval > MOST_CORRECTED:
        raise ValueError(TOO_MANY)


def _counts(counts: Any, rows: int) -> list[int]:
    """How often values are recorded, one a row. ValueError below 0 and beyond 63 bits."""
    if is_single(counts):
        return [times_of(counts)] * rows
    return [times_of(count) for count in spread(counts, rows)]
