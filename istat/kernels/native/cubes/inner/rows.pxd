# Keys of a batch of rows, and the slots of their cells.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.cells cimport CoreBase, aim_t

cdef class KeyBatch:
    cdef readonly CoreBase core
    cdef Py_ssize_t n
    cdef uint8_t *data              # the keys, back to back
    cdef uint64_t room
    cdef uint64_t *ends             # key i begins at ends[i] and ends at ends[i + 1]
    cdef uint64_t *hashes
    cdef int64_t *slots             # as far as they were found: NOT_FOUND else
    cdef uint64_t changes           # of the cells, when they were looked up
    cdef bint ahead                 # whether rows are foreseen
    cdef void begin(self) noexcept nogil        # in the guard, before the first `aim_at`
    cdef void aim_at(self, Py_ssize_t i, aim_t *aim) noexcept nogil     # the cell of a row

cdef KeyBatch key_batch(CoreBase core, list columns, Py_ssize_t rows)   # of inner.columns.Column; errors of keys.encoded
