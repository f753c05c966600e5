# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Histograms of log-linear slots: how values are spread, to a relative width that is fixed. Knows no keys or cells.

Count, sum, sum of squares, minimum and maximum are kept exactly, in whole numbers: so neither the order of records nor
that of merges can be seen in them. The specification is the Python twin.
"""
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>
    /* sum (128 bits, signed) += value * count; count is below 2**63. */
    static inline void istat_add_sum(uint64_t *sum, int64_t value, uint64_t count) {
        __int128 total;
        memcpy(&total, sum, 16);
        total += (__int128) value * (__int128) count;
        memcpy(sum, &total, 16);
    }
    static inline void istat_add_words(uint64_t *squares, unsigned __int128 low, uint64_t high) {
        unsigned __int128 total;
        memcpy(&total, squares, 16);
        total += low;
        squares[2] += high + (total < low);
        memcpy(squares, &total, 16);
    }
    /* squares (192 bits) += value * value * count */
    static inline void istat_add_squares(uint64_t *squares, int64_t value, uint64_t count) {
        uint64_t size = value < 0 ? 0 - (uint64_t) value : (uint64_t) value;
        unsigned __int128 square = (unsigned __int128) size * size;
        if (count == 1) {
            istat_add_words(squares, square, 0);
        } else {
            unsigned __int128 low = (unsigned __int128) (uint64_t) square * count;
            unsigned __int128 high = (square >> 64) * count + (low >> 64);
            istat_add_words(squares, high << 64 | (uint64_t) low, (uint64_t) (high >> 64));
        }
    }
    /* Whether sum lies between count * min and count * max. */
    static inline int istat_between(const uint64_t *sum, uint64_t count, int64_t min, int64_t max) {
        __int128 total;
        memcpy(&total, sum, 16);
        return (__int128) min * (__int128) count <= total && total <= (__int128) max * (__int128) count;
    }
    static inline void istat_merge_squares(uint64_t *to, const uint64_t *of) {
        unsigned __int128 low;
        memcpy(&low, of, 16);
        istat_add_words(to, low, of[2]);
    }
    static void istat_add_slots(uint32_t *restrict to, const uint32_t *restrict of, size_t n) {
        for (size_t i = 0; i < n; i++) to[i] += of[i];
    }
    """
    void istat_add_sum(uint64_t *sum, int64_t value, uint64_t count) noexcept nogil
    void istat_merge_squares(uint64_t *to, const uint64_t *of) noexcept nogil
    void istat_add_squares(uint64_t *squares, int64_t value, uint64_t count) noexcept nogil
    int istat_between(const uint64_t *sum, uint64_t count, int64_t min, int64_t max) noexcept nogil
    void istat_add_slots(uint32_t *to, const uint32_t *of, size_t n) noexcept nogil

cdef uint64_t MOST_VALUES = 0x7FFFFFFFFFFFFFFFu         # in one histogram: what fits a signed number everywhere


cdef enum:
    PIECE = 512                 # values of a batch at a time: they stay in the cache for the second look. As in record_small
    MOST_SMALL = 1 << 25        # the squares of so many of them add up to less than 2**63


cdef inline uint32_t *narrow(const hist_t *histogram) noexcept nogil:
    return <uint32_t *> (histogram + 1)


cdef inline uint64_t *wide(const hist_t *histogram) noexcept nogil:
    return <uint64_t *> (histogram + 1)


# --- slots -------------------------------------------------------------------------------------------

cdef int64_t hist_low(const hist_shape *shape, uint32_t slot) noexcept nogil:
    cdef uint32_t shift = slot >> shape.precision
    shift = shift - 1 if shift > 1 else 0
    return <int64_t> (<uint64_t> (slot - (shift << shape.precision)) << (shift + shape.unit))


cdef int64_t hist_high(const hist_shape *shape, uint32_t slot) noexcept nogil:
    cdef uint32_t shift = slot >> shape.precision
    shift = shift - 1 if shift > 1 else 0
    return <int64_t> ((<uint64_t> (slot - (shift << shape.precision) + 1) << (shift + shape.unit)) - 1)


