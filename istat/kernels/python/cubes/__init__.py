"""Cubes: cells of several dimensions, their metrics and sketches. How a part works, the modules beside say."""

from istat.kernels.python.cubes.slots import Slot, Slots, Write

__all__ = ["Slot", "Slots", "Write"]
