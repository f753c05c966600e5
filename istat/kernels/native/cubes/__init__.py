"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""

from istat.kernels.native.cubes import wire
from istat.kernels.native.cubes.admission import COMPREHENSIVE, DEFAULT_CELLS, MODES, TOP_CARDINALITY, TOPK
from istat.kernels.native.cubes.cells import LATE, NOT_FOUND, OVERFLOW, REFUSED, TOUCHED, Cell, Guard
from istat.kernels.native.cubes.core import Core
from istat.kernels.native.cubes.hashing import hash_item, hashed
from istat.kernels.native.cubes.hashing import xxh64_digest as xxh64
from istat.kernels.native.cubes.inner.distribution import Histogram
from istat.kernels.native.cubes.inner.distribution import from_parts as histogram_from_parts
from istat.kernels.native.cubes.inner.hyperloglog import HyperLogLog
from istat.kernels.native.cubes.inner.hyperloglog import from_entries as hll_from_entries
from istat.kernels.native.cubes.inner.hyperloglog import from_packed as hll_from_packed
from istat.kernels.native.cubes.inner.instances import any_updates, merge_alike, reset_all
from istat.kernels.native.cubes.inner.metric import Metric
from istat.kernels.native.cubes.inner.rows import KeyBatch
from istat.kernels.native.cubes.keys import KEY_ROOM, MOST_DIMENSIONS, Value, decoded, encoded
from istat.kernels.native.cubes.metrics import RULES, CounterMetric, GaugeMetric
from istat.kernels.native.cubes.sampling.heavykeeper import LEAST_BASE, MOST_BASE
from istat.kernels.native.cubes.shapes import Shape
from istat.kernels.native.cubes.sketched import HistogramMetric, HllMetric
from istat.kernels.native.cubes.slots import Slot, Slots, Write
from istat.kernels.native.cubes.text import HISTOGRAMS, HLLS, FlatText

__all__ = [
    "COMPREHENSIVE", "DEFAULT_CELLS", "HISTOGRAMS", "HLLS", "KEY_ROOM", "LATE", "LEAST_BASE", "MODES", "MOST_BASE",
    "MOST_DIMENSIONS", "NOT_FOUND", "OVERFLOW", "REFUSED", "RULES", "TOPK", "TOP_CARDINALITY", "TOUCHED", "Cell",
    "Core", "CounterMetric", "FlatText", "GaugeMetric", "Guard", "Histogram", "HistogramMetric", "HllMetric",
    "HyperLogLog", "KeyBatch", "Metric", "Shape", "Slot", "Slots", "Value", "Write", "any_updates", "decoded",
    "encoded", "hash_item", "hashed", "histogram_from_parts", "hll_from_entries", "hll_from_packed", "merge_alike",
    "reset_all", "wire", "xxh64",
]  # fmt: skip
