"""Answers that take long stop now and then, and go on when it is their turn. Knows no requests.

Whose turn it is, the desk says (`transport/desk.py`): new questions first, then client by client one portion in each
turn of the event loop, however many long questions there are.
"""

from __future__ import annotations

import gevent

from istat_server.http.transport.desk import ASKER

# Work that an answer does on the hub before others get their turn: some 5 ms of rendered numbers.
VALUES_PER_TURN = 25_000
# What a number takes in an answer [bytes].
VALUE_BYTES = 10
TURN_SECONDS = 0.0001   # the shortest that goes through the event loop's timers


def turn() -> None:
    """Let others run. desk.Gone when who asked is not there any more."""
    asker = ASKER.get()
    if asker is not None:
        asker.turn()
    else:       # nobody's: by a timer, since sleep(0) would go on with what is ready before any socket is looked at
        gevent.sleep(TURN_SECONDS)


def making(size: int) -> None:
    """So many bytes more of an answer are in memory. flight.Busy when there is no room for them."""
    asker = ASKER.get()
    if asker is not None:
        asker.making(size)


class Work:
    """Gives others a turn whenever an answer has done VALUES_PER_TURN of work, and asks for the room that it takes."""

    def __init__(self) -> None:
        self._done = 0

    def done(self, values: int) -> None:
        """So many numbers were written, or what takes as long."""
        self._done += values
        if self._done >= VALUES_PER_TURN:
            making(self._done * VALUE_BYTES)
            self._done = 0
            turn()
