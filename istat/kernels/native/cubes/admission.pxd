# Which keys of a cube have a cell.
from cpython.ref cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.cells cimport CoreBase, aim_t
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.sampling.residents cimport Sampler

cdef enum:
    REFUSED_LAYOUT = 10         # of the sketch that tells how many keys were refused: within 3 %

# Metrics of a cube, each with the one of another cube that is added to it; the lists that they are from hold them.
cdef struct pairs_t:
    PyObject **mine
    PyObject **theirs
    Py_ssize_t n

cdef class Admission(CoreBase):
    cdef readonly list metrics      # in the order of registration
    cdef pairs_t itself             # each of them, with itself
    cdef PyObject *first            # the primary metric, or NULL
    cdef readonly str mode
    cdef readonly dict options
    cdef bint counts                # cells are ranked by a counter, which has what the sketch held for a key
    cdef readonly bint overflow_cell
    cdef readonly uint64_t admitted_late
    cdef hll_t refused_sketch         # hashes of keys, in comprehensive mode only
    cdef int list_metrics(self, list metrics) except -1
    cdef int reserve(self, uint32_t room) noexcept nogil                            # cells, columns and sampler; 0 or NO_MEMORY
    cdef int64_t made(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil    # a new cell's slot, REFUSED, NO_MEMORY
    cdef int begin_cell(self, uint32_t slot, int64_t begun, int64_t amount, uint64_t item) noexcept nogil
    cdef int64_t evict(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil
    cdef int64_t refuse(self, uint64_t hash) noexcept nogil
    cdef int to_overflow(self, pairs_t *pairs, uint32_t of) noexcept nogil
    cdef int add_overflow(self, bint wanted) except -1
    cdef int set_mode(self, str mode, dict options, object primary, Sampler sampler, uint32_t max_cells) except -1
    cdef int enter_all(self, const int64_t *begun) except -1
    cdef void keep(self, const uint32_t *slots, uint32_t count) noexcept nogil
    cdef uint32_t *ordered(self, PyObject *by, bint ranked, bint untouched, uint32_t *count) noexcept nogil
