# Rows of buckets as columns; other kernels push to and read from it without the GIL.
from libc.stdint cimport int64_t

cdef enum:
    FOLD_GAUGES = 0     # Chan's formula
    FOLD_TOTALS = 1     # event totals add
    FOLD_RATES = 2      # event rates add, and so do their M2, min and max

cdef class Columns:
    cdef Py_ssize_t n
    cdef Py_ssize_t room
    cdef int64_t *time
    cdef int64_t *count
    cdef double *sum
    cdef double *m2
    cdef double *min
    cdef double *max
    cdef int reserve(self, Py_ssize_t rows) noexcept nogil          # 0, or -1: no memory
    cdef int push(self, int64_t time, int64_t count, double sum, double m2,
                  double min, double max) noexcept nogil             # 0, or -1: no memory
    cdef void clear(self) noexcept nogil
    cdef void _take(self, char *made, Py_ssize_t room) noexcept nogil
    cdef int _sort(self) noexcept nogil
    cdef int _permute(self, Py_ssize_t *order) noexcept nogil
    cdef void add_rates(self, Py_ssize_t into, Py_ssize_t i) noexcept nogil
    cdef int fold_rows(self, int how) noexcept nogil                # FOLD_...; 0, or -1: no memory
    cdef void set_row(self, Py_ssize_t index, int64_t time, int64_t count, double sum, double m2,
                      double min, double max) noexcept nogil
    cdef void move_row(self, Py_ssize_t to, Py_ssize_t index) noexcept nogil
    cdef void merge_row(self, Py_ssize_t into, int64_t count, double sum, double m2,
                        double min, double max) noexcept nogil      # Chan's formula
    cdef void _merge_all(self, Columns source, Py_ssize_t first, Py_ssize_t end) noexcept nogil
    cdef int copy_span(self, Columns source, int64_t start, int64_t end) noexcept nogil   # append; -1: no memory
    cdef void to_rates(self, int64_t interval) noexcept nogil
    cdef int reduce_from(self, Columns source, int64_t start, int64_t interval,
                         int64_t event_count) noexcept nogil        # append groups; -1: no memory
