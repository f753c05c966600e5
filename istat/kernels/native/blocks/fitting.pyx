# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""What rows of many samples are predicted from, and their writing: the fast build of
istat/kernels/python/blocks/fitting.py.

The same bits for the same rows, so every floating-point expression is evaluated in the order in which it is written
there.
"""
from libc.stdint cimport int64_t, uint64_t
from istat.kernels.native.blocks.doubles cimport POWER, correct, fits, scale_integers, short_mantissa
from istat.kernels.native.blocks.joint cimport (
    ALL, BY_RANGE, BY_SQUARES, COEFFICIENT_BITS, FEW, LEAST_ROWS, MOST_COEFFICIENT, NONE, OWN, PIECE, SHORT, by_range,
    half_squares, m2_from, share)
from istat.kernels.native.blocks.streams cimport (
    EXACT, NO_MEMORY, Coder, make_joint_room, minus, nearest, ordered, pattern, put, put_integers, put_number,
    put_residuals, put_stream, stream_cost)
from istat.kernels.native.varints cimport zigzag
from istat.kernels.native.columns cimport Columns

cdef enum:
    MOST_CORRECTION = 8     # [bits a row] sums further from decimals are no sums of decimals
    FEW_SHARE = 8           # corrections are few if less than every so many-th sum has one

cdef double MOST_PRODUCT = 1125899906842624.0           # 2**50; count x value: leaves room for a coefficient
cdef double MOST_EXCESS = 2147483648.0                  # 2**31; sum above count x min, and count
cdef double MOST_PRODUCT_OF_SQUARES = 4e18
cdef double NOISE = 9.094947017729282e-13               # 2**-40; share of M2 that may be rounding


# --- choices ---------------------------------------------------------------------------------------

cdef inline int64_t coefficient(double value) noexcept nogil:
    """In 64ths; 0 if out of reach."""
    value *= 64.0
    return <int64_t>nearest(value) if -MOST_COEFFICIENT <= value <= MOST_COEFFICIENT else 0


cdef double mean_of(const int64_t *values, Py_ssize_t n) noexcept nogil:
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(n):
        total += <double>values[i]
    return total / <double>n


cdef int64_t fit_one(const int64_t *x, const int64_t *y, Py_ssize_t n) noexcept nogil:
    """The coefficient of x for y, by least squares."""
    cdef double mean_x = mean_of(x, n), mean_y = mean_of(y, n), a, xx = 0.0, xy = 0.0
    cdef Py_ssize_t i
    for i in range(n):
        a = <double>x[i] - mean_x
        xx += a * a
        xy += a * (<double>y[i] - mean_y)
    return coefficient(xy / xx) if xx > 0.0 else 0


cdef void fit_two(const int64_t *x, const int64_t *z, const int64_t *sums, const int64_t *counts, Py_ssize_t n,
                  int64_t *of_x, int64_t *of_z) noexcept nogil:
    """The coefficients of x and z for sums / counts, by least squares."""
    cdef double mean_x = mean_of(x, n), mean_z = mean_of(z, n), mean_y = 0.0
    cdef double a, b, c, xx = 0.0, xz = 0.0, zz = 0.0, xy = 0.0, zy = 0.0, determinant
    cdef Py_ssize_t i
    for i in range(n):
        mean_y += <double>sums[i] / <double>counts[i]
    mean_y = mean_y / <double>n
    for i in range(n):
        a = <double>x[i] - mean_x
        b = <double>z[i] - mean_z
        c = <double>sums[i] / <double>counts[i] - mean_y
        xx += a * a
        xz += a * b
        zz += b * b
        xy += a * c
        zy += b * c
    of_x[0] = of_z[0] = 0
    determinant = xx * zz - xz * xz
    if determinant > 0.0:
        of_x[0] = coefficient((xy * zz - zy * xz) / determinant)
        of_z[0] = coefficient((zy * xx - xy * xz) / determinant)


cdef inline double short_or_zero(double value) noexcept nogil:
    return short_mantissa(value) if -1e300 < value < 1e300 else 0.0


cdef bint refit(const double *values, Py_ssize_t n, int scale, int64_t *integers) noexcept nogil:
    """Scale the values up further; False if one is too large for that."""
    cdef Py_ssize_t i
    for i in range(n):
        if not fits(values[i], scale, &integers[i]):
            return False
    return True


cdef int decimals(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Put the columns as integers into the scratch; give their scale, or -1 if they are not of this kind."""
    cdef Py_ssize_t i
    cdef int scale, other
    cdef bint exact = False
    cdef int64_t most = 0, most_count = 0
    for i in range(1, n):
        if pattern(rows.m2[first + i]) != pattern(rows.m2[first]):
            break
    else:
        return -1
    scale = scale_integers(rows.min + first, n, coder.lows, &exact)
    if not exact:
        return -1
    other = scale_integers(rows.max + first, n, coder.highs, &exact)
    if not exact:
        return -1
    if other > scale and not refit(rows.min + first, n, other, coder.lows):
        return -1
    if scale > other and not refit(rows.max + first, n, scale, coder.highs):
        return -1
    if other > scale:
        scale = other
    for i in range(n):
        most = max(most, max(coder.lows[i], -coder.lows[i]))
        most = max(most, max(coder.highs[i], -coder.highs[i]))
        most_count = max(most_count, rows.count[first + i])
    if not <double>most * <double>most_count < MOST_PRODUCT:
        return -1
    # correct() counts a bit more for each row than the corrections have
    if correct(rows.sum + first, n, scale, coder.sums, coder.corrections) > <uint64_t>((MOST_CORRECTION + 1) * n):
        return -1
    return scale


