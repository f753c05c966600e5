"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""

from istat.kernels.python.cubes.hashing import hash_item, hashed, xxh64
from istat.kernels.python.cubes.histogram import Histogram
from istat.kernels.python.cubes.histogram import from_parts as histogram_from_parts
from istat.kernels.python.cubes.hll import HyperLogLog
from istat.kernels.python.cubes.hll import from_entries as hll_from_entries
from istat.kernels.python.cubes.hll import from_packed as hll_from_packed
from istat.kernels.python.cubes.shapes import Shape
from istat.kernels.python.cubes.slots import Slot, Slots, Write

__all__ = ["Histogram", "HyperLogLog", "Shape", "Slot", "Slots", "Write", "hash_item", "hashed", "histogram_from_parts",
           "hll_from_entries", "hll_from_packed", "xxh64"]  # fmt: skip
