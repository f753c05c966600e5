"""Brings lines to the server: packs them into datagrams, queues them, sends them over a link.

A server that is away is no error: it is counted, and told when it goes and when it comes back. While its name
does not resolve or its port is known to be closed, datagrams wait in the queue, the oldest dropped when it is
full. Over a connection they are portions of its stream. Knows no sockets, and nothing of what the lines mean.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.wire.lines import meta_line
from istat_agent.counters import Counters
from istat_agent.shipping.links import Broken, Link

log = logging.getLogger(__name__)

QUEUE = 1000  # datagrams; 1.4 MB, about ten minutes of 1,000 counters
LINGER = 0.1  # seconds between the first waiting line and its datagram, so that collectors share datagrams
RETRY = 5.0  # seconds between two tries while the server is away
PROBE = 0.1  # seconds for a closed port to say so
IDENTITY = 60.0  # seconds between two introductions
METRICS = 3600.0  # seconds between two times that metrics are declared: a datagram may get lost, a server is new
QUIET = 60.0  # seconds in which a server that comes and goes is told once


def pack(lines: Iterable[bytes], limit: int) -> tuple[list[bytes], int]:
    """(datagrams of whole lines, none longer than `limit` bytes; how many lines were too long for that)."""
    datagrams: list[bytes] = []
    waiting: list[bytes] = []
    size = too_long = 0
    for line in lines:
        if len(line) > limit:
            too_long += 1
            continue
        if size + len(line) > limit:
            datagrams.append(b"".join(waiting))
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    if waiting:
        datagrams.append(b"".join(waiting))
    return datagrams, too_long


class Shipping(Protocol):
    """What brings lines away: a Shipper, or the way into the forwarder's spool (forwarding.own)."""

    def offer(self, lines: Sequence[bytes]) -> None:
        """Take lines to be sent soon. Never blocks."""

    def tell(self) -> None:
        """There are other news: tell them soon. Never blocks."""

    def declare(self) -> None:
        """There are other declarations of metrics: tell them soon. Never blocks."""

    def flush(self) -> None:
        """Bring away everything that waits, if that is possible."""

    def forever(self) -> None:
        """Introduce the agent, then bring away what is offered."""

    def close(self) -> None:
        """End."""


