"""Whose turn it is: answers that take long stop now and then, and wait here until it is theirs again.

Of all that wait, one goes on in each turn of the event loop, in the order in which they came: however many long
questions there are, others wait for one portion of one of them. Knows no requests.
"""

from __future__ import annotations

from collections import deque

import gevent
from gevent.event import Event

# Work that an answer does on the hub before others get their turn: some 5 ms of rendered numbers.
VALUES_PER_TURN = 25_000
TURN_SECONDS = 0.0001   # the shortest that goes through the event loop's timers


class Line:
    """Those who wait for their turn. Not bounded here: each is a request, and of those there are only so many."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._calling = False

    def wait(self) -> None:
        """Let others run, and come back when it is one's turn."""
        mine = Event()
        self._waiting.append(mine)
        if not self._calling:
            self._calling = True
            gevent.spawn(self._call)
        mine.wait()

    def _call(self) -> None:
        """Call one after the other. By a timer: sleep(0) would go on with what is ready before any socket is looked
        at."""
        try:
            while self._waiting:
                gevent.sleep(TURN_SECONDS)
                self._waiting.popleft().set()
        finally:
            self._calling = False


_line = Line()


def turn() -> None:
    """Let others run."""
    _line.wait()


class Turns:
    """Gives others a turn whenever an answer has done VALUES_PER_TURN of work."""

    def __init__(self) -> None:
        self._done = 0

    def worked(self, values: int) -> None:
        """So many numbers were written, or what takes as long."""
        self._done += values
        if self._done >= VALUES_PER_TURN:
            self._done = 0
            turn()
