# What all columns of values are, whatever the values; slots are those of inner.table.Cells.
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from istat.kernels.native.cubes.cells cimport CoreBase, aim_t
from istat.kernels.native.cubes.inner.columns cimport Column, Items
from istat.kernels.native.cubes.inner.rows cimport KeyBatch
from istat.kernels.native.cubes.inner.table cimport TOUCHED, Cells

cdef inline double as_real(uint64_t bits) noexcept nogil:
    cdef double value
    memcpy(&value, &bits, 8)
    return value

cdef inline uint64_t as_bits(double value) noexcept nogil:
    cdef uint64_t bits
    memcpy(&bits, &value, 8)
    return bits

# Of all cells but the overflow cell. Of ints exactly: it may be beyond int64. Of floats by insertion, as the order in which
# they are added makes a difference; MemoryError.
cdef object sum_of_wholes(const int64_t *values, Cells cells)
cdef double sum_of_reals(const double *values, Cells cells) except? -1

cdef class Metric:
    cdef readonly str name
    cdef readonly CoreBase core
    cdef public bint dropped    # from its cube: it takes no updates any more
    cdef bint ranks             # cells: it is the core's primary metric
    cdef bint overflows         # the overflow cell has values of its own for it
    cdef uint32_t room          # slots that the column has memory for; values of slots not in use are empty
    # What core calls, in the guard.
    cdef Items checked_items(self, Column column, Py_ssize_t rows)                  # updates of a batch; ValueError, ...
    cdef int64_t apply(self, const aim_t *aim, uint64_t value) noexcept nogil       # a checked one: slot, REFUSED, NO_MEMORY
    cdef int64_t apply_rows(self, KeyBatch rows, Items values, int64_t *found) noexcept nogil   # of a batch; NO_MEMORY, or not
    cdef int raise_by(self, uint32_t slot, int64_t amount, uint64_t item,
                      uint8_t *before, uint8_t *now) noexcept nogil                 # the cell, not the totals; 0 or NO_MEMORY
    cdef int64_t order(self, uint32_t slot) noexcept nogil                          # rises with what cells are ordered by
    cdef int reserve(self, uint32_t room) noexcept nogil                            # 0 or NO_MEMORY
    cdef void clear_slots(self, uint32_t first, uint32_t end) noexcept nogil
    cdef void clear_totals(self) noexcept nogil
    cdef int merge_slot(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil  # same kind and parameters; 0 or NO_MEMORY
    cdef void move_slot(self, uint32_t to, uint32_t of) noexcept nogil              # `to` was cleared; `of` is empty afterwards
    cdef int add_totals(self, Metric other) noexcept nogil                          # 0 or NO_MEMORY
    cdef uint64_t bytes(self, uint32_t count) noexcept nogil                        # memory held; so many slots are in use
    # What methods are made of.
    cdef int check(self, uint32_t slot) except -1                                   # IndexError
    cdef int begin(self, object target, aim_t *aim, uint8_t *key) except -1
    cdef object done(self, int64_t slot)
    cdef Items many(self, KeyBatch rows, object values)
    cdef object apply_many(self, KeyBatch rows, Items values)
    cdef int still_listed(self) except -1                                           # in the guard, left where it is not

# Each row's updates of n metrics: the slot of the last one, or NO_MEMORY; `applied` rises by the rows that had a cell.
cdef int64_t apply_by_row(KeyBatch rows, PyObject **metrics, PyObject **items, Py_ssize_t n, int64_t *applied) noexcept nogil

# The slot of an update by a metric that does not rank, marked as touched.
cdef inline int64_t slot_of(CoreBase core, const aim_t *aim) noexcept nogil:
    if aim.slot < 0:
        return core.slot_for(aim)
    core.cells.marks[aim.slot] = core.cells.marks[aim.slot] | TOUCHED
    return aim.slot

# The order of float64 as that of int64.
cdef int64_t real_order(double value) noexcept nogil