cdef uint64_t hist_at(const hist_t *histogram, uint32_t slot) noexcept nogil:
    return wide(histogram)[slot] if histogram.wide else narrow(histogram)[slot]


# --- recording ---------------------------------------------------------------------------------------

cdef hist_t *hist_new(const hist_shape *shape) noexcept nogil:
    cdef hist_t *made = <hist_t *> calloc(1, sizeof(hist_t) + (<size_t> shape.slots + 1) // 2 * 8)
    if made != NULL:
        made.slots = shape.slots
        made.first = shape.slots
        made.min = INT64_MAX
        made.max = INT64_MIN
    return made


cdef int widen(hist_t **place) noexcept nogil:
    """Slots of 64 bits instead of 32; 0 or -1."""
    cdef hist_t *old = place[0]
    cdef hist_t *made = <hist_t *> calloc(1, sizeof(hist_t) + <size_t> old.slots * 8)
    cdef uint32_t i
    if made == NULL:
        return -1
    made[0] = old[0]
    made.wide = 1
    for i in range(old.first, old.last + 1):
        wide(made)[i] = narrow(old)[i]
    free(old)
    place[0] = made
    return 0


cdef inline int put(hist_t **place, uint32_t slot, uint64_t count) noexcept nogil:
    """Counts to a slot, which has room for them by their sum; 0 or -1."""
    cdef hist_t *histogram = place[0]
    if not histogram.wide:
        if count <= UINT32_MAX - narrow(histogram)[slot]:
            narrow(histogram)[slot] += <uint32_t> count
        elif widen(place) < 0:
            return -1
        else:
            histogram = place[0]
            wide(histogram)[slot] += count
    else:
        wide(histogram)[slot] += count
    if slot < histogram.first:
        histogram.first = slot
    if slot > histogram.last:
        histogram.last = slot
    return 0


cdef int hist_put(hist_t **place, const hist_shape *shape, uint32_t slot, uint64_t count) noexcept nogil:
    if place[0] == NULL:
        place[0] = hist_new(shape)
        if place[0] == NULL:
            return -1
    return put(place, slot, count)


cdef inline int64_t within(const hist_shape *shape, int64_t value) noexcept nogil:
    """The value, or the nearest one that has a slot."""
    if <uint64_t> value <= <uint64_t> shape.highest:        # which a negative one is not
        return value
    return 0 if value < 0 else shape.highest


cdef inline void note(hist_t *head, const hist_shape *shape, int64_t value, uint64_t count) noexcept nogil:
    """All that is kept beside the slots."""
    head.count += count
    head.underflow += count if value < 0 else 0
    head.overflow += count if value > shape.highest else 0
    head.min = value if value < head.min else head.min
    head.max = value if value > head.max else head.max
    istat_add_sum(head.sum, value, count)
    istat_add_squares(head.squares, value, count)


cdef inline int record(hist_t **place, const hist_shape *shape, int64_t value, uint64_t count) noexcept nogil:
    if count > MOST_VALUES - place[0].count:
        return 0
    if count == 0:
        return 1
    if put(place, hist_slot(shape, within(shape, value)), count) < 0:
        return -1
    note(place[0], shape, value, count)
    return 1


cdef bint record_small(hist_t *histogram, const hist_shape *shape, const int64_t *batch, Py_ssize_t n) noexcept nogil:
    """A piece of a batch, when all values of it have slots and their sums need no more than 64 bits."""
    cdef uint32_t *slots = narrow(histogram)
    cdef int64_t values[512]        # PIECE; a copy, as the buffer's owner may change it between the two looks
    cdef int64_t low = INT64_MAX
    cdef int64_t high = INT64_MIN
    cdef int64_t total = 0
    cdef uint64_t squares[3]
    cdef Py_ssize_t i
    memcpy(values, batch, n * sizeof(int64_t))
    for i in range(n):
        low = values[i] if values[i] < low else low
        high = values[i] if values[i] > high else high
    if low < 0 or high > min(shape.highest, MOST_SMALL) or histogram.count + n > UINT32_MAX or histogram.wide:
        return False
    memset(squares, 0, sizeof(squares))
    for i in range(n):
        slots[hist_slot(shape, values[i])] += 1
        total += values[i]
        squares[0] += <uint64_t> (values[i] * values[i])
    histogram.count += n
    histogram.min = min(histogram.min, low)
    histogram.max = max(histogram.max, high)
    histogram.first = min(histogram.first, hist_slot(shape, low))
    histogram.last = max(histogram.last, hist_slot(shape, high))
    istat_add_sum(histogram.sum, total, 1)
    istat_merge_squares(histogram.squares, squares)
    return True


cdef int hist_record(hist_t **place, const hist_shape *shape, int64_t value, uint64_t count) noexcept nogil:
    if place[0] == NULL:
        if count == 0 or count > MOST_VALUES:
            return count == 0
        place[0] = hist_new(shape)
        if place[0] == NULL:
            return -1
    return record(place, shape, value, count)


cdef int64_t hist_record_all(hist_t **place, const hist_shape *shape, const int64_t *values, const int64_t *counts,
                             Py_ssize_t n) noexcept nogil:
    cdef int64_t taken = 0
    cdef Py_ssize_t at = 0
    cdef Py_ssize_t size
    cdef int done
    if n and place[0] == NULL:
        place[0] = hist_new(shape)
        if place[0] == NULL:
            return -1
    while at < n:
        size = min(n - at, PIECE)
        if counts == NULL and record_small(place[0], shape, values + at, size):
            taken += size
            at += size
            continue
        for at in range(at, at + size):
            done = record(place, shape, values[at], 1 if counts == NULL else <uint64_t> counts[at])
            if done < 0:
                return -1
            taken += done
        at += 1
    if n and place[0].count == 0:
        hist_clear(place)
    return taken


cdef int hist_record_corrected(hist_t **place, const hist_shape *shape, int64_t value, int64_t interval,
                               uint64_t count) noexcept nogil:
    cdef int64_t more = value // interval if value > 0 else 1       # values that it stands for
    cdef int done
    if more > MOST_CORRECTED:
        return -2
    if count > (MOST_VALUES - (place[0].count if place[0] != NULL else 0)) // <uint64_t> max(more, 1):
        return 0
    done = hist_record(place, shape, value, count)
    while count and done > 0 and value > 0 and value - interval >= interval:
        value -= interval
        done = record(place, shape, value, count)
    return done


# --- merging -----------------------------------------------------------------------------------------

cdef int overflows(const hist_t *to, const hist_t *of) noexcept nogil:
    """Whether a slot of both together has more than 32 bits hold."""
    cdef uint32_t i
    if to.count + of.count <= UINT32_MAX:
        return 0
    for i in range(of.first, of.last + 1):
        if hist_at(to, i) + hist_at(of, i) > UINT32_MAX:
            return 1
    return 0


cdef int hist_merge(hist_t **to, const hist_t *of, const hist_shape *shape) noexcept nogil:
    cdef hist_t *histogram = to[0]
    cdef uint32_t i
    if of == NULL or of.count == 0:
        return 1
    if histogram == NULL:
        to[0] = hist_copy(of)
        return 1 if to[0] != NULL else -1
    if of.count > MOST_VALUES - histogram.count:
        return 0
    if not histogram.wide and overflows(histogram, of) and widen(to) < 0:
        return -1
    histogram = to[0]
    if histogram.wide or of.wide:
        for i in range(of.first, of.last + 1):
            if histogram.wide:
                wide(histogram)[i] += hist_at(of, i)
            else:
                narrow(histogram)[i] += <uint32_t> wide(of)[i]
    else:
        istat_add_slots(narrow(histogram) + of.first, narrow(of) + of.first, of.last - of.first + 1)
    merge_header(histogram, of)
    return 1


cdef void merge_header(hist_t *to, const hist_t *of) noexcept nogil:
    cdef uint64_t low = to.sum[0] + of.sum[0]
    to.sum[1] += of.sum[1] + (low < of.sum[0])
    to.sum[0] = low
    istat_merge_squares(to.squares, of.squares)
    to.count += of.count
    to.underflow += of.underflow
    to.overflow += of.overflow
    to.min = min(to.min, of.min)
    to.max = max(to.max, of.max)
    to.first = min(to.first, of.first)
    to.last = max(to.last, of.last)


cdef hist_t *hist_copy(const hist_t *of) noexcept nogil:
    cdef hist_t *made = <hist_t *> malloc(hist_bytes(of))
    if made != NULL:
        memcpy(made, of, hist_bytes(of))
    return made


cdef void hist_clear(hist_t **place) noexcept nogil:
    free(place[0])
    place[0] = NULL


cdef size_t hist_bytes(const hist_t *histogram) noexcept nogil:
    cdef size_t slots
    if histogram == NULL:
        return 0
    slots = histogram.slots
    return sizeof(hist_t) + (slots * 8 if histogram.wide else (slots + 1) // 2 * 8)


# --- reading -----------------------------------------------------------------------------------------

cdef int64_t point_of(const hist_t *histogram, const hist_shape *shape, uint32_t slot, int point) noexcept nogil:
    """The value that stands for those of a slot: never outside of minimum and maximum."""
    cdef int64_t low = hist_low(shape, slot)
    cdef int64_t high = hist_high(shape, slot)
    cdef int64_t value = low + ((high - low) >> 1)
    if point == POINT_LOW:
        value = histogram.min if slot == 0 and histogram.underflow else low
    elif point == POINT_HIGH:
        value = histogram.max if slot == shape.slots - 1 and histogram.overflow else high
    return max(min(value, histogram.max), histogram.min)


cdef void hist_percentiles(const hist_t *histogram, const hist_shape *shape, const double *q, Py_ssize_t n, int point,
                           int64_t *out) noexcept nogil:
    cdef uint32_t slot = histogram.first
    cdef uint64_t seen = hist_at(histogram, slot)
    cdef uint64_t rank
    cdef double wanted
    cdef Py_ssize_t i
    for i in range(n):
        if q[i] <= 0.0 or q[i] >= 100.0:
            out[i] = histogram.min if q[i] <= 0.0 else histogram.max
            continue
        wanted = q[i] / 100.0 * <double> histogram.count + 0.5
        rank = histogram.count if wanted >= <double> histogram.count else <uint64_t> wanted
        while seen < rank:
            slot += 1
            seen += hist_at(histogram, slot)
        out[i] = point_of(histogram, shape, slot, point)


cdef uint64_t hist_up_to(const hist_t *histogram, const hist_shape *shape, int64_t bound) noexcept nogil:
    cdef uint64_t seen = 0
    cdef uint32_t end = hist_slot(shape, max(min(bound, shape.highest), 0))
    cdef uint32_t i
    if bound >= histogram.max:
        return histogram.count
    if bound < histogram.min:
        return 0
    for i in range(histogram.first, min(end, histogram.last) + 1):
        seen += hist_at(histogram, i)
    return seen


cdef int hist_valid(const hist_t *histogram, const hist_shape *shape) noexcept nogil:
    cdef uint64_t seen = 0
    cdef uint32_t i
    if histogram.count == 0 or histogram.count > MOST_VALUES or histogram.min > histogram.max:
        return 0
    for i in range(histogram.first, histogram.last + 1):
        if hist_at(histogram, i) > histogram.count - seen:
            return 0
        seen += hist_at(histogram, i)
    if seen != histogram.count or not istat_between(histogram.sum, seen, histogram.min, histogram.max):
        return 0
    if (histogram.underflow > 0) != (histogram.min < 0) or (histogram.overflow > 0) != (histogram.max > shape.highest):
        return 0
    if histogram.underflow and (histogram.first != 0 or histogram.underflow > hist_at(histogram, 0)):
        return 0
    i = shape.slots - 1
    if histogram.overflow and (histogram.last != i or histogram.overflow > hist_at(histogram, i)):
        return 0
    return (hist_slot(shape, min(max(histogram.min, 0), shape.highest)) == histogram.first
            and hist_slot(shape, min(max(histogram.max, 0), shape.highest)) == histogram.last)
