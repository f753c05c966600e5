"""A cube's totals and what its stats tell as bytes, and back. The specification.

docs/formats/cube.md has the format (TOTALS). Whoever calls holds the guard. They are read into a core that has none.
"""

from __future__ import annotations

from typing import Any

from istat.kernels.python.cubes.admission import REFUSED_PRECISION
from istat.kernels.python.cubes.core import Core
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.metrics import CounterMetric, Metric
from istat.kernels.python.cubes.sketched import HistogramMetric, HllMetric
from istat.kernels.python.cubes.wire.columns import get_real, put_counter
from istat.kernels.python.cubes.wire.values import get_histogram, get_hll, put_histogram, put_hll
from istat.kernels.python.reading import MOST_COUNT, Reader
from istat.kernels.python.varints import put_varint


def put_totals(core: Core) -> bytes:
    """The payload of TOTALS."""
    parts = [_put_total(metric) for metric in core.metrics]
    counts = (core.refused, core.evicted, core.admitted_late)
    parts += [put_varint(count) for count in counts]
    return b"".join([*parts, bytes([core.saturated]), put_hll(core.refused_keys)])


def get_totals(core: Core, payload: bytes | memoryview, base: int, budget: int) -> int:
    """Read totals into a core that has none; the budget that is left. FormatError, with `base` added to its offset."""
    reader = Reader(payload, base, budget)
    for metric in core.metrics:
        _get_total(reader, metric)
    refused, evicted, admitted_late = [reader.varint(MOST_COUNT) for _ in range(3)]
    saturated = bool(reader.u8(1))
    keys = get_hll(reader, REFUSED_PRECISION, "xxh64") or HyperLogLog(REFUSED_PRECISION)
    reader.end()
    core.put_stats(refused, evicted, admitted_late, saturated, keys, core.sketch_merge_skipped)
    return reader.budget


def _put_total(metric: Metric[Any]) -> bytes:
    if isinstance(metric, CounterMetric):
        return put_counter(metric.total, metric.real)
    if isinstance(metric, HistogramMetric):
        return put_histogram(metric.total)
    return put_hll(metric.total) if isinstance(metric, HllMetric) else b""


def _get_total(reader: Reader, metric: Metric[Any]) -> None:
    if isinstance(metric, CounterMetric):
        metric.total = get_real(reader) if metric.real else reader.zigzag()
    elif isinstance(metric, HistogramMetric):
        found = get_histogram(reader, metric.shape)
        if found is not None:
            metric.put_total(found)
    elif isinstance(metric, HllMetric):
        sketch = get_hll(reader, metric.precision, metric.hash)
        if sketch is not None:
            metric.put_total(sketch)
