"""Counting by several dimensions inside a program: cubes of cells, added up without error over programs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from istat.cube.cube import Cube, Sampling
from istat.cube.instance import Instance
from istat.cube.limits import Limits
from istat.cube.reading import CellView, Row, Rows, Stats, Totals
from istat.errors import ConcurrentUse, CubeError, DuplicateName, FormatError, KeyTooLong, SchemaMismatch
from istat.kernels import cubes

if TYPE_CHECKING:
    from istat.cube.easy import Collector, Easy, FolderSink, LinesSink
    from istat.cube.export.flat import JsonExporter
    from istat.cube.export.lines import LinesExporter
    from istat.cube.export.prometheus import PrometheusExporter

Cell, KeyBatch = cubes.Cell, cubes.KeyBatch
Histogram, HyperLogLog, Shape = cubes.Histogram, cubes.HyperLogLog, cubes.Shape

__all__ = [
    "Cell", "CellView", "Collector", "ConcurrentUse", "Cube", "CubeError", "DuplicateName", "Easy", "FolderSink",
    "FormatError", "Histogram", "HyperLogLog", "Instance", "JsonExporter", "KeyBatch", "KeyTooLong", "Limits",
    "LinesExporter", "LinesSink", "PrometheusExporter", "Row", "Rows", "Sampling", "SchemaMismatch", "Shape", "Stats",
    "Totals",
]  # fmt: skip

#: Where that stands which is imported when it is first asked for: who only counts does not wait for it.
LATER = {
    "Collector": "easy", "Easy": "easy", "FolderSink": "easy", "JsonExporter": "export.flat",
    "LinesExporter": "export.lines", "LinesSink": "easy", "PrometheusExporter": "export.prometheus",
}  # fmt: skip


def __getattr__(name: str) -> object:
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found = getattr(importlib.import_module(f"{__name__}.{LATER[name]}"), name)
    return found
