# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which keys of a cube have a cell: made, refused, evicted for others. Knows what sampling/ asks and is told, but not how
it decides. Cells of another cube are merged by inner.merging. The specification is the Python twin.
"""
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp

from istat.kernels.native.cubes.cells cimport Guard
from istat.kernels.native.cubes.hll cimport hll_add, hll_clear
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.inner.table cimport LATE, NO_MEMORY, NOT_FOUND, REFUSED, TOUCHED, roomier
from istat.kernels.native.cubes.keys cimport KEY_ROOM, MOST_DIMENSIONS, encode_key
from istat.kernels.native.cubes.metrics cimport CounterMetric
from istat.kernels.native.cubes.sampling.heavykeeper cimport TopK
from istat.kernels.native.cubes.sampling.residents cimport Sampler
from istat.kernels.native.cubes.sampling.spread cimport BUCKET_PRECISION, TopCardinality
from istat.kernels.native.cubes.sketched cimport HllMetric

COMPREHENSIVE, TOPK, TOP_CARDINALITY = MODES = ("comprehensive", "topk", "top_cardinality")
DEFAULT_CELLS = 1_000_000   # that a cube may have before it is told otherwise
REFUSED_PRECISION = 10      # as REFUSED_LAYOUT

cdef struct ranked_t:
    int64_t order
    const uint8_t *key
    uint32_t size
    uint32_t slot


cdef int by_rank(const void *one, const void *other) noexcept nogil:
    """The highest first; equal ones by key."""
    cdef const ranked_t *a = <const ranked_t *> one
    cdef const ranked_t *b = <const ranked_t *> other
    cdef int keys
    if a.order != b.order:
        return (a.order < b.order) - (a.order > b.order)
    keys = memcmp(a.key, b.key, min(a.size, b.size))
    return keys if keys else (a.size > b.size) - (a.size < b.size)


cdef class Admission(CoreBase):
    """The cells of one cube, and what its updates ask: which slot is theirs."""

    def __init__(self, names, Guard guard not None):
        self.names = tuple(names)
        self.dimensions = len(self.names)
        if self.dimensions > MOST_DIMENSIONS:
            raise ValueError(f"a cube has at most {MOST_DIMENSIONS} dimensions, not {self.dimensions}")
        self.guard = guard
        self.mode = COMPREHENSIVE
        self.options = {}
        self.cells.most = DEFAULT_CELLS
        self.list_metrics([])

    def __dealloc__(self):
        free(self.itself.mine)
        hll_clear(&self.refused_sketch)

    cdef int list_metrics(self, list metrics) except -1:
        cdef void *grown = realloc(self.itself.mine, (len(metrics) + 1) * sizeof(PyObject *))
        cdef Py_ssize_t i
        if grown == NULL:
            raise MemoryError("no memory for another metric")
        self.itself.mine = self.itself.theirs = <PyObject **> grown
        self.itself.n = len(metrics)
        for i in range(self.itself.n):
            self.itself.mine[i] = <PyObject *> metrics[i]
        self.metrics = metrics
        return 0

    cdef int reserve(self, uint32_t room) noexcept nogil:
        cdef Py_ssize_t i
        if room <= self.cells.room:
            return 0
        for i in range(self.itself.n):
            if (<Metric> self.itself.mine[i]).reserve(room) < 0:
                return NO_MEMORY
        if self.sampler is not None and self.sampler.reserve(room) < 0:
            return NO_MEMORY
        return self.cells.reserve(room)

    cdef int64_t made(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil:
        cdef uint64_t room
        if self.cells.is_full():
            return REFUSED
        if self.cells.count == self.cells.room:
            room = max(min(roomier(self.cells.count, self.cells.room), <uint64_t> self.cells.most + 1),
                       <uint64_t> self.cells.count + 1)
            if self.reserve(<uint32_t> room) < 0:
                return NO_MEMORY
        return self.cells.add_key(key, size, hash)

    cdef int64_t slot_for(self, const aim_t *aim) noexcept nogil:
        cdef int64_t slot = self.made(aim.key, aim.size, aim.hash)
        if slot == REFUSED:
            return self.refuse(aim.hash)
        if slot >= 0:
            if self.sampler is not None and self.begin_cell(<uint32_t> slot, self.sampler.taken(aim.hash), 0, 0) < 0:
                return NO_MEMORY
            self.cells.marks[slot] = TOUCHED
        return slot

    cdef int64_t rank_up(self, const aim_t *aim, int64_t amount, uint64_t item) noexcept nogil:
        cdef int64_t slot = aim.slot
        cdef int64_t begun
        cdef uint8_t before = 0
        cdef uint8_t now = 0
        if slot >= 0:
            if (<Metric> self.first).raise_by(<uint32_t> slot, amount, item, &before, &now) < 0:
                return NO_MEMORY
            self.sampler.rose(<uint32_t> slot, before, now)
        else:
            if not self.cells.is_full():
                slot = self.made(aim.key, aim.size, aim.hash)
                begun = self.sampler.taken(aim.hash) if slot >= 0 else 0
            else:
                slot = self.cells.prepare(aim.size, aim.hash)
                if slot == 0:
                    slot = REFUSED
                    if self.sampler.offer(aim.hash, amount, item):
                        slot = self.evict(aim.key, aim.size, aim.hash)
                begun = self.sampler.estimate
            if slot == REFUSED:
                return self.refuse(aim.hash)
            if slot < 0 or self.begin_cell(<uint32_t> slot, begun, amount, item) < 0:
                return NO_MEMORY
        self.cells.marks[slot] = self.cells.marks[slot] | TOUCHED
        return slot

    cdef int begin_cell(self, uint32_t slot, int64_t begun, int64_t amount, uint64_t item) noexcept nogil:
        """A new cell gets what the sketch held for its key, as a part of its counter or as its floor; and its first
        update, if that is one of the primary metric (an amount of 0: it is none)."""
        cdef uint8_t before = 0
        cdef uint8_t now = 0
        if self.counts:
            amount = (<CounterMetric> self.first).sum(amount, begun)
        cdef int done = (<Metric> self.first).raise_by(slot, amount, item, &before, &now) if amount else 0
        self.sampler.entered(slot, begun)       # without memory for its value, too: all cells are ranked
        return done

    cdef int64_t evict(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil:
        """The slot of the lowest cell, which goes for a new one; the cells are prepared for its key. Or NO_MEMORY."""
        cdef uint32_t slot = self.sampler.lowest()
        cdef Py_ssize_t i
        if self.to_overflow(&self.itself, slot) < 0:
            return NO_MEMORY
        self.sampler.write_back(slot)
        for i in range(self.itself.n):
            (<Metric> self.itself.mine[i]).clear_slots(slot, slot + 1)
        self.cells.replace_key(slot, key, size, hash)
        self.cells.marks[slot] = LATE
        self.evicted += 1
        self.admitted_late += 1
        return slot

    cdef int64_t refuse(self, uint64_t hash) noexcept nogil:
        self.refused += 1
        if self.sampler is None:
            hll_add(&self.refused_sketch, REFUSED_LAYOUT, hash)
        return REFUSED

    cdef int to_overflow(self, pairs_t *pairs, uint32_t of) noexcept nogil:
        """A cell of the pairs' second metrics goes: its distributions and distinct items stay in the overflow cell.
        Counters are derived there, and gauges have no place. 0 or NO_MEMORY."""
        cdef Py_ssize_t i
        if self.cells.overflow < 0:
            return 0
        for i in range(pairs.n):
            if (<Metric> pairs.mine[i]).overflows:
                if (<Metric> pairs.mine[i]).merge_slot(<uint32_t> self.cells.overflow, <Metric> pairs.theirs[i], of) < 0:
                    return NO_MEMORY
        return 0

    # Another mode, or number of cells.

    def sample(self, str mode not None, uint32_t max_cells, primary=None, bint overflow_cell=False, **options):
        """What becomes of keys for which there is no room, from now on. Cells that fit stay: the oldest, or where a
        metric ranks cells, those with the most of it. A sketch begins empty, unless all stays as it was but the
        overflow cell. ValueError for what is no mode or no value of an option, TypeError for what is no option."""
        cdef uint32_t count = 0
        cdef uint32_t i
        cdef uint32_t *slots
        cdef int64_t *begun = NULL
        if mode == COMPREHENSIVE:
            primary = None
        same = (mode, max_cells, options) == (self.mode, self.cells.most, self.options) and primary is self.primary
        sampler = self.sampler if same else sampler_of(mode, primary, max_cells, options)
        self.add_overflow(overflow_cell)
        slots = self.ordered(<PyObject *> primary if primary is not None else NULL, primary is not None, True, &count)
        begun = <int64_t *> calloc(self.cells.count + 1, sizeof(int64_t))
        try:
            if slots == NULL or begun == NULL:
                raise MemoryError("no memory for the order of cells")
            for i in range(max_cells, count):
                if self.to_overflow(&self.itself, slots[i]) < 0:
                    raise MemoryError("no memory for the overflow cell")
            if count > max_cells:
                self.evicted += count - max_cells
                count = max_cells
            if overflow_cell:
                slots[count] = <uint32_t> self.cells.overflow
                count += 1
            qsort(slots, count, sizeof(uint32_t), ascending)
            for i in range(count if primary is self.primary and self.sampler is not None else 0):
                begun[i] = self.sampler.inherited(slots[i])
            self.keep(slots, count)
            self.set_mode(mode, options, primary, sampler, max_cells)
            self.enter_all(begun)
        finally:
            free(slots)
            free(begun)

    cdef int set_mode(self, str mode, dict options, object primary, Sampler sampler, uint32_t max_cells) except -1:
        cdef Metric metric
        for metric in self.metrics:
            metric.ranks = metric is primary
        self.mode = mode
        self.options = options
        self.primary = primary
        self.first = <PyObject *> primary if primary is not None else NULL
        self.counts = mode == TOPK
        self.sampler = sampler
        self.cells.most = max_cells
        return 0

    cdef void keep(self, const uint32_t *slots, uint32_t count) noexcept nogil:
        """Keep these slots, ascending ones: they become 0, 1, ..."""
        cdef Py_ssize_t i
        for i in range(self.itself.n):
            move_slots(self.itself.mine[i], slots, count, self.cells.count)
        self.cells.keep_slots(slots, count)

    cdef int add_overflow(self, bint wanted) except -1:
        """The overflow cell, if it is wanted and not there."""
        cdef uint8_t key[KEY_ROOM]
        cdef Py_ssize_t size
        self.overflow_cell = wanted
        if wanted and self.cells.overflow < 0:
            size = encode_key((None,) * self.dimensions, self.dimensions, key)
            if self.reserve(self.cells.count + 1) < 0 or self.cells.add_overflow(key, <uint32_t> size) < 0:
                raise MemoryError("no memory for the overflow cell")
        return 0

    cdef int enter_all(self, const int64_t *begun) except -1:
        """Tell the sampler of the cells that there are, and what each had from the sketch."""
        cdef uint32_t slot
        if self.sampler is None:
            return 0
        if self.counts:
            self.sampler.watch(&self.cells.hashes, <void **> &(<CounterMetric> self.first).values, 0)
        else:
            self.sampler.watch(&self.cells.hashes, <void **> &(<HllMetric> self.first).values, (<HllMetric> self.first).layout)
        if self.sampler.reserve(self.cells.room) < 0:
            raise MemoryError("no memory for the cells that are ranked")
        self.sampler.forget_residents()
        for slot in range(self.cells.count):        # in any order: the sampler's own one does not depend on it
            if slot != self.cells.overflow:
                self.sampler.entered(slot, 0 if begun == NULL else begun[slot])
        return 0

    cdef uint32_t *ordered(self, PyObject *by, bint ranked, bint untouched, uint32_t *count) noexcept nogil:
        """The cells by insertion, or ranked: with the most of a metric first, or without one as the sampler ranks them.
        malloc'ed with room for one more; NULL: no memory."""
        cdef uint32_t *slots = self.cells.listed()
        cdef ranked_t *cells
        cdef uint32_t i
        cdef uint32_t used = 0
        if slots == NULL:
            return NULL
        for i in range(self.cells.residents()):
            if untouched or self.cells.marks[slots[i]] & TOUCHED:
                slots[used] = slots[i]
                used += 1
        count[0] = used
        if not ranked:
            return slots
        cells = <ranked_t *> malloc((used + 1) * sizeof(ranked_t))
        if cells == NULL:
            free(slots)
            return NULL
        for i in range(used):
            cells[i].order = self.sampler.rank(slots[i]) if by == NULL else (<Metric> by).order(slots[i])
            cells[i].key = self.cells.key_at(slots[i])
            cells[i].size = self.cells.key_size(slots[i])
            cells[i].slot = slots[i]
        qsort(cells, used, sizeof(ranked_t), by_rank)
        for i in range(used):
            slots[i] = cells[i].slot
        free(cells)
        return slots


