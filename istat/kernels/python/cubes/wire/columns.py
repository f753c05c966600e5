"""A metric's values of all cells, one after another: the specification. Knows no keys.

docs/formats/cube.md has the format. Readers put values into slots that the cells have already.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from istat.kernels.python.cubes.metrics import CounterMetric, GaugeMetric, Metric
from istat.kernels.python.cubes.sketched import HistogramMetric, HllMetric
from istat.kernels.python.cubes.wire.values import get_histogram, get_hll, put_histogram, put_hll
from istat.kernels.python.reading import FILLED, NO_NUMBER, NOT_FINITE, SAME_ORIGIN, Reader
from istat.kernels.python.varints import put_varint, wrap, zigzag


def put_column(metric: Metric[Any], slots: Sequence[int]) -> bytes:
    """The column of a metric: of the cells in these slots, and of the overflow cell where that has own values."""
    if isinstance(metric, CounterMetric):
        return b"".join([put_counter(metric.values[slot], metric.real) for slot in slots])
    if isinstance(metric, GaugeMetric):
        return _put_gauges(metric, slots)
    put: Any = put_histogram if isinstance(metric, HistogramMetric) else put_hll
    return b"".join([put(metric.values[slot]) for slot in _with_overflow(metric, slots)])


def get_column(reader: Reader, metric: Metric[Any], slots: Sequence[int]) -> None:
    """Read the column of a metric into these slots."""
    if isinstance(metric, CounterMetric):
        for slot in slots:
            metric.values[slot] = get_real(reader) if metric.real else reader.zigzag()
    elif isinstance(metric, GaugeMetric):
        _get_gauges(reader, metric, slots)
    elif isinstance(metric, HistogramMetric):
        for slot in _with_overflow(metric, slots):
            metric.values[slot] = get_histogram(reader, metric.shape)
    elif isinstance(metric, HllMetric):
        for slot in _with_overflow(metric, slots):
            metric.values[slot] = get_hll(reader, metric.precision, metric.hash)


def put_counter(value: Any, real: bool) -> bytes:
    """One value of a counter."""
    return struct.pack("<d", value) if real else put_varint(zigzag(value))


def get_real(reader: Reader) -> float:
    """A double of a counter: those stop at the limits of float64."""
    value = reader.f64()
    if not math.isfinite(value):
        reader.refuse(NOT_FINITE, reader.at - 8)
    return value


def _with_overflow(metric: Metric[Any], slots: Sequence[int]) -> list[int]:
    """The overflow cell behind the others: histograms and sketches have values of their own there."""
    overflow = metric.core.cells.overflow
    return [*slots, overflow] if overflow >= 0 else list(slots)


def _put_gauges(metric: GaugeMetric, slots: Sequence[int]) -> bytes:
    """Which are set, and of those the stamps as differences, and the values."""
    bitmap = bytearray((len(slots) + 7) // 8)
    rows = bytearray()
    tick = origin = 0
    for i, slot in enumerate(slots):
        stamped = metric.values[slot]
        if stamped is None:
            continue
        bitmap[i >> 3] |= 1 << (i & 7)
        rows += put_varint(zigzag(wrap(stamped[1] - tick)))
        rows += b"\0" if stamped[2] == origin else b"\1" + struct.pack("<Q", stamped[2])
        rows += struct.pack("<d", stamped[0])
        _, tick, origin = stamped
    return bytes(bitmap + rows)


def _get_gauges(reader: Reader, metric: GaugeMetric, slots: Sequence[int]) -> None:
    bitmap = reader.take((len(slots) + 7) // 8)
    if len(slots) & 7 and bitmap[-1] >> (len(slots) & 7):
        reader.refuse(FILLED, reader.at - 1)
    tick = origin = 0
    for i, slot in enumerate(slots):
        if not bitmap[i >> 3] >> (i & 7) & 1:
            continue
        tick = wrap(tick + reader.zigzag())
        if reader.u8(1):
            before, origin = origin, reader.u64()
            if origin == before:
                reader.refuse(SAME_ORIGIN, reader.at - 8)
        value = reader.f64()
        if math.isnan(value):
            reader.refuse(NO_NUMBER, reader.at - 8)
        metric.values[slot] = (value, tick, origin)
