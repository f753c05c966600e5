# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Integers as a stream of bits: the fast build of istat/kernels/python/blocks/streams.py.

Decoding trusts nothing: it reads at most PADDING bytes behind what it was given, and says MALFORMED where the
bits cannot have come from the encoder.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset
from istat.kernels.native.varints cimport unzigzag, zigzag

cdef enum:
    MINI_BLOCK = 128    # residuals that share one Rice parameter
    ALL_ZERO = 63       # in place of a Rice parameter: every residual of the mini-block is 0
    MOST_ZEROS = 24     # unary part at most; that many zeros announce a residual written out
    SAMPLES = 256       # values that the choice of a predictor looks at, at least half as many
    FRAME = 0           # predictors of a column of integers
    DELTA = 1
    DELTA_OF_DELTA = 2
    WORST_ROW = 160     # [bytes] that one row can take: 5 columns x 2 streams x 94 bits, gap, and then some

cdef uint64_t LOW_HALF = (<uint64_t>1 << 32) - 1
cdef uint64_t MUCH = <uint64_t>1 << 56          # residuals count as no more than this in a mean


# --- writing bits ----------------------------------------------------------------------------------

cdef void free_coder(Coder *coder) noexcept nogil:
    free(coder.data)
    free(coder.integers)
    free(coder.lows)
    coder.data = NULL
    coder.integers = NULL
    coder.lows = NULL


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


cdef int make_joint_room(Coder *coder, Py_ssize_t n) noexcept nogil:
    """Room in the scratch for n rows of many samples."""
    cdef void *made
    if n > coder.joint_room:
        made = realloc(coder.lows, 3 * n * sizeof(int64_t))
        if made == NULL:
            return NO_MEMORY
        coder.lows = <int64_t *>made
        coder.highs = coder.lows + n
        coder.sums = coder.highs + n
        coder.joint_room = n
    return 0


cdef void put_wide(Coder *coder, uint64_t value, int width) noexcept nogil:
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


cdef int number_width(uint64_t value) noexcept nogil:
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


# --- reading bits ----------------------------------------------------------------------------------

cdef uint64_t get_wide(Source *source, int width) noexcept nogil:
    cdef uint64_t value
    if width <= 32:
        return get(source, width)
    value = get(source, 32)
    return value | get(source, width - 32) << 32


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
