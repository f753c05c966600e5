# Columns of doubles as streams of bits.
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy
from istat.kernels.native.blocks.streams cimport EXACT, SIGN, Coder, Source, from_pattern, nearest, pattern

cdef extern from *:
    """
    static const double istat_power[10] = {1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    """
    const double *POWER "istat_power"

cdef enum:
    MOST_SCALE = 9      # decimals at most
    NO_SCALE = 15


cdef inline bint fits(double value, int scale, int64_t *integer) noexcept nogil:
    """Whether value is exactly integer / 10**scale, bit for bit; -0.0 is not."""
    cdef double scaled = value * POWER[scale]
    if not -EXACT < scaled < EXACT:
        return False
    scaled = nearest(scaled)
    integer[0] = <int64_t>scaled
    return pattern(<double>integer[0] / POWER[scale]) == pattern(value)


cdef inline double short_mantissa(double value) noexcept nogil:
    """Round to 24 bits of mantissa, half to even; what would overflow is cut instead."""
    cdef uint64_t bits = pattern(value)
    cdef uint64_t rounded = (bits + 0x0FFFFFFF + ((bits >> 29) & 1)) & ~<uint64_t>0x1FFFFFFF
    if (rounded & ~SIGN) >= (<uint64_t>0x7FF << 52):
        rounded = bits & ~<uint64_t>0x1FFFFFFF
    return from_pattern(rounded)

cdef int scale_integers(const double *v, Py_ssize_t n, int64_t *integers, bint *exact) noexcept nogil
cdef uint64_t correct(const double *v, Py_ssize_t n, int scale, int64_t *integers,
                      int64_t *corrections) noexcept nogil
cdef int put_doubles(Coder *coder, const double *v, Py_ssize_t n, int hint) noexcept nogil     # the scale used
cdef int get_doubles(Source *source, double *values, int64_t *scratch, Py_ssize_t n) noexcept nogil
