"""Frames on their way to a sink, in order. Knows nothing of what is in them, nor when they are made.

A sink that raises has not taken its frame: it gets the same one, with the same sequence number, once more at the next
edge, so that a receiver that has it already can tell. Few frames wait: when there is no room for one more, `full` says
so, and whoever makes frames goes on adding to the one that it has. Nothing is thrown away.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

log = logging.getLogger(__name__)

BACKLOG = 6     # frames that wait for a sink that fails: a minute at 10 s, and of memory six times what is counted


class Delivery:
    """To one sink. Counts what it took and how often it failed."""

    def __init__(self, sink: Callable[[Any], object] | None, backlog: int = BACKLOG, newest_only: bool = False) -> None:
        """newest_only: a frame stands for all before it, and those that wait are dropped when it comes.
        ValueError when there is no room for a frame."""
        if backlog < 1:
            raise ValueError("a frame that waits for its sink needs room")
        self._sink, self._backlog, self._newest_only = sink, backlog, newest_only
        self._waiting: deque[Any] = deque()
        self.delivered = 0                      # frames that the sink has taken
        self.failures = 0                       # attempts at which it raised
        self.error: Exception | None = None     # of the last attempt, if it failed
        self.renew()

    def renew(self) -> None:
        """Nothing waits: in a process that was forked, frames are those of its parent."""
        self._waiting.clear()
        self._turn = threading.Lock()
        self._at_work: int | None = None        # the thread that is handing over

    @property
    def waiting(self) -> int:
        """Frames that the sink has not taken yet."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Whether there is no room for one more frame."""
        return not self._newest_only and len(self._waiting) >= self._backlog

    @property
    def in_sink(self) -> bool:
        """Whether it is the sink that asks, with a frame in its hands."""
        return self._at_work == threading.get_ident()

    def put(self, frame: Any) -> None:
        """A frame for the sink, which gets it with the next `run`."""
        if self._newest_only:
            self._waiting.clear()
        self._waiting.append(frame)

    def run(self, patience: float = -1) -> bool:
        """Hand over what waits, until the sink fails. Whether nothing waits any more.

        patience: seconds to wait for a thread that is handing over; -1 for ever.
        """
        if self.in_sink:
            return False
        if not self._turn.acquire(timeout=patience):
            log.warning("a sink of cubes has been at work for %g s: %d frames wait for it", patience, self.waiting)
            return False
        self._at_work = threading.get_ident()
        try:
            while self._waiting and self._hand_over(self._waiting[0]):
                pass
        finally:
            self._at_work = None
            self._turn.release()
        return not self._waiting

    def _hand_over(self, frame: Any) -> bool:
        try:
            if self._sink is not None:
                self._sink(frame)
        except Exception as error:  # noqa: BLE001 - a sink may raise anything; it is counted, told, and tried again
            self.failures += 1
            if self.error is None:  # once for a row of failures
                log.warning("a sink of cubes failed, its frame is kept and tried again: %r", error)
            self.error = error
            return False
        self.delivered += 1
        if self.error is not None:
            log.info("the sink of cubes works again after %d failures", self.failures)
        self.error = None
        if self._waiting and self._waiting[0] is frame:     # else a newer one has taken its place
            self._waiting.popleft()
        return True
