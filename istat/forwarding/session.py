"""A connection to a server of ours: batches that it acknowledges (docs/protocols/batches.md), from the sender's side.

A greenlet of its own hears the answers; whoever sends is woken by them. Knows neither spool nor groups.
"""
from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.errors import BadBatch
from istat.forwarding.ways import NotTaken, Refused, Sent, send_all
from istat.spool.frames import Frame
from istat.wire.batches import (
    MAGIC,
    MOST_FRAME,
    MOST_META,
    MOST_TEXT,
    MOST_UNDER_WAY,
    MOST_UNDER_WAY_BYTES,
    Ack,
    BatchFraming,
    Hello,
    Later,
    Lines,
    Message,
    Meta,
    Ping,
    Pong,
    Refusal,
    Welcome,
    decode,
    encode,
    frame_size,
)

READ_BYTES = 16 * 1024
# Until a target answers [s]: it acknowledges within 100 ms, unless its disk or the network is slow.
ANSWER = 30.0
GREETING = 10.0     # the same, of the first answer [s]: who does not know what we speak never gives one
TURN = 1e-6         # [s] a timer, after which all sockets are looked at; sleep(0) would be back before
PING = 20.0         # [s] of silence after which it is asked whether it is there


class Ended(OSError):
    """The target has closed the connection."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "it closes the connection")


class Session:
    """See ways.Way."""

    def __init__(self, sock: Any, hello: Hello, clock: Clock, acknowledged: Callable[[Sent, int], None],
                 changed: Event) -> None:
        """sock: of `ways.dial`. acknowledged: is told of each batch that was, and of how many of its lines were
        refused. changed: is set when anything has come."""
        self.under_way: deque[Sent] = deque()
        self._bytes = 0
        self._socket, self._hello, self._clock = sock, hello, clock
        self._acknowledged, self._changed = acknowledged, changed
        self._ended: Exception | None = None
        self._last: int | None = None       # of Welcome
        self._pings = 0                     # that are not answered
        self._heard_at = self._asked_at = clock.monotonic()
        self._reader = gevent.spawn(self._read)

    def greet(self) -> int:
        """See Way.greet. TimeoutError, Refused and others."""
        self._send(MAGIC + encode(self._hello))
        until = self._clock.monotonic() + GREETING
        while self._last is None:
            left = until - self._clock.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "it does not answer: an original istatd never does, and is to be "
                                                    "written with istatd: before it, in the setting forward")
            self._wait(self._changed, left)
        return self._last

    @property
    def room(self) -> bool:
        """See Way.room."""
        return len(self.under_way) < MOST_UNDER_WAY and self._bytes + MOST_TEXT <= MOST_UNDER_WAY_BYTES

    def send(self, frame: Frame, sequences: Sequence[int]) -> None:
        """See Way.send."""
        self.under_way.append(Sent(sequences, frame.count, len(frame.text), self._clock.monotonic()))
        self._bytes += len(frame.text)
        self._send(encode(Lines(frame.sequence, frame.clock, frame.interval, frame.count, frame.text)))

    def meta(self, origin: str, text: bytes) -> None:
        """See Way.meta. In as many messages as it needs: one origin may tell a little more than one of them takes."""
        while text:
            end = text.rfind(b"\n", 0, MOST_META) + 1
            self._send(encode(Meta(origin, text[:end])))
            text = text[end:]

    def wait(self, changed: Event, seconds: float) -> None:
        """See Way.wait. Asks a silent target whether it is there, and gives up one that does not answer."""
        self._wait(changed, seconds)
        now = self._clock.monotonic()
        since = self.under_way[0].at if self.under_way else self._asked_at
        waits = self.under_way or self._asked_at > self._heard_at
        if waits and now - max(since, self._heard_at) > ANSWER:
            raise TimeoutError(errno.ETIMEDOUT, f"it has not answered for {ANSWER:.0f} s")
        if not waits and now - self._heard_at > PING:
            self._asked_at = now
            self._pings += 1
            self._send(encode(Ping()))

    def close(self) -> None:
        """See Way.close."""
        self._reader.kill(block=False)
        self._socket.close()

    def _wait(self, changed: Event, seconds: float) -> None:
        self._check()
        changed.wait(seconds)
        changed.clear()
        self._check()

    def _send(self, data: bytes) -> None:
        self._check()
        try:
            send_all(self._socket, data)
        except OSError:
            gevent.sleep(0)     # what it said before it went says more: the reader has its turn
            self._check()
            raise

    def _check(self) -> None:
        if self._ended is not None:
            raise self._ended

    def _read(self) -> None:
        """Hear answers until the connection ends."""
        framing, buffer = BatchFraming(), bytearray(MOST_FRAME + READ_BYTES)
        view = memoryview(buffer)
        try:
            while True:
                held = framing.held
                size = self._socket.recv_into(view[held:held + READ_BYTES])
                if not size:
                    raise Ended
                self._heard_at = self._clock.monotonic()
                for start, end in framing.take(buffer, held + size)[0]:
                    while start < end:
                        after = start + frame_size(view, start)
                        self._hear(decode(view[start:after]))
                        start = after
                self._changed.set()
                gevent.sleep(TURN)      # a read of what is there already is no turn for others
        except (OSError, BadBatch, Refused, NotTaken) as error:
            self._ended = error
            self._changed.set()

    def _hear(self, message: Message) -> None:
        if isinstance(message, Ack):
            if not self.under_way or self.under_way[0].sequence != message.sequence:
                raise BadBatch(f"it acknowledges the batch {message.sequence}, which is not the next one under way")
            sent = self.under_way[0]
            if message.refused > sent.lines:
                raise BadBatch(f"it refuses {message.refused} lines of a batch that has {sent.lines}")
            self.under_way.popleft()
            self._bytes -= sent.bytes
            self._acknowledged(sent, message.refused)
        elif isinstance(message, Welcome):
            if self._last is not None:
                raise BadBatch("it greets twice")
            self._last = message.last
        elif isinstance(message, Later):
            raise NotTaken(message.sequence, message.sentence)
        elif isinstance(message, Refusal):
            raise Refused(message.sentence)
        elif isinstance(message, Pong) and self._pings:
            self._pings -= 1
        else:
            raise BadBatch(f"it says {type(message).__name__}, which is not what comes now")
