# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A metric's values of all cells as bytes, and back. Knows no keys.

Readers put values into slots that the cells have already. The specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from istat.kernels.native.cubes.histogram cimport hist_shape, hist_t
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.metrics cimport CounterMetric, GaugeMetric, gauge_t
from istat.kernels.native.cubes.sketched cimport HistogramMetric, HllMetric
from istat.kernels.native.cubes.wire.reading cimport (
    FILLED, FINE, NO_NUMBER, NOT_FINITE, SAME_ORIGIN, VARINT_ROOM, grow, long_varint, out_t, put_bytes, put_signed,
    put_u8, read_bytes, read_f64, read_u8, read_u64, read_zigzag, reader_t, refuse)
from istat.kernels.native.cubes.wire.values cimport get_histogram, get_hll, put_histogram, put_hll


cdef int put_column(out_t *out, Metric metric, const uint32_t *slots, uint32_t n, long overflow) except -1:
    """The column of a metric."""
    cdef CounterMetric counters
    cdef GaugeMetric gauges
    cdef HistogramMetric histograms
    cdef HllMetric sketches
    if isinstance(metric, CounterMetric):
        counters = metric
        with nogil:
            put_counters(out, counters, slots, n)
    elif isinstance(metric, GaugeMetric):
        gauges = metric
        with nogil:
            put_gauges(out, gauges.values, slots, n)
    elif isinstance(metric, HistogramMetric):
        histograms = metric
        with nogil:
            put_histograms(out, histograms.values, slots, n, overflow)
    else:
        sketches = metric
        with nogil:
            put_sketches(out, sketches.values, sketches.layout, slots, n, overflow)
    return 0


cdef int get_column(reader_t *r, Metric metric, const uint32_t *slots, uint32_t n, long overflow) except -1:
    """Read the column of a metric into these slots."""
    cdef const hist_shape *shape
    cdef CounterMetric counters
    cdef GaugeMetric gauges
    cdef HistogramMetric histograms
    cdef HllMetric sketches
    if isinstance(metric, CounterMetric):
        counters = metric
        with nogil:
            get_counters(r, counters, slots, n)
    elif isinstance(metric, GaugeMetric):
        gauges = metric
        with nogil:
            get_gauges(r, gauges.values, slots, n)
    elif isinstance(metric, HistogramMetric):
        histograms = metric
        shape = &histograms.shape.shape
        with nogil:
            get_histograms(r, histograms.values, shape, slots, n, overflow)
    else:
        sketches = metric
        with nogil:
            get_sketches(r, sketches.values, sketches.layout, slots, n, overflow)
    return 0


cdef double get_real(reader_t *r) noexcept nogil:
    """A double of a counter: those stop at the limits of float64."""
    cdef size_t where = r.at
    cdef double value = read_f64(r)
    if value - value != 0:
        refuse(r, NOT_FINITE, where)
    return value


cdef void put_counters(out_t *out, CounterMetric metric, const uint32_t *slots, uint32_t n) noexcept nogil:
    cdef const int64_t *values = metric.values
    cdef uint8_t *to
    cdef uint64_t value
    cdef uint32_t i
    if metric.real:
        for i in range(n):
            put_bytes(out, &metric.reals[slots[i]], 8)
        return
    if out.room - out.used < VARINT_ROOM * <size_t> n and grow(out, VARINT_ROOM * <size_t> n) < 0:
        return
    to = out.data + out.used
    for i in range(n):
        value = <uint64_t> values[slots[i]]
        value = value << 1 ^ (0 - (value >> 63))
        while value >= 128:
            to[0] = <uint8_t> (value | 128)
            to += 1
            value >>= 7
        to[0] = <uint8_t> value
        to += 1
    out.used = to - out.data


