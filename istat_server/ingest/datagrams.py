"""Samples by datagrams, UDP and Unix: a socket is drained, whole messages go to its endpoint's protocol.

Sockets and datagrams only: what a message says is the protocol's, who has sent it the roster's matter. Where every
datagram is whole lines, a kernel drains many at once into runs of lines; else they are taken one by one, which costs
some microseconds more each.
"""
from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from typing import Any

import gevent

from istat.kernels import udp
from istat.wire.protocol import Datagrams
from istat_server.ingest.endpoints import Transport
from istat_server.ingest.pump import Outcome, Surroundings
from istat_server.mistakes import BARRED
from istat_server.roster import Sender, key_of
from istat_server.sockets import Bound, drops

log = logging.getLogger(__name__)

# Datagrams per step: some 2 ms of work at 25 lines each.
BATCH = 256
# Of those that are taken one by one.
SINGLES = 64
# Longest datagram [bytes]: more than UDP can carry (65,507), so nothing is cut.
LONGEST = 65536
# Steps of a socket that is drained one last time at shutdown; a flood must not keep the server from ending.
LAST_STEPS = 1000


class DatagramInput:
    """All sockets that datagrams come in by."""

    name = "datagrams"

    def __init__(self, bound: Sequence[Bound], around: Surroundings) -> None:
        self._runs: list[RunReader] = []
        self._singles: list[SingleReader] = []
        for one in bound:
            lines = one.endpoint.protocol.datagrams is Datagrams.LINES and one.endpoint.transport is Transport.UDP
            for sock, lost in zip(one.sockets, one.drops_before or [0] * len(one.sockets), strict=True):
                if lines:
                    self._runs.append(RunReader(sock, one, around, lost))
                else:
                    self._singles.append(SingleReader(sock, one, around, lost))

    def start(self) -> None:
        """Begin to receive."""
        for reader in (*self._runs, *self._singles):
            reader.watch()

    def stop(self) -> None:
        """Take what has arrived, and close."""
        for reader in (*self._runs, *self._singles):
            reader.finish()

    def totals(self) -> dict[str, int]:
        """Since the start, by transport: datagrams and bytes; of UDP also drops by the kernel."""
        found = {"udp.datagrams": sum(r.receiver.datagrams for r in self._runs),
                 "udp.bytes": sum(r.receiver.received for r in self._runs),
                 # A receiver knows of none until a datagram arrives.
                 "udp.drops": sum(max(0, r.receiver.drops - r.lost_before) for r in self._runs)}
        for one in self._singles:
            for what, count in (("datagrams", one.datagrams), ("bytes", one.received)):
                name = f"{one.transport.value}.{what}"
                found[name] = found.get(name, 0) + count
            found["udp.drops"] += one.drops()
        return found

    @property
    def drains(self) -> int:
        """Calls of the system that took many datagrams, or none."""
        return sum(reader.drains for reader in self._runs)


class Reader:
    """One bound datagram socket: a pump's readable. What it does in a step is its children's matter."""

    def __init__(self, sock: socket.socket, bound: Bound, around: Surroundings) -> None:
        self.transport = bound.endpoint.transport
        self._socket = sock
        self._around = around
        self._protocol = bound.endpoint.protocol
        self._feeder = self._protocol.feeder(around.intake)
        self._watcher: Any = gevent.get_hub().loop.io(sock.fileno(), 1)
        self._closed = self._ended = False

    def watch(self) -> None:
        """See pump.Readable.watch."""
        if not self._closed:
            self._watcher.start(self._readable)

    def work(self) -> Outcome:
        """See pump.Readable.work. The pump may hold one that has ended, whose descriptor may be another's by now."""
        return Outcome.CLOSED if self._ended else self._step()

    def _step(self) -> Outcome:
        """One bounded portion."""
        raise NotImplementedError

    def finish(self) -> None:
        """Take what has arrived, and close."""
        self._closed = True
        self._watcher.stop()
        for _ in range(LAST_STEPS):
            if self._step() is Outcome.EMPTY:
                break
        self._watcher.close()
        self._socket.close()
        self._ended = True

    def close(self) -> None:
        """See pump.Readable.close. A port is not given up for one fault: listen on."""
        self.watch()

    def _readable(self) -> None:
        self._watcher.stop()
        self._around.pump.ready(self)


