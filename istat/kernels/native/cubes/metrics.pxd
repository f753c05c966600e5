# Columns of counters and gauges; what all columns are: inner/metric.pxd, histograms and sketches: sketched.pxd.
from libc.stdint cimport int64_t, uint64_t

from istat.kernels.native.cubes.inner.metric cimport Metric

cdef enum:                      # rules by which gauges merge, as RULES has them
    RULE_LAST = 0
    RULE_SUM = 1
    RULE_MAX = 2
    RULE_MIN = 3

cdef struct gauge_t:
    double value                # NaN: not set since the last reset
    int64_t tick
    uint64_t origin

cdef class CounterMetric(Metric):
    cdef readonly bint real     # float64 instead of int64
    cdef int64_t *values
    cdef double *reals          # the same memory, of a real one
    cdef int64_t whole_total
    cdef double real_total
    cdef inline int64_t sum(self, int64_t a, int64_t b) noexcept nogil
    cdef inline double real_sum(self, double a, double b) noexcept nogil
    cdef uint64_t amount(self, object n) except? 0xFFFFFFFFFFFFFFFEu
    cdef void set_slot(self, int64_t slot, uint64_t value) noexcept nogil

cdef class GaugeMetric(Metric):
    cdef readonly str rule
    cdef int how                # RULE_...
    cdef gauge_t *values
    cdef void join(self, gauge_t *mine, const gauge_t *theirs) noexcept nogil
