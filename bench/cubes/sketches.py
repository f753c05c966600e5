"""Rows of single histograms and HyperLogLogs, beside datasketches, hdrhistogram and ddsketch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from bench.cubes import work
from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size, timed
from istat.kernels import cubes

DATASKETCHES, HDR, DDSKETCH, KLL = "datasketches", "hdrhistogram", "ddsketch", "datasketches' KLL"
DDSKETCH_ERROR = 0.03  # relative: that of a histogram of precision 4


def shape(precision: int) -> Any:
    """The seed's range."""
    return cubes.Shape(1, work.HIGHEST, precision=precision)


def each(count: int, values: list[Any], fresh: Callable[[], Callable[[Any], object]]) -> Sample:
    """One Python call for each value: what `fresh` gives is called."""

    def prepared() -> Callable[[], None]:
        call = fresh()

        def work() -> None:
            for value in values:
                call(value)

        return work

    return timed(count, prepared)


def whole(count: int, values: Any, fresh: Callable[[], Callable[[Any], object]]) -> Sample:
    """One call for all values."""
    return timed(count, lambda: functools.partial(fresh(), values))


def record_batch(precision: int) -> Side:
    def side(size: Size) -> Sample:
        values, of = work.values(size.items), shape(precision)
        return whole(size.items, values, lambda: cubes.Histogram(of).record_many)

    return side


def record_call(size: Size) -> Sample:
    return each(size.calls, work.values(size.calls).tolist(), lambda: cubes.Histogram(shape(4)).record)


def hdr_record(size: Size) -> Sample:
    from hdrh.histogram import HdrHistogram

    return each(size.calls, work.values(size.calls).tolist(), lambda: HdrHistogram(1, work.HIGHEST, 1).record_value)


def kll_update(size: Size) -> Sample:
    from datasketches import kll_ints_sketch

    values = work.values(size.items).astype("int32")
    return whole(size.items, values, lambda: kll_ints_sketch(200).update)


def ddsketch_add(size: Size) -> Sample:
    from ddsketch import DDSketch

    return each(size.calls, work.values(size.calls).tolist(), lambda: DDSketch(DDSKETCH_ERROR).add)


def hll_batch(precision: int, items: Callable[[int], Any]) -> Side:
    def side(size: Size) -> Sample:
        return whole(size.items, items(size.items), lambda: cubes.HyperLogLog(precision).add_many)

    return side


def hll_call(precision: int, items: Callable[[int], Any]) -> Side:
    return lambda size: each(size.calls, as_python(items(size.calls)), lambda: cubes.HyperLogLog(precision).add)


def hll_update(precision: int, items: Callable[[int], Any], count: Callable[[Size], int]) -> Side:
    """datasketches, a call an item: it has none for batches. HLL_8 is the fastest of its three forms."""

    def side(size: Size) -> Sample:
        from datasketches import hll_sketch, tgt_hll_type

        held = as_python(items(count(size)))
        return each(count(size), held, lambda: hll_sketch(precision, tgt_hll_type.HLL_8).update)

    return side


def as_python(items: Any) -> list[Any]:
    """Items as programs have them one by one: int and str."""
    return [item.decode() if isinstance(item, bytes) else item for item in items.tolist()]


def histogram_merge(size: Size) -> Sample:
    of = shape(4)
    one, other = cubes.Histogram(of), cubes.Histogram(of)
    one.record_many(work.values(size.items))
    other.record_many(work.values(size.items))
    return each(size.calls, [other] * size.calls, lambda: one.merge)


def hdr_add(size: Size) -> Sample:
    from hdrh.histogram import HdrHistogram

    one, other = HdrHistogram(1, work.HIGHEST, 1), HdrHistogram(1, work.HIGHEST, 1)
    for value in work.values(size.calls).tolist():
        one.record_value(value)
        other.record_value(value)
    return each(size.turns * 10, [other] * size.turns * 10, lambda: one.add)


def hll_merge(precision: int) -> Side:
    def side(size: Size) -> Sample:
        one, other = cubes.HyperLogLog(precision), cubes.HyperLogLog(precision)
        one.add_many(work.items(size.items)[::2])
        other.add_many(work.items(size.items)[1::2])
        return each(size.calls, [other] * size.calls, lambda: one.merge)

    return side


def hll_union(precision: int) -> Side:
    """Only the sketch of the union is kept between calls, as ours is."""

    def side(size: Size) -> Sample:
        from datasketches import hll_sketch, hll_union, tgt_hll_type

        union, other = hll_union(precision), hll_sketch(precision, tgt_hll_type.HLL_8)
        for item in work.items(size.items).tolist():
            other.update(item)
        return each(size.turns * 50, [other] * size.turns * 50, lambda: union.update)

    return side


ROWS = (
    Row("histogram-batch", "histogram record, precision 4, batch",
        {OURS: record_batch(4), KLL: kll_update, HDR: hdr_record},
        (Goal(10), Goal(1 / 3, KLL), Goal(1 / 60, HDR))),
    Row("histogram-batch-1", "histogram record, precision 1, batch", {OURS: record_batch(1)}, (Goal(10),)),
    Row("histogram-call", "histogram record, precision 4, call",
        {OURS: record_call, HDR: hdr_record, DDSKETCH: ddsketch_add}, (Goal(120),)),
    Row("hll-batch", "HLL add, p=12, integers, batch",
        {OURS: hll_batch(12, work.items), DATASKETCHES: hll_update(12, work.items, lambda size: size.items)},
        (Goal(12), Goal(1 / 6, DATASKETCHES))),
    Row("hll-batch-6", "HLL add, p=6, integers, batch", {OURS: hll_batch(6, work.items)}, (Goal(12),)),
    Row("hll-batch-text", "HLL add, p=12, texts of 15 bytes, batch",
        {OURS: hll_batch(12, work.texts), DATASKETCHES: hll_update(12, work.texts, lambda size: size.items)},
        (Goal(30),)),
    Row("hll-call", "HLL add, p=12, integers, call",
        {OURS: hll_call(12, work.items), DATASKETCHES: hll_update(12, work.items, lambda size: size.calls)},
        (Goal(120),)),
    Row("hll-call-6", "HLL add, p=6, integers, call", {OURS: hll_call(6, work.items)}, (Goal(120),)),
    Row("hll-call-text", "HLL add, p=12, texts of 15 characters, call",
        {OURS: hll_call(12, work.texts), DATASKETCHES: hll_update(12, work.texts, lambda size: size.calls)},
        (Goal(120),)),
    Row("hll-merge-call", "HLL merge, p=6, two sketches, call",
        {OURS: hll_merge(6), f"{DATASKETCHES} p=7": hll_union(7)}, (Goal(250),)),
    Row("hll-merge-call-12", "HLL merge, p=12, two sketches, call",
        {OURS: hll_merge(12), DATASKETCHES: hll_union(12)}),
    Row("histogram-merge-call", "histogram merge, precision 4, two of them, call",
        {OURS: histogram_merge, HDR: hdr_add}, (Goal(300),)),
)  # fmt: skip