class RunReader(Reader):
    """One whose datagrams are whole lines: a kernel lays many of them out as few runs."""

    def __init__(self, sock: socket.socket, bound: Bound, around: Surroundings, lost_before: int = 0) -> None:
        """lost_before: what the socket lost before this server had it; it may be kept over a restart."""
        super().__init__(sock, bound, around)
        self.receiver = udp.Receiver(sock.fileno(), BATCH, LONGEST)
        self.drains = 0
        self.lost_before = lost_before

    def _step(self) -> Outcome:
        """One batch of datagrams."""
        receiver, around = self.receiver, self._around
        truncated, unterminated = receiver.truncated, receiver.unterminated
        self.drains += 1
        taken = receiver.drain()
        for start, end, key, _ in receiver.runs:
            sender = around.roster.from_udp(key, end - start)
            around.pump.feed(self._feeder, receiver.buffer, start, end, sender)
            if sender.barred:
                around.mistakes.note(BARRED, f"{sender.name} is on the blacklist".encode(), sender)
        if receiver.refused:
            self._note_refused(receiver.truncated - truncated, receiver.unterminated - unterminated)
        if taken == BATCH:
            return Outcome.MORE
        return Outcome.REST if taken else Outcome.EMPTY

    def _note_refused(self, truncated: int, unterminated: int) -> None:
        mistakes = self._around.mistakes
        mistakes.add("truncated", truncated)
        mistakes.add("unterminated", unterminated)
        for reason, sender, shown in self.receiver.refused:
            mistakes.show(reason, shown, self._around.roster.from_udp(sender, 0))


class SingleReader(Reader):
    """One whose datagrams are taken one by one."""

    def __init__(self, sock: socket.socket, bound: Bound, around: Surroundings, lost_before: int = 0) -> None:
        """lost_before: as for a RunReader."""
        super().__init__(sock, bound, around)
        self._lost_before = lost_before
        self.datagrams = 0
        self.received = 0
        self._buffer = bytearray(LONGEST + 1)       # and a line feed
        self._view = memoryview(self._buffer)
        self._everyone: Sender | None = None
        if self.transport.local:        # senders have no address as a rule: they are one
            self._everyone = around.roster.connected(self.transport.value, bound.endpoint.path, shared=True)

    def _step(self) -> Outcome:
        """Some datagrams."""
        for taken in range(SINGLES):
            try:
                size, _, flags, address = self._socket.recvmsg_into([self._view[:LONGEST]])
            except (BlockingIOError, InterruptedError):
                return Outcome.REST if taken else Outcome.EMPTY
            self.datagrams += 1
            self.received += size
            sender = self._sender(address, size)
            self._take(size, flags, sender)
            if sender.barred:
                self._around.mistakes.note(BARRED, f"{sender.name} is on the blacklist".encode(), sender)
            self._around.pump.breathe()
            if self._ended:     # somebody has stopped it meanwhile, and the descriptor may be another's
                return Outcome.CLOSED
        return Outcome.MORE

    def finish(self) -> None:
        """See Reader.finish."""
        super().finish()
        if self._everyone is not None:
            self._around.roster.disconnected(self._everyone)

    def drops(self) -> int:
        """Datagrams that the kernel dropped since this server has the socket; sender and socket wait for each other
        where it is a Unix one."""
        return 0 if self.transport.local else max(0, drops(self._socket) - self._lost_before)

    def _sender(self, address: Any, size: int) -> Sender:
        if self._everyone is None:
            return self._around.roster.from_udp(key_of(address), size)
        self._everyone.seen(self._around.roster.now(), size)
        return self._everyone

    def _take(self, size: int, flags: int, sender: Sender) -> None:
        """Feed one datagram, or count why not."""
        kind, mistakes = self._protocol.datagrams, self._around.mistakes
        if flags & socket.MSG_TRUNC:
            mistakes.note("truncated", bytes(self._view[:size]), sender)
            return
        if kind is Datagrams.WHOLE:     # never in portions: only its protocol knows where it might be cut
            if self._feeder.feed(self._view, 0, size, sender) < size:
                mistakes.note("unterminated", bytes(self._view[:size]), sender)
            return
        whole = self._buffer.rfind(b"\n", 0, size) + 1
        if whole < size and kind is Datagrams.MENDED:
            self._buffer[size] = 10
            whole = size + 1
        elif whole < size or not size:
            mistakes.note("unterminated", bytes(self._view[whole:size]), sender)
        if whole:
            self._around.pump.feed(self._feeder, self._view, 0, whole, sender)
