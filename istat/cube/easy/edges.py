"""When a frame is due and which time it covers. Knows nothing of what is in a frame, and does not wait itself.

A frame begins where the one before it ended, whatever happened in between: a machine that slept, or a collector that
was late, gives one frame that covers it all. No interval is made up.
"""

from __future__ import annotations

import math
from typing import SupportsFloat

from istat.clock import Clock

NANOSECONDS = 1_000_000_000
# Intervals after which a frame is due whatever the wall clock says, for it may have been set back. More than one:
# where it is only slowed a little, to be put right, the edge is still what counts.
OVERDUE = 1.5


def nanoseconds(seconds: float) -> int:
    """A time, or a length of time, as frames have it."""
    return round(seconds * NANOSECONDS)


class Edges:
    """The edges between intervals: multiples of the interval since 1970, or of any moment if they are not aligned."""

    def __init__(self, interval: float, align: bool, clock: Clock) -> None:
        """interval: in seconds. TypeError, ValueError when it is none."""
        if not isinstance(interval, SupportsFloat):
            raise TypeError(f"an interval is a number of seconds, not {interval!r}")
        if not 0 < interval < math.inf:
            raise ValueError(f"an interval is a number of seconds above 0, not {interval!r}")
        self.interval, self._align, self._clock = interval, align, clock
        self.begin()

    def begin(self) -> None:
        """The next frame begins now."""
        self._begun, self._begun_monotonic = self._clock.now(), self._clock.monotonic()

    def _next(self) -> float:
        if not self._align:
            return self._begun + self.interval
        return (math.floor(self._begun / self.interval) + 1) * self.interval

    def remaining(self) -> float:
        """Seconds until a frame is due; 0 when it is."""
        by_wall = self._next() - self._clock.now()
        by_monotonic = self._begun_monotonic + OVERDUE * self.interval - self._clock.monotonic()
        return max(0.0, min(by_wall, by_monotonic))

    def cut(self) -> tuple[int, int]:
        """From when to when a frame goes that is made now, in ns since 1970; the next one begins there.

        One that is due ends at the edge that has passed last, if edges are aligned; one that is made before, now.
        """
        now, elapsed = self._clock.now(), self._clock.monotonic() - self._begun_monotonic
        end = now
        if self._align and now >= self._next():
            end = math.floor(now / self.interval) * self.interval
        begun = self._begun if self._begun <= end else end - elapsed    # else the clock was set back
        self._begun, self._begun_monotonic = end, self._clock.monotonic() - (now - end)
        return nanoseconds(begun), nanoseconds(end)
