# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Rows of many samples coded jointly, read: the fast build of istat/kernels/python/blocks/joint.py, which says how.

The same rows for the same bits, so every floating-point expression is evaluated in the order in which it is written
there. Trusts nothing: integers wrap around.
"""
from istat.kernels.native.blocks.doubles cimport MOST_SCALE, POWER
from istat.kernels.native.blocks.streams cimport (
    MALFORMED, from_ordered, from_pattern, get, get_integers, get_number, get_residuals, get_stream, over, pattern)
from istat.kernels.native.varints cimport unzigzag, zigzag


cdef inline int64_t get_coefficient(Source *source) noexcept nogil:
    return <int64_t>get(source, COEFFICIENT_BITS) - MOST_COEFFICIENT


cdef int get_range(Source *source, int64_t *lows, int64_t *highs, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t a
    cdef bint after
    if over(source):
        return MALFORMED
    after = get(source, 1)
    if after:
        lows[0] = unzigzag(get_number(source))
        if get_stream(source, lows + 1, n - 1):
            return MALFORMED
    elif get_stream(source, lows, n):
        return MALFORMED
    a = get_coefficient(source)
    if get_stream(source, highs, n):
        return MALFORMED
    for i in range(n):
        if after and i > 0:
            lows[i] = plus(lows[i], highs[i - 1])
        highs[i] = plus(highs[i], share(lows[i], 0, a, 0, 1))
    return 0


cdef int get_sums(Source *source, int64_t *sums, const int64_t *counts, const int64_t *lows, const int64_t *highs,
                  Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t a = get_coefficient(source), b = get_coefficient(source)
    if get_stream(source, sums, n):
        return MALFORMED
    for i in range(n):
        sums[i] = plus(sums[i], share(lows[i], highs[i], a, b, counts[i]))
    return 0


cdef int get_m2(Source *source, int64_t *squares, const int64_t *counts, const int64_t *lows, const int64_t *highs,
                const int64_t *sums, Py_ssize_t n, double square) noexcept nogil:
    """Read M2; squares becomes patterns of doubles."""
    cdef Py_ssize_t i
    cdef int way = <int>get(source, 2)
    cdef double first = 0.0, second = 0.0, m2 = 0.0
    cdef int64_t excess, likely = 0
    if way > BY_SQUARES:
        return MALFORMED
    if way != OWN:
        first = from_ordered(unzigzag(get_number(source)), SHORT)
    if way == BY_SQUARES:
        second = from_ordered(unzigzag(get_number(source)), SHORT)
    if get_stream(source, squares, n):
        return MALFORMED
    if way == BY_SQUARES:
        for i in range(n):
            excess = minus(sums[i], times(counts[i], lows[i]))
            likely = half_squares(first, second, counts[i], lows[i], highs[i], excess)
            if not m2_from(plus(squares[i], likely), excess, counts[i], square, &m2):
                return MALFORMED
            squares[i] = <int64_t>pattern(short_mantissa(m2))
        return 0
    for i in range(n):
        if way == BY_RANGE:
            likely = by_range(first, counts[i], lows[i], highs[i])
        squares[i] = <int64_t>pattern(from_ordered(plus(squares[i], likely), SHORT))
    return 0


cdef inline void move(int64_t *bits, int64_t by) noexcept nogil:
    """To the double so many places beside."""
    cdef double value = from_pattern(<uint64_t>bits[0])
    if by:
        bits[0] = <int64_t>pattern(from_ordered(plus(ordered(value, 0), by), 0))


cdef int get_all_corrections(Source *source, int64_t *sums, Py_ssize_t n) noexcept nogil:
    cdef int64_t[PIECE] piece
    cdef Py_ssize_t at = 0, i, size
    while at < n:
        size = n - at if n - at < PIECE else PIECE
        if get_residuals(source, piece, size):
            return MALFORMED
        for i in range(size):
            move(&sums[at + i], piece[i])
        at += size
    return 0


cdef int get_few_corrections(Source *source, int64_t *sums, Py_ssize_t n) noexcept nogil:
    cdef int64_t[PIECE] gaps
    cdef int64_t[PIECE] piece
    cdef Py_ssize_t i, size, place = -1
    cdef uint64_t gap, left = get_number(source)
    while left > 0:
        size = <Py_ssize_t>left if left < PIECE else PIECE
        if get_residuals(source, gaps, size) or get_residuals(source, piece, size):
            return MALFORMED
        for i in range(size):
            gap = zigzag(gaps[i])               # a gap was no signed number before
            if gap >= <uint64_t>(n - 1 - place):
                return MALFORMED
            place += <Py_ssize_t>gap + 1
            move(&sums[place], piece[i])
        left -= size
    return 0


cdef int get_corrections(Source *source, int64_t *sums, Py_ssize_t n) noexcept nogil:
    """Read how many doubles each sum lies beside its decimal; sums are patterns of doubles."""
    cdef int way, failed = 0
    if over(source):
        return MALFORMED
    way = <int>get(source, 2)
    if way == ALL:
        failed = get_all_corrections(source, sums, n)
    elif way == FEW:
        failed = get_few_corrections(source, sums, n)
    elif way != NONE:
        return MALFORMED
    return MALFORMED if failed or over(source) else 0


cdef void to_doubles(int64_t *values, Py_ssize_t n, double power) noexcept nogil:
    """Integers become patterns of doubles."""
    cdef Py_ssize_t i
    for i in range(n):
        values[i] = <int64_t>pattern(<double>values[i] / power)


cdef int get_joint(Source *source, Columns into, Py_ssize_t at, Py_ssize_t n) noexcept nogil:
    cdef int64_t *counts = into.count + at
    cdef int64_t *lows = <int64_t *>(into.min + at)         # integers first, the doubles' bits in the end
    cdef int64_t *highs = <int64_t *>(into.max + at)
    cdef int64_t *sums = <int64_t *>(into.sum + at)
    cdef int64_t *squares = <int64_t *>(into.m2 + at)
    cdef Py_ssize_t i
    cdef int scale
    if n < LEAST_ROWS or get_integers(source, counts, n):
        return MALFORMED
    for i in range(n):
        if counts[i] < 1:
            return MALFORMED
    scale = <int>get(source, 4)
    if scale > MOST_SCALE or get_range(source, lows, highs, n):
        return MALFORMED
    if get_sums(source, sums, counts, lows, highs, n):
        return MALFORMED
    if get_m2(source, squares, counts, lows, highs, sums, n, POWER[scale] * POWER[scale]):
        return MALFORMED
    to_doubles(sums, n, POWER[scale])
    if get_corrections(source, sums, n):
        return MALFORMED
    to_doubles(lows, n, POWER[scale])
    to_doubles(highs, n, POWER[scale])
    return 0
