# Columns of histograms and of HyperLogLog sketches.
from libc.stdint cimport int64_t, uint64_t

from istat.kernels.native.cubes.histogram cimport hist_t
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.cells cimport aim_t
from istat.kernels.native.cubes.inner.columns cimport Items
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.inner.rows cimport KeyBatch
from istat.kernels.native.cubes.shapes cimport Shape

cdef class HistogramMetric(Metric):
    cdef readonly Shape shape
    cdef hist_t **values        # NULL: nothing recorded
    cdef hist_t *whole          # of all updates
    cdef uint64_t times(self, object count) except? 0
    cdef inline int record_in(self, hist_t **place, int64_t value, uint64_t count, int64_t interval) noexcept nogil
    cdef object record_rows(self, KeyBatch rows, Items numbers, Items times, Items intervals)   # None: not corrected
    cdef int add_histogram(self, hist_t **to, const hist_t *of) noexcept nogil
    cdef int64_t record_at(self, const aim_t *aim, int64_t value, uint64_t count, int64_t interval) noexcept nogil

cdef class HllMetric(Metric):
    cdef readonly int precision
    cdef readonly str hash
    cdef int hash_number        # of hashing.pxd
    cdef int layout
    cdef hll_t *values
    cdef hll_t whole            # of all updates
