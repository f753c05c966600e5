# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A cube's totals and what its stats tell as bytes, and back. Whoever calls holds the guard. The specification is the Python twin."""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset

from istat.kernels.native.cubes.core cimport Core
from istat.kernels.native.cubes.hashing cimport XXH64
from istat.kernels.native.cubes.hll cimport hll_layout
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.metrics cimport CounterMetric
from istat.kernels.native.cubes.sketched cimport HistogramMetric, HllMetric
from istat.kernels.native.cubes.wire.columns cimport get_real
from istat.kernels.native.cubes.wire.reading cimport (
    finish, out_t, put_bytes, put_number, put_signed, put_u8, read_u8, read_varint, read_zigzag, reader_of, reader_t, taken)
from istat.kernels.native.cubes.wire.values cimport get_histogram, get_hll, put_histogram, put_hll

cdef enum:
    REFUSED_PRECISION = 10      # of the sketch of refused keys

cdef uint64_t MOST_COUNT = (1ULL << 63) - 1


def put_totals(Core core not None):
    """The payload of TOTALS."""
    cdef out_t out
    cdef Metric metric
    memset(&out, 0, sizeof(out))
    try:
        for metric in core.metrics:
            put_total(&out, metric)
        put_number(&out, core.refused)
        put_number(&out, core.evicted)
        put_number(&out, core.admitted_late)
        put_u8(&out, core.saturated)
        put_hll(&out, &core.refused_sketch, hll_layout(REFUSED_PRECISION, XXH64))
    finally:
        made = taken(&out)
    return made


def get_totals(Core core not None, const uint8_t[::1] payload not None, size_t base, uint64_t budget):
    """Read totals into a core that has none; the budget that is left. FormatError, with `base` added to its offset."""
    cdef reader_t r = reader_of(&payload[0] if payload.shape[0] else NULL, payload.shape[0], budget)
    cdef Metric metric
    for metric in core.metrics:
        get_total(&r, metric)
    core.refused = read_varint(&r, MOST_COUNT)
    core.evicted = read_varint(&r, MOST_COUNT)
    core.admitted_late = read_varint(&r, MOST_COUNT)
    core.saturated = read_u8(&r, 1)
    get_hll(&r, &core.refused_sketch, hll_layout(REFUSED_PRECISION, XXH64))
    finish(&r, base)
    return r.budget


cdef int put_total(out_t *out, Metric metric) except -1:
    """What all updates of a metric added; of a gauge nothing."""
    if isinstance(metric, CounterMetric):
        if (<CounterMetric> metric).real:
            put_bytes(out, &(<CounterMetric> metric).real_total, 8)
        else:
            put_signed(out, (<CounterMetric> metric).whole_total)
    elif isinstance(metric, HistogramMetric):
        put_histogram(out, (<HistogramMetric> metric).whole)
    elif isinstance(metric, HllMetric):
        put_hll(out, &(<HllMetric> metric).whole, (<HllMetric> metric).layout)
    return 0


cdef int get_total(reader_t *r, Metric metric) except -1:
    """The same, read."""
    if isinstance(metric, CounterMetric):
        if (<CounterMetric> metric).real:
            (<CounterMetric> metric).real_total = get_real(r)
        else:
            (<CounterMetric> metric).whole_total = read_zigzag(r)
    elif isinstance(metric, HistogramMetric):
        get_histogram(r, &(<HistogramMetric> metric).whole, &(<HistogramMetric> metric).shape.shape)
    elif isinstance(metric, HllMetric):
        get_hll(r, &(<HllMetric> metric).whole, (<HllMetric> metric).layout)
    return 0
