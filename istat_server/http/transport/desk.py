"""Whose turn it is: what requests cost the hub is done in slices, between which everything else runs.

A request that comes in begins by `Desk.begin`; whoever works long for an answer asks for a turn now and then
(`exchange/turns.py`), and goes on when its client's comes. Those that come in are served before those that go on, so
that a quick question never waits for long ones; clients take turns, whatever each of them wants. A long question whose
client has gone ends at its next turn. Knows no sockets and no HTTP.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

import gevent
from gevent.hub import Waiter

from istat.daemon.turns import Round

# How long requests are worked on before the hub gets its turn [s], as the pump has it for samples: a quick question
# needs three turns (accept, read, write).
SLICE_SECONDS = 0.002
# Questions of one client that go on at once after their first slice; more wait there. Each may hold some megabytes.
LONG_QUESTIONS = 16


class Gone(gevent.GreenletExit):    # type: ignore[misc]  # gevent has no types
    """Nobody waits for this answer any more. No Exception, so that nobody on the way takes it for a fault."""


class Asker(Protocol):
    """Who is worked for: a connection with a request in progress."""

    def turn(self) -> None:
        """Let others run. Gone when the other side has closed the connection."""

    def making(self, size: int) -> None:
        """So many bytes more of an answer are made. BadQuery when there is no room for them."""


#: For whom this greenlet works; None for whoever works for no connection, as tests do.
ASKER: ContextVar[Asker | None] = ContextVar("ASKER", default=None)


class Desk:
    """Gives each client its turn."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._loop = gevent.get_hub().loop
        self._coming: Round[Any] = Round()
        self._going: Round[Any] = Round()
        self._timer: Any = None
        self._slice = -1.0      # the hub's time when the present slice began: one for each of its turns
        self._until = 0.0
        self._long: dict[str, int] = {}
        self._later: dict[str, deque[Any]] = {}     # long ones beyond LONG_QUESTIONS

    def begin(self, client: str) -> None:
        """Wait until a request of this client may be worked on; at once while there is time in this slice."""
        if self._coming or not self._in_time():
            self._wait(self._coming, client)

    def go_on(self, client: str) -> None:
        """Wait for the next turn of this client."""
        self._wait(self._going, client)

    def stay(self, client: str) -> None:
        """Go on at once while there is time in this slice and nobody waits for it, else at the next turn."""
        if self._coming or self._going or not self._in_time():
            self._wait(self._going, client)

    def becomes_long(self, client: str) -> None:
        """Wait until this client may have one more long question; `ends` says that it is over."""
        count = self._long.get(client, 0)
        if count < LONG_QUESTIONS:
            self._long[client] = count + 1
            return
        waiter = Waiter()
        later = self._later.setdefault(client, deque())
        later.append(waiter)
        try:
            waiter.get()
        except BaseException:
            if waiter in later:
                later.remove(waiter)
            else:
                self.ends(client)
            raise

    def ends(self, client: str) -> None:
        """A long question needs no turns any more: its place is another's."""
        later = self._later.get(client)
        if later:
            self._loop.run_callback(later.popleft().switch, None)
            return
        self._later.pop(client, None)
        self._long[client] -= 1
        if not self._long[client]:
            del self._long[client]

    def _in_time(self) -> bool:
        now = self._loop.now()
        if now != self._slice:
            self._slice, self._until = now, self._monotonic() + SLICE_SECONDS
            return True
        return self._monotonic() < self._until

    def _wait(self, where: Round[Any], client: str) -> None:
        waiter = Waiter()
        where.add(client, waiter)
        if self._timer is None:
            self._wake()
        try:
            waiter.get()
        except BaseException:
            where.remove(client, waiter)
            raise

    def _wake(self) -> None:
        """Serve in the hub's next turn. (A timer that has fired would fire at once when started again.)"""
        self._timer = self._loop.timer(0)
        self._timer.start(self._serve)

    def _serve(self) -> None:
        self._timer.close()
        self._timer = None
        self._slice, self._until = self._loop.now(), self._monotonic() + SLICE_SECONDS
        self._serve_some(self._coming)
        self._serve_some(self._going)
        if self._timer is None and (self._coming or self._going):
            self._wake()

    def _serve_some(self, waiting: Round[Any]) -> None:
        """One in any case, more while the slice lasts; whoever comes back meanwhile waits for the next turn."""
        for count in range(len(waiting)):
            if count and self._monotonic() >= self._until or not waiting:
                return
            waiting.next().switch(None)
