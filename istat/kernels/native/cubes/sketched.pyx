# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Columns of histograms and of HyperLogLog sketches. A cell has none before its first value: 8 and 16 bytes each.

The specification is the Python twin.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from istat.kernels.native.cubes.cells cimport CoreBase
from istat.kernels.native.cubes.inner.distribution cimport Histogram, hist_object
from istat.kernels.native.cubes.hashing cimport hash_id, hash_object
from istat.kernels.native.cubes.histogram cimport (MOST_CORRECTED, hist_bytes, hist_clear, hist_copy, hist_merge, hist_record,
                                                   hist_record_corrected)
from istat.kernels.native.cubes.hll cimport (hll_add, hll_add_ranks, hll_bytes, hll_clear, hll_copy, hll_estimate,
                                             hll_layout, hll_merge)
from istat.kernels.native.cubes.inner.hyperloglog cimport HyperLogLog, hll_object
from istat.kernels.native.cubes.inner.columns cimport Column, Items, column_of, hash_items, times_items, value_items, whole_of
from istat.kernels.native.cubes.inner.metric cimport real_order, slot_of
from istat.kernels.native.cubes.inner.rows cimport KeyBatch
from istat.kernels.native.cubes.inner.table cimport NO_MEMORY, grow
from istat.kernels.native.cubes.keys cimport KEY_ROOM
from istat.kernels.native.cubes.shapes cimport hist_value

from istat.kernels.native.cubes.inner.distribution import TOO_MANY


