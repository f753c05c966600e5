"""Instances of which frames are made, and all that a reader must find in one as plain values.

`python -m tests.cube.frames.examples FOLDER` writes fixtures of a new version of the format: frames, and beside each a
JSON that says what is in it. Those of older versions stay as they are.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from istat.cube import Cube, Instance

T0 = 1_764_450_000_000_000_000  # [ns]
SECOND = 1_000_000_000


def instance(name: str, number: int, delta: bool = True) -> Instance:
    """An empty one whose identity and times are known."""
    made = Instance(name, tags={"dc": "ams", "pod": "über"}, delta=delta)
    made.identify(bytes([number]) * 16, bytes(range(16)))
    made.sequence, made.tick, made.t0, made.t1 = number, T0 + 10 * SECOND, T0, T0 + 10 * SECOND
    return made


def empty() -> Instance:
    """No cubes."""
    made = Instance("nothing")
    made.identify(bytes(16), bytes(16))
    made.tick = made.t0 = made.t1 = 0
    return made


def uncounted() -> Instance:
    """Cubes in which nothing was counted: of one name, told apart by a tag."""
    made = instance("uncounted", 1, delta=False)
    for host in ("web1", "web2"):
        cube = made.cube_create("http", ("method",), {"host": host})
        cube.register_counter("requests")
        cube.register_histogram("latency", 1, 60_000_000, digits=2)
    made.cube_create("bare", ("a", "b", "c"))
    return made


def kinds() -> Instance:
    """A metric of each kind and parameter."""
    made = instance("kinds", 2)
    cube = made.cube_create("http", ("method", "status"), {"host": "web1", "class": "frontend"})
    register(cube)
    for number, key in enumerate((m, s) for m in ("GET", "PUT", "POST") for s in (200, 404)):
        count(cube, key, number)
    return made


def register(cube: Cube) -> None:
    """One of each, and of some a few."""
    cube.register_counter("requests")
    cube.register_counter("seconds", dtype=float)
    for rule in ("last", "sum", "max", "min"):
        cube.register_gauge(f"open_{rule}", merge=rule)
    cube.register_histogram("latency", 1, 100_000, precision=4)
    cube.register_histogram("size", 1000, 10**9, digits=2)
    cube.register_histogram("fraction", 1, 1000, precision=2, scale=100.0)
    cube.register_hll("clients", precision=8)
    cube.register_hll("users", precision=4)
    cube.register_hll("foreign", precision=8, hash="datasketches")


def count(cube: Cube, key: tuple[Any, ...], number: int) -> None:
    """Some of everything in a cell; the more, the higher the number."""
    of = cube.metric
    of("requests").incrby(key, 1000**number)
    of("seconds").incrby(key, 0.1 * number)
    for rule in ("last", "sum", "max", "min")[: number + 1]:
        of(f"open_{rule}").set(key, number - 1.5)
    for value in (-5, 0, 31, 32, 33, 34, 63, 64, 1000, 100_000, 100_001)[: 2 * number]:
        of("latency").record(key, value, count=number)
        of("size").record(key, value * 1000)
        of("fraction").record(key, value / 7)
    for item in range([0, 1, 5, 32, 33, 400][number]):
        of("clients").add(key, item)
        of("users").add(key, str(item))
        of("foreign").add(key, item.to_bytes(2, "big"))


def refused() -> Instance:
    """A cube for three cells, to which five came; the others' sketches are in its overflow cell."""
    made = instance("refused", 3, delta=False)
    cube = made.cube_create("small", ("n",))
    register(cube)
    cube.set_sampling("comprehensive", max_cells=3, overflow_cell=True)
    for number in range(1, 6):
        count(cube, (number,), number)
    return made