cdef int ascending(const void *one, const void *other) noexcept nogil:
    cdef uint32_t a = (<const uint32_t *> one)[0]
    cdef uint32_t b = (<const uint32_t *> other)[0]
    return (a > b) - (a < b)


cdef void move_slots(PyObject *metric, const uint32_t *slots, uint32_t count, uint32_t before) noexcept nogil:
    """Of so many slots, keep these in a column: they become 0, 1, ..., and the rest empty."""
    cdef uint32_t i
    cdef uint32_t kept = 0
    for i in range(before):
        if kept < count and slots[kept] == i:
            if kept != i:
                (<Metric> metric).move_slot(kept, i)
            kept += 1
        else:
            (<Metric> metric).clear_slots(i, i + 1)


cdef Sampler sampler_of(str mode, object primary, uint32_t max_cells, dict options):
    """What a full cube of that mode asks; None in comprehensive mode."""
    if mode not in MODES:
        raise ValueError(f"a sampling mode is one of {', '.join(MODES)}, not {mode!r}")
    if mode == TOPK:
        if not isinstance(primary, CounterMetric) or primary.real:
            raise ValueError("the cells of a top-K cube are ranked by a counter of ints")
        return TopK(max_cells, **options)
    if mode == TOP_CARDINALITY:
        if not isinstance(primary, HllMetric):
            raise ValueError("the cells of a top-cardinality cube are ranked by an HLL")
        if (<HllMetric> primary).precision < BUCKET_PRECISION:
            raise ValueError(f"cells are ranked by an HLL of precision {BUCKET_PRECISION} or more, not {primary.precision}")
        return TopCardinality(max_cells, coupons=(<HllMetric> primary).hash == "datasketches", **options)
    if options:
        raise TypeError(f"{mode} mode has no options, such as {', '.join(options)}")
    return None
