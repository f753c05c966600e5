"""Values and times of series, by their place: numbers in arrays, which the garbage collector never walks.

A hundred thousand objects would cost whoever is served meanwhile some 400 ms each time that it walks them.
"""
from __future__ import annotations

from array import array

# The time of a place whose series has expired.
GONE = -1


class Places:
    """All places. `values` and `times` (of the newest sample, Unix seconds) are read and written by place."""

    def __init__(self) -> None:
        self.values, self.times = array("d"), array("q")
        self._gone: list[int] = []      # somebody may still go by them
        self._free: list[int] = []

    def new(self) -> int:
        """A place with the value 0 at the time 0."""
        if not self._free:
            self.values.append(0.0)
            self.times.append(0)
            return len(self.times) - 1
        place = self._free.pop()
        self.values[place], self.times[place] = 0.0, 0
        return place

    def end(self, place: int) -> None:
        """Its series has expired: the time is GONE from now on."""
        self.times[place] = GONE
        self._gone.append(place)

    @property
    def gone(self) -> int:
        """How many cannot be used again yet."""
        return len(self._gone)

    def reuse(self) -> None:
        """Nobody goes by those that are gone any more."""
        self._free += self._gone
        self._gone.clear()
