"""Targets of fuzz_kernels.py that feed the native cubes room: frames, payloads, sketches of elsewhere, keys, batches.

They know nothing of what is right. What is refused must be refused by an error that is documented; what is taken must
be good for all that is done with an instance.
"""
from __future__ import annotations

import json
import pickle
import random
import struct
from array import array
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from istat.cube import Cube, Instance, JsonExporter, Limits
from istat.cube.interchange import from_datasketches, from_ddsketch, from_hdr, to_datasketches, to_hdr
from istat.errors import CubeError
from istat.kernels import implementation

CUBES = implementation("native").cubes
REFUSALS = (ValueError, TypeError, OverflowError, CubeError)
LIMITS = Limits(max_memory=1 << 25)
VALUES = [None, 0, 1, True, -1, 2**63 - 1, -(2**63), 2**63, 2**64, 1.0, -0.0, float("inf"), float("nan"), "", "a", "\0",
          "\ud800", "日本", "x" * 4096, b"", b"\xff", b"y" * 5000, [], object()]
MANY = {"counter": "incrby_many", "gauge": "set_many", "histogram": "record_many", "hll": "add_many"}
NUMBERS = [0, 1, -1, 5, 1000, 2**31, 2**62, 2**63 - 1, -(2**63), 0.5, 1e308, -1e-300, float("inf")]


def tried(reached: Counter[str], name: str, function: Callable[..., Any], *args: Any) -> Any:
    """What the function gives, or None when it refuses; counted by this name."""
    try:
        answer = function(*args)
    except REFUSALS:
        reached[name + " refused"] += 1
        return None
    reached[name] += 1
    return answer


