# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One histogram, one HyperLogLog as bytes, and back. Knows neither cells nor columns.

A reader believes nothing: what sizes an allocation is planned first, and figures that contradict each other are refused.
The specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from istat.kernels.native.cubes.histogram cimport hist_at, hist_put, hist_shape, hist_slot, hist_t
from istat.kernels.native.cubes.hll cimport HLL_DENSE, HLL_SPARSE, PRECISION, hll_t, sparse_limit
from istat.kernels.native.cubes.inner.hyperloglog cimport hll_from_entries, hll_pack, hll_unpack
from istat.kernels.native.cubes.wire.reading cimport (
    FINE, INCONSISTENT, NO_SUCH_RUN, NO_SUCH_SKETCH, OUT_OF_ORDER, SHORT_OF_MEMORY, grow, out_t, plan, put_number,
    put_signed, put_u8, put_wide, read_bytes, read_u8, read_varint, read_wide, read_zigzag, reader_t, refuse)

cdef extern from *:
    """
    #include <stdint.h>
    typedef unsigned __int128 istat_u128;
    /* product = words * by; one word longer. */
    static void istat_times(const uint64_t *words, int n, uint64_t by, uint64_t *product) {
        istat_u128 carry = 0;
        for (int i = 0; i < n; i++) {
            carry += (istat_u128) words[i] * by;
            product[i] = (uint64_t) carry;
            carry >>= 64;
        }
        product[n] = (uint64_t) carry;
    }
    static int istat_above(const uint64_t *one, const uint64_t *other, int n) {
        while (n-- > 0)
            if (one[n] != other[n]) return one[n] > other[n];
        return 0;
    }
    /* Whether so many values between low and high can have this sum and this sum of squares. */
    static int istat_moments_fit(uint64_t count, int64_t low, int64_t high, const uint64_t *sum, const uint64_t *squares) {
        __int128 total = (__int128) ((istat_u128) sum[1] << 64 | sum[0]);
        if (total < (__int128) count * low || total > (__int128) count * high) return 0;
        istat_u128 size = low < 0 ? (istat_u128) -(__int128) low : 0;
        if (high > 0 && (istat_u128) high > size) size = (istat_u128) high;
        istat_u128 square = size * size, about = total < 0 ? (istat_u128) -total : (istat_u128) total;
        uint64_t words[2] = {(uint64_t) square, (uint64_t) (square >> 64)}, most[3];
        istat_times(words, 2, count, most);
        if (istat_above(squares, most, 3)) return 0;
        /* The variance is not negative: sum * sum <= count * squares. */
        uint64_t parts[2] = {(uint64_t) about, (uint64_t) (about >> 64)}, lower[4] = {0}, upper[4] = {0}, room[4];
        istat_times(parts, 2, parts[0], lower);
        istat_times(parts, 2, parts[1], upper + 1);
        istat_u128 carry = 0;
        for (int i = 0; i < 4; i++) {
            carry += (istat_u128) lower[i] + upper[i];
            lower[i] = (uint64_t) carry;
            carry >>= 64;
        }
        istat_times(squares, 3, count, room);
        return !istat_above(lower, room, 4);
    }
    """
    bint istat_moments_fit(uint64_t count, int64_t low, int64_t high, const uint64_t *sum,
                           const uint64_t *squares) noexcept nogil

cdef enum:
    HISTOGRAM_COST = 128        # [bytes] planned for a histogram besides 4 a slot; wide ones take 4 more
    SPARSE_COST = 4             # [bytes] planned for an entry
    SPARSE_ROOM = 1 << 15       # most entries of a list, of the largest precision

cdef uint64_t MOST_COUNT = (1ULL << 63) - 1


cdef void put_histogram(out_t *out, const hist_t *histogram) noexcept nogil:
    """A histogram, or an empty one for NULL."""
    cdef uint64_t sign
    cdef uint32_t slot, empty
    if histogram == NULL or histogram.count == 0:
        put_u8(out, 0)
        return
    put_number(out, histogram.count)
    put_number(out, histogram.underflow)
    put_number(out, histogram.overflow)
    put_signed(out, histogram.min)
    put_signed(out, histogram.max)
    sign = 0 - (histogram.sum[1] >> 63)
    put_wide(out, (histogram.sum[0] << 1) ^ sign, (histogram.sum[1] << 1 | histogram.sum[0] >> 63) ^ sign, 0)
    put_wide(out, histogram.squares[0], histogram.squares[1], histogram.squares[2])
    empty = histogram.first
    for slot in range(histogram.first, histogram.last + 1):
        if hist_at(histogram, slot) == 0:
            empty += 1
            continue
        if empty:
            put_signed(out, -<int64_t> empty)
        empty = 0
        put_signed(out, <int64_t> hist_at(histogram, slot))


cdef uint32_t clamped_slot(const hist_shape *shape, int64_t value) noexcept nogil:
    """The slot in which a value counts: below 0 the first, above the highest the last."""
    return hist_slot(shape, 0 if value < 0 else shape.highest if value > shape.highest else value)


