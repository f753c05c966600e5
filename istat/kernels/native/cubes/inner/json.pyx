# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""Histograms, sketches and dimensions' values as JSON; see json.pxd."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from istat.kernels.native.cubes.histogram cimport (
    POINT_MID, hist_at, hist_high, hist_low, hist_percentiles, hist_shape, hist_t)
from istat.kernels.native.cubes.hll cimport PRECISION, hll_t
from istat.kernels.native.cubes.inner.hyperloglog cimport hll_pack
from istat.kernels.native.cubes.keys cimport TAG_BYTES, TAG_FLOAT, TAG_INT, TAG_NONE, field_t
from istat.kernels.native.render cimport NUMBER_ROOM, Text, make_room, put_number

cdef extern from *:
    """
    typedef __int128 istat_i128;
    static inline istat_i128 istat_total(uint64_t low, uint64_t high) {
        return (istat_i128)((unsigned __int128)high << 64 | low);
    }
    """
    ctypedef long long i128 "istat_i128"
    i128 istat_total(uint64_t low, uint64_t high) noexcept nogil

cdef enum:
    LONGEST_RUN = 10            # [bytes] a zigzag of 64 bits


cdef void put_unit(Text *text, int64_t value, double scale) noexcept nogil:
    """A recorded value, in the unit in which it came."""
    if scale == 1.0:
        put_whole(text, value)
    else:
        put_number(text, <double>value / scale)


cdef void put_sum(Text *text, const hist_t *histogram, double scale) noexcept nogil:
    """The exact sum, as an integer where most parsers take it."""
    cdef i128 total = istat_total(histogram.sum[0], histogram.sum[1])
    if scale == 1.0 and total == <int64_t>total:
        put_whole(text, <int64_t>total)
    else:
        put_number(text, <double>total / scale)


cdef int put_buckets(Text *text, const hist_t *histogram, const hist_shape *shape) noexcept nogil:
    """Each slot with counts: smallest value, largest, count. -1 without memory."""
    cdef uint32_t slot
    cdef uint64_t count
    put(text, b',"buckets":[', 12)
    for slot in range(histogram.first, histogram.last + 1):
        count = hist_at(histogram, slot)
        if count == 0:
            continue
        if make_room(text, 3 * NUMBER_ROOM):
            return -1
        put_byte(text, b"[")
        put_unit(text, hist_low(shape, slot), shape.scale)
        put_byte(text, b",")
        put_unit(text, hist_high(shape, slot), shape.scale)
        put_byte(text, b",")
        put_count(text, count)
        put(text, b"],", 2)
    text.data[text.used - 1] = b"]"
    return 0


cdef Py_ssize_t put_run(uint8_t *to, int64_t value) noexcept nogil:
    """A zigzag; bytes written."""
    cdef uint64_t rest = (<uint64_t>value << 1) ^ <uint64_t>(value >> 63)
    cdef Py_ssize_t at = 0
    while rest >= 128:
        to[at] = <uint8_t>(rest | 128)
        rest >>= 7
        at += 1
    to[at] = <uint8_t>rest
    return at + 1


cdef int put_slots(Text *text, const hist_t *histogram, const hist_shape *shape) noexcept nogil:
    """The counts of slots as files have them, and what they mean. -1 without memory."""
    cdef uint32_t slot, used = 0
    cdef int64_t empty = histogram.first
    cdef uint64_t count
    cdef Py_ssize_t size = 0
    cdef uint8_t *runs
    for slot in range(histogram.first, histogram.last + 1):
        used += hist_at(histogram, slot) != 0
    runs = <uint8_t *>malloc(2 * LONGEST_RUN * <size_t>used)
    if runs == NULL:
        return -1
    for slot in range(histogram.first, histogram.last + 1):
        count = hist_at(histogram, slot)
        if count == 0:
            empty += 1
            continue
        if empty:
            size += put_run(runs + size, -empty)
        size += put_run(runs + size, <int64_t>count)
        empty = 0
    if make_room(text, size // 3 * 4 + 4 + HEAD_ROOM):
        free(runs)
        return -1
    put(text, b',"lowest":', 10)
    put_whole(text, shape.lowest)
    put(text, b',"highest":', 11)
    put_whole(text, shape.highest)
    put(text, b',"precision":', 13)
    put_whole(text, shape.precision)
    put(text, b',"scale":', 9)
    put_number(text, shape.scale)
    put(text, b',"slots":"', 10)
    put_base64(text, runs, size)
    put_byte(text, b'"')
    free(runs)
    return 0


cdef int put_histogram(Text *text, const hist_t *histogram, const hist_shape *shape, const Style *style) noexcept nogil:
    """A histogram's object; -1 without memory."""
    cdef int i
    put(text, b'{"count":', 9)
    put_count(text, histogram.count)
    put(text, b',"sum":', 7)
    put_sum(text, histogram, shape.scale)
    put(text, b',"min":', 7)
    put_unit(text, histogram.min, shape.scale)
    put(text, b',"max":', 7)
    put_unit(text, histogram.max, shape.scale)
    if style.histogram == BUCKETS:
        if put_buckets(text, histogram, shape):
            return -1
    elif style.histogram == ENCODED:
        if put_slots(text, histogram, shape):
            return -1
    elif style.quantiles:
        hist_percentiles(histogram, shape, style.percentiles, style.quantiles, POINT_MID, style.found)
        for i in range(style.quantiles):
            put_byte(text, b",")
            put_piece(text, &style.names[i])
            put_unit(text, style.found[i], shape.scale)
    put_byte(text, b"}")
    return 0


cdef int put_registers(Text *text, const hll_t *sketch, int layout) noexcept nogil:
    """The packed registers in base64; -1 without memory."""
    cdef Py_ssize_t size = (<Py_ssize_t>3 << (layout & PRECISION)) // 4
    cdef uint8_t *packed = <uint8_t *>malloc(size)
    cdef int failed
    if packed == NULL:
        return -1
    failed = hll_pack(sketch, layout, packed)
    if not failed:
        put_base64(text, packed, size)
        put(text, b'"}', 2)
    free(packed)
    return failed


cdef void put_tag(Text *text, const field_t *field) noexcept nogil:
    """A dimension's value; its room is that of a string of the whole key."""
    cdef Py_ssize_t begun = text.used, at
    if field.tag == TAG_NONE:
        put(text, b"null", 4)
    elif field.tag == TAG_INT:
        put_whole(text, field.whole)
    elif field.tag == TAG_FLOAT:
        put_number(text, field.real)
        for at in range(begun, text.used):
            if not (48 <= text.data[at] <= 57 or text.data[at] == 45):
                return
        put(text, b".0", 2)
    elif field.tag == TAG_BYTES:
        put(text, b'"base64:', 8)
        put_base64(text, field.text, field.size)
        put_byte(text, b'"')
    else:
        put_string(text, field.text, field.size)
