# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""The coding of one run, the rows of one counter in one block, as a stream of bits: the fast build.

istat/kernels/python/runs.py is the specification and says how; docs/formats/statfile.md says why.
Decoding trusts nothing: it reads at most PADDING bytes behind what it was given, writes n rows, and says
MALFORMED where the bits cannot have come from the encoder.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from istat.kernels.native.columns cimport Columns

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long) nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long) nogil

cdef extern from "<endian.h>" nogil:
    uint64_t htole64(uint64_t)
    uint64_t le64toh(uint64_t)

cdef enum:
    MINI_BLOCK = 128    # residuals that share one Rice parameter
    ALL_ZERO = 63       # in place of a Rice parameter: every residual of the mini-block is 0
    MOST_ZEROS = 24     # unary part at most; that many zeros announce a residual written out
    MOST_SCALE = 9      # decimals at most
    SAMPLES = 256       # values that the choice of a predictor looks at, at least half as many
    NO_SCALE = 15
    CONSTANT = 0        # kinds of a column of doubles
    SCALED = 1
    CORRECTED = 2
    PATTERN = 3
    FRAME = 0           # predictors of a column of integers
    DELTA = 1
    DELTA_OF_DELTA = 2
    WORST_ROW = 160     # [bytes] that one row can take: 5 columns x 2 streams x 94 bits, gap, and then some

cdef double EXACT = 2251799813685248.0          # 2**51: scaled integers stay below
cdef double ROUNDER = 6755399441055744.0        # 1.5 x 2**52: adding and subtracting it rounds to integer
cdef uint64_t SIGN = <uint64_t>1 << 63
cdef uint64_t LOW_HALF = (<uint64_t>1 << 32) - 1
cdef uint64_t MUCH = <uint64_t>1 << 56          # residuals count as no more than this in a mean
cdef int64_t LAST_TIME = <int64_t>1 << 62
cdef double[10] POWER = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]


# --- numbers ---------------------------------------------------------------------------------------

cdef inline uint64_t pattern(double value) noexcept nogil:
    cdef uint64_t made
    memcpy(&made, &value, 8)
    return made


cdef inline double from_pattern(uint64_t bits) noexcept nogil:
    cdef double made
    memcpy(&made, &bits, 8)
    return made


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t>((value >> 1) ^ (0 - (value & 1)))


cdef inline int64_t minus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a - <uint64_t>b)


cdef inline int64_t plus(int64_t a, int64_t b) noexcept nogil:
    return <int64_t>(<uint64_t>a + <uint64_t>b)


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


# --- writing bits ----------------------------------------------------------------------------------

cdef void free_coder(Coder *coder) noexcept nogil:
    free(coder.data)
    free(coder.integers)
    coder.data = NULL
    coder.integers = NULL


cdef int make_room(Coder *coder, Py_ssize_t n) noexcept nogil:
    """Room for one more run of n rows, in the bytes and in the scratch."""
    cdef size_t wanted = coder.used + n * WORST_ROW + 1024
    cdef void *made
    if wanted > coder.room:
        wanted += coder.room
        made = realloc(coder.data, wanted)
        if made == NULL:
            return NO_MEMORY
        coder.data = <uint8_t *>made
        coder.room = wanted
    if n > coder.rows_room:
        made = realloc(coder.integers, 4 * n * sizeof(int64_t))
        if made == NULL:
            return NO_MEMORY
        coder.integers = <int64_t *>made
        coder.others = coder.integers + n
        coder.corrections = coder.others + n
        coder.squares = <double *>(coder.corrections + n)
        coder.rows_room = n
    return 0


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


cdef inline void put_wide(Coder *coder, uint64_t value, int width) noexcept nogil:
    """Append up to 64 bits."""
    if width > 32:
        put(coder, value & LOW_HALF, 32)
        put(coder, value >> 32, width - 32)
    else:
        put(coder, value, width)


cdef void flush(Coder *coder) noexcept nogil:
    """Fill the last byte with zeros."""
    if coder.filled:
        put(coder, 0, 8 - coder.filled)


cdef inline int number_width(uint64_t value) noexcept nogil:
    cdef int nibbles = (bit_length(value) + 3) >> 2
    return 16 if nibbles == 15 else nibbles


