"""Bounded work: sockets that have something to read take turns, a few milliseconds at a time.

A `Readable` is put in with `ready` when its socket is readable; `work` then does one bounded step of it, and feeds
what it has read through `Pump.feed`.
Between slices the hub runs, so HTTP stays live however much comes in. A readable that has just been emptied
although it is busy *rests* for some milliseconds: a thousand small datagrams are then one wake-up of the
process, not a thousand.

It does not know what a readable reads.
"""
from __future__ import annotations

import enum
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import gevent
from gevent.event import Event

from istat.daemon.turns import turn_of_the_hub
from istat.wire.protocol import Feeder, Sink
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster, Sender

log = logging.getLogger(__name__)

# How long readables are worked on before the hub gets its turn [s]. A query needs some six turns (accept, read,
# hand to a thread, take back, write, close) and waits this much, plus one portion of lines, at each.
SLICE_SECONDS = 0.002
# Lines are fed in portions of this size [bytes]: 0.1 ms of known names, 5 ms when all the names are new.
PORTION_BYTES = 16 * 1024
# How long an emptied busy readable is left alone [s]: well below the 100 ms within which samples must be in
# the journal, and 8 MB of socket buffer hold 200 ms of 16,000 datagrams/s.
REST_SECONDS = 0.005
# What a plugin's protocol may raise: one bad readable must not end the others, nor the process.
STRANGE = (Exception, SystemExit, gevent.Timeout)


class Outcome(enum.Enum):
    """What a step of a readable ended with."""

    MORE = "more"               # there may be more to read: put it behind the others
    EMPTY = "empty"             # nothing more now: wait until its socket is readable
    REST = "rest"               # the same, but look again only after a short rest
    CLOSED = "closed"           # it is no more


class Surroundings(Protocol):
    """What transports want of the server: a hookspecs.ServerContext has it."""

    @property
    def intake(self) -> Sink: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def mistakes(self) -> Mistakes: ...
    @property
    def pump(self) -> Pump: ...


class Readable(Protocol):
    """Something readable, as a listener gives it to the pump."""

    def work(self) -> Outcome:
        """Read and handle one bounded portion."""

    def watch(self) -> None:
        """Call `Pump.ready` with this readable, once, as soon as there is something to read."""

    def close(self) -> None:
        """Give up; called when `work` raised what it should not."""


class Pump:
    """Takes turns over readables, in one greenlet."""

    def __init__(self, on_error: Callable[[str, BaseException], None],
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """on_error: told of exceptions that escaped from a readable, which is then closed."""
        self._on_error = on_error
        self._monotonic = monotonic
        self._ready: deque[Readable] = deque()
        self._resting: list[Readable] = []
        self._timer: Any = None
        self._wake = Event()
        self._greenlet: gevent.Greenlet | None = None
        self._slice_began = 0.0

    def ready(self, readable: Readable) -> None:
        """The readable has something to read. Its own watcher must be off until `watch` is called."""
        self._ready.append(readable)
        self._wake.set()

    def failed(self, where: str, error: BaseException) -> None:
        """Tell of what a readable-to-be raised."""
        self._on_error(where, error)

    def start(self) -> None:
        """Start the greenlet that does the work."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop after the present step. What is readable stays in the sockets."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            self._wake.set()
            greenlet.join()

    def settle(self, seconds: float) -> None:
        """Wait until what had come when this was called is read; on a server that is never done, so long."""
        gevent.sleep(2 * REST_SECONDS)      # those that rest are looked at again
        turn_of_the_hub()
        last = _Last(self, self._monotonic() + seconds)
        self.ready(last)
        last.done.wait(seconds)

    @property
    def waiting(self) -> int:
        """How many readables wait for their turn."""
        return len(self._ready)

    def feed(self, feeder: Feeder, view: memoryview, start: int, end: int, sender: Sender) -> int:
        """Give the whole messages of view[start:end] to a feeder, with turns of the hub in between; how many
        bytes those were. Whoever calls must bear that other greenlets run meanwhile."""
        at = start
        while at < end:
            used = feeder.feed(view, at, min(at + PORTION_BYTES, end), sender)
            if not used and end - at > PORTION_BYTES:       # one message that is longer than a portion
                used = feeder.feed(view, at, end, sender)
            if used <= 0:       # less than nothing, from a plugin's protocol, would have no end
                break
            at += used
            self.breathe()
        return at - start

    def breathe(self) -> None:
        """Let the hub have its turn if the slice is over."""
        if self._monotonic() - self._slice_began >= SLICE_SECONDS:
            turn_of_the_hub()
            self._slice_began = self._monotonic()

    def wake_resting(self) -> None:
        """The rest is over."""
        self._timer = None
        resting, self._resting = self._resting, []
        for readable in resting:
            try:
                readable.watch()
            except STRANGE as error:
                self._on_error("a listener", error)
                self._close(readable)

    def _step(self, readable: Readable) -> None:
        try:
            outcome = readable.work()
            if outcome is Outcome.MORE:
                self._ready.append(readable)
            elif outcome is Outcome.REST:
                self._rest(readable)
            elif outcome is Outcome.EMPTY:
                readable.watch()
        except STRANGE as error:
            self._on_error("a listener", error)
            self._close(readable)

    def _close(self, readable: Readable) -> None:
        try:
            readable.close()
        except STRANGE as error:    # nor may its end
            self._on_error("the end of a listener", error)

    def _rest(self, readable: Readable) -> None:
        self._resting.append(readable)
        if self._timer is None:
            # A libev timer that has fired would fire at once when started again, hence a new one each time.
            self._timer = gevent.get_hub().loop.timer(REST_SECONDS)
            self._timer.start(self.wake_resting)

    def _run(self) -> None:
        while self._greenlet is not None:
            self._wake.wait()
            self._slice_began = self._monotonic()
            while self._ready and self._greenlet is not None:
                self._step(self._ready.popleft())
                self.breathe()
            self._wake.clear()


class _Last:
    """A readable that takes its turns behind all others until nobody else waits, or it is too late."""

    def __init__(self, pump: Pump, until: float) -> None:
        self.done = Event()
        self._pump, self._until = pump, until

    def work(self) -> Outcome:
        """See Readable.work."""
        if self._pump.waiting and time.monotonic() < self._until:
            return Outcome.MORE
        self.done.set()
        return Outcome.CLOSED

    def watch(self) -> None:
        """See Readable.watch."""

    def close(self) -> None:
        """See Readable.close."""
        self.done.set()
