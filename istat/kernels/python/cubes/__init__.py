"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""

from istat.kernels.python.cubes import wire
from istat.kernels.python.cubes.admission import COMPREHENSIVE, DEFAULT_CELLS, MODES, TOP_CARDINALITY, TOPK
from istat.kernels.python.cubes.cells import LATE, NOT_FOUND, OVERFLOW, REFUSED, TOUCHED, Cell, Guard, KeyBatch
from istat.kernels.python.cubes.core import Core, any_updates, merge_alike, reset_all
from istat.kernels.python.cubes.hashing import hash_item, hashed, xxh64
from istat.kernels.python.cubes.histogram import Histogram
from istat.kernels.python.cubes.histogram import from_parts as histogram_from_parts
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.hll import from_entries as hll_from_entries
from istat.kernels.python.cubes.hll import from_packed as hll_from_packed
from istat.kernels.python.cubes.keys import KEY_ROOM, MOST_DIMENSIONS, Value, decoded, encoded
from istat.kernels.python.cubes.metrics import RULES, CounterMetric, GaugeMetric, Metric
from istat.kernels.python.cubes.sampling.heavykeeper import LEAST_BASE, MOST_BASE
from istat.kernels.python.cubes.shapes import Shape
from istat.kernels.python.cubes.sketched import HistogramMetric, HllMetric
from istat.kernels.python.cubes.slots import Slot, Slots, Write
from istat.kernels.python.cubes.text import HISTOGRAMS, HLLS, FlatText

__all__ = [
    "COMPREHENSIVE", "DEFAULT_CELLS", "HISTOGRAMS", "HLLS", "KEY_ROOM", "LATE", "LEAST_BASE", "MODES", "MOST_BASE",
    "MOST_DIMENSIONS", "NOT_FOUND", "OVERFLOW", "REFUSED", "RULES", "TOPK", "TOP_CARDINALITY", "TOUCHED", "Cell",
    "Core", "CounterMetric", "FlatText", "GaugeMetric", "Guard", "Histogram", "HistogramMetric", "HllMetric",
    "HyperLogLog", "KeyBatch", "Metric", "Shape", "Slot", "Slots", "Value", "Write", "any_updates", "decoded",
    "encoded", "hash_item", "hashed", "histogram_from_parts", "hll_from_entries", "hll_from_packed", "merge_alike",
    "reset_all", "wire", "xxh64",
]  # fmt: skip