cdef class HistogramMetric(Metric):
    """How values are distributed."""

    kind = "histogram"

    def __init__(self, str name not None, CoreBase core not None, Shape shape not None):
        Metric.__init__(self, name, core)
        self.shape = shape
        self.overflows = True

    def __dealloc__(self):
        self.clear_slots(0, self.room)
        hist_clear(&self.whole)
        free(self.values)

    @property
    def total(self):
        """All values, those of refused and evicted cells as well; a copy."""
        self.core.guard.look()
        return hist_object(self.whole, self.shape)

    def record(self, target, value, count=1):
        """Record a value, `count` times. TypeError, ValueError, OverflowError for what is no value of the shape."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef int64_t number = 0
        cdef uint64_t times = 1
        hist_value(value, self.shape.shape.scale, &number)
        if count is not 1:
            times = self.times(count)
        self.begin(target, &aim, key)
        return self.done(self.record_at(&aim, number, times, 0))

    def record_corrected(self, target, value, expected_interval, count=1):
        """As `record`, and the values that a caller would have seen who asks each `expected_interval` and had to wait
        for this one: value - interval, value - 2 intervals, ... down to the interval."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef int64_t number = 0
        cdef int64_t interval = 0
        cdef uint64_t times = self.times(count)
        hist_value(value, self.shape.shape.scale, &number)
        hist_value(expected_interval, self.shape.shape.scale, &interval)
        check_interval(number, interval)
        self.begin(target, &aim, key)
        return self.done(self.record_at(&aim, number, times, interval))

    def record_many(self, KeyBatch rows not None, values, counts=1):
        """As `record` for each row; how many had a cell."""
        return self.record_rows(rows, self.many(rows, values), times_items(column_of(counts), rows.n), None)

    def record_corrected_many(self, KeyBatch rows not None, values, expected_interval, counts=1):
        """As `record_corrected` for each row; how many had a cell."""
        cdef Items numbers = self.many(rows, values)
        cdef Items intervals = self.many(rows, expected_interval)
        cdef Py_ssize_t i
        for i in range(rows.n):
            check_interval(whole_of(numbers, i), whole_of(intervals, i))
        return self.record_rows(rows, numbers, times_items(column_of(counts), rows.n), intervals)

    cdef object record_rows(self, KeyBatch rows, Items numbers, Items times, Items intervals):
        cdef bint corrected = intervals is not None
        cdef Py_ssize_t i
        cdef int64_t slot = 0
        cdef int64_t found = 0
        cdef aim_t aim
        self.core.guard.enter()
        self.still_listed()
        with nogil:
            rows.begin()
            for i in range(rows.n):
                rows.aim_at(i, &aim)
                slot = self.record_at(&aim, whole_of(numbers, i), <uint64_t> whole_of(times, i),
                                      whole_of(intervals, i) if corrected else 0)
                if slot == NO_MEMORY:
                    break
                rows.slots[i] = slot
                found += slot >= 0
        self.done(slot)
        return found

    cdef uint64_t times(self, object count) except? 0:
        return <uint64_t> whole_of(times_items(column_of(count), 1), 0)

    cdef Items checked_items(self, Column column, Py_ssize_t rows):
        return value_items(column, rows, self.shape.shape.scale)

    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil:
        return self.record_at(aim, <int64_t> value, 1, 0)

    cdef int64_t record_at(self, const aim_t *aim, int64_t value, uint64_t count, int64_t interval) noexcept nogil:
        """In the cell, or in the overflow cell where that one was refused; and in the totals."""
        cdef int64_t slot = slot_of(self.core, aim)
        cdef int64_t place = slot if slot >= 0 else self.core.cells.overflow
        if slot == NO_MEMORY or self.record_in(&self.whole, value, count, interval) < 0:
            return NO_MEMORY
        if place >= 0 and self.record_in(&self.values[place], value, count, interval) < 0:
            return NO_MEMORY
        return slot

    cdef inline int record_in(self, hist_t **place, int64_t value, uint64_t count, int64_t interval) noexcept nogil:
        cdef int done
        if interval > 0:
            done = hist_record_corrected(place, &self.shape.shape, value, interval, count)
        else:
            done = hist_record(place, &self.shape.shape, value, count)
        if done == 0:
            self.core.saturated = True
        return done

    cdef int64_t order(self, uint32_t slot) noexcept nogil:
        return 0 if self.values[slot] == NULL else <int64_t> self.values[slot].count

    def value(self, uint32_t slot):
        """A copy of the histogram of a slot."""
        self.check(slot)
        return hist_object(self.values[slot], self.shape)

    def merged(self, slots):
        """What these slots have together."""
        cdef Histogram together = hist_object(NULL, self.shape)
        cdef uint32_t slot
        for slot in slots:
            self.check(slot)
            if self.add_histogram(&together.histogram, self.values[slot]) < 0:
                raise MemoryError(f"no memory for {self.name}")
        return together

    def put(self, uint32_t slot, Histogram value not None):
        """Set the value of a slot, and no totals: for readers of files."""
        self.check(slot)
        put_histogram(&self.values[slot], value)

    def put_total(self, Histogram value not None):
        """Set the totals: for readers of files."""
        put_histogram(&self.whole, value)

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room <= self.room:
            return 0
        if grow(<void **> &self.values, room * sizeof(hist_t *)) < 0:
            return NO_MEMORY
        memset(self.values + self.room, 0, (room - self.room) * sizeof(hist_t *))
        self.room = room
        return 0

    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil:
        cdef uint32_t slot
        for slot in range(first, end):
            if self.values[slot] != NULL:
                hist_clear(&self.values[slot])

    cdef void clear_totals(self) noexcept nogil:
        hist_clear(&self.whole)

    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil:
        return self.add_histogram(&self.values[slot], (<HistogramMetric> other).values[of])

    cdef int add_histogram(self, hist_t **to, const hist_t *of) noexcept nogil:
        """Add a histogram, unless there would be too many values: the cube tells so then."""
        cdef int done = 1 if of == NULL else hist_merge(to, of, &self.shape.shape)
        if done == 0:
            self.core.saturated = True
        return NO_MEMORY if done < 0 else 0

    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil:
        self.values[to] = self.values[of]
        self.values[of] = NULL

    cdef int add_totals(self, Metric other) noexcept nogil:
        return self.add_histogram(&self.whole, (<HistogramMetric> other).whole)

    cdef uint64_t bytes(self, uint32_t count) noexcept nogil:
        cdef uint64_t held = self.room * sizeof(hist_t *) + hist_bytes(self.whole)
        cdef uint32_t slot
        for slot in range(count):
            held += hist_bytes(self.values[slot])
        return held

    def __repr__(self):
        return f"HistogramMetric({self.name!r}, {self.shape.parameters()})"


