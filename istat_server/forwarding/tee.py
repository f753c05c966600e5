"""What the server takes, given to the forwarder too: plain lines that are samples, batches as they are, what senders
tell of themselves. And the word that the journal has it, before which nothing is sent.

Knows no sockets. Belongs to the hub.
"""
from __future__ import annotations

from collections import deque
from typing import Protocol

import gevent

from istat.forwarding.forwarder import Forwarder
from istat.kernels import lines
from istat.spool.frames import Mark
from istat_server.declared.declared import Declared
from istat_server.ingest.batches import Batches
from istat_server.ingest.intake import Intake
from istat_server.roster import Sender
from istat_server.selfmetrics import SelfMetrics

# How long an end waits for the journal [s], so that what came last is forwarded before the server is gone.
LAST_SECONDS = 2.0
LAST_LOOK = 0.02        # between two looks at it [s]


class Journal(Protocol):
    """What the tee wants of a store (store.interface.Store)."""

    @property
    def ticket(self) -> int:
        """All that was taken by now is in the journal once `written` is no less."""

    @property
    def written(self) -> int:
        """Up to which ticket all is in the journal."""

    def tick(self) -> None:
        """Has what waits written."""


class Tee:
    """Between what takes samples and the forwarder: a Service, so that the last of them go out at the end."""

    name = "forwarding"

    def __init__(self, forwarder: Forwarder, store: Journal) -> None:
        self.forwarder = forwarder
        self._store = store
        self._waiting: deque[tuple[int, int]] = deque()     # tickets, and the last frame that may be sent with each
        self._told: dict[Sender, None] = {}     # who has told something since the last tick
        self._over = False

    def hang_on(self, intake: Intake, batches: Batches, declared: Declared, metrics: SelfMetrics) -> None:
        """Be given what these take, and what is declared of metrics by now."""
        intake.tee = batches.tee = self
        declared.news = lambda line: self.meta("", line)
        declared.gone = self.forwarder.undeclare
        self.meta("", declared.lines())
        batches.receiving.own.add(self.forwarder.id)    # batches that come with it came back to us
        metrics.source("forward", self.forwarder.totals)

    def start(self) -> None:
        """Begin to send."""
        self.forwarder.start()

    def stop(self) -> None:
        """Have what came last written, and let the targets acknowledge it, for a moment."""
        for _ in range(int(LAST_SECONDS / LAST_LOOK)):
            self.tick()
            self._store.tick()
            if self._store.written >= self._store.ticket:
                break
            gevent.sleep(LAST_LOOK)
        self._release()
        self._over = True
        self.forwarder.stop(self._store.written >= self._store.ticket)

    def settle(self, seconds: float) -> None:
        """Wait until those targets that can be reached have what was taken by now, so long at most."""
        if not self._over:
            self.tick()
            self._store.tick()
            self.forwarder.settle(seconds)

    def lines(self, view: memoryview, start: int, end: int, whole: bool) -> None:
        """Whole lines, which the store has taken. `whole`: it has left none of them."""
        if self._over:
            return      # self-metrics of the end
        if whole:
            self.forwarder.lines(bytes(view[start:end]))
            return
        parts: list[memoryview] = []
        at = start
        for _code, begin, after in lines.sift(view, start, end):
            parts.append(view[at:begin])
            at = after
        parts.append(view[at:end])
        self.forwarder.lines(b"".join(parts))

    def batch(self, text: bytes, clock: int, interval: int, count: int, mark: Mark) -> None:
        """A batch that the store takes next, for the first time; nobody else has a turn between."""
        self.forwarder.take(text, clock, count, interval, mark)

    def meta(self, origin: str, text: bytes) -> None:
        """What somebody whose samples came in batches tells of itself."""
        self.forwarder.meta(origin, text)

    def told(self, sender: Sender) -> None:
        """A sender of lines has told something of itself."""
        self._told[sender] = None

    def tick(self) -> None:
        """To be called before each tick of the store: the spool is written before the journal."""
        if self._over:
            return
        self.forwarder.tick()
        self._release()
        ticket = self._store.ticket
        while self._waiting and self._waiting[-1][0] >= ticket:     # greater: a replica has another store now
            self._waiting.pop()
        self._waiting.append((ticket, self.forwarder.last))
        if self._told:
            told, self._told = self._told, {}
            for sender in told:
                text = "".join(f"#{key} {value}\n" for key, value in sender.metadata.items())
                self.forwarder.meta(sender.name, text.encode())

    def _release(self) -> None:
        """What was taken before a tick whose ticket is written may be sent."""
        written, last = self._store.written, 0
        while self._waiting and self._waiting[0][0] <= written:
            last = self._waiting.popleft()[1]
        self.forwarder.release(last)
