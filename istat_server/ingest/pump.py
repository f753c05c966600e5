"""Bounded work: sockets that have something to read take turns, a few milliseconds at a time.

A `Source` is put in with `ready` when its socket is readable; `work` then does one bounded step of it.
Between slices the hub runs, so HTTP stays live however much comes in. A source that has just been emptied
although it is busy *rests* for some milliseconds: a thousand small datagrams are then one wake-up of the
process, not a thousand.

It does not know what a source reads.
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

log = logging.getLogger(__name__)

# How long sources are worked on before the hub gets its turn [s]. A query needs some six turns (accept, read,
# hand to a thread, take back, write, close) and waits this much, plus one step of one source, at each.
SLICE_SECONDS = 0.002
# How long an emptied busy source is left alone [s]: well below the 100 ms within which samples must be in
# the journal, and 8 MB of socket buffer hold 200 ms of 16,000 datagrams/s.
REST_SECONDS = 0.005


class Outcome(enum.Enum):
    """What a step of a source ended with."""

    MORE = "more"               # there may be more to read: put it behind the others
    EMPTY = "empty"             # nothing more now: wait until its socket is readable
    REST = "rest"               # the same, but look again only after a short rest
    CLOSED = "closed"           # it is no more


class Source(Protocol):
    """Something readable, as a listener gives it to the pump."""

    def work(self) -> Outcome:
        """Read and handle one bounded portion."""

    def watch(self) -> None:
        """Call `Pump.ready` with this source, once, as soon as there is something to read."""

    def close(self) -> None:
        """Give up; called when `work` raised what it should not."""


class Pump:
    """Takes turns over readable sources, in one greenlet."""

    def __init__(self, on_error: Callable[[str, BaseException], None],
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """on_error: told of exceptions that escaped from a source, which is then closed."""
        self._on_error = on_error
        self._monotonic = monotonic
        self._ready: deque[Source] = deque()
        self._resting: list[Source] = []
        self._timer: Any = None
        self._wake = Event()
        self._greenlet: gevent.Greenlet | None = None
        self.steps = 0

    def ready(self, source: Source) -> None:
        """The source has something to read. Its own watcher must be off until `watch` is called."""
        self._ready.append(source)
        self._wake.set()

    def start(self) -> None:
        """Start the greenlet that does the work."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop after the present step. What is readable stays in the sockets."""
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            self._wake.set()
            greenlet.join()

    def work_slice(self) -> None:
        """Work on ready sources until none is left or the slice is over; at least one step."""
        end = self._monotonic() + SLICE_SECONDS
        while self._ready:
            self._step(self._ready.popleft())
            if self._monotonic() >= end or self._greenlet is None:
                return

    def wake_resting(self) -> None:
        """The rest is over."""
        self._timer = None
        resting, self._resting = self._resting, []
        for source in resting:
            source.watch()

    def _step(self, source: Source) -> None:
        self.steps += 1
        try:
            outcome = source.work()
            if outcome is Outcome.MORE:
                self._ready.append(source)
            elif outcome is Outcome.REST:
                self._rest(source)
            elif outcome is Outcome.EMPTY:
                source.watch()
        except Exception as error:  # noqa: BLE001 - one bad source must not end the others
            self._on_error("a listener", error)
            source.close()

    def _rest(self, source: Source) -> None:
        self._resting.append(source)
        if self._timer is None:
            # A libev timer that has fired would fire at once when started again, hence a new one each time.
            self._timer = gevent.get_hub().loop.timer(REST_SECONDS)
            self._timer.start(self.wake_resting)

    def _run(self) -> None:
        while self._greenlet is not None:
            self._wake.wait()
            self.work_slice()
            if not self._ready:
                self._wake.clear()
            _turn_of_the_hub()


def _turn_of_the_hub() -> None:
    """Let the hub poll all sockets once and run what is due.

    gevent.sleep(0) would not: callbacks that come back at once are run up to 50 times before sockets are looked
    at (measured: 140 ms for a request, instead of some 10). A timer of 0 s fires in the next iteration.
    """
    hub = gevent.get_hub()
    hub.wait(hub.loop.timer(0))
