"""Samples by TCP: connections are accepted and read, their whole lines go to the intake.

A connection is a socket, a watcher and the bytes of its unfinished line: no greenlet, no buffer of its
own, so that ten thousand idle ones cost little. The line protocol never answers.
"""
from __future__ import annotations

import errno
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gevent

from istat_server.ingest.pump import Feeder, Outcome, Pump
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster, Sender

log = logging.getLogger(__name__)

# One read takes at most this much [bytes]: some 1 ms of parsing.
READ_BYTES = 256 * 1024
# A connection is busy when it has something again within this time [s]; a busy one whose reads are small
# (below SMALL_READ bytes) rests a little, so that its writes come in together.
BUSY_SECONDS = 0.02
SMALL_READ = 16 * 1024
# Connections accepted per wake-up.
ACCEPTS = 64
# How long accepting pauses when file descriptors have run out [s].
ACCEPT_PAUSE = 1.0
# A host that has vanished without a word is noticed after about this time [s].
KEEPALIVE_IDLE = 600
# Reads of one connection at shutdown: what has arrived by then, and no endless stream.
LAST_READS = 64
# accept(2): errors of the new connection or of want, not of the listening socket.
OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class TcpInput:
    """All TCP sockets of the stat port, and the connections accepted on them."""

    name = "tcp"

    def __init__(self, sockets: Sequence[socket.socket], intake: Feeder, roster: Roster, mistakes: Mistakes,
                 pump: Pump, max_line: int, max_connections: int,
                 monotonic: Callable[[], float] = time.monotonic) -> None:
        """max_line: longest line [bytes]; max_connections: how many may be open at once."""
        self.intake = intake
        self.roster = roster
        self.mistakes = mistakes
        self.pump = pump
        self.max_line = max_line
        self.monotonic = monotonic
        self.buffer = bytearray(max_line + READ_BYTES)      # shared: only one connection is read at a time
        self.view = memoryview(self.buffer)
        self.connections: set[Connection] = set()
        self.connects = 0
        self.disconnects = 0
        self.received = 0
        self._max_connections = max_connections
        loop = gevent.get_hub().loop
        self._sockets = list(sockets)
        self._watchers: list[Any] = [loop.io(sock.fileno(), 1) for sock in sockets]
        self._pause: Any = None
        self._starved = False       # out of file descriptors, and said so

    def start(self) -> None:
        """Begin to accept."""
        for sock, watcher in zip(self._sockets, self._watchers):
            watcher.start(self._accept, sock)

    def stop(self) -> None:
        """Accept no more, take what has arrived, and close everything."""
        if self._pause is not None:
            self._pause.stop()
        for sock, watcher in zip(self._sockets, self._watchers):
            watcher.stop()
            sock.close()
        for connection in list(self.connections):
            connection.finish()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take over what may change while connections are open."""
        self._max_connections = settings["max-connections"]

    def totals(self) -> dict[str, int]:
        """Since the start: connects, disconnects, bytes; and the connections open now."""
        return {"connects": self.connects, "disconnects": self.disconnects, "bytes": self.received,
                "connected": len(self.connections)}

    def ended(self, connection: Connection) -> None:
        """A connection has closed itself."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.disconnects += 1
            self.roster.disconnected(connection.sender)

    def _accept(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                client, address = sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in OUT_OF_DESCRIPTORS:
                    self._pause_accepting(error)
                    return
                continue        # that one connection was gone before it was accepted
            self._starved = False
            self._admit(client, _address_text(address))

    def _admit(self, client: socket.socket, address: str) -> None:
        if len(self.connections) >= self._max_connections:
            client.close()
            self.mistakes.note("too_many_connections", address.encode())
            return
        client.setblocking(False)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        connection = Connection(self, client, self.roster.connected("tcp", address))
        self.connections.add(connection)
        self.connects += 1
        connection.watch()

    def _pause_accepting(self, error: OSError) -> None:
        if not self._starved:
            log.error("cannot accept connections: %s; trying again every %g s. Raise num-files, or lower "
                      "max-connections", error.strerror, ACCEPT_PAUSE)
        self._starved = True
        for watcher in self._watchers:
            watcher.stop()
        self._pause = gevent.get_hub().loop.timer(ACCEPT_PAUSE)
        self._pause.start(self.start)


class Connection:
    """One accepted connection: a pump's readable."""

    __slots__ = ("sender", "_input", "_socket", "_watcher", "_tail", "_skipping", "_read_at", "__weakref__")

    def __init__(self, owner: TcpInput, sock: socket.socket, sender: Sender) -> None:
        self.sender = sender
        self._input = owner
        self._socket = sock
        self._watcher: Any = gevent.get_hub().loop.io(sock.fileno(), 1)
        self._tail = b""            # an unfinished line: at most max_line bytes
        self._skipping = False      # inside a line that is too long
        self._read_at = float("-inf")

    def watch(self) -> None:
        """See pump.Readable.watch. A connection may have been closed while it rested."""
        if self._watcher is not None:
            self._watcher.start(self._readable)

    def work(self) -> Outcome:
        """See pump.Readable.work: one read."""
        if self._watcher is None:
            return Outcome.CLOSED
        held = len(self._tail)
        try:
            size = self._socket.recv_into(self._input.view[held:held + READ_BYTES])
        except (BlockingIOError, InterruptedError):
            return Outcome.EMPTY
        except OSError:     # reset by the sender: the same as an end, and not our fault
            size = 0
        if size == 0:
            self.close()
            return Outcome.CLOSED
        self._take(held, size)
        now = self._input.monotonic()
        busy = now - self._read_at < BUSY_SECONDS
        self._read_at = now
        if size == READ_BYTES:
            return Outcome.MORE
        return Outcome.REST if busy and size < SMALL_READ else Outcome.EMPTY

    def finish(self) -> None:
        """Take what has arrived, and close."""
        for _ in range(LAST_READS):
            try:
                if self.work() is Outcome.CLOSED or not self._more_waits():
                    break
            except OSError:
                break
        self.close()

    def close(self) -> None:
        """See pump.Readable.close. An unfinished last line is a mistake of the sender's."""
        if self._watcher is None:
            return
        if self._tail:
            self._input.mistakes.note("incomplete", self._tail, self.sender)
            self._tail = b""
        self._watcher.stop()
        self._watcher.close()
        self._watcher = None
        self._socket.close()
        self._input.ended(self)

    def _readable(self) -> None:
        self._watcher.stop()
        self._input.pump.ready(self)

    def _more_waits(self) -> bool:
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except (BlockingIOError, InterruptedError):
            return False

    def _take(self, held: int, size: int) -> None:
        """Handle `size` bytes just read behind the `held` ones of the unfinished line."""
        owner = self._input
        end = held + size
        owner.received += size
        self.sender.seen(owner.roster.now(), size)
        if held:
            owner.buffer[:held] = self._tail
        start = 0
        line_end = owner.buffer.find(b"\n", held, end)
        if self._skipping and line_end >= 0:
            start = line_end + 1
            self._skipping = False
        if self._skipping:
            return
        if line_end >= 0:       # without one there is nothing new to parse
            start += owner.pump.feed(owner.intake, owner.view, start, end, self.sender)
        self._keep(start, end)

    def _keep(self, start: int, end: int) -> None:
        """Remember the unfinished line buffer[start:end], or drop it when it is too long already."""
        owner = self._input
        if end - start > owner.max_line:
            owner.mistakes.note("long_line", bytes(owner.view[start:end]), self.sender)
            self._skipping = True
            start = end
        self._tail = bytes(owner.view[start:end])


def _address_text(address: Sequence[Any]) -> str:
    host, port = address[0], address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
