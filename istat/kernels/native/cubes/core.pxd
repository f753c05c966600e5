# One cube's data: cells, columns, totals.
from libc.stdint cimport uint32_t

from istat.kernels.native.cubes.admission cimport Admission, pairs_t
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.inner.rows cimport KeyBatch

cdef class Core(Admission):
    cdef object add_metric(self, Metric metric)
    cdef list columns_of(self, columns)
    cdef object apply_all(self, KeyBatch rows, list metrics, list checked)
    cdef int check_mine(self, Metric metric) except -1  # ValueError, CubeError
    cdef int check(self, uint32_t slot) except -1       # IndexError
    cdef object list_slots(self, Metric by, bint ranked, bint untouched, object n)
    cdef bint updated(self) noexcept nogil
    cdef int add_core(self, Core other, pairs_t *columns) except -1
    cdef int merge_totals(self, Core other, pairs_t *pairs) noexcept nogil

cdef int check_pairs(Core mine, Core other, list pairs) except -1      # ValueError, TypeError: these cannot be merged