def damaged(rng: random.Random, data: bytes) -> bytes:
    """The bytes with one to three things changed."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(5)
        if what == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif what == 1 and at < len(out):
            out[at] = rng.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF])
        elif what == 2:
            del out[at:at + rng.randint(1, 9)]
        elif what == 3:
            out[at:at] = out[at:at + rng.randint(1, 30)]
        else:
            out[at:at] = rng.choice([b"\xff" * 9 + b"\x01", b"\x80\x80\x80\x08", bytes(8), rng.randbytes(3)])
    return bytes(out)


def sealed(frame: bytes) -> bytes:
    """With lengths and checksum made right, so that what is inside is looked at."""
    out = bytearray(frame)
    if len(out) >= 40:
        out[8:16] = struct.pack("<Q", len(out))
        if not out[6] & 1:
            out[16:24] = struct.pack("<Q", len(out) - 40)
        out[-8:] = struct.pack("<Q", CUBES.xxh64(bytes(out[:-8])))
    return bytes(out)


def instance(rng: random.Random) -> Instance:
    """One cube in a mode, with metrics of all kinds and of a few cells."""
    made = Instance("fuzz", delta=rng.random() < 0.5)
    cube = made.cube_create("c", ("a", "b")[:rng.randint(1, 2)], {"host": "h"} if rng.random() < 0.5 else None)
    cube.register_counter("n")
    cube.register_hll("u", precision=rng.choice([6, 8, 12]), hash=rng.choice(["xxh64", "xxh64", "datasketches"]))
    cube.register_hll("v", precision=4)
    if rng.random() < 0.7:
        cube.register_counter("r", dtype=float)
        cube.register_gauge("g", merge=rng.choice(["last", "sum", "max", "min"]))
        cube.register_histogram("h", 1, rng.choice([100, 10**6]), precision=rng.choice([0, 4, 7]))
    sample(rng, cube)
    fill(rng, cube, rng.randrange(40))
    return made


def sample(rng: random.Random, cube: Cube) -> None:
    """A mode, in which the cube is soon full."""
    mode = rng.choice(["comprehensive", "topk", "top_cardinality"])
    primary = {"topk": "n", "top_cardinality": "u"}.get(mode)
    options = {"width": rng.choice([1, 3, 20]), "depth": rng.choice([1, 3]), "seed": rng.getrandbits(64)}
    cube.set_sampling(mode, max_cells=rng.choice([1, 3, 10, 100]), primary=primary,
                      overflow_cell=rng.random() < 0.5, **(options if primary else {}))


def fill(rng: random.Random, cube: Cube, updates: int) -> None:
    """Sound updates."""
    for _ in range(updates):
        key = tuple(rng.choice([None, rng.randrange(12), "GET", b"x", 1.5]) for _ in cube.dimensions)
        for metric in cube.metrics:
            if metric.kind == "counter":
                metric.incrby(key, rng.choice([1, 3, 10**6]))
            elif metric.kind == "gauge":
                metric.set(key, rng.gauss(0, 9))
            elif metric.kind == "histogram":
                metric.record(key, rng.choice([-1, 0, 7, 10**7]), count=rng.choice([1, 2**33]))
            else:
                for item in range(rng.choice([0, 1, 5, 300])):
                    metric.add(key, item * rng.randrange(9))


def read_frames(rng: random.Random, reached: Counter[str]) -> None:
    """Frames, damaged; and all that is done with an instance that one of them made."""
    source = instance(rng)
    frame = source.serialize(compress=rng.random() < 0.2)
    broken = sealed(damaged(rng, frame)) if rng.random() < 0.9 else damaged(rng, frame)
    found = tried(reached, "frame", Instance.deserialize, broken, LIMITS)
    if found is not None:
        use(rng, reached, found, source)


def use(rng: random.Random, reached: Counter[str], found: Instance, other: Instance) -> None:
    """Read, write, update, merge and change an instance whose values may be anything."""
    for cube in found.cubes:
        for cell in cube.cells():
            for metric in cube.metrics:
                look_at(cell[metric])
        cube.stats()
        cube.core.memory()
        if cube.core.sampler is not None:
            cube.top(3)
    json.loads(JsonExporter(found).export_flat())
    again = found.serialize()
    assert Instance.deserialize(again).serialize() == again
    for one, two in ((found, Instance.deserialize(again)), (other, found), (Instance("sum"), found)):
        tried(reached, "merge", one.merge, two, True)
    for cube in found.cubes:
        fill(rng, cube, 5)
        sample_again = partial(sample, rng, cube) if {metric.name for metric in cube.metrics} >= {"n", "u"} else None
        if sample_again is not None and rng.random() < 0.5:
            tried(reached, "sample", sample_again)
        fill(rng, cube, 5)
    found.reset(keep_cells=rng.random() < 0.5)
    found.serialize()


def look_at(value: Any) -> None:
    """All figures of a value."""
    if hasattr(value, "percentile"):
        if value.count:
            value.percentiles([0, 50, 99.9, 100])
            value.cdf()
        assert value.mean is None or value.stdev is not None
    elif hasattr(value, "estimate"):
        value.estimate()
        value.packed()


def read_payloads(rng: random.Random, reached: Counter[str]) -> None:
    """One payload of a cube, damaged, into an empty core of its schema: gets further than frames do."""
    source = instance(rng)
    cube = source.cubes[0]
    wire = CUBES.wire
    parts = [wire.put_cells(cube.core), wire.put_totals(cube.core)]
    readers = [wire.get_cells, wire.get_totals]
    if cube.core.sampler is not None:
        parts.insert(1, wire.put_sketch(cube.core))
        readers.insert(1, wire.get_sketch)
    which = rng.randrange(len(parts))
    parts[which] = damaged(rng, parts[which])
    fork = source.fork()
    core = fork.cubes[0].core
    for part, get in zip(parts, readers):
        if tried(reached, "payload", get, core, part, 0, 1 << 25) is None:
            return
    use(rng, reached, fork, source)


def read_sketches(rng: random.Random, reached: Counter[str]) -> None:
    """Sketches and histograms of elsewhere, damaged."""
    hll = CUBES.HyperLogLog(rng.choice([4, 8, 12]), "datasketches")
    hll.add_many(list(range(rng.choice([0, 3, 200, 3000]))))
    histogram = CUBES.Histogram(CUBES.Shape(1, 10**6, digits=2))
    histogram.record_many([rng.randrange(10**7) for _ in range(rng.randrange(50))])
    image, hdr = to_datasketches(hll), to_hdr(histogram, compress=False)
    dd = bytes([0x0A, 9, 9]) + struct.pack("<d", 1.02) + rng.randbytes(40)
    for name, read, data in (("datasketches", from_datasketches, image), ("hdr", from_hdr, hdr),
                             ("ddsketch", lambda found: from_ddsketch(found, histogram.shape), dd)):
        found = tried(reached, name, read, damaged(rng, data))
        if found is not None:
            look_at(getattr(found, "value", found))
    packed, entries = hll.packed(), [rng.getrandbits(rng.choice([6, 20, 32, 33])) for _ in range(rng.randrange(5))]
    for made in (tried(reached, "packed", CUBES.hll_from_packed, damaged(rng, packed), hll.precision, hll.hash),
                 tried(reached, "entries", CUBES.hll_from_entries, entries, hll.precision, hll.hash)):
        if made is not None:
            look_at(made)
            tried(reached, "merge of sketches", hll.merge, pickle.loads(pickle.dumps(made)), True)
    parts = list(histogram.parts() or (0, [1], 5, 25, 5, 5, 0, 0))
    parts[rng.randrange(8)] = rng.choice([0, 1, -1, 2**64, -(2**70), [], [0], [2**63], [1, 2], None])
    made = tried(reached, "parts", CUBES.histogram_from_parts, histogram.shape, tuple(parts))
    if made is not None:
        look_at(made)


def make_keys(rng: random.Random, reached: Counter[str]) -> None:
    """Keys of any values, and of any bytes."""
    for _ in range(20):
        values = tuple(rng.choices(VALUES, k=rng.randrange(5)))
        key = tried(reached, "encoded", CUBES.encoded, values)
        data = damaged(rng, key) if key else rng.randbytes(rng.randrange(20))
        again = tried(reached, "decoded", CUBES.decoded, data, rng.randrange(4))
        if again is not None:
            assert CUBES.encoded(again) == data


def column(rng: random.Random, rows: int) -> Any:
    """A column of a batch, or what is none."""
    numbers = [rng.choice([0, 1, 5, 2**31 - 1]) for _ in range(rows)]
    kind = rng.randrange(10)
    if kind == 0:
        return rng.choice(VALUES)
    if kind == 1:
        return rng.choices(VALUES[:16] if rng.random() < 0.7 else VALUES, k=rows)
    if kind == 2:
        return array(rng.choice("iIlLqQdf"), numbers if rng.random() < 0.9 else numbers[:-1]) if rows else array("q")
    if kind == 3:
        return memoryview(rng.randbytes(8 * rows)).cast(rng.choice("qdQ"))
    if kind == 4:
        return memoryview(rng.randbytes(16 * rows)).cast("q")[::2]
    if kind == 5:                       # offsets and bytes
        offsets = sorted(rng.choice([0, 3, 20, 20, 40]) for _ in range(rows + 1))
        if rng.random() < 0.3 and offsets:
            offsets[rng.randrange(len(offsets))] = rng.choice([-1, 41, 2**31 - 1])
        return array(rng.choice("iq"), offsets), rng.randbytes(40)
    if kind == 6:                       # codes and values
        codes = [rng.randrange(4) if rng.random() < 0.98 else rng.choice([4, -1, 2**31 - 1]) for _ in range(rows)]
        return array("i", codes), ["GET", b"x", None, rng.choice(VALUES)]
    if kind == 7:
        return rng.choice([{}, iter([1]), memoryview(b""), "text", array("u", "ab"), ([], []), ((), b"")])
    return [rng.choice(["GET", "PUT", 3, None]) for _ in range(rows)]


def feed_batches(rng: random.Random, reached: Counter[str]) -> None:
    """Batches of any columns and any values."""
    made = instance(rng)
    cube = made.cubes[0]
    rows = rng.choice([0, 1, 2, 50])
    columns = {name: column(rng, rows) for name in cube.dimensions}
    values = {metric: column(rng, rows) if rng.random() < 0.3 else batch(rng, metric.kind, rows)
              for metric in rng.sample(cube.metrics, rng.randint(1, len(cube.metrics)))}
    tried(reached, "update", cube.update, columns, values)
    batched = tried(reached, "rows", cube.rows, columns)
    if batched is None:
        return
    fill(rng, cube, 3)
    for metric, given in values.items():
        tried(reached, MANY[metric.kind], getattr(metric, MANY[metric.kind]), batched, given)
    found = Instance.deserialize(made.serialize())
    assert found.serialize() == Instance.deserialize(found.serialize()).serialize()


def batch(rng: random.Random, kind: str, rows: int) -> Any:
    """Sound values for a metric, for the most part."""
    if kind == "hll":
        return rng.choice([7, "x", array("q", range(rows)), [b"a"] * rows])
    whole = [rng.choice(NUMBERS[:9]) if rng.random() < 0.1 else rng.randrange(1000) for _ in range(rows)]
    return rng.choice([3, 2.5, array("q", whole), [rng.choice(NUMBERS) for _ in range(rows)], whole])


TARGETS = (read_frames, read_payloads, read_sketches, make_keys, feed_batches)