cdef int check_interval(int64_t number, int64_t interval) except -1:
    if interval <= 0:
        raise ValueError("an interval is above 0")
    if number // interval > MOST_CORRECTED:
        raise ValueError(TOO_MANY)
    return 0


cdef int put_histogram(hist_t **place, Histogram value) except -1:
    cdef hist_t *made = NULL
    if value.histogram != NULL and value.histogram.count:
        made = hist_copy(value.histogram)
        if made == NULL:
            raise MemoryError("no memory for a histogram")
    hist_clear(place)
    place[0] = made
    return 0


cdef class HllMetric(Metric):
    """How many distinct items there are."""

    kind = "hll"

    def __init__(self, str name not None, CoreBase core not None, int precision=12, str hash not None="xxh64"):
        Metric.__init__(self, name, core)
        self.hash_number = hash_id(hash)
        self.layout = hll_layout(precision, self.hash_number)
        self.precision = precision
        self.hash = hash
        self.overflows = True

    def __dealloc__(self):
        self.clear_slots(0, self.room)
        hll_clear(&self.whole)
        free(self.values)

    @property
    def total(self):
        """All items, those of refused and evicted cells as well; a copy."""
        self.core.guard.look()
        return hll_object(&self.whole, self.layout)

    def add(self, target, item):
        """Add an item: str, bytes or int. TypeError for anything else, OverflowError for an int of more than 64 bits."""
        cdef aim_t aim
        cdef uint8_t key[KEY_ROOM]
        cdef uint64_t hash = 0
        hash_object(item, self.hash_number, &hash)
        self.begin(target, &aim, key)
        return self.done(self.apply(&aim, hash))

    def add_many(self, KeyBatch rows not None, items):
        """As `add` for each row; how many had a cell."""
        return self.apply_many(rows, self.many(rows, items))

    cdef Items checked_items(self, Column column, Py_ssize_t rows):
        return hash_items(column, rows, self.hash_number)

    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil:
        """In the cell, or in the overflow cell where that one was refused; and in the totals."""
        cdef int64_t slot
        cdef int64_t place
        if self.ranks:
            slot = self.core.rank_up(aim, 1, value)
            place = self.core.cells.overflow if slot < 0 else -1
        else:
            slot = slot_of(self.core, aim)
            place = slot if slot >= 0 else self.core.cells.overflow
        if slot == NO_MEMORY or hll_add(&self.whole, self.layout, value) < 0:
            return NO_MEMORY
        if place >= 0 and hll_add(&self.values[place], self.layout, value) < 0:
            return NO_MEMORY
        return slot

    cdef int raise_by(self, uint32_t slot, int64_t amount, uint64_t item, uint8_t *before, uint8_t *now) noexcept nogil:
        return NO_MEMORY if hll_add_ranks(&self.values[slot], self.layout, item, before, now) < 0 else 0

    cdef int64_t order(self, uint32_t slot) noexcept nogil:
        return real_order(hll_estimate(&self.values[slot], self.layout))

    def rank(self, uint32_t slot):
        """What cells are ordered by when they are ordered by this metric."""
        self.check(slot)
        return hll_estimate(&self.values[slot], self.layout)

    def value(self, uint32_t slot):
        """A copy of the sketch of a slot."""
        self.check(slot)
        return hll_object(&self.values[slot], self.layout)

    def merged(self, slots):
        """What these slots have together."""
        cdef HyperLogLog together = hll_object(&NO_ITEMS, self.layout)
        cdef uint32_t slot
        for slot in slots:
            self.check(slot)
            if hll_merge(&together.sketch, self.layout, &self.values[slot], self.layout) < 0:
                raise MemoryError(f"no memory for {self.name}")
        return together

    def put(self, uint32_t slot, HyperLogLog value not None):
        """Set the value of a slot, and no totals: for readers of files."""
        self.check(slot)
        put_sketch(&self.values[slot], value)

    def put_total(self, HyperLogLog value not None):
        """Set the totals: for readers of files."""
        put_sketch(&self.whole, value)

    def fold(self, int precision):
        """Give all sketches fewer registers, in the guard. ValueError for more, and where the metric ranks cells."""
        cdef uint32_t slot
        cdef int layout = hll_layout(precision, self.hash_number)
        cdef int done = 0
        cdef hll_t *made
        cdef hll_t whole = NO_ITEMS
        if self.ranks:
            raise ValueError(f"{self.name} ranks the cells of its cube: its precision stays")
        if precision > self.precision:
            raise ValueError(f"a sketch of 2**{self.precision} registers has none to make 2**{precision} of")
        # All in new memory first: sketches of two layouts in one column would be read beyond their ends.
        made = <hll_t *> calloc(self.room + 1, sizeof(hll_t))
        if made == NULL or hll_merge(&whole, layout, &self.whole, self.layout) < 0:
            done = NO_MEMORY
        for slot in range(self.core.cells.count if done == 0 else 0):
            if hll_merge(&made[slot], layout, &self.values[slot], self.layout) < 0:
                done = NO_MEMORY
                break
        if done == 0:
            self.values, made = made, self.values
            self.whole, whole = whole, self.whole
            self.layout = layout
            self.precision = precision
        for slot in range(self.room if made != NULL else 0):
            hll_clear(&made[slot])
        free(made)
        hll_clear(&whole)
        if done < 0:
            raise MemoryError(f"no memory for {self.name}")

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room <= self.room:
            return 0
        if grow(<void **> &self.values, room * sizeof(hll_t)) < 0:
            return NO_MEMORY
        memset(self.values + self.room, 0, (room - self.room) * sizeof(hll_t))
        self.room = room
        return 0

    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil:
        cdef uint32_t slot
        for slot in range(first, end):
            if self.values[slot].data != NULL:
                hll_clear(&self.values[slot])

    cdef void clear_totals(self) noexcept nogil:
        hll_clear(&self.whole)

    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil:
        return NO_MEMORY if hll_merge(&self.values[slot], self.layout, &(<HllMetric> other).values[of],
                                      (<HllMetric> other).layout) < 0 else 0

    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil:
        self.values[to] = self.values[of]
        memset(&self.values[of], 0, sizeof(hll_t))

    cdef int add_totals(self, Metric other) noexcept nogil:
        return NO_MEMORY if hll_merge(&self.whole, self.layout, &(<HllMetric> other).whole, (<HllMetric> other).layout) < 0 else 0

    cdef uint64_t bytes(self, uint32_t count) noexcept nogil:
        cdef uint64_t held = self.room * sizeof(hll_t) + hll_bytes(&self.whole, self.layout)
        cdef uint32_t slot
        for slot in range(count):
            held += hll_bytes(&self.values[slot], self.layout)
        return held

    def __repr__(self):
        return f"HllMetric({self.name!r}, precision={self.precision})"


cdef hll_t NO_ITEMS
memset(&NO_ITEMS, 0, sizeof(hll_t))


cdef int put_sketch(hll_t *place, HyperLogLog value) except -1:
    cdef hll_t made = NO_ITEMS
    if hll_copy(&made, &value.sketch, value.layout) < 0:
        raise MemoryError("no memory for a sketch")
    hll_clear(place)
    place[0] = made
    return 0
