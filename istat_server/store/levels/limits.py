"""Which times the engine takes, by a clock. Knows no samples; a frame of the journal is kept with the clock that it was
taken by, so that a replay takes the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from istat.retention import Ladder
from istat_server.store.files.livefiles import LiveFiles

# Samples may be this far ahead of the clock: gauges a minute (a wrong clock nearby), events one finest bucket [s].
GAUGE_AHEAD = 60


class Limits:
    """The limits of all policies."""

    def __init__(self, engine: Any, ladders: Mapping[int, Ladder], files: LiveFiles, now: float) -> None:
        """ladders: by policy."""
        self.clock = int(now)       # by which they were set last [Unix s]
        self.since = int(now)       # the earliest since a head began
        self._engine, self._ladders, self._files = engine, ladders, files

    def set(self, now: float) -> None:
        """Let the engine take what may be taken at this time."""
        clock = self.clock = int(now)
        self.since = min(self.since, clock)
        for number, ladder in self._ladders.items():
            self._engine.set_limits(clock, clock + GAUGE_AHEAD, clock + ladder.finest.interval,
                                    self.oldest(number, clock), number)

    def oldest(self, policy: int, clock: int) -> list[int]:
        """The oldest times that each level of a policy takes, by a clock."""
        oldest = [clock - level.keep for level in self._ladders[policy].levels]
        oldest[0] = max(oldest[0], self._files.bare_until[policy])
        return oldest
