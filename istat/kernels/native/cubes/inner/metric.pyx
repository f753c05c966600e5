# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What all columns of values are, whatever the values. Knows no sampling: which slot an update goes to, the core tells.

An update is one call: the key's bytes on the stack, the cell found, the value in its column changed. Values and keys are
checked before the guard is taken, so that nothing raises while it is held. The specification is `metrics` of the twin.
"""
from libc.stdlib cimport free

from istat.errors import CubeError

from istat.kernels.native.cubes.inner.columns cimport column_of
from istat.kernels.native.cubes.inner.table cimport NO_MEMORY, NOT_FOUND


cdef int64_t real_order(double value) noexcept nogil:
    cdef int64_t bits = 0
    value += 0.0                # the bits of -0.0 are others
    memcpy(&bits, &value, 8)
    return bits if bits >= 0 else bits ^ <int64_t> 0x7FFFFFFFFFFFFFFFu


cdef object sum_of_wholes(const int64_t *values, Cells cells):
    cdef uint64_t low = 0
    cdef int64_t high = 0
    cdef uint32_t slot
    for slot in range(cells.count):
        if slot != cells.overflow:
            low += <uint64_t> values[slot] & 0xFFFFFFFFu
            high += values[slot] >> 32
    return (<object> high) * 4294967296 + <object> low


cdef double sum_of_reals(const double *values, Cells cells) except? -1:
    cdef uint32_t *slots = cells.listed()
    cdef double total = 0
    cdef uint32_t i
    if slots == NULL:
        raise MemoryError("no memory for the order of cells")
    for i in range(cells.residents()):
        total += values[slots[i]]
    free(slots)
    return total


cdef class Metric:
    """What all have: a name, a column of values by slot, and totals over all updates (not of gauges)."""

    def __init__(self, str name not None, CoreBase core not None):
        self.name = name
        self.core = core

    cdef Items checked_items(self, Column column, Py_ssize_t rows):
        raise NotImplementedError

    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil:
        return NOT_FOUND

    cdef int raise_by(self, uint32_t slot, int64_t amount, uint64_t item, uint8_t *before, uint8_t *now) noexcept nogil:
        return 0

    cdef int64_t order(self, uint32_t slot) noexcept nogil:
        return 0

    cdef int reserve(self, uint32_t room) noexcept nogil:
        return 0

    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil:
        pass

    cdef void clear_totals(self) noexcept nogil:
        pass

    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil:
        return 0

    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil:
        pass

    cdef int add_totals(self, Metric other) noexcept nogil:
        return 0

    cdef uint64_t bytes(self, uint32_t count) noexcept nogil:
        return 0

    def check_listed(self):
        """CubeError when the metric was dropped from its cube."""
        if self.dropped:
            raise CubeError(f"the metric {self.name!r} was dropped from its cube: ask the cube for the one it has now")

    cdef int check(self, uint32_t slot) except -1:
        self.core.guard.look()
        if slot >= self.core.cells.count or slot >= self.room:      # a dropped one grows no more
            raise IndexError(f"there are {self.core.cells.count} slots, and none {slot}")
        return 0

    cdef int begin(self, object target, aim_t *aim, uint8_t *key) except -1:
        """Take the guard, with the cell of an update found; the caller leaves it. `key` has KEY_ROOM."""
        if self.dropped:
            self.check_listed()
        self.core.enter_for(target, aim, key)
        return self.still_listed() if self.dropped else 0

    cdef int still_listed(self) except -1:
        """In the guard: what stood for an int or was in a list may have run a program's code, which dropped the metric."""
        if self.dropped:
            self.core.guard.leave()
            self.check_listed()
        return 0

    cdef object done(self, int64_t slot):
        """Leave the guard; whether there was a cell for an update."""
        self.core.guard.leave()
        if slot == NO_MEMORY:
            raise MemoryError(f"no memory for {self.name}")
        return slot >= 0

    cdef Items many(self, KeyBatch rows, object values):
        """The checked values of a batch."""
        if rows.core is not self.core:
            raise ValueError(f"{rows!r} is a batch of another cube than {self!r}")
        if self.dropped:
            self.check_listed()
        return self.checked_items(column_of(values), rows.n)

    cdef object apply_many(self, KeyBatch rows, Items values):
        """Each row's update; how many had a cell."""
        cdef int64_t slot
        cdef int64_t found = 0
        self.core.guard.enter()
        self.still_listed()
        with nogil:
            slot = self.apply_rows(rows, values, &found)
        self.done(slot)
        return found

    cdef int64_t apply_rows(self, KeyBatch rows, Items values, int64_t *found) noexcept nogil:
        cdef Py_ssize_t i
        cdef int64_t slot = 0
        cdef aim_t aim
        rows.begin()
        for i in range(rows.n):
            rows.aim_at(i, &aim)
            slot = self.apply(&aim, values.items[i * values.step])
            if slot == NO_MEMORY:
                break
            rows.slots[i] = slot
            found[0] += slot >= 0
        return slot

    def is_set(self, uint32_t slot):
        """Whether the slot has a value; only of gauges it may have none."""
        self.check(slot)
        return True

    def rank(self, uint32_t slot):
        """What cells are ordered by when they are ordered by this metric."""
        self.check(slot)
        return self.order(slot)

    def clear_cell(self, uint32_t slot):
        """Empty the value of a slot."""
        self.check(slot)
        self.clear_slots(slot, slot + 1)

    def merge_cell(self, uint32_t slot, Metric other not None, uint32_t of):
        """Add what another metric of the same kind and parameters has in a slot of its own."""
        self.check(slot)
        other.check(of)
        if self.merge_slot(slot, other, of) < 0:
            raise MemoryError(f"no memory for {self.name}")

    def memory(self):
        """[bytes] of the column."""
        self.core.guard.look()
        return self.bytes(min(self.core.cells.count, self.room))


cdef int64_t apply_by_row(KeyBatch rows, PyObject **metrics, PyObject **items, Py_ssize_t n, int64_t *applied) noexcept nogil:
    """Each row's updates of n metrics; NO_MEMORY, or not."""
    cdef Py_ssize_t i, k
    cdef int64_t slot = 0
    cdef bint all_done
    cdef aim_t aim
    rows.begin()
    for i in range(rows.n):
        rows.aim_at(i, &aim)
        all_done = True
        for k in range(n):
            slot = (<Metric> metrics[k]).apply(&aim, (<Items> items[k]).items[i * (<Items> items[k]).step])
            if slot == NO_MEMORY:
                return slot
            all_done = all_done and slot >= 0
            aim.slot = slot if slot >= 0 else NOT_FOUND
        applied[0] += all_done
    return slot