def keys() -> Instance:
    """Cells of all sorts of values."""
    made = instance("keys", 4)
    cube = made.cube_create("odd", ("a", "b"))
    counter = cube.register_counter("n")
    values: list[Any] = [
        None, 0, 1, True, -1, 2**63 - 1, -(2**63), 1.0, 0.0, -0.0, math.inf, -math.inf, 5e-324, "", "a", "\0\n\x7f",
        "日本語🂡", "x" * 127, "y" * 128, b"", b"\0\xff", b"a",
    ]  # fmt: skip
    for value in values:
        counter.incrby((value, "b"))
    counter.incrby(("z" * 2000, b"z" * 2090))
    counter.incrby((None, None))
    return made


def extremes() -> Instance:
    """Values at their limits."""
    made = instance("extremes", 255)
    made.sequence, made.tick, made.t0 = 2**64 - 1, 2**63 - 1, -(2**63)
    cube = made.cube_create("limits", ("n",))
    counter, real = cube.register_counter("n"), cube.register_counter("r", dtype=float)
    gauge = cube.register_gauge("g")
    histogram = cube.register_histogram("h", 1, 2**63 - 1, precision=0)
    hll = cube.register_hll("u", precision=5)
    for number, value in enumerate((2**63 - 1, -(2**63), 2**63 - 1, 0)):
        counter.incrby((number,), value)
    counter.incrby((0,), 5)
    for number, value in enumerate((1.7976931348623157e308, -1.7976931348623157e308, 5e-324, -0.0)):
        real.incrby((number,), value)
    for number, value in enumerate((math.inf, -math.inf, -0.0, 1e-300)):
        made.tick = (2**63 - 1, -(2**63), 0, 1)[number]
        gauge.set((number,), value)
    histogram.record((0,), 2**63 - 1, count=2**61)
    histogram.record((0,), -(2**63), count=2**61 - 1)
    histogram.record((1,), 0, count=2**32)
    histogram.record((1,), 1)
    hll.add((0,), 2**64 - 1)
    return made


def kept() -> Instance:
    """Cells that a reset kept: one of them was updated since."""
    made = kinds()
    t1 = made.t1
    made.reset(keep_cells=True)
    made.t0, made.t1 = t1, t1 + SECOND
    count(made.cube("http"), ("PUT", 404), 3)
    return made


def topk() -> Instance:
    """More keys than cells: the smaller ones are in the sketch, evicted cells' distributions in the overflow cell."""
    made = instance("topk", 6)
    cube = made.cube_create("paths", ("path",))
    register(cube)
    cube.set_sampling("topk", max_cells=4, primary="requests", overflow_cell=True, width=5, depth=2, base=1.25, seed=9)
    for number in range(40):
        key = (f"/{number * number % 23}",)
        cube.metric("requests").incrby(key, 1 + number % 7)
        cube.metric("latency").record(key, number)
        cube.metric("clients").add(key, number)
    return made


def cardinality() -> Instance:
    """The same by distinct items."""
    made = instance("cardinality", 7, delta=False)
    cube = made.cube_create("sources", ("source",))
    cube.register_counter("packets")
    cube.register_hll("ports", precision=8)
    cube.set_sampling("top_cardinality", max_cells=3, primary="ports", width=4, depth=2, seed=2**64 - 1)
    for number in range(400):
        key = (number * number % 13,)
        cube.metric("ports").add(key, number)
        cube.metric("packets").incrby(key)
    return made


EXAMPLES: dict[str, Callable[[], Instance]] = {
    "empty": empty, "uncounted": uncounted, "kinds": kinds, "refused": refused, "keys": keys, "extremes": extremes,
    "kept": kept, "topk": topk, "cardinality": cardinality,
}  # fmt: skip


# What a reader must find.

# Those of a cube's figures that stand in its frame; others are estimates, and readers may have other estimators.
STATS = ("cells", "max_cells", "rejected", "admitted_late", "evicted", "saturated", "sketch_merge_skipped")


