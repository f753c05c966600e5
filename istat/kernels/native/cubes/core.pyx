# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The data of one cube: its cells, a column for each metric, totals, and the sampler where a full cube asks one.
Knows no names of cubes, no schemas and no files.

Metrics' methods, `rows` and `update` are for programs; they take the guard. All else is called by who holds it. The
specification is the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from istat.kernels.native.cubes.admission cimport REFUSED_LAYOUT, pairs_t
from istat.kernels.native.cubes.cells cimport Cell, aim_t
from istat.kernels.native.cubes.hashing cimport xxh64
from istat.kernels.native.cubes.hll cimport hll_clear, hll_copy, hll_estimate, hll_merge, hll_t
from istat.kernels.native.cubes.inner.hyperloglog cimport HyperLogLog, hll_object
from istat.kernels.native.cubes.inner.columns cimport Column, Items, column_of, rows_in
from istat.kernels.native.cubes.inner.merging cimport merge_cells, merge_ranked
from istat.kernels.native.cubes.inner.metric cimport apply_by_row
from istat.kernels.native.cubes.inner.rows cimport KeyBatch, key_batch
from istat.kernels.native.cubes.inner.table cimport NO_MEMORY, NOT_FOUND, OVERFLOW, REFUSED, TOUCHED
from istat.kernels.native.cubes.keys cimport KEY_ROOM, decode_key, well_formed
from istat.kernels.native.cubes.metrics cimport CounterMetric, GaugeMetric
from istat.kernels.native.cubes.shapes cimport Shape
from istat.kernels.native.cubes.sketched cimport HistogramMetric, HllMetric

from istat.kernels.native.cubes.admission import TOP_CARDINALITY, TOPK

cdef enum:
    MOST_METRICS = 256          # of an update: as many as a cube may have


