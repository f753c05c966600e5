"""Section SCHEMA: what each cube is made of. Knows no data."""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

from istat.cube.frames.strings import get_name, get_pairs, put_pairs, put_text
from istat.cube.schema import MOST_CELLS, MOST_CUBES, MOST_METRICS, CubeSchema, MetricSchema, SamplingSchema
from istat.kernels import cubes
from istat.kernels.python.reading import MOST_COUNT, Reader
from istat.kernels.python.varints import put_varint

KINDS = {"counter": 1, "gauge": 2, "histogram": 3, "hll": 4}
RULES = ("last", "sum", "max", "min")
HASHES = {"xxh64": 1, "datasketches": 2}
MODES = (cubes.COMPREHENSIVE, cubes.TOPK, cubes.TOP_CARDINALITY)
SPREAD_PRECISION = 6  # of the registers of a bucket
# What an empty cube and a metric take in memory besides their names: planned before they are made.
CUBE_COST, METRIC_COST = 4096, 1024

# Frames of one sort of writers have one schema. The last ones are remembered, as reading one takes longer than all else
# in a small frame: by the bytes that they are, and with what was planned for them.
MOST_KNOWN, LARGEST_KNOWN = 32, 8192
_known: dict[bytes, tuple[tuple[CubeSchema, ...], int]] = {}

Options = Mapping[str, Any]


def put_schema(schemas: Iterable[tuple[CubeSchema, Options]]) -> bytes:
    """The payload of SCHEMA. Of each cube also the parameters of its sketch, those chosen by default as well."""
    parts = [_put_cube(schema, options) for schema, options in schemas]
    return put_varint(len(parts)) + b"".join(parts)


def get_schema(reader: Reader) -> tuple[CubeSchema, ...]:
    """The cubes from the payload; FormatError. Equal payloads give the same objects, while they are remembered."""
    payload = bytes(reader.data)
    known = _known.get(payload)
    if known is not None:
        reader.plan(known[1])
        return known[0]
    before = reader.budget
    schema = _get_cubes(reader)
    if len(payload) <= LARGEST_KNOWN:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[payload] = schema, before - reader.budget
    return schema


def _get_cubes(reader: Reader) -> tuple[CubeSchema, ...]:
    found = []
    identities = set()
    for _ in range(reader.varint(MOST_CUBES)):
        start = reader.at
        reader.plan(CUBE_COST)
        schema = _get_cube(reader)
        if schema.identity in identities:
            reader.refuse(f"a second cube {schema}", start)
        identities.add(schema.identity)
        found.append(schema)
    reader.end()
    return tuple(found)


def _put_cube(schema: CubeSchema, options: Options) -> bytes:
    parts = [put_text(schema.name), put_pairs(schema.shared), put_varint(len(schema.dimensions))]
    parts += [put_text(name) for name in schema.dimensions]
    parts.append(_put_metrics(schema.metrics))
    sampling = schema.sampling
    parts += [bytes([MODES.index(sampling.mode)]), put_varint(sampling.max_cells), bytes([sampling.overflow_cell])]
    if sampling.primary is not None:
        names = [metric.name for metric in schema.metrics]
        parts += [put_varint(names.index(sampling.primary)), put_sketch(sampling.mode, options)]
    return b"".join(parts)


def _get_cube(reader: Reader) -> CubeSchema:
    name, shared = get_name(reader), tuple(get_pairs(reader).items())
    start = reader.at
    dimensions = tuple(get_name(reader) for _ in range(reader.varint(cubes.MOST_DIMENSIONS)))
    if not dimensions or len(set(dimensions)) < len(dimensions) or set(dimensions) & {tag for tag, _ in shared}:
        reader.refuse("dimensions that are none, twice there, or shared tags as well", start)
    start = reader.at
    metrics = tuple(_get_metric(reader) for _ in range(reader.varint(MOST_METRICS)))
    if len({metric.name for metric in metrics}) < len(metrics):
        reader.refuse("two metrics of one name", start)
    return CubeSchema(name, shared, dimensions, metrics, _get_sampling(reader, metrics))


@functools.lru_cache(MOST_KNOWN)
def _put_metrics(metrics: tuple[MetricSchema, ...]) -> bytes:
    """Remembered as well: they are most of what there is to write before the cells."""
    return put_varint(len(metrics)) + b"".join(map(_put_metric, metrics))


