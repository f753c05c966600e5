"""Gauges that are summed over threads, in frames of all since a start: of each thread its last value counts.

Merging adds such gauges. That is right for threads, and wrong for the intervals of one thread. So the last value of
each thread is held here, and the total gets their sum. Knows instances, not threads: `owner` is anything that stands
for one.
"""

from __future__ import annotations

from collections.abc import Hashable
from math import fsum
from typing import Any

from istat.cube.cube import Cube
from istat.cube.instance import Instance
from istat.kernels import cubes

Place = tuple[str, tuple[tuple[str, str], ...], str, tuple[Any, ...]]      # cube, its tags, metric, cell


class HeldGauges:
    """Values by owner."""

    def __init__(self) -> None:
        self._held: dict[Hashable, dict[Place, float]] = {}
        self._changed: set[Place] = set()

    def take(self, owner: Hashable, side: Instance) -> None:
        """What an owner has set lately."""
        for cube in side.cubes:
            gauges = _summed(cube)
            for cell in cube.cells() if gauges else ():
                for gauge in gauges:
                    value = cell[gauge]
                    if value is not None:
                        place = (cube.name, cube.schema.shared, gauge.name, cell.key)
                        self._held.setdefault(owner, {})[place] = value
                        self._changed.add(place)

    def drop(self, owner: Hashable) -> None:
        """An owner is no more, and what it had is not part of the sums any longer."""
        self._changed.update(self._held.pop(owner, ()))

    def settle(self, total: Instance) -> None:
        """Set the gauges of the total that have changed."""
        wanted, self._changed = self._changed, set()
        gauges = {(*cube.schema.identity, gauge.name): (cube, gauge) for cube in total.cubes for gauge in _summed(cube)}
        for place in wanted:
            name, shared, metric, key = place
            found = gauges.get((name, shared, metric))
            # A cell that has gone from the total, or never got into it, is not made for this.
            if found is not None and found[0].get(key) is not None:
                found[1].set(key, fsum(held[place] for held in self._held.values() if place in held))


def _summed(cube: Cube) -> list[cubes.GaugeMetric]:
    return [metric for metric in cube.metrics if isinstance(metric, cubes.GaugeMetric) and metric.rule == "sum"]
