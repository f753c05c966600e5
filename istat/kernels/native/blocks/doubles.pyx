# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Columns of doubles as streams of bits: the fast build of istat/kernels/python/blocks/doubles.py."""
from libc.stdint cimport int64_t, uint64_t
from istat.kernels.native.blocks.streams cimport (
    EXACT, MALFORMED, SIGN, Coder, Source, bit_length, from_ordered, from_pattern, get, get_number, get_residuals,
    get_stream, get_wide, minus, nearest, ordered, over, pattern, plus, put, put_number, put_residuals, put_stream,
    put_wide, stream_cost, trailing_zeros)
from istat.kernels.native.varints cimport unzigzag, zigzag

cdef enum:
    CONSTANT = 0        # kinds of a column of doubles
    SCALED = 1
    CORRECTED = 2
    PATTERN = 3


cdef int least_scale(double value) noexcept nogil:
    cdef int scale
    cdef int64_t integer
    for scale in range(MOST_SCALE + 1):
        if fits(value, scale, &integer):
            return scale
    return NO_SCALE


cdef int scale_integers(const double *v, Py_ssize_t n, int64_t *integers, bint *exact) noexcept nogil:
    """Find the least scale of all values that have one; of those so far once over a quarter have none.

    With exact, integers hold all values at that scale; if not exact, they hold nothing of use.
    """
    cdef Py_ssize_t i, odd = 0
    cdef int scale = 0, found
    cdef bint again = False
    exact[0] = False
    for i in range(n):
        if fits(v[i], scale, &integers[i]):
            continue
        found = least_scale(v[i])
        if found == NO_SCALE:
            odd += 1
            if odd * 4 > n:
                return NO_SCALE if odd > i else scale
        elif found > scale:
            scale = found
            fits(v[i], scale, &integers[i])
            again = again or i > 0
        else:
            again = True                        # a large number with few decimals among finer ones
    if odd:
        return scale
    if again:
        for i in range(n):
            if not fits(v[i], scale, &integers[i]):
                return scale
    exact[0] = True
    return scale


cdef uint64_t correct(const double *v, Py_ssize_t n, int scale, int64_t *integers,
                      int64_t *corrections) noexcept nogil:
    """Nearest decimals, and how many doubles each value lies beside its own; give the cost in bits."""
    cdef Py_ssize_t i
    cdef int64_t before = 0
    cdef double scaled
    cdef uint64_t cost = 0
    for i in range(n):
        scaled = v[i] * POWER[scale]
        if -EXACT < scaled < EXACT:
            before = <int64_t>nearest(scaled)
        integers[i] = before
        corrections[i] = <int64_t>zigzag(minus(ordered(v[i], 0), ordered(<double>before / POWER[scale], 0)))
        cost += bit_length(<uint64_t>corrections[i]) + 1
    return cost


cdef uint64_t patterns(const double *v, Py_ssize_t n, int64_t *integers, int *shift) noexcept nogil:
    """The doubles' patterns less the low zeros that all of them have."""
    cdef Py_ssize_t i
    cdef uint64_t any = 0
    for i in range(n):
        any |= pattern(v[i])
    any &= ~SIGN
    shift[0] = trailing_zeros(any) if any else 0
    for i in range(n):
        integers[i] = ordered(v[i], shift[0])
    return 0


cdef int put_doubles(Coder *coder, const double *v, Py_ssize_t n, int hint) noexcept nogil:
    """Append a column of doubles; hint: a scale to try, or NO_SCALE. Gives the scale used, or NO_SCALE."""
    cdef Py_ssize_t i
    cdef int scale, shift = 0, predictor = 0, other = 0
    cdef bint exact = False
    cdef uint64_t cost, corrected
    for i in range(1, n):
        if pattern(v[i]) != pattern(v[0]):
            break
    else:
        return put_constant(coder, v[0])
    scale = scale_integers(v, n, coder.integers, &exact)
    if exact:
        put(coder, SCALED | scale << 2, 6)
        stream_cost(coder.integers, n, &predictor)
        put_stream(coder, coder.integers, n, predictor)
        return scale
    if scale == NO_SCALE or hint != NO_SCALE and hint > scale:
        scale = hint
    patterns(v, n, coder.integers, &shift)
    cost = stream_cost(coder.integers, n, &predictor)
    if scale != NO_SCALE:
        corrected = correct(v, n, scale, coder.others, coder.corrections)
        if corrected < cost:
            corrected += stream_cost(coder.others, n, &other)
        if corrected < cost:
            put(coder, CORRECTED | scale << 2, 6)
            put_stream(coder, coder.others, n, other)
            put_residuals(coder, <uint64_t *>coder.corrections, n)
            return scale
    put(coder, PATTERN | shift << 2, 8)
    put_stream(coder, coder.integers, n, predictor)
    return NO_SCALE


cdef int put_constant(Coder *coder, double value) noexcept nogil:
    cdef int scale = least_scale(value)
    cdef int64_t integer = 0
    put(coder, CONSTANT | scale << 2, 6)
    if scale == NO_SCALE:
        put_wide(coder, pattern(value), 64)
    else:
        fits(value, scale, &integer)
        put_number(coder, zigzag(integer))
    return scale


cdef int get_doubles(Source *source, double *values, int64_t *scratch, Py_ssize_t n) noexcept nogil:
    """Read a column of n >= 1 doubles; scratch has room for n integers."""
    cdef int kind, scale, shift
    cdef double constant, power
    cdef Py_ssize_t i
    cdef int64_t *integers = <int64_t *>values
    if over(source):
        return MALFORMED
    kind = <int>get(source, 2)
    if kind == PATTERN:
        shift = <int>get(source, 6)
        if n < 2 or get_stream(source, integers, n):
            return MALFORMED
        for i in range(n):
            values[i] = from_ordered(integers[i], shift)
        return 0
    scale = <int>get(source, 4)
    if kind == CONSTANT:
        if scale == NO_SCALE:
            constant = from_pattern(get_wide(source, 64))
        elif scale <= MOST_SCALE:
            constant = <double>unzigzag(get_number(source)) / POWER[scale]
        else:
            return MALFORMED
        for i in range(n):
            values[i] = constant
        return MALFORMED if over(source) else 0
    if scale > MOST_SCALE or n < 2 or get_stream(source, integers, n):
        return MALFORMED
    power = POWER[scale]
    if scale == 0:
        for i in range(n):
            values[i] = <double>integers[i]
    else:
        for i in range(n):
            values[i] = <double>integers[i] / power
    if kind == CORRECTED:
        if get_residuals(source, scratch, n):
            return MALFORMED
        for i in range(n):
            if scratch[i]:
                values[i] = from_ordered(plus(ordered(values[i], 0), scratch[i]), 0)
    return 0