cdef void get_counters(reader_t *r, CounterMetric metric, const uint32_t *slots, uint32_t n) noexcept nogil:
    cdef const uint8_t *at = r.data + r.at
    cdef const uint8_t *end = r.data + r.size
    cdef int64_t *values = metric.values
    cdef uint64_t value
    cdef uint32_t i
    if metric.real:
        for i in range(n):
            metric.reals[slots[i]] = get_real(r)
        return
    for i in range(n):
        if end - at >= 2 and at[0] < 128:       # most are small
            value = at[0]
            at += 1
        elif end - at >= 2 and 0 < at[1] < 128:
            value = (at[0] & 127) | <uint64_t> at[1] << 7
            at += 2
        else:
            r.at = at - r.data
            value = long_varint(r, <uint64_t> -1)
            at = r.data + r.at
        values[slots[i]] = <int64_t> ((value >> 1) ^ (0 - (value & 1)))
    r.at = at - r.data


cdef void put_gauges(out_t *out, const gauge_t *values, const uint32_t *slots, uint32_t n) noexcept nogil:
    """Which are set, and of those the stamps as differences, and the values."""
    cdef size_t bitmap = out.used, bytes = (<size_t> n + 7) >> 3
    cdef int64_t tick = 0
    cdef uint64_t origin = 0
    cdef uint32_t i
    cdef const gauge_t *gauge
    if out.room - out.used < bytes and grow(out, bytes) < 0:
        return
    memset(out.data + out.used, 0, bytes)
    out.used += bytes
    for i in range(n):
        gauge = &values[slots[i]]
        if gauge.value != gauge.value:
            continue
        out.data[bitmap + (i >> 3)] |= <uint8_t> (1 << (i & 7))
        put_signed(out, <int64_t> (<uint64_t> gauge.tick - <uint64_t> tick))
        put_u8(out, gauge.origin != origin)
        if gauge.origin != origin:
            put_bytes(out, &gauge.origin, 8)
        put_bytes(out, &gauge.value, 8)
        tick = gauge.tick
        origin = gauge.origin


cdef void get_gauges(reader_t *r, gauge_t *values, const uint32_t *slots, uint32_t n) noexcept nogil:
    cdef const uint8_t *bitmap = read_bytes(r, (<size_t> n + 7) >> 3)
    cdef uint64_t tick = 0, origin = 0, before
    cdef uint32_t i
    cdef size_t where
    cdef double value
    if bitmap == NULL:
        return
    if n & 7 and bitmap[n >> 3] >> (n & 7):
        refuse(r, FILLED, r.at - 1)
    for i in range(n):
        if r.why != FINE:
            return
        if not bitmap[i >> 3] >> (i & 7) & 1:
            continue
        tick += <uint64_t> read_zigzag(r)
        if read_u8(r, 1):
            where = r.at
            before, origin = origin, read_u64(r)
            if origin == before:
                refuse(r, SAME_ORIGIN, where)
        where = r.at
        value = read_f64(r)
        if value != value:
            refuse(r, NO_NUMBER, where)
        values[slots[i]].value = value
        values[slots[i]].tick = <int64_t> tick
        values[slots[i]].origin = origin


cdef void put_histograms(out_t *out, hist_t **values, const uint32_t *slots, uint32_t n, long overflow) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        put_histogram(out, values[slots[i]])
    if overflow >= 0:
        put_histogram(out, values[overflow])


cdef void get_histograms(reader_t *r, hist_t **values, const hist_shape *shape, const uint32_t *slots, uint32_t n,
                         long overflow) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        get_histogram(r, &values[slots[i]], shape)
        if r.why != FINE:
            return
    if overflow >= 0:
        get_histogram(r, &values[overflow], shape)


cdef void put_sketches(out_t *out, const hll_t *values, int layout, const uint32_t *slots, uint32_t n,
                       long overflow) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        put_hll(out, &values[slots[i]], layout)
    if overflow >= 0:
        put_hll(out, &values[overflow], layout)


cdef void get_sketches(reader_t *r, hll_t *values, int layout, const uint32_t *slots, uint32_t n,
                       long overflow) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        get_hll(r, &values[slots[i]], layout)
        if r.why != FINE:
            return
    if overflow >= 0:
        get_hll(r, &values[overflow], layout)