class Shipper:
    """The queue, and the greenlets that empty it."""

    def __init__(
        self,
        link: Link,
        identity: bytes,
        max_datagram: int,
        counters: Counters,
        clock: Clock,
        server: str = "",
        news: Callable[[], Iterable[bytes]] = tuple,
        metrics: Callable[[], Iterable[bytes]] = tuple,
    ) -> None:
        """`identity`: the datagram that introduces this agent. `server`: for messages. `news()`: lines that are told
        after each introduction, and at once after `tell`. `metrics()`: lines that are told over each connection, every
        hour, and at once after `declare`."""
        self._link, self._identity, self._limit = link, identity, max_datagram
        self._news, self._untold = news, False
        self._metrics, self._declared, self._over = metrics, float("-inf"), -1
        self._counters, self._clock, self._server = counters, clock, server
        self._renewal: tuple[Link, bytes, int, str] | None = None
        self._lines: list[bytes] = []
        self._queue: deque[bytes] = deque()
        self._wake = Event()
        self._away = False
        self._introduced = float("-inf")
        self._quiet_until = float("-inf")
        self._told_at: float | None = None  # since when it is away, if that was told
        self._dropped_before = 0

    def offer(self, lines: Sequence[bytes]) -> None:
        """Take lines to be sent soon. Never blocks."""
        if lines:
            self._lines += lines
            self._counters.samples += len(lines)
            if len(self._lines) * len(lines[0]) > self._limit * QUEUE:
                self._enqueue()  # keep the bound even when nobody empties the queue
            self._wake.set()

    def tell(self) -> None:
        """There are other news: tell them soon. Never blocks."""
        self._untold = True
        self._wake.set()

    def declare(self) -> None:
        """There are other declarations of metrics: tell them soon. Never blocks."""
        self._declared = float("-inf")
        self._wake.set()

    def renew(self, link: Link, identity: bytes, max_datagram: int, server: str) -> None:
        """Go another way from now on, with what waits. What is being sent just now still goes the old way."""
        if self._renewal is not None:
            self._renewal[0].close()
        self._renewal = link, identity, max_datagram, server
        self._wake.set()

    def flush(self) -> None:
        """Send everything that waits, until the server turns out to be away."""
        self._take_renewal()
        self._enqueue()
        try:
            if self._away:
                self._probe()
            self._introduce()
            while self._queue:
                self._send(self._queue[0])
        except OSError as error:
            self._missing(error)

    def forever(self) -> None:
        """Introduce the agent, then send what is offered, for ever."""
        while True:
            self.flush()
            self._wake.clear()
            if self._renewal is not None:   # it came while we were sending
                continue
            if self._away:
                gevent.sleep(RETRY)
            else:
                self._wake.wait(IDENTITY)
                gevent.sleep(LINGER)

    def _take_renewal(self) -> None:
        """What waits is packed anew, since the new way may take less at once."""
        if self._renewal is None:
            return
        self._link.close()
        (self._link, self._identity, self._limit, self._server), self._renewal = self._renewal, None
        waiting = [line for datagram in self._queue for line in datagram.splitlines(keepends=True)]
        self._queue.clear()
        self._lines = waiting + self._lines
        self._away, self._told_at = False, None
        self._introduced = self._declared = self._quiet_until = float("-inf")

    def close(self) -> None:
        """End the link."""
        self._take_renewal()
        self._link.close()

    def _send(self, datagram: bytes) -> None:
        """Send the first of the queue and take it out. OSError leaves it there, to be sent later; Broken does not."""
        try:
            self._link.send(datagram)
            self._counters.datagrams += 1
        except Broken:
            self._taken(datagram)
            raise
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            self._counters.refused += datagram.count(b"\n")  # it would never fit, and hold up the others
        finally:
            self._count_lost()
        self._taken(datagram)

    def _taken(self, datagram: bytes) -> None:
        if self._queue and self._queue[0] is datagram:  # it may have been dropped while we waited
            self._queue.popleft()

    def _count_lost(self) -> None:
        self._counters.dropped += self._link.lost
        self._link.lost = 0

    def _enqueue(self) -> None:
        lines, self._lines = self._lines, []
        datagrams, too_long = pack(lines, self._limit)
        self._counters.refused += too_long
        self._counters.samples -= too_long
        self._queue.extend(datagrams)
        while len(self._queue) > QUEUE:
            self._queue.popleft()
            self._counters.dropped += 1

    def _introduce(self) -> None:
        now = self._clock.monotonic()
        if now - self._introduced >= IDENTITY:
            self._link.send(self._identity)
            self._introduced, self._untold = now, True
        if self._untold:
            self._tell_news()
        if now - self._declared >= METRICS or self._over != self._link.opened:
            self._tell_metrics(now)

    def _tell_metrics(self, now: float) -> None:
        """Only what was told as a whole is told: what is the same again costs the server next to nothing."""
        self._declared = now    # others may come while we send
        try:
            for datagram in pack(self._metrics(), self._limit)[0]:
                self._link.send(datagram)
        except OSError:
            self._declared = float("-inf")
            raise
        self._over = self._link.opened

    def _tell_news(self) -> None:
        self._untold = False    # others may come while we send
        try:
            for datagram in pack(self._news(), self._limit)[0]:
                self._link.send(datagram)
        except OSError:
            self._untold = True
            raise

    def _probe(self) -> None:
        """Send what can be spared, and wait whether the port is still closed: data would be lost."""
        self._link.send(self._identity)
        gevent.sleep(PROBE)
        self._link.check()
        self._count_lost()
        self._introduced = self._clock.monotonic()
        self._untold = True
        self._away = False
        if self._told_at is not None:
            away, self._told_at = self._introduced - self._told_at, None
            lost = self._counters.dropped - self._dropped_before
            log.info("the server %s can be reached again, after %.0f s; the %d datagrams that waited are sent, %d were "
                     "lost", self._server, away, len(self._queue), lost)

    def _missing(self, error: OSError) -> None:
        self._away = True
        self._counters.unreachable += 1
        now = self._clock.monotonic()
        if self._told_at is None and now >= self._quiet_until:
            self._quiet_until, self._told_at, self._dropped_before = now + QUIET, now, self._counters.dropped
            log.warning("cannot reach the server %s (%s); what comes waits, the newest %d datagrams of it. %s",
                        self._server, error.strerror or error, QUEUE, _advice(self._link, error))


def _advice(link: Link, error: OSError) -> str:
    """What to try."""
    if isinstance(error, Broken) and isinstance(error.__cause__, OSError):
        error = error.__cause__
    if isinstance(error, socket.gaierror):
        return "Is the name in the setting server right?"
    if error.errno == errno.ECONNREFUSED:
        return "Does istat-server run there, is stat-port that port, and does listen-address let this machine in?"
    return link.advice(error) or "Is the network up, and the setting server right?"


def identity(hostname: str, agent: str, version: str) -> bytes:
    """The datagram that introduces an agent: `#key value` lines."""
    told = {"hostname": hostname, "version": version, "proto": "istat 1", "agent": agent}
    return b"".join(meta_line(key, value) for key, value in told.items())
