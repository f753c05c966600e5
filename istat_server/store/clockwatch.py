"""Whether the wall clock can be believed by those who remove things because of their age.

Knows no store: it compares the clock with where it should be by the monotonic one.
"""
from __future__ import annotations

from istat.clock import Clock

# A clock this far from where it should be has jumped, or the machine was off that long [s].
JUMP = 3600.0
# It is believed again after going on steadily for this long: time for an operator to notice [s].
STEADY = 86_400.0


class ClockWatch:
    """Doubts the clock for a day after every jump."""

    def __init__(self, clock: Clock, last_known: float) -> None:
        """last_known: Unix seconds when it was last written down; 0: never."""
        self._clock = clock
        self._wall = last_known or clock.now()
        self._at = clock.monotonic()
        self._doubted_since: float | None = None
        self._jump = 0.0

    def doubt(self) -> str:
        """Why nothing should be removed because of its age now, or "". To be called at least every minute or so."""
        now, at = self._clock.now(), self._clock.monotonic()
        jump = now - (self._wall + at - self._at)
        self._wall, self._at = now, at
        if abs(jump) > JUMP:
            self._doubted_since, self._jump = at, jump
        if self._doubted_since is None or at - self._doubted_since >= STEADY:
            self._doubted_since = None
            return ""
        left = STEADY - (at - self._doubted_since)
        way = "on" if self._jump > 0 else "back"
        return (f"the clock went {way} by {abs(self._jump):.0f} s at once, or the machine was off; old data are not "
                f"removed for another {left / 3600:.0f} h, in case it is wrong")