def described(found: Instance) -> dict[str, Any]:
    """All that an instance holds, as values that JSON has."""
    return {
        "meta": {
            "name": found.name, "instance_id": found.id.hex(), "boot_id": found.boot_id.hex(), "delta": found.delta,
            "sequence": found.sequence, "tick": found.tick, "t0": found.t0, "t1": found.t1, "tags": found.tags,
        },
        "cubes": [_cube(cube) for cube in found.cubes],
    }  # fmt: skip


def _cube(cube: Cube) -> dict[str, Any]:
    core, sampling = cube.core, cube.schema.sampling
    kept = core.overflow_slot
    stats = core.stats()
    return {
        "name": cube.name, "shared": cube.shared, "dimensions": list(cube.dimensions),
        "metrics": [_metric(metric) for metric in cube.schema.metrics],
        "sampling": {"mode": sampling.mode, "max_cells": sampling.max_cells, "primary": sampling.primary,
                     "overflow_cell": sampling.overflow_cell, **dict(sampling.options)},
        "cells": [_cell(core, slot) for slot in core.slots(True)],
        "overflow": _sketches(core, kept) if kept >= 0 else None,
        "totals": {metric.name: _value(metric.total) for metric in core.metrics if metric.kind != "gauge"},
        "stats": {name: stats[name] for name in STATS},
    }  # fmt: skip


def _metric(schema: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "counter": {"real": schema.real}, "gauge": {"rule": schema.rule},
        "hll": {"precision": schema.precision, "hash": schema.hash}, "histogram": {},
    }[schema.kind]  # fmt: skip
    if schema.shape is not None:
        names = ("lowest", "highest", "precision", "digits", "scale", "slots")
        parameters = {name: getattr(schema.shape, name) for name in names}
    return {"name": schema.name, "kind": schema.kind, **parameters}


def _cell(core: Any, slot: int) -> dict[str, Any]:
    values: dict[str, Any] = _sketches(core, slot)
    for metric in core.metrics:
        if metric.kind == "counter":
            values[metric.name] = _number(metric.value(slot))
        elif metric.kind == "gauge" and metric.is_set(slot):
            tick, origin = metric.stamp(slot)
            values[metric.name] = {"value": _number(metric.value(slot)), "tick": tick, "origin": origin}
    return {
        "key": [_dimension(value) for value in core.key(slot)], "late": bool(core.marks(slot) & 1),
        "touched": bool(core.marks(slot) & 2), "inherited": core.inherited(slot), "floor": core.floor(slot),
        "values": values,
    }  # fmt: skip


def _sketches(core: Any, slot: int) -> dict[str, Any]:
    return {metric.name: _value(metric.value(slot)) for metric in core.metrics if metric.kind in ("histogram", "hll")}


def _value(value: Any) -> Any:
    """A counter, or what there is in a histogram or a HyperLogLog."""
    if isinstance(value, (int, float)):
        return _number(value)
    if hasattr(value, "packed"):
        return {"form": value.form, "registers": value.packed().hex()} if value.form != "sparse" else {
            "form": value.form, "entries": value.entries()}
    if value.parts() is None:
        return None
    first, counts, total, squares, low, high, underflow, overflow = value.parts()
    slots = {str(first + i): count for i, count in enumerate(counts) if count}
    return {"slots": slots, "sum": total, "squares": squares, "min": low, "max": high,
            "underflow": underflow, "overflow": overflow}


def _number(value: float) -> Any:
    """JSON has no infinity, and many a reader of it no -0.0."""
    return value if math.isfinite(value) and str(value) != "-0.0" else {"float": str(value)}


def _dimension(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    return _number(value) if isinstance(value, float) else value


def main(folder: Path) -> None:
    """Write each example, one of them compressed as well."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in EXAMPLES.items():
        made = make()
        text = json.dumps(described(made), ensure_ascii=False).replace('{"key"', '\n{"key"') + "\n"
        frames = {name: made.serialize()}
        if name == "kinds":
            frames["kinds-compressed"] = made.serialize(compress=True)
        for stem, frame in frames.items():
            (folder / f"{stem}.cube").write_bytes(frame)
            (folder / f"{stem}.json").write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
