"""An agent's forwarding, assembled: the forwarder and its spool, the local ports, and the ticks that drive them.

It outlives reloads of the agent, whose own lines come in by `own.OwnLines`.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent
from gevent.event import Event

from istat import __version__
from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.forwarding.forwarder import Forwarder, Introduction
from istat.wire.receiving import Receiving
from istat_agent.counters import Counters
from istat_agent.forwarding.datagrams import DatagramReader
from istat_agent.forwarding.folder import context_of
from istat_agent.forwarding.intake import Intake, Keeping
from istat_agent.forwarding.ports import Ports
from istat_agent.forwarding.streams import StreamInput

log = logging.getLogger(__name__)

# How soon after lines have come the forwarder has its tick, half of the 100 ms within which they are in the spool [s].
TICK_SECONDS = 0.05
# The same while nothing comes: the spool's bounds want no more [s].
IDLE_SECONDS = 1.0
# How long our own lines wait in memory for a target that takes them, before they are written: an interval, and no more
# than this, as a kill takes them [s].
MOST_WAIT = 10.0


class Relay:
    """All of it. `start`, and in the end `stop`."""

    def __init__(self, values: Mapping[str, Any], ports: Ports, counters: Counters, clock: Clock,
                 watch: Callable[[Sequence[bytes]], None] | None = None) -> None:
        """The ports are its own from now on. SpoolError, SettingsError for certificates."""
        self._clock = clock
        self._log = LimitedLog(log, clock)
        who = Introduction(socket.gethostname(), __version__)
        self.forwarder = Forwarder(values, values["spool"], clock, who, context_of(values),
                                   wait=min(float(values["interval"]), MOST_WAIT))
        self._intake = Intake(self.forwarder, counters, clock, self.arrived, watch)
        receiving = Receiving(Keeping(self._intake))
        receiving.own.add(self.forwarder.id)
        self._inputs: list[StreamInput | DatagramReader] = [
            StreamInput(ports.listeners, self._intake, receiving),
            *(DatagramReader(sock, self._intake) for sock in ports.datagrams)]
        counters.forwarding = self.forwarder.totals
        self._wake = Event()
        self._ticked = clock.monotonic()
        self._ticking: gevent.Greenlet | None = None

    def start(self) -> None:
        """Forward, and take what comes by the local ports."""
        self.forwarder.start()
        self._ticking = gevent.spawn(self._tick)
        for one in self._inputs:
            one.start()

    def stop(self) -> None:
        """Take what has come, and close the spool: what no target has acknowledged waits in it."""
        for one in self._inputs:
            one.stop()
        if self._ticking is not None:
            self._ticking.kill()
        self.forwarder.stop()

    def arrived(self) -> None:
        """To be called before lines are given to the forwarder, so that those without time get the right one."""
        if self._clock.monotonic() - self._ticked > TICK_SECONDS:
            self._tick_once()
        self._wake.set()

    def own(self, text: bytes) -> None:
        """See Relaying.own."""
        self.arrived()
        self.forwarder.lines(text, waits=True)

    def tell(self, text: bytes) -> None:
        """See Relaying.tell."""
        self.forwarder.meta("", text)

    def flush(self) -> None:
        """See Relaying.flush."""
        self._tick_once()

    def _tick_once(self) -> None:
        self._ticked = self._clock.monotonic()
        try:
            self.forwarder.tick()
        except Exception as error:  # noqa: BLE001 - a fault of ours ends neither who gives lines, nor what drives this
            self._log.error("tick", "forwarding: a fault of our own", exc_info=error)

    def _tick(self) -> None:
        while True:
            coarsens = self.forwarder.coarsens
            came = self._wake.wait(0 if coarsens else IDLE_SECONDS)
            self._wake.clear()
            if came or coarsens:        # else a turn of the hub would go by for nothing
                gevent.sleep(TICK_SECONDS)
            self._tick_once()