def _put_metric(metric: MetricSchema) -> bytes:
    head = bytes([KINDS[metric.kind]]) + put_text(metric.name)
    if metric.kind == "counter":
        return head + bytes([metric.real])
    if metric.kind == "gauge":
        return head + bytes([RULES.index(metric.rule)])
    if metric.shape is not None:
        shape = metric.shape
        numbers = put_varint(shape.lowest) + put_varint(shape.highest)
        return head + numbers + struct.pack("<BBd", shape.digits or 0, shape.precision, shape.scale)
    return head + bytes([metric.precision, HASHES[metric.hash]])


def _get_metric(reader: Reader) -> MetricSchema:
    start = reader.at
    reader.plan(METRIC_COST)
    kind = reader.u8()
    name = get_name(reader)
    if kind == KINDS["counter"]:
        return MetricSchema(name, "counter", real=bool(reader.u8(1)))
    if kind == KINDS["gauge"]:
        return MetricSchema(name, "gauge", rule=RULES[reader.u8(len(RULES) - 1)])
    if kind == KINDS["histogram"]:
        return MetricSchema(name, "histogram", shape=_get_shape(reader))
    if kind == KINDS["hll"]:
        return _get_hll(reader, name)
    return reader.refuse(f"a metric of kind {kind}, which a newer version has", start)


def _get_shape(reader: Reader) -> cubes.Shape:
    start = reader.at
    lowest, highest = reader.varint(MOST_COUNT), reader.varint(MOST_COUNT)
    digits, precision, scale = reader.u8(), reader.u8(), reader.f64()
    try:
        shape = cubes.Shape(lowest, highest, scale=scale, **{"digits": digits} if digits else {"precision": precision})
    except ValueError as error:
        reader.refuse(f"no histogram: {error}", start)
    if shape.precision != precision:
        reader.refuse("digits and precision of a histogram contradict each other", start)
    return shape


def _get_hll(reader: Reader, name: str) -> MetricSchema:
    start = reader.at
    precision, number = reader.u8(), reader.u8()
    hash = next((text for text, known in HASHES.items() if known == number), None)
    if not 4 <= precision <= 18 or hash is None:
        reader.refuse("a HyperLogLog of a precision or a hash that there is not", start)
    return MetricSchema(name, "hll", precision=precision, hash=hash)


def _get_sampling(reader: Reader, metrics: tuple[MetricSchema, ...]) -> SamplingSchema:
    start = reader.at
    mode = MODES[reader.u8(len(MODES) - 1)]
    max_cells, overflow_cell = reader.varint(MOST_CELLS), bool(reader.u8(1))
    if max_cells < 1:
        reader.refuse("a cube for no cells", start)
    if mode == cubes.COMPREHENSIVE:
        return SamplingSchema(mode, max_cells, None, overflow_cell)
    start = reader.at
    place = reader.varint(MOST_METRICS)
    if place >= len(metrics) or not _ranks(mode, metrics[place]):
        reader.refuse("cells cannot be ranked by that metric", start)
    return SamplingSchema(mode, max_cells, metrics[place].name, overflow_cell, get_sketch(reader, mode))


def _ranks(mode: str, metric: MetricSchema) -> bool:
    """Whether cells can be ranked by a metric."""
    if mode == cubes.TOPK:
        return metric.kind == "counter" and not metric.real
    return metric.kind == "hll" and metric.precision >= SPREAD_PRECISION


def put_sketch(mode: str, options: Options) -> bytes:
    """The parameters of a sketch, as they stand in SCHEMA and again in front of its buckets."""
    depth, width = put_varint(options["depth"]), put_varint(options["width"])
    if mode == cubes.TOPK:
        return depth + width + struct.pack("<dQ", options["base"], options["seed"])
    return depth + width + struct.pack("<BQ", SPREAD_PRECISION, options["seed"])


def get_sketch(reader: Reader, mode: str) -> tuple[tuple[str, Any], ...]:
    """The same, read and planned."""
    start = reader.at
    depth, width = reader.varint(8), reader.varint(1 << 24)
    if not 1 <= depth * width <= 1 << 24:
        reader.refuse("a sketch of no or too many buckets", start)
    if mode == cubes.TOPK:
        base, seed = reader.f64(), reader.u64()
        if not (math.isfinite(base) and cubes.LEAST_BASE <= base <= cubes.MOST_BASE):
            reader.refuse("a base of decay that there is not", start)
        reader.plan(8 * depth * width, start)
        return (("base", base), ("depth", depth), ("seed", seed), ("width", width))
    if reader.u8() != SPREAD_PRECISION:
        reader.refuse("a precision of buckets that there is not", reader.at - 1)
    seed = reader.u64()
    reader.plan((9 + (1 << SPREAD_PRECISION)) * depth * width, start)
    return (("depth", depth), ("seed", seed), ("width", width))