cdef void put_number(Coder *coder, uint64_t value) noexcept nogil:
    """Four bits say how many nibbles follow (15 stands for 16)."""
    cdef int nibbles = number_width(value)
    put(coder, 15 if nibbles == 16 else nibbles, 4)
    put_wide(coder, value, 4 * nibbles)


cdef inline void rice_costs(const uint64_t *values, int n, int k, uint64_t *cost, uint64_t *next) noexcept nogil:
    """Estimate the bits at k and at k + 1."""
    cdef uint64_t total = 0, other = 0, quotient
    cdef int i
    for i in range(n):
        quotient = values[i] >> k
        total += quotient if quotient < 64 else 64
        quotient >>= 1
        other += quotient if quotient < 64 else 64
    cost[0] = total + <uint64_t>n * (k + 1)
    next[0] = other + <uint64_t>n * (k + 2)


cdef int rice_parameter(const uint64_t *values, int n) noexcept nogil:
    """The k with the least cost, sought from the mean; ALL_ZERO if there is nothing to code."""
    cdef int i, k
    cdef uint64_t sum = 0, cost = 0, other = 0
    for i in range(n):
        sum += values[i] if values[i] < MUCH else MUCH
    if sum == 0:
        return ALL_ZERO
    k = bit_length(sum // <uint64_t>n) - 2
    if k < 0:
        k = 0
    rice_costs(values, n, k, &cost, &other)
    if other < cost:
        while other < cost and k < ALL_ZERO - 2:
            k += 1
            rice_costs(values, n, k, &cost, &other)
        return k
    while k > 0:
        other = cost
        rice_costs(values, n, k - 1, &cost, &other)
        if cost >= other:
            break
        k -= 1
    return k


cdef void put_escape(Coder *coder, uint64_t value) noexcept nogil:
    """Append a residual written out: MOST_ZEROS zeros, its length less 1, its bits."""
    cdef int length = bit_length(value)
    put(coder, <uint64_t>(length - 1) << MOST_ZEROS, MOST_ZEROS + 6)
    put_wide(coder, value, length)


cdef void put_large(Coder *coder, const uint64_t *values, int n, int k) noexcept nogil:
    """Append residuals with k > 32, which do not fit one word."""
    cdef int i
    cdef uint64_t quotient, mask = (<uint64_t>1 << k) - 1
    for i in range(n):
        quotient = values[i] >> k
        if quotient >= MOST_ZEROS:
            put_escape(coder, values[i])
        else:
            put(coder, <uint64_t>1 << quotient, <int>quotient + 1)
            put_wide(coder, values[i] & mask, k)


cdef void put_small(Coder *coder, const uint64_t *values, int n, int k) noexcept nogil:
    """Append residuals with k <= 32; put() written out, so that its state stays in registers."""
    cdef int i, filled = coder.filled
    cdef uint64_t quotient, word, bits = coder.bits, mask = (<uint64_t>1 << k) - 1
    cdef uint8_t *at = coder.data + coder.used
    for i in range(n):
        quotient = values[i] >> k
        if quotient >= MOST_ZEROS:
            coder.bits, coder.filled, coder.used = bits, filled, at - coder.data
            put_escape(coder, values[i])
            bits, filled, at = coder.bits, coder.filled, coder.data + coder.used
            continue
        bits |= (((values[i] & mask) << 1 | 1) << quotient) << filled
        filled += <int>quotient + 1 + k
        word = htole64(bits)
        memcpy(at, &word, 8)
        at += filled >> 3
        bits >>= filled & 56
        filled &= 7
    coder.bits, coder.filled, coder.used = bits, filled, at - coder.data


cdef void put_residuals(Coder *coder, const uint64_t *values, Py_ssize_t n) noexcept nogil:
    """Append zigzagged residuals in mini-blocks."""
    cdef Py_ssize_t at = 0
    cdef int size, k
    while at < n:
        size = <int>(n - at) if n - at < MINI_BLOCK else MINI_BLOCK
        k = rice_parameter(values + at, size)
        put(coder, k, 6)
        if k <= 32:
            put_small(coder, values + at, size, k)
        elif k != ALL_ZERO:
            put_large(coder, values + at, size, k)
        at += size


# --- columns of integers ---------------------------------------------------------------------------

cdef int64_t frame_base(const int64_t *values, Py_ssize_t n) noexcept nogil:
    """The mean, as near as doubles give it."""
    cdef double total = 0.0
    cdef Py_ssize_t i
    for i in range(n):
        total += <double>values[i]
    total = total / <double>n
    if not -4e18 < total < 4e18:
        return 0
    if -EXACT < total < EXACT:
        total = nearest(total)
    return <int64_t>total


cdef int64_t mean_step(const int64_t *values, Py_ssize_t n) noexcept nogil:
    """The mean of the steps, rounded down."""
    cdef int64_t way = minus(values[n - 1], values[0])
    cdef int64_t step = way // (n - 1)
    if way % (n - 1) < 0:
        step -= 1
    return step


cdef uint64_t stream_cost(const int64_t *v, Py_ssize_t n, int *predictor) noexcept nogil:
    """Estimate the bits of the best predictor from some hundred of n >= 2 values, and say which one that is."""
    cdef int64_t base = frame_base(v, n), step = mean_step(v, n), delta, before
    cdef uint64_t frame = 0, first = 0, second = 0
    cdef Py_ssize_t i = 2, stride = 1 + n // SAMPLES, samples = 0
    while i < n:
        delta = minus(v[i], v[i - 1])
        before = minus(v[i - 1], v[i - 2])
        frame += bit_length(zigzag(minus(v[i], base)))
        first += bit_length(zigzag(minus(delta, step)))
        second += bit_length(zigzag(minus(delta, before)))
        samples += 1
        i += stride
    if samples > 0:
        frame = frame * (n - 2) // samples
        first = first * (n - 2) // samples
        second = second * (n - 2) // samples
    before = minus(v[1], v[0])
    frame += 4 + 4 * number_width(zigzag(base)) + bit_length(zigzag(minus(v[0], base)))
    frame += bit_length(zigzag(minus(v[1], base)))
    first += 8 + 4 * (number_width(zigzag(v[0])) + number_width(zigzag(step)))
    first += bit_length(zigzag(minus(before, step)))
    second += 8 + 4 * (number_width(zigzag(v[0])) + number_width(zigzag(before)))
    predictor[0] = FRAME
    if first < frame:
        predictor[0] = DELTA
        frame = first
    if second < frame:
        predictor[0] = DELTA_OF_DELTA
        frame = second
    return frame + n


cdef void put_stream(Coder *coder, int64_t *v, Py_ssize_t n, int predictor) noexcept nogil:
    """Append n >= 2 integers; v is overwritten."""
    cdef int64_t base, before, last, delta
    cdef Py_ssize_t i
    cdef uint64_t *residuals = <uint64_t *>v
    put(coder, predictor, 2)
    if predictor == FRAME:
        base = frame_base(v, n)
        put_number(coder, zigzag(base))
        for i in range(n):
            residuals[i] = zigzag(minus(v[i], base))
        put_residuals(coder, residuals, n)
        return
    last = v[0]
    put_number(coder, zigzag(last))
    if predictor == DELTA:
        base = mean_step(v, n)
        put_number(coder, zigzag(base))
        for i in range(1, n):
            delta = minus(v[i], last)
            last = v[i]
            residuals[i] = zigzag(minus(delta, base))
        put_residuals(coder, residuals + 1, n - 1)
        return
    before = minus(v[1], last)
    put_number(coder, zigzag(before))
    last = v[1]
    for i in range(2, n):
        delta = minus(v[i], last)
        last = v[i]
        residuals[i] = zigzag(minus(delta, before))
        before = delta
    put_residuals(coder, residuals + 2, n - 2)


cdef void put_integers(Coder *coder, int64_t *v, Py_ssize_t n) noexcept nogil:
    """Append n >= 1 integers: a bit 1 and one number if they are all the same. v is overwritten."""
    cdef Py_ssize_t i
    cdef int predictor = 0
    for i in range(1, n):
        if v[i] != v[0]:
            put(coder, 0, 1)
            stream_cost(v, n, &predictor)
            put_stream(coder, v, n, predictor)
            return
    put(coder, 1, 1)
    put_number(coder, zigzag(v[0]))


# --- columns of doubles ----------------------------------------------------------------------------

cdef inline bint fits(double value, int scale, int64_t *integer) noexcept nogil:
    """Whether value is exactly integer / 10**scale, bit for bit; -0.0 is not."""
    cdef double scaled = value * POWER[scale]
    if not -EXACT < scaled < EXACT:
        return False
    scaled = nearest(scaled)
    integer[0] = <int64_t>scaled
    return pattern(<double>integer[0] / POWER[scale]) == pattern(value)


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


# --- runs ------------------------------------------------------------------------------------------

cdef inline double short_mantissa(double value) noexcept nogil:
    """Round to 24 bits of mantissa, half to even; what would overflow is cut instead."""
    cdef uint64_t bits = pattern(value)
    cdef uint64_t rounded = (bits + 0x0FFFFFFF + ((bits >> 29) & 1)) & ~<uint64_t>0x1FFFFFFF
    if (rounded & ~SIGN) >= (<uint64_t>0x7FF << 52):
        rounded = bits & ~<uint64_t>0x1FFFFFFF
    return from_pattern(rounded)


cdef bint is_single(Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Whether every row is what one sample gives."""
    cdef Py_ssize_t i
    cdef uint64_t bits
    for i in range(first, first + n):
        bits = pattern(rows.sum[i])
        if (rows.count[i] != 1 or pattern(rows.m2[i]) != 0 or pattern(rows.min[i]) != bits
                or pattern(rows.max[i]) != bits):
            return False
    return True


cdef bint is_regular(Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first + 1, first + n):
        if rows.time[i] - rows.time[i - 1] != unit:
            return False
    return True


cdef int encode_run(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit,
                    int flags) noexcept nogil:
    cdef Py_ssize_t i
    cdef int scale, other
    if make_room(coder, n):
        return NO_MEMORY
    if is_regular(rows, first, n, unit):
        flags |= REGULAR
    else:
        for i in range(1, n):
            coder.integers[i - 1] = (rows.time[first + i] - rows.time[first + i - 1]) // unit - 1
        put_integers(coder, coder.integers, n - 1)
    if flags & SINGLE or is_single(rows, first, n):
        put_doubles(coder, rows.sum + first, n, NO_SCALE)
        flush(coder)
        return flags | SINGLE
    scale = put_doubles(coder, rows.min + first, n, NO_SCALE)
    other = put_doubles(coder, rows.max + first, n, scale)
    if scale == NO_SCALE or other != NO_SCALE and other > scale:
        scale = other
    put_doubles(coder, rows.sum + first, n, scale)
    for i in range(n):
        coder.squares[i] = short_mantissa(rows.m2[first + i])
    put_doubles(coder, coder.squares, n, NO_SCALE)
    memcpy(coder.integers, rows.count + first, n * 8)
    put_integers(coder, coder.integers, n)
    flush(coder)
    return flags


# --- reading bits ----------------------------------------------------------------------------------

cdef struct Source:
    const uint8_t *data
    uint64_t at         # bits read
    uint64_t end        # bits there are; up to PADDING bytes more may be read before a check


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


cdef inline uint64_t get_wide(Source *source, int width) noexcept nogil:
    cdef uint64_t value
    if width <= 32:
        return get(source, width)
    value = get(source, 32)
    return value | get(source, width - 32) << 32


cdef inline bint over(Source *source) noexcept nogil:
    return source.at > source.end


cdef uint64_t get_number(Source *source) noexcept nogil:
    cdef int nibbles = <int>get(source, 4)
    return get_wide(source, 64 if nibbles == 15 else 4 * nibbles)


cdef void get_large(Source *source, int64_t *values, int n, int k) noexcept nogil:
    """Read residuals with any k."""
    cdef int i, zeros
    for i in range(n):
        zeros = trailing_zeros(peek(source) | (<uint64_t>1 << MOST_ZEROS))
        if zeros < MOST_ZEROS:
            source.at += zeros + 1
            values[i] = unzigzag(((<uint64_t>zeros) << k) | get_wide(source, k))
        else:
            source.at += MOST_ZEROS
            zeros = <int>get(source, 6) + 1
            values[i] = unzigzag(get_wide(source, zeros))


cdef void get_small(Source *source, int64_t *values, int n, int k) noexcept nogil:
    """Read residuals with k <= 32: each but an escape lies in one word."""
    cdef int i, zeros
    cdef uint64_t word, mask = (<uint64_t>1 << k) - 1, position = source.at
    cdef const uint8_t *data = source.data
    for i in range(n):
        memcpy(&word, data + (position >> 3), 8)
        word = le64toh(word) >> (position & 7)
        zeros = trailing_zeros(word | (<uint64_t>1 << MOST_ZEROS))
        if zeros == MOST_ZEROS:
            source.at = position
            get_large(source, values + i, 1, k)
            position = source.at
            continue
        values[i] = unzigzag(((<uint64_t>zeros) << k) | ((word >> (zeros + 1)) & mask))
        position += zeros + 1 + k
    source.at = position


cdef int get_residuals(Source *source, int64_t *values, Py_ssize_t n) noexcept nogil:
    """Read residuals, no longer zigzagged."""
    cdef Py_ssize_t at = 0
    cdef int size, k
    while at < n:
        if over(source):
            return MALFORMED
        size = <int>(n - at) if n - at < MINI_BLOCK else MINI_BLOCK
        k = <int>get(source, 6)
        if k == ALL_ZERO:
            memset(values + at, 0, size * sizeof(int64_t))
        elif k <= 32:
            get_small(source, values + at, size, k)
        else:
            get_large(source, values + at, size, k)
        at += size
    return MALFORMED if over(source) else 0


cdef int get_stream(Source *source, int64_t *v, Py_ssize_t n) noexcept nogil:
    """Read n >= 2 integers."""
    cdef int predictor = <int>get(source, 2)
    cdef int64_t base, step, last
    cdef Py_ssize_t i
    base = unzigzag(get_number(source))
    if predictor == FRAME:
        if get_residuals(source, v, n):
            return MALFORMED
        for i in range(n):
            v[i] = plus(v[i], base)
        return 0
    step = unzigzag(get_number(source))
    last = base
    v[0] = base
    if predictor == DELTA:
        if get_residuals(source, v + 1, n - 1):
            return MALFORMED
        for i in range(1, n):
            last = plus(last, plus(v[i], step))
            v[i] = last
        return 0
    if predictor != DELTA_OF_DELTA or get_residuals(source, v + 2, n - 2):
        return MALFORMED
    last = plus(base, step)
    v[1] = last
    for i in range(2, n):
        step = plus(step, v[i])
        last = plus(last, step)
        v[i] = last
    return 0


cdef int get_integers(Source *source, int64_t *v, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef int64_t value
    if over(source):
        return MALFORMED
    if get(source, 1) == 0:
        return get_stream(source, v, n) if n >= 2 else MALFORMED
    value = unzigzag(get_number(source))
    for i in range(n):
        v[i] = value
    return MALFORMED if over(source) else 0


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


cdef int get_times(Source *source, int64_t *times, int flags, Py_ssize_t n, int64_t time,
                   int64_t unit) noexcept nogil:
    """Read the times of n rows; none lies beyond LAST_TIME."""
    cdef Py_ssize_t i
    cdef int64_t gap
    if not 0 <= time <= LAST_TIME or unit < 1:
        return MALFORMED
    times[0] = time
    if flags & REGULAR:
        if (LAST_TIME - time) // unit < n:
            return MALFORMED
        for i in range(1, n):
            times[i] = time + i * unit
        return 0
    if n < 2 or get_integers(source, times + 1, n - 1):
        return MALFORMED
    for i in range(1, n):
        gap = times[i]
        if gap < 0 or gap >= (LAST_TIME - time) // unit:
            return MALFORMED
        time += (gap + 1) * unit
        times[i] = time
    return 0


cdef int decode_run(const uint8_t *data, size_t length, int flags, Py_ssize_t n, int64_t time, int64_t unit,
                    Columns into) noexcept nogil:
    """Append n >= 1 rows to into; unless it gives 0, into is as it was."""
    cdef Source source
    cdef Py_ssize_t at = into.n, i
    cdef int64_t *scratch
    if into.reserve(at + n):
        return NO_MEMORY
    scratch = into.count + at                   # counts are read last
    source.data = data
    source.at = 0
    source.end = <uint64_t>length * 8
    if get_times(&source, into.time + at, flags, n, time, unit):
        return MALFORMED
    if flags & SINGLE:
        if get_doubles(&source, into.sum + at, scratch, n):
            return MALFORMED
        memcpy(into.min + at, into.sum + at, n * 8)
        memcpy(into.max + at, into.sum + at, n * 8)
        for i in range(at, at + n):
            into.count[i] = 1
            into.m2[i] = 0.0
        into.n = at + n
        return 0
    if get_doubles(&source, into.min + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.max + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.sum + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.m2 + at, scratch, n):
        return MALFORMED
    if get_integers(&source, into.count + at, n):
        return MALFORMED
    for i in range(at, at + n):
        if into.count[i] < 1:
            return MALFORMED
    into.n = at + n
    return 0
