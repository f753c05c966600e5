# Histograms of log-linear slots: a block of memory each, made at the first record, so that a column of cells is an array
# of pointers. NULL is an empty one. The specification is the Python twin.
from libc.stdint cimport int8_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    POINT_LOW = 0               # which value of a slot stands for it
    POINT_MID = 1
    POINT_HIGH = 2
    MOST_CORRECTED = 1000000    # values that one pause may stand for; more is a wrong unit

cdef struct hist_shape:         # what all histograms of a column share
    int64_t lowest
    int64_t highest
    double scale                # values are multiplied by it and rounded before they are recorded
    uint32_t slots
    uint8_t unit                # bits of a value that are not looked at
    uint8_t precision           # bits that tell the slots of one power of two apart
    int8_t digits               # decimal ones, where it was made from them, else 0

cdef struct hist_t:             # the slots follow: uint32_t each, or uint64_t in a wide one
    uint64_t count              # of values, at most 2**63 - 1
    uint64_t sum[2]             # of values, exact: 128 bits, signed, the lower half first
    uint64_t squares[3]         # the sum of their squares, exact: 192 bits
    int64_t min                 # of values as they came, also of those that no slot is for
    int64_t max
    uint64_t underflow          # values below 0: they are in the first slot
    uint64_t overflow           # values above the highest: they are in the last slot
    uint32_t first              # the range of slots with counts
    uint32_t last
    uint32_t slots
    uint32_t wide

cdef extern from *:
    """
    #define istat_bits(word) (64 - __builtin_clzll(word))       /* word is not 0 */
    """
    int istat_bits(uint64_t word) noexcept nogil

cdef inline uint32_t hist_slot(const hist_shape *shape, int64_t value) noexcept nogil:
    """The slot of a value from 0 to the highest."""
    cdef uint64_t units = <uint64_t> value >> shape.unit
    cdef int shift = istat_bits(units | (<uint64_t> 2 << shape.precision) - 1) - shape.precision - 1
    return (<uint32_t> shift << shape.precision) + <uint32_t> (units >> shift)

cdef int64_t hist_low(const hist_shape *shape, uint32_t slot) noexcept nogil    # smallest value of a slot
cdef int64_t hist_high(const hist_shape *shape, uint32_t slot) noexcept nogil   # and the largest
cdef uint64_t hist_at(const hist_t *histogram, uint32_t slot) noexcept nogil    # the count of a slot

# A count of 0 changes nothing. 1: done; 0: refused, as there would be more than 2**63 - 1 values; -1: no memory (all stays as it was).
cdef int hist_record(hist_t **place, const hist_shape *shape, int64_t value, uint64_t count) noexcept nogil
# As hist_record of each; counts may be NULL: once each. How many were not refused, or -1: no memory (some may be in).
cdef int64_t hist_record_all(hist_t **place, const hist_shape *shape, const int64_t *values, const int64_t *counts,
                             Py_ssize_t n) noexcept nogil
# Also values that a pause kept from being recorded: value - interval, value - 2 * interval, ... down to the interval,
# which is above 0. As hist_record; -2: these would be more than 1,000,000.
cdef int hist_record_corrected(hist_t **place, const hist_shape *shape, int64_t value, int64_t interval,
                               uint64_t count) noexcept nogil
cdef int hist_merge(hist_t **to, const hist_t *of, const hist_shape *shape) noexcept nogil
# For readers of files: counts to a slot and nothing else; the caller fills in the header.
cdef int hist_put(hist_t **place, const hist_shape *shape, uint32_t slot, uint64_t count) noexcept nogil
cdef hist_t *hist_copy(const hist_t *of) noexcept nogil                         # NULL: no memory
cdef void hist_clear(hist_t **place) noexcept nogil                             # empty, its memory given back
cdef size_t hist_bytes(const hist_t *histogram) noexcept nogil
# The values at n percentiles (0 to 100, ascending); the histogram has a value at least.
cdef void hist_percentiles(const hist_t *histogram, const hist_shape *shape, const double *q, Py_ssize_t n, int point,
                           int64_t *out) noexcept nogil
# How many values are not above a bound, which is rounded up to the end of its slot.
cdef uint64_t hist_up_to(const hist_t *histogram, const hist_shape *shape, int64_t bound) noexcept nogil
# Whether what was read can be a histogram: counts, minimum, maximum and sum agree. It has a value at least.
cdef int hist_valid(const hist_t *histogram, const hist_shape *shape) noexcept nogil
