"""Where time comes from. Everything that needs the time takes a `Clock`, so that tests need no sleep.

It knows no time zones and no calendars: times are Unix seconds (UTC).
"""

from __future__ import annotations

import time
from typing import Protocol


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