# --- writing ---------------------------------------------------------------------------------------

cdef void put_lows(Coder *coder, Py_ssize_t n) noexcept nogil:
    """Append min, by itself or from the max before."""
    cdef int own = 0, after = 0
    cdef Py_ssize_t i
    cdef uint64_t cost = stream_cost(coder.lows, n, &own)
    for i in range(1, n):
        coder.integers[i] = coder.lows[i] - coder.highs[i - 1]
    if stream_cost(coder.integers + 1, n - 1, &after) < cost:
        put(coder, 1, 1)
        put_number(coder, zigzag(coder.lows[0]))
        put_stream(coder, coder.integers + 1, n - 1, after)
        return
    put(coder, 0, 1)
    for i in range(n):
        coder.integers[i] = coder.lows[i]
    put_stream(coder, coder.integers, n, own)


cdef void take_shares(Coder *coder, const int64_t *values, const int64_t *counts, Py_ssize_t n, int64_t a,
                      int64_t b) noexcept nogil:
    """What is left of the values when they are predicted from min and max; counts may be NULL."""
    cdef Py_ssize_t i
    for i in range(n):
        coder.integers[i] = minus(values[i], share(coder.lows[i], coder.highs[i], a, b, counts[i] if counts else 1))


cdef void put_best(Coder *coder, const int64_t *values, const int64_t *counts, Py_ssize_t n, const int64_t *a,
                   const int64_t *b, bint both) noexcept nogil:
    """Append the cheapest of three predictions: its coefficients and the stream that is left."""
    cdef int i, predictor = 0, other = 0, best = 0
    cdef uint64_t cost = 0, found
    for i in range(3):
        take_shares(coder, values, counts, n, a[i], b[i])
        found = stream_cost(coder.integers, n, &other)
        if i == 0 or found < cost:
            cost, predictor, best = found, other, i
    put(coder, <uint64_t>(a[best] + MOST_COEFFICIENT), COEFFICIENT_BITS)
    if both:
        put(coder, <uint64_t>(b[best] + MOST_COEFFICIENT), COEFFICIENT_BITS)
    if best != 2:
        take_shares(coder, values, counts, n, a[best], b[best])
    put_stream(coder, coder.integers, n, predictor)


cdef bint find_halves(Coder *coder, const int64_t *counts, const double *squares, Py_ssize_t n,
                      double square) noexcept nogil:
    """Half the squares that give every M2 again to 24 bits, into coder.others; False if none do."""
    cdef Py_ssize_t i
    cdef int64_t excess, half
    cdef double m2, total, wanted, made = 0.0
    for i in range(n):
        excess = coder.sums[i] - counts[i] * coder.lows[i]
        total = <double>excess
        m2 = squares[i]
        if not (0.0 <= total < MOST_EXCESS and <double>counts[i] < MOST_EXCESS):
            return False
        wanted = (m2 * square + total * total / <double>counts[i] - total) * 0.5
        if not -EXACT < wanted < EXACT:
            return False
        half = <int64_t>nearest(wanted)
        if not <double>counts[i] * (2.0 * <double>half + total) < MOST_PRODUCT_OF_SQUARES:
            return False
        if not m2_from(half, excess, counts[i], square, &made):
            return False
        if pattern(short_mantissa(made)) != pattern(short_mantissa(m2)):
            if not (m2 > 0.0 and -m2 * NOISE <= made - m2 <= m2 * NOISE):
                return False
        coder.others[i] = half
    return True


cdef void take_half_squares(Coder *coder, const int64_t *counts, const double *squares, Py_ssize_t n, double square,
                            double *slope, double *level) noexcept nogil:
    """Predict the halves in coder.others from the range, by least squares; they become what is left."""
    cdef Py_ssize_t i
    cdef double x, y, mean_x = 0.0, mean_y = 0.0, xx = 0.0, xy = 0.0
    for i in range(n):
        x = <double>(coder.highs[i] - coder.lows[i])
        mean_x += x * x
        mean_y += squares[i] * square / <double>counts[i]
    mean_x = mean_x / <double>n
    mean_y = mean_y / <double>n
    for i in range(n):
        x = <double>(coder.highs[i] - coder.lows[i])
        x = x * x - mean_x
        y = squares[i] * square / <double>counts[i] - mean_y
        xx += x * x
        xy += x * y
    slope[0] = short_or_zero(xy / xx if xx > 0.0 else 0.0)
    level[0] = short_or_zero(mean_y - slope[0] * mean_x)
    for i in range(n):
        coder.others[i] = minus(coder.others[i], half_squares(
            slope[0], level[0], counts[i], coder.lows[i], coder.highs[i], coder.sums[i] - counts[i] * coder.lows[i]))


