"""Where time comes from, and whether it can be believed. Everything that needs the time takes a `Clock`, so that tests
need no sleep. Who removes things because of their age asks a `ClockWatch` first.

It knows no time zones and no calendars: times are Unix seconds (UTC).
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

# A clock this far from where it should be has jumped, or the machine was off that long [s].
JUMP = 3600.0
# It is believed again after going on steadily for this long: time for an operator to notice [s].
STEADY = 86_400.0


class Clock(Protocol):
    """What the rest asks for the time."""

    def now(self) -> float:
        """Wall-clock time, Unix seconds. May jump when the machine's clock is set."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment. Never jumps: for deadlines and durations."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """See Clock.now."""
        return time.time()

    def monotonic(self) -> float:
        """See Clock.monotonic."""
        return time.monotonic()


class StoppedClock(SystemClock):
    """`fake-time`: the wall clock stands until it is set, durations stay real."""

    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        """See Clock.now."""
        return self._now

    def set(self, now: float) -> None:
        """Stand at another time from now on."""
        self._now = now


class FakeClock:
    """A clock that stands still until it is told otherwise, for tests."""

    def __init__(self, now: float = 0.0) -> None:
        self._now = float(now)
        self._monotonic = 0.0

    def now(self) -> float:
        """See Clock.now."""
        return self._now

    def monotonic(self) -> float:
        """See Clock.monotonic."""
        return self._monotonic

    def set(self, now: float) -> None:
        """Jump to a wall-clock time, as when an operator sets the clock: monotonic time does not move."""
        self._now = float(now)

    def advance(self, seconds: float) -> None:
        """Let time pass, for both clocks. ValueError when negative."""
        if seconds < 0:
            raise ValueError("time does not run backwards; use set()")
        self._now += seconds
        self._monotonic += seconds


class ClockWatch:
    """Doubts the clock for a day after every jump, unless it comes back or someone confirms it: it compares the clock
    with where it should be by the monotonic one. Any thread may ask.

    `believed` is what belongs into files: a time written down while the clock was wrong would make the next start
    believe it.
    """

    def __init__(self, clock: Clock, last_known: float) -> None:
        """last_known: what was believed when it was last written down, Unix seconds; 0: never."""
        self._clock = clock
        self._lock = threading.Lock()
        self._at = clock.monotonic()
        self._believed = last_known or clock.now()      # where the clock should be at `_at`
        self._seen = self._believed                     # where it was
        self._doubted_since: float | None = None

    def believed(self) -> float:
        """The time, Unix seconds: the clock's, or while that is in doubt the one that it left."""
        with self._lock:
            self._look()
            return self._believed

    def doubt(self) -> str:
        """Why nothing should be removed because of its age now, or "". To be called at least every minute or so."""
        with self._lock:
            self._look()
            if self._doubted_since is None:
                return ""
            left = STEADY - (self._at - self._doubted_since)
            jump = self._seen - self._believed
            way = "on" if jump > 0 else "back"
            return (f"the clock went {way} by {abs(jump):.0f} s at once, or the machine was off; old data are not "
                    f"removed for another {left / 3600:.0f} h, in case it is wrong; is it right? istat clock confirm")

    def confirm(self) -> str:
        """Believe the clock as it is now. What was doubted, or ""."""
        doubted = self.doubt()
        with self._lock:
            self._believed = self._seen = self._clock.now()
            self._doubted_since = None
        return doubted

    def _look(self) -> None:
        """Take note of both clocks."""
        now, at = self._clock.now(), self._clock.monotonic()
        passed, self._at = at - self._at, at
        self._believed += passed
        if abs(now - self._believed) <= JUMP:       # so it does after a jump back to where it belongs
            self._believed, self._doubted_since = now, None
        elif self._doubted_since is None or abs(now - (self._seen + passed)) > JUMP:
            self._doubted_since = at
        elif at - self._doubted_since >= STEADY:
            self._believed, self._doubted_since = now, None
        self._seen = now
