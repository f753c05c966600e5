# Columns of values, one for each metric of a cube; slots are those of cells.Cells.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.cells cimport CoreBase
from istat.kernels.native.cubes.histogram cimport hist_shape, hist_t
from istat.kernels.native.cubes.hll cimport hll_t

cdef enum:                      # rules by which gauges merge
    RULE_LAST = 0
    RULE_SUM = 1
    RULE_MAX = 2
    RULE_MIN = 3

cdef struct gauge_t:
    double value                # NaN: not set since the last reset
    int64_t tick
    uint64_t origin

cdef class Metric:
    cdef readonly str name
    cdef readonly str kind
    cdef CoreBase core
    cdef uint32_t room          # slots that the column has memory for; values of slots not in use are empty
    cdef int reserve(self, uint32_t room) noexcept nogil                    # 0 or NO_MEMORY
    cdef void clear_cell(self, uint32_t slot) noexcept nogil
    cdef int merge_cell(self, uint32_t slot, Metric other, uint32_t of) noexcept nogil      # same kind and parameters; 0 or NO_MEMORY
    cdef void move_cell(self, uint32_t to, uint32_t of) noexcept nogil      # `to` is cleared before, `of` is empty afterwards
    cdef void clear(self, uint32_t count) noexcept nogil                    # these slots, and the totals
    cdef int merge_totals(self, Metric other) noexcept nogil
    cdef uint64_t bytes(self) noexcept nogil

cdef class CounterMetric(Metric):
    cdef readonly bint real     # float64 instead of int64
    cdef int64_t *values        # a real one's are doubles in the same places
    cdef int64_t total
    cdef double real_total
    cdef void add(self, uint32_t slot, int64_t amount) noexcept nogil       # the cell only, not the totals

cdef class GaugeMetric(Metric):
    cdef readonly str rule
    cdef int how                # RULE_...
    cdef gauge_t *values

cdef class HistogramMetric(Metric):
    cdef readonly object shape  # a histogram.Shape
    cdef hist_shape layout
    cdef hist_t **values        # NULL: nothing recorded
    cdef hist_t *total

cdef class HllMetric(Metric):
    cdef readonly int precision
    cdef readonly str hash
    cdef hll_t *values
    cdef hll_t total
