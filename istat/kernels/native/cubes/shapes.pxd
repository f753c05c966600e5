# The shape of a histogram, and values of Python as one of that shape records them. The specification is the twin.
from cpython.buffer cimport Py_buffer
from libc.stdint cimport int64_t, uint64_t

from istat.kernels.native.cubes.histogram cimport hist_shape

cdef class Shape:
    cdef hist_shape shape

cdef class Values:
    """A batch of values as they are recorded."""
    cdef const int64_t *items
    cdef Py_ssize_t n
    cdef int64_t *made          # what items leads to, or NULL: then it leads into the view
    cdef Py_buffer view
    cdef bint viewed

    cdef int make(self, Py_ssize_t n) except -1

# Whether slots mean the same in both.
cdef bint same_shape(const hist_shape *a, const hist_shape *b) noexcept nogil
# A value of Python as it is recorded: scaled and rounded. TypeError, ValueError (NaN, infinite), OverflowError.
cdef int hist_value(object value, double scale, int64_t *out) except -1
# How often it came, from 0 to 2**63 - 1. TypeError, ValueError.
cdef uint64_t hist_times(object count) except? 0
# Of a buffer of whole numbers, float32 or float64, or of a sequence of int and float. Errors as those of hist_value.
cdef Values values_of(object values, double scale)
# The same of counts: n of them. ValueError.
cdef Values counts_of(object counts, Py_ssize_t n)
