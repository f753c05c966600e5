"""Acknowledged batches to the store: what wire.receiving asks of a server, and when it looks what is written.

Knows no sockets: connections give it frames, and it answers them by what they gave with their session.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import gevent

from istat.daemon.turns import turn_of_the_hub
from istat.declared.told import parted
from istat.wire.batches import Hello, Lines, Meta, Refusal
from istat.wire.receiving import BARRED, UNABLE, Receiving
from istat_server.ingest.intake import Intake
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster, Sender
from istat_server.senders.sender import METADATA_BYTES
from istat_server.store.interface import Capability, Mark, Store

# How often the journal is looked at while acknowledgements wait for it, and is given what came since [s]: a sender that
# waits for its 16 batches has 3,000 of them a second at most, and a frame of the journal costs some 50 us.
SETTLE_SECONDS = 0.005


class Tee(Protocol):
    """Who is given all that batches bring, besides the store: the forwarder."""

    def batch(self, text: bytes, clock: int, interval: int, count: int, mark: Mark) -> None:
        """A batch that is new, before the store takes it: what this has written by the time the store's journal has it
        is never less than that. The store's `ticket` afterwards is the one of the batch. Must not wait."""

    def meta(self, origin: str, text: bytes) -> None:
        """What a host tells of itself: lines `#key value`."""

    def settle(self, seconds: float) -> None:
        """Wait until all that was given so far is where it goes, so long at most."""


class Batches:
    """A server's sessions of batches, and what becomes of these: a Service, and wire.receiving.Keeper."""

    name = "batches"

    def __init__(self, store: Store, intake: Intake, roster: Roster, mistakes: Mistakes, token: str = "") -> None:
        """token: samples-token; "" lets everybody in."""
        self._store, self._intake, self._roster, self._mistakes = store, intake, roster, mistakes
        self.receiving = Receiving(self, token)
        self.receiving.wake = self._wake
        self.tee: Tee | None = None
        self._timer: Any = None

    def start(self) -> None:
        """Nothing is to be done before somebody sends."""

    def stop(self) -> None:
        """No more is acknowledged: who was not answered sends again, and is told then."""
        self._end_timer()

    def totals(self) -> Mapping[str, float]:
        """Values of the metrics `batches.*`."""
        found: dict[str, float] = {f"batches.{what}": count for what, count in self.receiving.totals.items()}
        return {**found, "batches.senders": self.receiving.senders, "batches.owed": self.receiving.owed}

    # -- wire.receiving.Keeper

    @property
    def refusing(self) -> str:
        """See Keeper.refusing."""
        return self._store.refusing

    @property
    def ticket(self) -> int:
        """See Keeper.ticket."""
        return self._store.ticket

    @property
    def written(self) -> int:
        """See Keeper.written."""
        return self._store.written

    def hurry(self) -> None:
        """See Keeper.hurry."""
        self._store.hurry()

    def refuses(self, hello: Hello, who: Sender) -> Refusal | None:
        """See Keeper.refuses: a store without marks would count what is sent again; and the blacklist."""
        if Capability.BATCH_MARKS not in self._store.capabilities:
            return Refusal(UNABLE, "the receiver's store keeps no marks of batches: send lines (istatd:HOST:PORT)")
        if hello.host:
            who.meta("hostname", hello.host)
        return Refusal(BARRED, f"{hello.host or who.host} is on the receiver's blacklist") if who.barred else None

    def last(self, sender: bytes, epoch: int) -> int:
        """See Keeper.last."""
        return self._store.last_sequence(sender, epoch)

    def prepare(self, batch: Lines) -> bool:
        """See Keeper.prepare."""
        turns = 0
        for _ in self._store.prepare(batch.text, batch.clock, batch.interval):
            turn_of_the_hub()
            turns += 1
        return turns > 0

    def take(self, batch: Lines, hello: Hello, who: Sender) -> int:
        """See Keeper.take."""
        mark = Mark(hello.sender, hello.epoch, batch.sequence)
        if self.tee is not None:
            self.tee.batch(batch.text, batch.clock, batch.interval, batch.count, mark)
        text = memoryview(batch.text)
        marked = self._store.accept_marked(text, 0, len(text), batch.clock, batch.interval, mark)
        self._intake.tell(marked.left, who)
        if self._intake.watcher is not None:
            self._intake.watcher(text, who)
        return marked.refused

    def tell(self, meta: Meta, hello: Hello, who: Sender) -> None:
        """See Keeper.tell: of whom a forwarder tells is on the roster too."""
        if len(meta.origin.encode()) > METADATA_BYTES:
            self._mistakes.note("bad_metadata", meta.origin.encode(), who)
            return
        of = who if meta.origin in ("", hello.host) else self._roster.origin(who, meta.origin)
        for line in meta.text.split(b"\n")[:-1]:
            self._intake.meta(line, of, who)
        _declared, text = parted(meta.text)     # that is told on by whoever keeps it
        if self.tee is not None and text:
            self.tee.meta(meta.origin or who.name, text)

    def mistake(self, kind: str, text: bytes, who: Sender) -> None:
        """See Keeper.mistake."""
        self._mistakes.note(kind, text, who)

    # -- what is owed

    def _wake(self) -> None:
        if self._timer is None:
            self._timer = gevent.get_hub().loop.timer(SETTLE_SECONDS, SETTLE_SECONDS)
            self._timer.start(self._settle)

    def _settle(self) -> None:
        if not self.receiving.settle():
            self._end_timer()

    def _end_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None
