"""A connection to an original istatd: its preamble, lines with their times, metadata as lines (its parts 2.3 and 10).

It never answers, so that all that is known of a frame is whether the other machine's kernel has it: what was under way
when a connection ends counts as lost. Knows neither spool nor groups.
"""
from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.forwarding.ways import STUCK, Sent, send_all, unacknowledged
from istat.kernels import lines
from istat.spool.frames import Frame

WELCOME = 0.1       # [s] in which a server that does not take us closes a new connection, most networks included
LOOK = 0.2          # [s] between two looks at what the other machine has
# Frames that the kernel may hold for a target that reads slowly: what a cut loses at most.
MOST_UNDER_WAY = 16


class Answers(OSError):
    """Who is there answers, as no istatd does."""

    def __init__(self) -> None:
        super().__init__(errno.EPROTO, "who is there answers, as no istatd does at its stat-port: is it another port?")


def preamble(host: str, version: str) -> bytes:
    """What an istatd says first over each connection. The x protects very old ones from the line."""
    return b"#proto x 1 1\r\n#version %s\r\n#hostname %s\r\n" % (version.encode(), host.encode())


class Plain:
    """See ways.Way."""

    def __init__(self, sock: Any, introduction: bytes, clock: Clock, arrived: Callable[[Sent], None],
                 changed: Event) -> None:
        """sock: of `ways.dial`. introduction: of `preamble`. arrived: is told of each frame that the other machine
        has. changed: is set when the connection has ended."""
        self.under_way: deque[Sent] = deque()
        self._ends: deque[int] = deque()    # how many bytes had been sent with each of them
        self._sent = 0
        self._socket, self._introduction, self._clock = sock, introduction, clock
        self._arrived, self._changed = arrived, changed
        self._ended: OSError | None = None
        self._reader = gevent.spawn(self._read)

    def greet(self) -> int:
        """See Way.greet: an istatd says nothing, so that all one sees is whether it ends the connection."""
        self._send(self._introduction)
        gevent.sleep(WELCOME)
        self._check()
        return 0

    @property
    def room(self) -> bool:
        """See Way.room."""
        return self._ended is None and len(self.under_way) < MOST_UNDER_WAY

    def send(self, frame: Frame, sequences: Sequence[int]) -> None:
        """See Way.send. Each line gets its time, since it may arrive later than it was meant."""
        text = lines.timed(memoryview(frame.text), 0, len(frame.text), frame.clock)
        self.under_way.append(Sent(sequences, frame.count, len(text), self._clock.monotonic()))
        self._ends.append(self._sent + len(text))
        self._send(text)
        self._look()
        gevent.sleep(0)     # nothing else makes it wait while the network is fast

    def meta(self, origin: str, text: bytes) -> None:
        """See Way.meta: there are no origins, all is of this connection."""
        self._send(text)

    def wait(self, changed: Event, seconds: float) -> None:
        """See Way.wait."""
        self._check()
        changed.wait(min(seconds, LOOK) if self.under_way else seconds)
        changed.clear()
        self._check()
        self._look()
        if self.under_way and self._clock.monotonic() - self.under_way[0].at > STUCK:
            raise TimeoutError(errno.ETIMEDOUT, "it reads nothing")

    def close(self) -> None:
        """See Way.close. What was sent is brought by the kernel, if it can."""
        self._reader.kill(block=False)
        self._socket.close()

    def _send(self, data: bytes) -> None:
        self._check()
        self._sent += len(data)
        send_all(self._socket, data)

    def _check(self) -> None:
        if self._ended is not None:
            self._look()
            raise self._ended

    def _look(self) -> None:
        """Forget what the other machine has acknowledged."""
        waits = unacknowledged(self._socket)
        if waits is None:
            return
        while self._ends and self._ends[0] <= self._sent - waits:
            self._ends.popleft()
            self._arrived(self.under_way.popleft())

    def _read(self) -> None:
        """Wait for the end of the connection."""
        try:
            self._ended = Answers() if self._socket.recv(1) else ConnectionResetError(
                errno.ECONNRESET, "it closes the connection")
        except OSError as error:
            self._ended = error
        self._changed.set()
