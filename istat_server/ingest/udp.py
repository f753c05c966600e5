"""Samples by UDP: a socket is drained into runs of whole lines, which go to the intake.

Sockets and datagrams only: what a line says is the intake's, who has sent it the roster's matter.
"""
from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any

import gevent

from istat.kernels import udp
from istat_server.ingest.pump import Feeder, Outcome, Pump
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster

log = logging.getLogger(__name__)

# Datagrams per step: some 2 ms of work at 25 lines each.
BATCH = 256
# Longest datagram [bytes]: more than UDP can carry (65,507), so nothing is cut.
LONGEST = 65536
# Steps of a socket that is drained one last time at shutdown; a flood must not keep the server from ending.
LAST_STEPS = 1000


class UdpInput:
    """All UDP sockets of the stat port."""

    name = "udp"

    def __init__(self, sockets: Sequence[socket.socket], intake: Feeder, roster: Roster, mistakes: Mistakes,
                 pump: Pump, drops_before: Sequence[int] = ()) -> None:
        """`drops_before`: what each socket lost before this server had it; a socket may be kept over a restart."""
        self._readers = [UdpReader(sock, intake, roster, mistakes, pump) for sock in sockets]
        self._drops_before = drops_before or [0] * len(sockets)

    def start(self) -> None:
        """Begin to receive."""
        for reader in self._readers:
            reader.watch()

    def stop(self) -> None:
        """Take what has arrived, and close."""
        for reader in self._readers:
            reader.finish()

    def totals(self) -> dict[str, int]:
        """Since the start: datagrams, bytes, drops by the kernel, and drains (system calls)."""
        readers = self._readers
        return {"datagrams": sum(r.receiver.datagrams for r in readers),
                "bytes": sum(r.receiver.received for r in readers),
                # A receiver knows of none until a datagram arrives.
                "drops": sum(max(0, r.receiver.drops - n) for r, n in zip(readers, self._drops_before, strict=True)),
                "drains": sum(r.drains for r in readers)}


class UdpReader:
    """One bound UDP socket: a pump's readable."""

    def __init__(self, sock: socket.socket, intake: Feeder, roster: Roster, mistakes: Mistakes,
                 pump: Pump) -> None:
        self._socket = sock
        self._intake = intake
        self._roster = roster
        self._mistakes = mistakes
        self._pump = pump
        self._watcher: Any = gevent.get_hub().loop.io(sock.fileno(), 1)
        self.receiver = udp.Receiver(sock.fileno(), BATCH, LONGEST)
        self.drains = 0
        self._closed = False

    def watch(self) -> None:
        """See pump.Readable.watch."""
        if not self._closed:
            self._watcher.start(self._readable)

    def work(self) -> Outcome:
        """See pump.Readable.work: one batch of datagrams."""
        receiver = self.receiver
        truncated, unterminated = receiver.truncated, receiver.unterminated
        self.drains += 1
        taken = receiver.drain()
        for start, end, key, _ in receiver.runs:
            sender = self._roster.from_udp(key, end - start)
            self._pump.feed(self._intake, receiver.buffer, start, end, sender)
        if receiver.refused:
            self._note_refused(receiver.truncated - truncated, receiver.unterminated - unterminated)
        if taken == BATCH:
            return Outcome.MORE
        return Outcome.REST if taken else Outcome.EMPTY

    def finish(self) -> None:
        """Take what has arrived, and close."""
        self._closed = True
        self._watcher.stop()
        for _ in range(LAST_STEPS):
            if self.work() is Outcome.EMPTY:
                break
        self._watcher.close()
        self._socket.close()

    def close(self) -> None:
        """See pump.Readable.close. A port is not given up for one fault: listen on."""
        self.watch()

    def _readable(self) -> None:
        self._watcher.stop()
        self._pump.ready(self)

    def _note_refused(self, truncated: int, unterminated: int) -> None:
        self._mistakes.add("truncated", truncated)
        self._mistakes.add("unterminated", unterminated)
        for reason, sender, shown in self.receiver.refused:
            self._mistakes.show(reason, shown, self._roster.from_udp(sender, 0))
