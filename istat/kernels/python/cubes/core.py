"""The data of one cube: its cells, a column for each metric, totals, and the sampler where a full cube asks one.
Knows no names of cubes, no schemas and no files.

Metrics' methods, `rows` and `update` are for programs; they take the guard. All else is called by who holds it.

This module is the specification; `native/cubes/core.pyx` is the fast build of it and the same tests run on both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from istat.errors import KeyTooLong
from istat.kernels.python.cubes.admission import REFUSED_PRECISION, TOP_CARDINALITY, TOPK, Admission
from istat.kernels.python.cubes.cells import NOT_FOUND, OVERFLOW, REFUSED, TOUCHED, Cell, KeyBatch
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.keys import KEY_ROOM, Value, decoded, encoded_rows, rows_in
from istat.kernels.python.cubes.metrics import CounterMetric, GaugeMetric, Metric
from istat.kernels.python.cubes.shapes import Shape
from istat.kernels.python.cubes.sketched import HistogramMetric, HllMetric


class Core(Admission):
    """One cube's data. `names` are those of its dimensions, in order; cores of an instance share a guard."""

    # Metrics.

    def add_counter(self, name: str, real: bool = False) -> CounterMetric:
        """A new column of int64, or of float64."""
        metric = CounterMetric(name, self, real)
        self._add(metric)
        return metric

    def add_gauge(self, name: str, rule: str = "last") -> GaugeMetric:
        """A new column of gauges; ValueError when it is no rule."""
        metric = GaugeMetric(name, self, rule)
        self._add(metric)
        return metric

    def add_histogram(self, name: str, shape: Shape) -> HistogramMetric:
        """A new column of histograms."""
        metric = HistogramMetric(name, self, shape)
        self._add(metric)
        return metric

    def add_hll(self, name: str, precision: int = 12, hash: str = "xxh64") -> HllMetric:
        """A new column of HyperLogLog sketches; ValueError for a precision that is none."""
        metric = HllMetric(name, self, precision, hash)
        self._add(metric)
        return metric

    def _add(self, metric: Metric[Any]) -> None:
        metric.reserve(len(self.cells.keys))
        self.metrics.append(metric)

    def drop(self, metric: Metric[Any]) -> None:
        """Take a column out; the metric takes no updates any more. ValueError for the one that ranks cells."""
        if metric is self.primary:
            raise ValueError(f"{metric.name} ranks the cells: sample otherwise first")
        self.metrics.remove(metric)
        metric.dropped = True

    def order(self, metrics: Iterable[Metric[Any]]) -> None:
        """Give the metrics, all of them, another order."""
        self.metrics = list(metrics)

    # Updates.

    def cell(self, *values: object) -> Cell:
        """The handle of a cell; errors as of `key_of`."""
        return Cell(self, self.key_of(values))

    def rows(self, columns: Sequence[object]) -> KeyBatch:
        """The keys of a batch, a column for each dimension in order (kinds: see `keys`). ValueError for a wrong
        number of columns or columns of several lengths; else errors as of `keys.encoded`."""
        return KeyBatch(self, self._keys(columns, rows_in(columns)))

    def update(self, columns: Sequence[object], values: Mapping[Metric[Any], object]) -> int:
        """Update metrics row by row, in each row the primary one first: the same as calls one after another. How many
        rows had a cell. Errors as of `rows` and of the metrics, before anything changes."""
        rows = rows_in([*columns, *values.values()])
        keys = self._keys(columns, rows)
        metrics = sorted(values, key=lambda metric: metric is not self.primary)
        for metric in metrics:
            self._check_mine(metric)
        checked = [metric.checked(values[metric], rows) for metric in metrics]
        applied = 0
        with self.guard:
            for key, *row in zip(keys, *checked):
                done = [metric.apply(key, value) for metric, value in zip(metrics, row)]
                applied += all(done)
        return applied

    def _check_mine(self, metric: Metric[Any]) -> None:
        if metric.core is not self:
            raise ValueError(f"{metric!r} is a metric of another cube")
        metric.check_listed()

    def _keys(self, columns: Sequence[object], rows: int) -> list[bytes]:
        if len(columns) != self.dimensions:
            raise ValueError(f"this cube has {self.dimensions} dimensions ({', '.join(self.names)}), "
                             f"and the batch {len(columns)} columns")
        keys = encoded_rows(columns, rows)
        longest = max(map(len, keys), default=0)
        if longest > KEY_ROOM:
            raise KeyTooLong(f"the values of a cell take {longest} bytes, and a key has at most {KEY_ROOM}")
        return keys

    # Reading. Slots are good until the next update.

    def slots(self, untouched: bool = False) -> list[int]:
        """The cells by insertion, without the overflow cell; those kept by a reset and not updated since only if
        wanted."""
        return [slot for slot in self.cells.in_order() if untouched or self.cells.marks[slot] & TOUCHED]

    def ranked(self, n: int | None = None, by: Metric[Any] | None = None, untouched: bool = False) -> list[int]:
        """The n cells with the most of a metric, or all; ties by key. Without a metric, as the sampler ranks them."""
        if by is not None:
            self._check_mine(by)
        ranking = self.sampler if by is None else by
        if ranking is None:
            raise ValueError("no metric ranks the cells of this cube: tell by which one")
        keys = self.cells.keys
        return sorted(self.slots(untouched), key=lambda slot: (-ranking.rank(slot), keys[slot]))[:n]

    def find(self, target: object) -> int:
        """The slot of a cell, by a tuple of values or a Cell, or NOT_FOUND; errors as of `key_of`."""
        return self.cells.find(self.key_of(target))

    def key(self, slot: int) -> tuple[Value, ...]:
        """The values of a cell's dimensions."""
        return decoded(self.cells.keys[slot], self.dimensions)

    def key_bytes(self, slot: int) -> bytes:
        """The key of a cell."""
        return self.cells.keys[slot]

    def marks(self, slot: int) -> int:
        """LATE, TOUCHED, OVERFLOW, added up."""
        return self.cells.marks[slot]

    def generation(self, slot: int) -> int:
        """Rises when a slot changes owner."""
        return self.cells.generations[slot]

    def inherited(self, slot: int) -> int:
        """How much of a cell's primary counter came from the sketch."""
        return self.begun_with(slot) if self.mode == TOPK else 0

    def floor(self, slot: int) -> int:
        """The estimate of distinct items with which a cell was admitted."""
        return self.begun_with(slot) if self.mode == TOP_CARDINALITY else 0

    @property
    def overflow_slot(self) -> int:
        """Of the overflow cell when it has something, else NOT_FOUND."""
        return self.cells.overflow if self.refused or self.evicted else NOT_FOUND

    @property
    def has_updates(self) -> bool:
        """Whether there were any since the last reset."""
        return bool(self.refused or self.evicted or self.slots())

    @property
    def sketch_merge_skipped(self) -> int:
        """Merges in which the two sketches did not agree, so that only cells were merged."""
        return 0 if self.sampler is None else int(self.sampler.skipped)

    def stats(self) -> dict[str, Any]:
        """How full it is, and what was lost."""
        return {
            "cells": len(self.cells), "max_cells": self.cells.most, "rejected": self.refused,
            "rejected_keys": round(self.refused_keys.estimate()), "admitted_late": self.admitted_late,
            "evicted": self.evicted, "saturated": self.saturated,
            "sketch_merge_skipped": self.sketch_merge_skipped,
            "noise": self.sampler.sketch.noise if self.mode == TOP_CARDINALITY else 0.0,
        }  # fmt: skip

    def memory(self) -> dict[str, Any]:
        """[bytes] held: of cells, of each metric and of the sketch."""
        return {"cells": self.cells.memory(), "metrics": {metric.name: metric.memory() for metric in self.metrics},
                "sketch": 0 if self.sampler is None else self.sampler.memory()}

    # As a whole.

    def merge(self, other: Core, pairs: Iterable[tuple[Metric[Any], Metric[Any]]]) -> None:
        """Add another core of the same dimensions, mode and primary metric. `pairs` are metrics of this one, each with
        the one of the other that is to be added: of one kind, with parameters that can be merged. The other stays as it
        is."""
        pairs = list(pairs)
        self._merge_stats(other)
        for mine, theirs in pairs:
            mine.merge_totals(theirs)
        if other.cells.overflow >= 0:
            self._to_overflow(pairs, other.cells.overflow)
        if self.sampler is None:
            self.merge_cells(other, pairs)
        else:
            self.merge_ranked(other, pairs)

    def _merge_stats(self, other: Core) -> None:
        self.refused += other.refused
        self.evicted += other.evicted
        self.admitted_late += other.admitted_late
        self.saturated |= other.saturated
        self.refused_keys.merge(other.refused_keys)

    def reset(self, keep_cells: bool = False) -> None:
        """No updates yet: no cells, or with `keep_cells` the same ones with empty values, which are not shown before
        their next update. Metrics, mode and memory stay."""
        if keep_cells:
            for slot in self.cells.in_order():
                self.cells.marks[slot] = 0
        else:
            self.cells.clear()
            self.add_overflow(self.overflow_cell)
        for metric in self.metrics:
            metric.clear(len(self.cells.keys))
        self.refused = self.evicted = self.admitted_late = 0
        self.saturated = False
        self.refused_keys = HyperLogLog(REFUSED_PRECISION)
        if self.sampler is not None:
            self.sampler.clear()
            self.enter_all({})

    # For readers of files: metrics' `put` and `put_total` set the values, then `entered` tells the sampler.

    def insert(self, key: bytes, marks: int) -> int:
        """A new cell without values, or with OVERFLOW among its marks that cell. ValueError when the key is damaged,
        there already, or when there is no room for it."""
        decoded(key, self.dimensions)
        if marks & OVERFLOW and self.overflow_cell:
            return self.cells.overflow
        slot = self.made(key) if self.cells.find(key) < 0 and not marks & OVERFLOW else REFUSED
        if slot < 0:
            raise ValueError("a cell stands there twice, or there are more than the cube may have")
        self.cells.marks[slot] = marks
        return slot

    def entered(self, slot: int, begun_with: int = 0) -> None:
        """A cell inserted has all of its values."""
        if self.sampler is not None:
            self.sampler.entered(slot, begun_with)

    def put_stats(self, refused: int, evicted: int, admitted_late: int, saturated: bool, refused_keys: HyperLogLog,
                  sketch_merge_skipped: int = 0) -> None:
        """Set what `stats` tells."""
        self.refused, self.evicted, self.admitted_late = refused, evicted, admitted_late
        self.saturated, self.refused_keys = saturated, refused_keys.copy()
        if self.sampler is not None:
            self.sampler.skipped = sketch_merge_skipped


# For instances of many cubes: a call for each would cost more than what there is to do.


def any_updates(cores: Iterable[Core]) -> bool:
    """Whether one of them had updates since its last reset."""
    return any(core.has_updates for core in cores)


def merge_alike(cores: Sequence[Core], others: Sequence[Core]) -> None:
    """Add to each core the one at the same place of the others, which has the same metrics in the same order."""
    for core, other in zip(cores, others, strict=True):
        if other.has_updates:
            core.merge(other, list(zip(core.metrics, other.metrics, strict=True)))


def reset_all(cores: Iterable[Core], keep_cells: bool = False) -> None:
    """Reset all of them."""
    for core in cores:
        core.reset(keep_cells)
