# Integers as a stream of bits; what is called once a value is written out here.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define ISTAT_EXACT 2251799813685248.0      /* 2**51: scaled integers stay below */
    #define ISTAT_ROUNDER 6755399441055744.0    /* 1.5 x 2**52: adding and subtracting it rounds to integer */
    #define ISTAT_SIGN ((uint64_t)1 << 63)
    """
    const double EXACT "ISTAT_EXACT"
    const double ROUNDER "ISTAT_ROUNDER"
    const uint64_t SIGN "ISTAT_SIGN"
    int leading_zeros "__builtin_clzll"(unsigned long long) nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long) nogil

cdef extern from "<endian.h>" nogil:
    uint64_t htole64(uint64_t)
    uint64_t le64toh(uint64_t)

cdef enum:
    NO_MEMORY = -1
    MALFORMED = -2
    PADDING = 2048      # readable bytes that must follow the bytes that are decoded

cdef struct Coder:
    uint8_t *data       # bytes coded so far
    size_t used
    size_t room
    uint64_t bits       # up to 7 bits that make no byte yet
    int filled
    int64_t *integers   # scratch, one value a row each
    int64_t *others
    int64_t *corrections
    double *squares
    Py_ssize_t rows_room
    int64_t *lows       # scratch for rows of many samples, likewise
    int64_t *highs
    int64_t *sums
    Py_ssize_t joint_room

cdef struct Source:
    const uint8_t *data
    uint64_t at         # bits read
    uint64_t end        # bits there are; up to PADDING bytes more may be read before a check


cdef inline uint64_t pattern(double value) noexcept nogil:
    cdef uint64_t made
    memcpy(&made, &value, 8)
    return made


cdef inline double from_pattern(uint64_t bits) noexcept nogil:
    cdef double made
    memcpy(&made, &bits, 8)
    return made


cdef inline int64_t minus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a - <uint64_t>b)


cdef inline int64_t plus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a + <uint64_t>b)


cdef inline int64_t times(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a * <uint64_t>b)


cdef inline int bit_length(uint64_t value) noexcept nogil:
    return 64 - leading_zeros(value) if value else 0


cdef inline int64_t ordered(double value, int shift) noexcept nogil:
    """The pattern of a double, less its low zeros, as an integer of the same order."""
    cdef uint64_t bits = pattern(value)
    cdef int64_t size = <int64_t>((bits & ~SIGN) >> shift)
    return ~size if bits & SIGN else size


cdef inline double from_ordered(int64_t value, int shift) noexcept nogil:
    if value < 0:
        return from_pattern(((<uint64_t>(~value)) << shift) | SIGN)
    return from_pattern((<uint64_t>value << shift) & ~SIGN)


cdef inline double nearest(double value) noexcept nogil:
    return (value + ROUNDER) - ROUNDER


cdef inline void put(Coder *coder, uint64_t value, int width) noexcept nogil:
    """Append the low bits; width <= 56, value < 2**width."""
    cdef uint64_t word
    coder.bits |= value << coder.filled
    coder.filled += width
    word = htole64(coder.bits)
    memcpy(coder.data + coder.used, &word, 8)
    coder.used += coder.filled >> 3
    coder.bits >>= coder.filled & 56
    coder.filled &= 7


cdef inline uint64_t peek(Source *source) noexcept nogil:
    """At least 57 bits from here."""
    cdef uint64_t word
    memcpy(&word, source.data + (source.at >> 3), 8)
    return le64toh(word) >> (source.at & 7)


cdef inline uint64_t get(Source *source, int width) noexcept nogil:
    """Read up to 56 bits."""
    cdef uint64_t value = peek(source) & ((<uint64_t>1 << width) - 1)
    source.at += width
    return value


cdef inline bint over(Source *source) noexcept nogil:
    return source.at > source.end

cdef void free_coder(Coder *coder) noexcept nogil
cdef int make_room(Coder *coder, Py_ssize_t n) noexcept nogil                          # 0 or NO_MEMORY
cdef int make_joint_room(Coder *coder, Py_ssize_t n) noexcept nogil
cdef void flush(Coder *coder) noexcept nogil
cdef int number_width(uint64_t value) noexcept nogil
cdef void put_wide(Coder *coder, uint64_t value, int width) noexcept nogil
cdef void put_number(Coder *coder, uint64_t value) noexcept nogil
cdef void put_residuals(Coder *coder, const uint64_t *values, Py_ssize_t n) noexcept nogil
cdef uint64_t stream_cost(const int64_t *v, Py_ssize_t n, int *predictor) noexcept nogil
cdef void put_stream(Coder *coder, int64_t *v, Py_ssize_t n, int predictor) noexcept nogil     # overwrites v
cdef void put_integers(Coder *coder, int64_t *v, Py_ssize_t n) noexcept nogil                  # overwrites v

cdef uint64_t get_wide(Source *source, int width) noexcept nogil
cdef uint64_t get_number(Source *source) noexcept nogil
cdef int get_residuals(Source *source, int64_t *values, Py_ssize_t n) noexcept nogil           # 0 or MALFORMED
cdef int get_stream(Source *source, int64_t *v, Py_ssize_t n) noexcept nogil
cdef int get_integers(Source *source, int64_t *v, Py_ssize_t n) noexcept nogil
