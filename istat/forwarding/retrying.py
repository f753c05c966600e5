"""How long to wait before a target is tried again: longer each time, and never all at once. Knows no sockets.

(`istat.daemon.backoff` is about starts of a daemon.)
"""
from __future__ import annotations

import random
from collections.abc import Callable

FIRST = 1.0         # [s]; a server that is started again is back after two
GROWTH = 1.5
MOST = 60.0         # [s]; with a thousand senders a server that is back sees some twenty of them a second
SPREAD = 0.5        # at most so much more of each, by chance: senders that were cut together come back one by one


class Pauses:
    """The pauses between the tries for one target."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        """chance: from 0 to 1, another each time."""
        self._chance = chance
        self._next = FIRST

    def next(self) -> float:
        """How long to wait now [s]."""
        pause, self._next = self._next, min(MOST, self._next * GROWTH)
        return pause * (1 + SPREAD * self._chance())

    def forget(self) -> None:
        """The target takes batches: the next failure is the first one."""
        self._next = FIRST
