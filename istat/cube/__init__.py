"""Counting by several dimensions inside a program: cubes of cells, added up without error over programs."""

from istat.cube.cube import Cube, Sampling
from istat.cube.easy import Collector, Easy, FolderSink, LinesSink
from istat.cube.export.flat import JsonExporter
from istat.cube.export.lines import LinesExporter
from istat.cube.export.prometheus import PrometheusExporter
from istat.cube.instance import Instance
from istat.cube.limits import Limits
from istat.cube.reading import CellView, Row, Rows, Stats, Totals
from istat.errors import ConcurrentUse, CubeError, DuplicateName, FormatError, KeyTooLong, SchemaMismatch
from istat.kernels import cubes

Cell, KeyBatch = cubes.Cell, cubes.KeyBatch
Histogram, HyperLogLog, Shape = cubes.Histogram, cubes.HyperLogLog, cubes.Shape

__all__ = [
    "Cell", "CellView", "Collector", "ConcurrentUse", "Cube", "CubeError", "DuplicateName", "Easy", "FolderSink",
    "FormatError", "Histogram", "HyperLogLog", "Instance", "JsonExporter", "KeyBatch", "KeyTooLong", "Limits",
    "LinesExporter", "LinesSink", "PrometheusExporter", "Row", "Rows", "Sampling", "SchemaMismatch", "Shape", "Stats",
    "Totals",
]  # fmt: skip