cdef bint take_by_range(Coder *coder, const int64_t *counts, const double *squares, const int64_t *own, Py_ssize_t n,
                        double *factor) noexcept nogil:
    """Predict the patterns of M2 from the range, into coder.integers; False if every range is 0."""
    cdef Py_ssize_t i
    cdef double width, widths = 0.0, total = 0.0
    for i in range(n):
        width = <double>(coder.highs[i] - coder.lows[i])
        widths += <double>counts[i] * (width * width)
        total += squares[i] * 1.0
    if not widths > 0.0:
        return False
    factor[0] = short_or_zero(total / widths)
    for i in range(n):
        coder.integers[i] = minus(own[i], by_range(factor[0], counts[i], coder.lows[i], coder.highs[i]))
    return True


cdef void put_m2(Coder *coder, const int64_t *counts, const double *squares, Py_ssize_t n, int scale) noexcept nogil:
    """Append M2 in the cheapest of three ways."""
    cdef Py_ssize_t i
    cdef int way = OWN, predictor = 0, other = 0
    cdef int64_t *own = <int64_t *>coder.squares
    cdef double factor = 0.0, slope = 0.0, level = 0.0, square = POWER[scale] * POWER[scale]
    cdef uint64_t cost, found
    for i in range(n):
        own[i] = ordered(short_mantissa(squares[i]), SHORT)
    cost = stream_cost(own, n, &predictor)
    if take_by_range(coder, counts, squares, own, n, &factor):
        found = stream_cost(coder.integers, n, &other)
        if found < cost:
            cost, predictor, way = found, other, BY_RANGE
    if find_halves(coder, counts, squares, n, square):
        take_half_squares(coder, counts, squares, n, square, &slope, &level)
        if stream_cost(coder.others, n, &other) < cost:
            predictor, way = other, BY_SQUARES
    put(coder, way, 2)
    if way == OWN:
        put_stream(coder, own, n, predictor)
    elif way == BY_RANGE:
        put_number(coder, zigzag(ordered(factor, SHORT)))
        put_stream(coder, coder.integers, n, predictor)
    else:
        put_number(coder, zigzag(ordered(slope, SHORT)))
        put_number(coder, zigzag(ordered(level, SHORT)))
        put_stream(coder, coder.others, n, predictor)


cdef void put_corrections(Coder *coder, Py_ssize_t n) noexcept nogil:
    """Append corrections: none, all, or, of a few, the gaps before them and they."""
    cdef Py_ssize_t i, few = 0, before = -1, at = 0, size
    for i in range(n):
        if coder.corrections[i]:
            coder.integers[few] = i - before - 1
            coder.others[few] = coder.corrections[i]
            before = i
            few += 1
    if few == 0:
        put(coder, NONE, 2)
    elif few * FEW_SHARE >= n:
        put(coder, ALL, 2)
        put_residuals(coder, <uint64_t *>coder.corrections, n)
    else:
        put(coder, FEW, 2)
        put_number(coder, few)
        while at < few:
            size = few - at if few - at < PIECE else PIECE
            put_residuals(coder, <uint64_t *>coder.integers + at, size)
            put_residuals(coder, <uint64_t *>coder.others + at, size)
            at += size


cdef int put_joint(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int scale
    cdef const int64_t *counts = rows.count + first
    cdef int64_t[3] a
    cdef int64_t[3] b
    if n < LEAST_ROWS:
        return 0
    # One by one: Cython 0.29 takes a list for a Python object here.
    a[0], a[1], a[2] = 0, 64, 0
    b[0], b[1], b[2] = 0, 0, 0
    if make_joint_room(coder, n):
        return NO_MEMORY
    scale = decimals(coder, rows, first, n)
    if scale < 0:
        return 0
    for i in range(n):
        coder.integers[i] = counts[i]
    put_integers(coder, coder.integers, n)
    put(coder, scale, 4)
    put_lows(coder, n)
    a[2] = fit_one(coder.lows, coder.highs, n)
    put_best(coder, coder.highs, NULL, n, a, b, False)
    a[1] = b[1] = 32
    fit_two(coder.lows, coder.highs, coder.sums, counts, n, &a[2], &b[2])
    put_best(coder, coder.sums, counts, n, a, b, True)
    put_m2(coder, counts, rows.m2 + first, n, scale)
    put_corrections(coder, n)
    return 1