cdef class Core(Admission):
    """One cube's data. `names` are those of its dimensions, in order; cores of an instance share a guard."""

    # Metrics.

    def add_counter(self, str name not None, bint real=False):
        """A new column of int64, or of float64."""
        return self.add_metric(CounterMetric(name, self, real))

    def add_gauge(self, str name not None, str rule="last"):
        """A new column of gauges; ValueError when it is no rule."""
        return self.add_metric(GaugeMetric(name, self, rule))

    def add_histogram(self, str name not None, Shape shape not None):
        """A new column of histograms."""
        return self.add_metric(HistogramMetric(name, self, shape))

    def add_hll(self, str name not None, int precision=12, str hash not None="xxh64"):
        """A new column of HyperLogLog sketches; ValueError for a precision that is none."""
        return self.add_metric(HllMetric(name, self, precision, hash))

    cdef object add_metric(self, Metric metric):
        if self.itself.n == MOST_METRICS:
            raise ValueError(f"a cube has at most {MOST_METRICS} metrics")
        if metric.reserve(self.cells.room) < 0:
            raise MemoryError("no memory for another metric")
        self.list_metrics([*self.metrics, metric])
        return metric

    def drop(self, Metric metric not None):
        """Take a column out; the metric takes no updates any more. ValueError for the one that ranks cells."""
        if metric is self.primary:
            raise ValueError(f"{metric.name} ranks the cells: sample otherwise first")
        rest = list(self.metrics)
        rest.remove(metric)
        self.list_metrics(rest)
        metric.dropped = True

    def order(self, metrics):
        """Give the metrics, all of them, another order."""
        metrics = list(metrics)
        if len(metrics) != len(self.metrics) or set(metrics) != set(self.metrics):
            raise ValueError("these are not all of the cube's metrics")
        self.list_metrics(metrics)

    # Updates.

    def cell(self, *values):
        """The handle of a cell; errors as of `find`."""
        cdef uint8_t key[KEY_ROOM]
        cdef Py_ssize_t size = self.encode(values, key)
        return Cell(self, PyBytes_FromStringAndSize(<char *> key, size))

    cdef list columns_of(self, columns):
        cdef list read = [column_of(column) for column in columns]
        if len(read) != self.dimensions:
            raise ValueError(f"this cube has {self.dimensions} dimensions ({', '.join(self.names)}), "
                             f"and the batch {len(read)} columns")
        return read

    def rows(self, columns):
        """The keys of a batch, a column for each dimension in order (kinds: see inner.columns). ValueError for a wrong
        number of columns or columns of several lengths; else errors as of `keys.encoded`."""
        cdef list read = self.columns_of(columns)
        return key_batch(self, read, rows_in(read))

    def update(self, columns, values):
        """Update metrics row by row, in each row the primary one first: the same as calls one after another. How many
        rows had a cell. Errors as of `rows` and of the metrics, before anything changes."""
        cdef list read = self.columns_of(columns)
        cdef list metrics = sorted(values, key=lambda metric: metric is not self.primary)
        cdef list given = [column_of(values[metric]) for metric in metrics]
        cdef Py_ssize_t rows = rows_in(read + given)
        cdef KeyBatch batch = key_batch(self, read, rows)
        cdef Metric metric
        cdef list checked = []
        if len(metrics) > MOST_METRICS:
            raise ValueError(f"a cube has at most {MOST_METRICS} metrics")
        for metric, column in zip(metrics, given):
            self.check_mine(metric)
            checked.append(metric.checked_items(column, rows))
        return self.apply_all(batch, metrics, checked)

    cdef int check_mine(self, Metric metric) except -1:
        if metric is None or metric.core is not self:
            raise ValueError(f"{metric!r} is a metric of another cube")
        metric.check_listed()
        return 0

    cdef object apply_all(self, KeyBatch rows, list metrics, list checked):
        """Checked values of each metric; how many rows had a cell."""
        cdef PyObject *columns[MOST_METRICS]
        cdef PyObject *items[MOST_METRICS]
        cdef Py_ssize_t n = len(metrics)
        cdef Py_ssize_t k
        cdef int64_t slot = 0
        cdef int64_t applied = 0
        for k in range(n):
            columns[k] = <PyObject *> metrics[k]
            items[k] = <PyObject *> checked[k]
        self.guard.enter()
        for k in range(n):
            (<Metric> columns[k]).still_listed()
        with nogil:
            if self.sampler is not None or n == 0:
                slot = apply_by_row(rows, columns, items, n, &applied)
            else:                       # none decides for the others: column by column is faster
                for k in range(n):
                    applied = 0
                    slot = (<Metric> columns[k]).apply_rows(rows, <Items> items[k], &applied)
                    if slot == NO_MEMORY:
                        break
        self.guard.leave()
        if slot == NO_MEMORY:
            raise MemoryError("no memory for the cells of a batch")
        return applied

    # Reading. Slots are good until the next update.

    cdef int check(self, uint32_t slot) except -1:
        if slot >= self.cells.count:
            raise IndexError(f"there are {self.cells.count} slots, and none {slot}")
        return 0

    cdef object list_slots(self, Metric by, bint ranked, bint untouched, object n):
        cdef uint32_t count = 0
        cdef uint32_t *slots = self.ordered(<PyObject *> by if by is not None else NULL, ranked, untouched, &count)
        if slots == NULL:
            raise MemoryError("no memory for the order of cells")
        try:
            return [slots[i] for i in range(len(range(count)[:n]))]
        finally:
            free(slots)

    def slots(self, bint untouched=False):
        """The cells by insertion, without the overflow cell; those kept by a reset and not updated since only if
        wanted."""
        return self.list_slots(None, False, untouched, None)

    def ranked(self, n=None, Metric by=None, bint untouched=False):
        """The n cells with the most of a metric, or all; ties by key. Without a metric, as the sampler ranks them."""
        if by is not None:
            self.check_mine(by)
        if by is None and self.sampler is None:
            raise ValueError("no metric ranks the cells of this cube: tell by which one")
        return self.list_slots(by, True, untouched, n)

    def find(self, target):
        """The slot of a cell, by a tuple of values or a Cell, or NOT_FOUND. TypeError or ValueError for what names no
        cell of this cube; else errors as of `keys.encoded`."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        self.take_aim(target, &aim, key)
        self.locate(target, &aim)
        return aim.slot

    def key(self, uint32_t slot):
        """The values of a cell's dimensions."""
        self.check(slot)
        return decode_key(self.cells.key_at(slot), self.cells.key_size(slot), self.dimensions)

    def key_bytes(self, uint32_t slot):
        """The key of a cell."""
        self.check(slot)
        return PyBytes_FromStringAndSize(<const char *> self.cells.key_at(slot), self.cells.key_size(slot))

    def marks(self, uint32_t slot):
        """LATE, TOUCHED, OVERFLOW, added up."""
        self.check(slot)
        return self.cells.marks[slot]

    def generation(self, uint32_t slot):
        """Rises when a slot changes owner."""
        if slot >= self.cells.room:
            raise IndexError(f"there never was a slot {slot}")
        return self.cells.generations[slot]

    def begun_with(self, uint32_t slot):
        """What a cell had from the sketch when it was admitted: a part of its counter, or its floor."""
        self.check(slot)
        return 0 if self.sampler is None else self.sampler.inherited(slot)

    def inherited(self, uint32_t slot):
        """How much of a cell's primary counter came from the sketch."""
        return self.begun_with(slot) if self.mode == TOPK else 0

    def floor(self, uint32_t slot):
        """The estimate of distinct items with which a cell was admitted."""
        return self.begun_with(slot) if self.mode == TOP_CARDINALITY else 0

    @property
    def overflow_slot(self):
        """Of the overflow cell when it has something, else NOT_FOUND."""
        return self.cells.overflow if self.refused or self.evicted else NOT_FOUND

    @property
    def has_updates(self):
        """Whether there were any since the last reset."""
        return self.updated()

    cdef bint updated(self) noexcept nogil:
        cdef uint32_t slot
        if self.refused or self.evicted:
            return True
        for slot in range(self.cells.count):
            if self.cells.marks[slot] & TOUCHED:
                return True
        return False

    @property
    def refused_keys(self):
        """The sketch of the keys that were refused, in comprehensive mode; a copy."""
        return hll_object(&self.refused_sketch, REFUSED_LAYOUT)

    @property
    def sketch_merge_skipped(self):
        """Merges in which the two sketches did not agree, so that only cells were merged."""
        return 0 if self.sampler is None else self.sampler.skipped

    def stats(self):
        """How full it is, and what was lost."""
        return {
            "cells": self.cells.residents(), "max_cells": self.cells.most, "rejected": self.refused,
            "rejected_keys": round(hll_estimate(&self.refused_sketch, REFUSED_LAYOUT)), "admitted_late": self.admitted_late,
            "evicted": self.evicted, "saturated": bool(self.saturated), "sketch_merge_skipped": self.sketch_merge_skipped,
            "noise": self.sampler.sketch.noise if self.mode == TOP_CARDINALITY else 0.0,
        }  # fmt: skip

    def memory(self):
        """[bytes] held: of cells, of each metric and of the sketch."""
        return {"cells": self.cells.bytes(), "metrics": {metric.name: metric.memory() for metric in self.metrics},
                "sketch": 0 if self.sampler is None else self.sampler.bytes()}

    # As a whole.

    def merge(self, Core other not None, pairs):
        """Add another core of the same dimensions, mode and primary metric. `pairs` are metrics of this one, each with
        the one of the other that is to be added: of one kind, with parameters that can be merged. The other stays as it
        is."""
        cdef list held = list(pairs)
        cdef PyObject *both[MOST_METRICS * 2]
        cdef pairs_t columns
        check_pairs(self, other, held)
        columns.n = len(held)
        columns.mine = both
        columns.theirs = both + MOST_METRICS
        for i in range(columns.n):
            columns.mine[i] = <PyObject *> held[i][0]
            columns.theirs[i] = <PyObject *> held[i][1]
        self.add_core(other, &columns)

    cdef int add_core(self, Core other, pairs_t *columns) except -1:
        cdef int done
        with nogil:
            done = self.merge_totals(other, columns)
            if done == 0 and self.sampler is None:
                done = merge_cells(self, other, columns)
        if done == 0 and self.sampler is not None:
            merge_ranked(self, other, columns)
        if done < 0:
            raise MemoryError("no memory to merge cubes")
        return 0

    cdef int merge_totals(self, Core other, pairs_t *pairs) noexcept nogil:
        cdef Py_ssize_t i
        self.refused += other.refused
        self.evicted += other.evicted
        self.admitted_late += other.admitted_late
        self.saturated = self.saturated or other.saturated
        if hll_merge(&self.refused_sketch, REFUSED_LAYOUT, &other.refused_sketch, REFUSED_LAYOUT) < 0:
            return NO_MEMORY
        for i in range(pairs.n):
            if (<Metric> pairs.mine[i]).add_totals(<Metric> pairs.theirs[i]) < 0:
                return NO_MEMORY
        if other.cells.overflow >= 0:
            return self.to_overflow(pairs, <uint32_t> other.cells.overflow)
        return 0

    def reset(self, bint keep_cells=False):
        """No updates yet: no cells, or with `keep_cells` the same ones with empty values, which are not shown before
        their next update. Metrics, mode and memory stay."""
        cdef Py_ssize_t i
        cdef uint32_t slot
        cdef uint32_t count = self.cells.count
        for i in range(self.itself.n):
            (<Metric> self.itself.mine[i]).clear_slots(0, count)
            (<Metric> self.itself.mine[i]).clear_totals()
        if keep_cells:
            for slot in range(count):
                self.cells.marks[slot] = self.cells.marks[slot] & OVERFLOW
        elif count:
            self.cells.empty()
            self.add_overflow(self.overflow_cell)
        self.refused = self.evicted = self.admitted_late = 0
        self.saturated = False
        hll_clear(&self.refused_sketch)
        if self.sampler is not None:
            self.sampler.clear()
            self.enter_all(NULL)

    # For readers of files: metrics' `put` and `put_total` set the values, then `entered` tells the sampler.

    def insert(self, bytes key not None, uint8_t marks):
        """A new cell without values, or with OVERFLOW among its marks that cell. ValueError when the key is damaged,
        there already, or when there is no room for it."""
        cdef const uint8_t *place = <const uint8_t *> PyBytes_AS_STRING(key)
        cdef uint32_t size = <uint32_t> PyBytes_GET_SIZE(key)
        cdef uint64_t hash = xxh64(place, size)
        cdef int64_t slot = REFUSED
        if not well_formed(place, PyBytes_GET_SIZE(key), self.dimensions):
            raise ValueError(f"these bytes are no key of {self.dimensions} dimensions")
        if marks & OVERFLOW and self.overflow_cell:
            return self.cells.overflow
        if not marks & OVERFLOW and self.cells.find_key(place, size, hash) == NOT_FOUND:
            slot = self.made(place, size, hash)
        if slot == NO_MEMORY:
            raise MemoryError("no memory for another cell")
        if slot < 0:
            raise ValueError("a cell stands there twice, or there are more than the cube may have")
        self.cells.marks[slot] = marks
        return slot

    def entered(self, uint32_t slot, int64_t begun_with=0):
        """A cell inserted has all of its values."""
        self.check(slot)
        if self.sampler is not None:
            self.sampler.entered(slot, begun_with)

    def put_stats(self, uint64_t refused, uint64_t evicted, uint64_t admitted_late, bint saturated,
                  HyperLogLog refused_keys not None, uint64_t sketch_merge_skipped=0):
        """Set what `stats` tells."""
        cdef hll_t made
        memset(&made, 0, sizeof(made))
        if hll_copy(&made, &refused_keys.sketch, refused_keys.layout) < 0:
            raise MemoryError("no memory for a sketch")
        hll_clear(&self.refused_sketch)
        self.refused_sketch = made
        self.refused = refused
        self.evicted = evicted
        self.admitted_late = admitted_late
        self.saturated = saturated
        if self.sampler is not None:
            self.sampler.skipped = sketch_merge_skipped


cdef int check_pairs(Core mine, Core other, list pairs) except -1:
    """ValueError for what cannot be merged: the kernels would read memory as what it is not."""
    if other is mine or other.dimensions != mine.dimensions or type(other.sampler) is not type(mine.sampler):
        raise ValueError("only another core of the same dimensions and mode can be merged")
    if len(pairs) > MOST_METRICS:
        raise ValueError(f"a cube has at most {MOST_METRICS} metrics")
    for one, two in pairs:
        if type(one) is not type(two) or one.core is not mine or two.core is not other or one.dropped or two.dropped or not can_merge(one, two):
            raise ValueError(f"{two!r} cannot be merged into {one!r}")
    return 0


cdef bint can_merge(Metric one, Metric two) except -1:
    if isinstance(one, CounterMetric):
        return one.real == two.real
    if isinstance(one, HistogramMetric):
        return one.shape == two.shape
    if isinstance(one, HllMetric):
        return one.hash == two.hash and one.precision <= two.precision
    return isinstance(one, GaugeMetric)
