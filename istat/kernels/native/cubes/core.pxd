# One cube's data: cells, columns, totals.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.cells cimport Cells, CoreBase, Guard
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.metrics cimport Metric

cdef class Core(CoreBase):
    cdef readonly list metrics      # in the order of registration
    cdef uint64_t refused           # updates of cells that got no room
    cdef hll_t refused_keys         # their keys' hashes, p=10
    cdef uint64_t admitted_late
    cdef uint64_t evicted
    cdef readonly bint overflow_cell
    cdef int reserve(self, uint32_t room) noexcept nogil    # cells, columns and sampler