cdef void get_histogram(reader_t *r, hist_t **place, const hist_shape *shape) noexcept nogil:
    """Read a histogram; an empty one stays NULL."""
    cdef size_t where = r.at
    cdef hist_t head
    cdef uint64_t low
    head.count = read_varint(r, MOST_COUNT)
    if head.count == 0:
        return
    head.underflow = read_varint(r, head.count)
    head.overflow = read_varint(r, head.count - head.underflow)
    head.min = read_zigzag(r)
    head.max = read_zigzag(r)
    read_wide(r, head.squares, 128)
    low = head.squares[0]
    head.sum[0] = (low >> 1 | head.squares[1] << 63) ^ (0 - (low & 1))
    head.sum[1] = head.squares[1] >> 1 ^ (0 - (low & 1))
    read_wide(r, head.squares, 192)
    if r.why != FINE:
        return
    if (head.min > head.max or (head.min < 0) != (head.underflow > 0) or
            (head.max > shape.highest) != (head.overflow > 0) or
            not istat_moments_fit(head.count, head.min, head.max, head.sum, head.squares)):
        refuse(r, INCONSISTENT, where)
        return
    plan(r, HISTOGRAM_COST + 4 * <uint64_t> shape.slots, where)
    get_slots(r, place, shape, &head)
    if r.why == FINE:
        place[0].count, place[0].underflow, place[0].overflow = head.count, head.underflow, head.overflow
        place[0].min, place[0].max = head.min, head.max
        place[0].sum[0], place[0].sum[1] = head.sum[0], head.sum[1]
        place[0].squares[0], place[0].squares[1] = head.squares[0], head.squares[1]
        place[0].squares[2] = head.squares[2]


cdef void get_slots(reader_t *r, hist_t **place, const hist_shape *shape, const hist_t *head) noexcept nogil:
    """The slots of a histogram whose other figures were read."""
    cdef uint32_t first = clamped_slot(shape, head.min), last = clamped_slot(shape, head.max), slot = 0
    cdef uint64_t missing = head.count, count = 0
    cdef int64_t number
    cdef bint was_empty = False, wide = False
    cdef size_t where
    while missing and r.why == FINE:
        where = r.at
        number = read_zigzag(r)
        if r.why != FINE:
            return
        if number < 0 and not was_empty and slot < last and 0 - <uint64_t> number <= last - slot:
            slot += <uint32_t> (0 - <uint64_t> number)
            was_empty = True
            continue
        count = <uint64_t> number
        if number <= 0 or slot > last or count > missing or (missing == head.count and (
                slot != first or count < head.underflow)) or (count == missing and (slot != last or count < head.overflow)):
            refuse(r, NO_SUCH_RUN, where)
            return
        if count >> 32 and not wide:
            wide = True
            plan(r, 4 * <uint64_t> shape.slots, where)
        if r.why == FINE and hist_put(place, shape, slot, count) < 0:
            refuse(r, SHORT_OF_MEMORY, where)
        missing -= count
        slot += 1
        was_empty = False


cdef void put_hll(out_t *out, const hll_t *sketch, int layout) noexcept nogil:
    cdef uint32_t before = 0, i
    cdef size_t size = (<size_t> 3 << (layout & PRECISION)) >> 2
    cdef const uint32_t *entries = <const uint32_t *> sketch.data
    put_u8(out, sketch.form)
    if sketch.form == HLL_SPARSE:
        put_number(out, sketch.count)
        for i in range(sketch.count):
            put_number(out, entries[i] - before)
            before = entries[i]
    elif sketch.form == HLL_DENSE:
        if out.room - out.used < size and grow(out, size) < 0:
            return
        if hll_pack(sketch, layout, out.data + out.used) < 0:
            out.failed = True
        out.used += size


cdef void get_hll(reader_t *r, hll_t *sketch, int layout) noexcept nogil:
    """Read a sketch into an empty one."""
    cdef size_t where = r.at
    cdef const uint8_t *packed
    cdef int done = 0
    cdef uint8_t form = read_u8(r, HLL_DENSE)
    if form == HLL_SPARSE:
        done = get_entries(r, sketch, layout)
    elif form == HLL_DENSE:
        packed = read_bytes(r, (<size_t> 3 << (layout & PRECISION)) >> 2)
        plan(r, <uint64_t> 1 << (layout & PRECISION), where)
        if r.why == FINE:
            done = hll_unpack(sketch, layout, packed)
    if done < 0:
        refuse(r, SHORT_OF_MEMORY if done == -1 else NO_SUCH_SKETCH, where)


cdef int get_entries(reader_t *r, hll_t *sketch, int layout) noexcept nogil:
    """The sorted list of a sparse sketch: 0, -1 no memory, -2 no such sketch; or the reader refused."""
    cdef size_t where = r.at
    cdef uint32_t n = <uint32_t> read_varint(r, sparse_limit(layout))
    cdef uint32_t before = 0, i, delta
    cdef uint32_t *entries
    cdef int done
    plan(r, SPARSE_COST * <uint64_t> n, where)
    if r.why != FINE or n == 0:
        return 0 if r.why != FINE else -2
    entries = <uint32_t *> malloc(n * sizeof(uint32_t))
    if entries == NULL:
        return -1
    for i in range(n):
        where = r.at
        delta = <uint32_t> read_varint(r, 0xFFFFFFFFu - before)
        if delta == 0:
            refuse(r, OUT_OF_ORDER, where)      # stays out where the number was refused already
            break
        before += delta
        entries[i] = before
    done = hll_from_entries(sketch, layout, entries, n) if r.why == FINE else 0
    free(entries)
    return done
