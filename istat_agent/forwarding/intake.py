"""Lines and batches of this machine's programs, on their way to the spool: what is no sample is sorted out and counted.

Knows no sockets. What programs tell of themselves goes on under their names.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.declared.lines import BEGINS
from istat.kernels import lines as grammar
from istat.spool.frames import Mark
from istat.wire.batches import Hello, Lines, Meta, Refusal
from istat.wire.receiving import NotKept
from istat_agent.counters import Counters

log = logging.getLogger(__name__)

META, EMPTY = grammar.CODES["META"], grammar.CODES["EMPTY"]
KINDS = {code: name.lower() for name, code in grammar.CODES.items()}
# What a program may tell of itself: keys, and bytes of a line (a server takes 32 of 256 for key and value each).
MOST_KEYS, MOST_LINE = 32, 600
HOSTNAME = b"#hostname"
# UDP senders whose metadata are kept apart.
MOST_PEERS = 256


class Way(Protocol):
    """What is wanted of a forwarder (istat.forwarding.forwarder)."""

    @property
    def refusing(self) -> str: ...
    def lines(self, text: bytes) -> None: ...
    def take(self, text: bytes, clock: int, count: int, interval: int = 0, mark: Mark | None = None) -> int: ...
    def marks(self) -> Any: ...
    def meta(self, origin: str, text: bytes) -> None: ...


class Peer:
    """One sender: its address in words, and what it has told of itself."""

    __slots__ = ("label", "told")

    def __init__(self, label: str) -> None:
        self.label = label
        self.told: dict[bytes, bytes] = {}

    @property
    def origin(self) -> str:
        """What targets are told that it is called: the host name that it told, else its address."""
        name = self.told.get(HOSTNAME, b"").partition(b" ")[2].strip()
        return name.decode("utf-8", "replace") or self.label

    def tell(self, line: bytes) -> bool:
        """It says `#key value`; whether that is taken."""
        key, blank, _ = line.partition(b" ")
        if not blank or len(line) >= MOST_LINE or (key not in self.told and len(self.told) >= MOST_KEYS):
            return False
        self.told[key] = line.rstrip(b"\r") + b"\n"
        return True


class Intake:
    """The way in for all local ports."""

    def __init__(self, way: Way, counters: Counters, clock: Clock, arrived: Callable[[], None],
                 watch: Callable[[Sequence[bytes]], None] | None = None) -> None:
        """arrived: called before lines are given to the forwarder; watch: given all lines that are taken."""
        self._way, self._counters, self._arrived, self._watch = way, counters, arrived, watch
        self._log = LimitedLog(log, clock)
        self._udp: OrderedDict[str, Peer] = OrderedDict()       # longest silent first

    def udp_peer(self, label: str) -> Peer:
        """The sender of datagrams at this address."""
        peer = self._udp.get(label)
        if peer is None:
            peer = self._udp[label] = Peer(label)
            if len(self._udp) > MOST_PEERS:
                self._udp.popitem(last=False)
        self._udp.move_to_end(label)
        return peer

    def feed(self, view: memoryview, start: int, end: int, peer: Peer) -> None:
        """Take the whole lines of view[start:end]."""
        text, _ = self._sifted(view, start, end, peer)
        if text:
            self._arrived()
            self._way.lines(text)
            self._took(text)

    def mistake(self, kind: str, text: bytes, label: str, count: int = 1) -> None:
        """A program has sent what cannot be taken."""
        self._counters.local_refused += count
        self._log.warning(kind, "%s from %s: %s", kind, label, text)

    def refusing(self) -> str:
        """Why batches cannot be kept now; "" while they can."""
        return self._way.refusing

    def last(self, sender: bytes, epoch: int) -> int:
        """The last sequence of a sender's epoch that is in the spool; 0 for none."""
        return int(self._way.marks().get((sender, epoch), 0))

    def batch(self, batch: Lines, mark: Mark, peer: Peer) -> int:
        """Keep a batch, with its mark; how many of its lines are refused. NotKept: the disk does not take it."""
        text, refused = self._sifted(memoryview(batch.text), 0, len(batch.text), peer)
        if text:        # no frame is empty; what had no sample may come again and is no more then
            self._arrived()
            if not self._way.take(text, batch.clock, text.count(b"\n"), batch.interval, mark):
                raise NotKept("the spool cannot be written: its disk is full, or fails")
            self._took(text)
        return refused

    def tell(self, origin: str, text: bytes) -> None:
        """An origin tells of itself, by a program that forwards."""
        self._way.meta(origin, text)

    def _took(self, text: bytes) -> None:
        self._counters.local += text.count(b"\n")
        if self._watch is not None:
            self._watch([text])

    def _sifted(self, view: memoryview, start: int, end: int, peer: Peer) -> tuple[bytes, int]:
        """(the sample lines alone, how many were refused); what the others were is counted or told on."""
        left = grammar.sift(view, start, end)
        if not left:
            return bytes(view[start:end]), 0
        parts: list[memoryview] = []
        at, told = start, False
        declared: list[bytes] = []
        wrong: dict[str, tuple[bytes, int]] = {}        # by kind the first line, and how many; told once each
        for code, first, last in left:
            parts.append(view[at:first])
            at = last
            line = bytes(view[first:last]).rstrip(b"\n")
            if code == META and line.startswith(BEGINS):
                declared.append(line + b"\n")
            elif code == META and peer.tell(line):
                told = True
            elif code != EMPTY:
                kind = "bad_metadata" if code == META else KINDS[code]
                first_line, count = wrong.get(kind, (line, 0))
                wrong[kind] = first_line, count + 1
        for kind, (line, count) in wrong.items():
            self.mistake(kind, line, peer.label, count)
        if declared:
            self._way.meta(peer.origin, b"".join(declared))
        if told:
            self._way.meta(peer.origin, b"".join(peer.told.values()))
        return b"".join([*parts, view[at:end]]), sum(count for _, count in wrong.values())


class Keeping:
    """Where acknowledged batches go: a wire.receiving.Keeper over the spool, which is the journal here. A frame is
    written at once, so that nothing is owed."""

    ticket = written = 0

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    @property
    def refusing(self) -> str:
        """See Keeper.refusing."""
        return self._intake.refusing()

    def hurry(self) -> None:
        """See Keeper.hurry: nothing waits."""

    def refuses(self, hello: Hello, who: Peer) -> Refusal | None:
        """See Keeper.refuses."""
        return None

    def last(self, sender: bytes, epoch: int) -> int:
        """See Keeper.last."""
        return self._intake.last(sender, epoch)

    def prepare(self, batch: Lines) -> bool:
        """See Keeper.prepare: nothing is learnt here."""
        return False

    def take(self, batch: Lines, hello: Hello, who: Peer) -> int:
        """See Keeper.take."""
        return self._intake.batch(batch, (hello.sender, hello.epoch, batch.sequence), who)

    def tell(self, meta: Meta, hello: Hello, who: Peer) -> None:
        """See Keeper.tell."""
        self._intake.tell(meta.origin or hello.host or who.label, meta.text)

    def mistake(self, kind: str, text: bytes, who: Peer) -> None:
        """See Keeper.mistake."""
        self._intake.mistake(kind, text, who.label)
