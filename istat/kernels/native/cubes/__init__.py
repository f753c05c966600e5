"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""

from istat.kernels.native.cubes.distribution import Histogram
from istat.kernels.native.cubes.distribution import from_parts as histogram_from_parts
from istat.kernels.native.cubes.hashing import hash_item, hashed
from istat.kernels.native.cubes.hashing import xxh64_digest as xxh64
from istat.kernels.native.cubes.hyperloglog import HyperLogLog
from istat.kernels.native.cubes.hyperloglog import from_entries as hll_from_entries
from istat.kernels.native.cubes.hyperloglog import from_packed as hll_from_packed
from istat.kernels.native.cubes.shapes import Shape
from istat.kernels.native.cubes.slots import Slot, Slots, Write

__all__ = ["Histogram", "HyperLogLog", "Shape", "Slot", "Slots", "Write", "hash_item", "hashed", "histogram_from_parts",
           "hll_from_entries", "hll_from_packed", "xxh64"]  # fmt: skip
