"""Rows of what leaves a program and comes into one: flat JSON beside orjson, and frames."""

from __future__ import annotations

import functools
from typing import Any

from bench.cubes.instances import COUNTERS, counted, exported
from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size, timed
from istat.cube import Instance, JsonExporter

ORJSON, JSON = "orjson", "json"


def flat(per: int) -> Side:
    """Figure for each cell, divided by `per`."""

    def side(size: Size) -> Sample:
        exporter = JsonExporter(exported(size.exported, size.cells))
        return timed(size.exported * size.cells * per, lambda: exporter.export_flat_bytes)

    return side


def objects(size: Size) -> Any:
    """The same cells as objects that are ready to be written."""
    import orjson

    return orjson.loads(JsonExporter(exported(size.exported, size.cells)).export_flat_bytes())


def by_orjson(per: int) -> Side:
    def side(size: Size) -> Sample:
        import orjson

        held = objects(size)
        return timed(size.exported * size.cells * per, lambda: functools.partial(orjson.dumps, held))

    return side


def by_json(size: Size) -> Sample:
    import json

    held = objects(size)
    return timed(size.exported * size.cells, lambda: functools.partial(json.dumps, held))


def serialized(size: Size) -> Sample:
    inst = counted(size.cells, COUNTERS)

    def frames() -> None:
        for _ in range(size.turns):
            inst.serialize()

    return timed(size.cells * size.turns, lambda: frames)


def loaded(size: Size) -> Sample:
    """From bytes into an instance that has the same cells."""
    target = counted(size.cells, COUNTERS)
    frame = target.serialize()

    def merges() -> None:
        for _ in range(size.turns):
            target.merge_bytes(frame)

    return timed(size.cells * size.turns, lambda: merges)


def deserialized(size: Size) -> Sample:
    frame = counted(size.cells, COUNTERS).serialize()

    def loads() -> None:
        for _ in range(size.turns):
            Instance.deserialize(frame)

    return timed(size.cells * size.turns, lambda: loads)


ROWS = (
    Row("export", "flat JSON, each value of cells of 10 counters",
        {OURS: flat(COUNTERS), ORJSON: by_orjson(COUNTERS)}, (Goal(60),)),
    Row("export-cell", "flat JSON, a whole cell of 10 counters", {OURS: flat(1), ORJSON: by_orjson(1), JSON: by_json},
        (Goal(600), Goal(1, ORJSON))),
    Row("serialize", "serialize a cell of 10 counters", {OURS: serialized}, (Goal(60),)),
    Row("load", "load and merge a cell of 10 counters", {OURS: loaded}, (Goal(120),)),
    Row("deserialize", "a new instance from bytes, a cell of 10 counters", {OURS: deserialized}),
)  # fmt: skip
