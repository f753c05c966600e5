# Rows of many samples coded jointly, each column from those before it; here what both sides compute.
from libc.stdint cimport int64_t, uint64_t

from istat.kernels.native.blocks.doubles cimport short_mantissa
from istat.kernels.native.blocks.streams cimport EXACT, Source, minus, nearest, ordered, plus, times
from istat.kernels.native.columns cimport Columns

cdef enum:
    LEAST_ROWS = 16         # fewer do not pay for what says how they are predicted
    MOST_COEFFICIENT = 127  # in 64ths
    COEFFICIENT_BITS = 8
    SHORT = 29              # low bits of a double that are 0 when 24 bits of mantissa are kept
    OWN = 0                 # how M2 is coded
    BY_RANGE = 1
    BY_SQUARES = 2
    NONE = 0                # how it is coded how far sums lie beside decimals
    ALL = 1
    FEW = 2
    PIECE = 128             # corrections read at a time: residuals that share one Rice parameter

cdef inline int64_t share(int64_t low, int64_t high, int64_t a, int64_t b, int64_t count) noexcept nogil:
    return times(count, plus(times(a, low), times(b, high))) >> 6


cdef inline int64_t by_range(double factor, int64_t count, int64_t low, int64_t high) noexcept nogil:
    """M2 from the range, as the pattern of a short double."""
    cdef double width = <double>minus(high, low)
    return ordered(short_mantissa(factor * <double>count * width * width), SHORT)


cdef inline int64_t half_squares(double slope, double level, int64_t count, int64_t low, int64_t high,
                                 int64_t excess) noexcept nogil:
    """What the squares of the distances from min, less the distances, are likely to add up to; halved."""
    cdef double width = <double>minus(high, low), total = <double>excess
    cdef double m2 = <double>count * (slope * width * width + level)
    cdef double half = (m2 + total * total / <double>count - total) * 0.5
    return <int64_t>nearest(half) if -EXACT < half < EXACT else 0


cdef inline bint m2_from(int64_t half, int64_t excess, int64_t count, double square, double *m2) noexcept nogil:
    """M2 from half the squares; False if those are impossible. square: 10**(2 scale)."""
    cdef int64_t product = minus(times(count, plus(times(2, half), excess)), times(excess, excess))
    if product < 0:
        return False
    m2[0] = <double>product / <double>count / square
    return True

# Reads n rows into the places from `at` on, which exist: 0 or MALFORMED.
cdef int get_joint(Source *source, Columns into, Py_ssize_t at, Py_ssize_t n) noexcept nogil
