"""Connections of this machine's programs: lines, or acknowledged batches where the first line says so.

Each has a greenlet (`istat.daemon.listening.serving`); one buffer is for all, as only one is read at a time. Knows
sockets, and of messages only how they are framed.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Sequence

import gevent

from istat.daemon.listening.serving import Connection, Serving
from istat.daemon.turns import turn_of_the_hub
from istat.errors import BadBatch
from istat.wire.batches import MAGIC, MOST_FRAME, BatchFraming
from istat.wire.framing import LineFraming
from istat.wire.receiving import Receiving, Session
from istat.wire.strangers import BLANK, HTTP_REQUEST, LONG_REQUEST, not_here
from istat_agent.forwarding.intake import Intake, Peer

log = logging.getLogger(__name__)

# Connections at once; the one silent longest makes room for another.
PLACES = 256
# Longest line [bytes], as a server takes it.
MOST_LINE = 65536
# Read at once [bytes]: some 0.3 ms, and 10 ms where no line is a sample.
READ = 16 * 1024
# Of one connection at the end: what has come by then, and no endless stream.
LAST_READS = 64
# A program that does not take its answers for so long is let go [s].
ANSWER_SECONDS = 10.0


class StreamInput:
    """All sockets that accept connections, its own from now on."""

    def __init__(self, listeners: Sequence[socket.socket], intake: Intake, receiving: Receiving) -> None:
        self._intake, self._receiving = intake, receiving
        self._buffer = bytearray(max(MOST_LINE, MOST_FRAME) + READ)
        self._serving = Serving(listeners, PLACES, self._serve, self._crowded, _failed)

    def start(self) -> None:
        """Take lines and batches from now on."""
        self._serving.start()

    def stop(self) -> None:
        """End all connections: batches that were not acknowledged are sent again."""
        self._serving.stop()

    def _serve(self, connection: Connection) -> None:
        talk = Conversation(self._buffer, self._intake, self._receiving, Peer(connection.peer))
        try:
            while not talk.over:
                size = self._read(connection, talk)
                if not size:
                    break
                talk.take(size)
                self._serving.works(connection, False)      # it has been heard
                self._answer(connection, talk)
                turn_of_the_hub()
            self._answer(connection, talk)
        finally:
            talk.close()

    def _read(self, connection: Connection, talk: Conversation) -> int:
        """Wait for bytes in the room; how many there are, 0 at the end."""
        try:
            return int(connection.socket.recv_into(talk.room()))
        except gevent.GreenletExit:     # the agent ends, or another one needs the place
            self._take_rest(connection, talk)
            raise

    def _take_rest(self, connection: Connection, talk: Conversation) -> None:
        """Take what has come, without waiting for anything."""
        connection.socket.settimeout(0)
        with contextlib.suppress(OSError):
            for _ in range(LAST_READS):
                size = connection.socket.recv_into(talk.room())
                if not size or talk.over:
                    break
                talk.take(size)
        with contextlib.suppress(OSError):
            connection.socket.sendall(talk.answer())

    def _answer(self, connection: Connection, talk: Conversation) -> None:
        answer = talk.answer()
        if answer:
            self._serving.send(connection, answer, ANSWER_SECONDS)
            connection.socket.settimeout(None)

    def _crowded(self, peer: str) -> None:
        self._intake.mistake("too_many_connections", f"{PLACES} are open: the one silent longest ends".encode(), peer)


class Conversation:
    """What one connection says, without its socket: bytes are read into `room()`, and `take` is told how many."""

    def __init__(self, buffer: bytearray, intake: Intake, receiving: Receiving, peer: Peer) -> None:
        self.over = False
        self._buffer, self._intake, self._receiving, self._peer = buffer, intake, receiving, peer
        self._framing: LineFraming | BatchFraming = LineFraming(MOST_LINE)
        self._session: Session | None = None
        self._new = True        # no line of it has come yet
        self._out = bytearray()

    def room(self) -> memoryview:
        """Where the next bytes go."""
        held = self._framing.held
        return memoryview(self._buffer)[held:held + READ]

    def take(self, size: int) -> None:
        """So many bytes were read into the room."""
        end = self._framing.held + size
        try:
            runs, lost = self._framing.take(self._buffer, end)
            if self._new and (runs or lost) and self._is_other(end, runs[0][1] if runs and not runs[0][0] else 0):
                return
            for start, stop in runs:
                self._feed(start, stop)
        except BadBatch as error:
            self._intake.mistake("bad_message", str(error).encode(), self._peer.label)
            self.over = True
            return
        for text in lost:
            self._intake.mistake("long_line", text, self._peer.label)

    def answer(self) -> bytes:
        """What is to be sent."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def close(self) -> None:
        """The connection has ended. An unfinished last line is a mistake; an unfinished frame will come again."""
        rest = self._framing.finish()
        if self._session is not None:
            self._session.close()
        elif rest and not self.over:
            self._intake.mistake("incomplete", rest, self._peer.label)

    def _feed(self, start: int, stop: int) -> None:
        view = memoryview(self._buffer)
        if self._session is None:
            self._intake.feed(view, start, stop, self._peer)
            return
        while start < stop and (used := self._session.feed(view, start, stop)):
            start += used
            self._receiving.settle()        # nothing is owed for long: the spool is written at once

    def _is_other(self, end: int, first: int) -> bool:
        """Whether buffer[:end], all that has come so far, is no lines: batches begin, or HTTP, which is let go.

        first: end of the whole lines that it begins with, 0 for a line that is too long.
        """
        buffer = self._buffer
        if buffer.startswith(MAGIC, 0, first):
            self._begin_batches(bytes(buffer[len(MAGIC):end]))
            return True
        self._new = BLANK.fullmatch(buffer, 0, end) is not None     # HTTP passes over empty lines before a request
        found = HTTP_REQUEST.match(buffer, 0, end) or (not first and LONG_REQUEST.match(buffer, 0, end))
        if found:
            self._intake.mistake("http_request", found[0], self._peer.label)
            self._out += not_here("samples", 0)
            self.over = True
        return bool(found)

    def _begin_batches(self, rest: bytes) -> None:
        self._new = False
        self._framing = BatchFraming()
        self._session = self._receiving.session(self._out.extend, self._peer)
        if rest:
            self._buffer[:len(rest)] = rest
            self.take(len(rest))


def _failed(error: BaseException) -> None:
    log.error("a local port: a fault of our own", exc_info=error)
