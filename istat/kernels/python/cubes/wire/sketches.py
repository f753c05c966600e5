"""The sketch of a cube that keeps the top cells as bytes, and back. The specification.

docs/formats/cube.md has the format (TOPK and SPREAD). Whoever calls holds the guard. A sketch is read into one of the
same parameters, after its cells.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Any

from istat.kernels.python.cubes.core import Core
from istat.kernels.python.cubes.sampling.heavykeeper import LARGEST, HeavyKeeper, TopK
from istat.kernels.python.cubes.sampling.spread import PRECISION, REGISTERS, SEEN, SpreadSketch
from istat.kernels.python.reading import EMPTY_BUCKET, MOST_COUNT, OTHER_SKETCH, PAST_END, TOO_LARGE, Reader
from istat.kernels.python.varints import put_varint

MOST_LEVEL = 65  # of a bucket
MOST_RANK, MOST_COUPON, MOST_SEEN = 64 - PRECISION + 1, 63, 64 - 10 + 1  # of registers, and of those of pairs
#: What sums of weights and of updates stay below: they are halved before.
MOST_WEIGHT = (1 << 62) - 1


def sketch_options(core: Core) -> dict[str, Any]:
    """The parameters of a cube's sketch, by the names that `Core.sample` has for them; none if it has no sketch."""
    sampler = core.sampler
    if sampler is None:
        return {}
    sketch = sampler.sketch
    base = {"base": sketch.base} if isinstance(sketch, HeavyKeeper) else {}
    return base | {"depth": sketch.depth, "seed": sketch.seed, "width": sketch.width}


def put_sketch(core: Core) -> bytes:
    """The payload of TOPK or SPREAD."""
    sampler = core.sampler
    buckets = _put_counts(sampler.sketch) if isinstance(sampler, TopK) else _put_spread(sampler.sketch)
    return put_varint(sampler.skipped) + buckets


def get_sketch(core: Core, payload: bytes | memoryview, base: int, budget: int) -> int:
    """Read a sketch; the budget that is left. FormatError, with `base` added to its offset."""
    reader = Reader(payload, base, budget)
    core.sampler.skipped = reader.varint(MOST_COUNT)
    if isinstance(core.sampler, TopK):
        _get_counts(reader, core.sampler.sketch)
    else:
        _get_spread(reader, core.sampler.sketch)
    return reader.budget


def _put_counts(sketch: HeavyKeeper) -> bytes:
    parts = [put_varint(sketch.depth), put_varint(sketch.width), struct.pack("<dQ", sketch.base, sketch.seed)]
    parts += [put_varint(sketch.weight), put_varint(sketch.updates)]
    empty = 0
    for bucket in sketch.buckets:
        if bucket == 0:
            empty += 1
            continue
        parts += [put_varint(empty), struct.pack("<Q", bucket)]
        empty = 0
    return b"".join(parts)


def _get_counts(reader: Reader, sketch: HeavyKeeper) -> None:
    start = reader.at
    if (reader.varint(), reader.varint(), reader.f64(), reader.u64()) != (
            sketch.depth, sketch.width, sketch.base, sketch.seed):
        reader.refuse(OTHER_SKETCH, start)
    weight, updates = reader.varint(MOST_WEIGHT), reader.varint(MOST_WEIGHT)
    buckets = [0] * (sketch.depth * sketch.width)
    for at in _places(reader, len(buckets)):
        buckets[at] = reader.u64()
        if not buckets[at] & LARGEST:
            reader.refuse(EMPTY_BUCKET, reader.at - 8)
    sketch.load(buckets, weight, updates)


def _places(reader: Reader, size: int) -> Iterator[int]:
    """Of the buckets that follow, each behind the number of empty ones before it."""
    at = 0
    while reader.left():
        start = reader.at
        at += reader.varint()
        if at >= size:
            reader.refuse(PAST_END, start)
        yield at
        at += 1


def _put_spread(sketch: SpreadSketch) -> bytes:
    parts = [put_varint(sketch.depth), put_varint(sketch.width), struct.pack("<BQ", PRECISION, sketch.seed)]
    parts.append(_packed(sketch.seen))
    empty = 0
    for at, level in enumerate(sketch.levels):
        registers = sketch.registers[at * REGISTERS : (at + 1) * REGISTERS]
        if not level and not any(registers):
            empty += 1
            continue
        parts += [put_varint(empty), struct.pack("<BQ", level, sketch.candidates[at]), _packed(registers)]
        empty = 0
    return b"".join(parts)


def _get_spread(reader: Reader, sketch: SpreadSketch) -> None:
    start = reader.at
    if (reader.varint(), reader.varint(), reader.u8(), reader.u64()) != (
            sketch.depth, sketch.width, PRECISION, sketch.seed):
        reader.refuse(OTHER_SKETCH, start)
    seen = _unpacked(reader, SEEN, MOST_SEEN)
    buckets = sketch.depth * sketch.width
    levels, candidates, registers = bytearray(buckets), [0] * buckets, bytearray(REGISTERS * buckets)
    for at in _places(reader, buckets):
        start = reader.at
        levels[at], candidates[at] = reader.u8(MOST_LEVEL), reader.u64()
        ranks = _unpacked(reader, REGISTERS, MOST_COUPON if sketch.coupons else MOST_RANK)
        if not levels[at] and (candidates[at] or not any(ranks)):
            reader.refuse(EMPTY_BUCKET, start)
        registers[at * REGISTERS : (at + 1) * REGISTERS] = ranks
    sketch.load(bytes(levels), candidates, bytes(registers), seen)


def _packed(registers: Iterable[int]) -> bytes:
    """Registers at six bits each, as those of a HyperLogLog."""
    ranks = list(registers)
    words = [a | b << 6 | c << 12 | d << 18 for a, b, c, d in zip(*(ranks[i::4] for i in range(4)))]
    return b"".join(word.to_bytes(3, "little") for word in words)


def _unpacked(reader: Reader, n: int, most: int) -> bytes:
    """So many registers, none above `most`."""
    start = reader.at
    packed = reader.take(3 * n // 4)
    words = [int.from_bytes(packed[at : at + 3], "little") for at in range(0, len(packed), 3)]
    ranks = bytes(word >> shift & 63 for word in words for shift in (0, 6, 12, 18))
    if max(ranks) > most:
        reader.refuse(TOO_LARGE, start)
    return ranks
