# Lines to buckets; replay applies samples by the same rules.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from istat.kernels.native.ingest.lines cimport ByCode
from istat.kernels.native.ingest.registry cimport Registry

cdef enum:
    STALE = -2                 # what `apply` says of a route that leads nowhere, or to a counter that is deleted or gone

cdef enum:                     # refusals and totals, in the order of TALLY
    T_SAMPLES
    T_LINES
    T_BAD_FIELDS
    T_BAD_NUMBER
    T_NOT_FINITE
    T_RESERVED
    T_META
    T_UNKNOWN
    T_FUTURE
    T_PAST
    T_REJECTED
    T_JOURNALLED
    T_COARSE
    T_COUNT

cdef class Feed(Registry):
    cdef uint32_t last_route
    cdef int64_t journal_time          # of the last sample in the journal buffer,
    cdef int64_t journal_interval      # and of what interval it was
    cdef int64_t row_interval          # of the rows that are being taken [s]; 0: they are samples
    cdef int64_t line_interval         # of lines of seven words [s]; 0: they are samples
    cdef list marks                    # that were replayed
    cdef tuple position                # the last one that was, or None
    cdef uint64_t tally_[T_COUNT]
    cdef list leftovers
    cdef int bad_kept
    cdef public bint refuse_nan        # istatd's spellings of NaN are not finite, instead of 0
    cdef ByCode untold                 # bad and refused lines that were not kept, by code
    cdef int refusal                   # why a counter refused the sample at hand; 0: none did
    cdef int apply_one(self, uint32_t id, int64_t time, int64_t count, double sum, double m2,
                       double min, double max) noexcept nogil
    cdef int apply(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                   double min, double max) noexcept nogil
    cdef int take_sample(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                         double min, double max) noexcept nogil
    cdef int put_row(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                     double min, double max) noexcept nogil
    cdef int take_row(self, const char *name, Py_ssize_t size, int64_t time, int64_t count, double sum, double m2,
                      double min, double max) noexcept nogil
    cdef int end_rows(self) except -1
    cdef int64_t find_route(self, const char *name, Py_ssize_t size) noexcept nogil
    cdef const char *fast_line(self, const char *line, const char *stop) noexcept nogil
    cdef int slow_line(self, const char *line, Py_ssize_t size) noexcept nogil
    cdef int take_lines(self, const char *at, const char *stop) except -1
    cdef int leave_over(self, int code, const char *line, Py_ssize_t size) except -1
