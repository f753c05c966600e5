"""The sketch of a cube that keeps the top cells as bytes, and back. The specification.

docs/formats/cube.md has the format (TOPK and SPREAD). Whoever calls holds the guard. A sketch is read into one of the
same parameters, after its cells.
"""

from __future__ import annotations

import struct
from typing import Any

from istat.kernels.python.cubes.core import Core
from istat.kernels.python.cubes.sampling.heavykeeper import LARGEST, HeavyKeeper, TopK
from istat.kernels.python.cubes.wire.reading import EMPTY_BUCKET, OTHER_SKETCH, PAST_END, Reader
from istat.kernels.python.varints import put_varint

#: What sums of weights and of updates stay below: they are halved before.
MOST_WEIGHT = (1 << 62) - 1


def sketch_options(core: Core) -> dict[str, Any]:
    """The parameters of a cube's sketch, by the names that `Core.sample` has for them; none if it has no sketch."""
    sampler = core.sampler
    if isinstance(sampler, TopK):
        sketch = sampler.sketch
        return {"depth": sketch.depth, "width": sketch.width, "base": sketch.base, "seed": sketch.seed}
    return {}


def put_sketch(core: Core) -> bytes:
    """The payload of TOPK or SPREAD."""
    assert isinstance(core.sampler, TopK)
    return _put_buckets(core.sampler.sketch)


def get_sketch(core: Core, payload: bytes | memoryview, base: int, budget: int) -> int:
    """Read a sketch; the budget that is left. FormatError, with `base` added to its offset."""
    reader = Reader(payload, base, budget)
    assert isinstance(core.sampler, TopK)
    _get_buckets(reader, core.sampler.sketch)
    return reader.budget


def _put_buckets(sketch: HeavyKeeper) -> bytes:
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


def _get_buckets(reader: Reader, sketch: HeavyKeeper) -> None:
    if (reader.varint(), reader.varint(), reader.f64(), reader.u64()) != (
            sketch.depth, sketch.width, sketch.base, sketch.seed):
        reader.refuse(OTHER_SKETCH, 0)
    weight, updates = reader.varint(MOST_WEIGHT), reader.varint(MOST_WEIGHT)
    buckets = [0] * (sketch.depth * sketch.width)
    at = 0
    while reader.left():
        start = reader.at
        at += reader.varint()
        if at >= len(buckets):
            reader.refuse(PAST_END, start)
        buckets[at] = reader.u64()
        if not buckets[at] & LARGEST:
            reader.refuse(EMPTY_BUCKET, reader.at - 8)
        at += 1
    sketch.load(buckets, weight, updates)
