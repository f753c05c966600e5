"""One connection of a sender, TCP or Unix: it is read in turns, and whole messages go to its endpoint's protocol.

A socket, a watcher, and what its framing holds of an unfinished message: no greenlet, no buffer of its own, so that ten
thousand idle ones cost little. Where lines are spoken, its first line may say that batches follow, which alone are
answered. Whoever asks by HTTP is told where to. Knows no protocol but for these first lines.
"""
from __future__ import annotations

import contextlib
import socket
from typing import Any, Protocol

import gevent

from istat.daemon.tls import HANDSHAKE_BYTE, Certificate
from istat.errors import BadBatch
from istat.wire.batches import MAGIC, BatchFraming
from istat.wire.framing import Framing, Taken
from istat.wire.lines import LINES
from istat.wire.protocol import Feeder
from istat.wire.receiving import Receiving, Session
from istat.wire.strangers import BLANK, HTTP_REQUEST, LONG_REQUEST
from istat_server.ingest.encrypted import BadTls, Encrypted, NotTls
from istat_server.ingest.endpoints import Endpoint, Transport
from istat_server.ingest.places import Places
from istat_server.ingest.pump import Outcome, Surroundings
from istat_server.mistakes import BARRED
from istat_server.roster import Sender

# One read takes at most this much [bytes]: some 1 ms of parsing.
READ_BYTES = 256 * 1024
# A connection is busy when it has something again within this time [s]; a busy one whose reads are small
# (below SMALL_READ bytes) rests a little, so that its writes come in together.
BUSY_SECONDS = 0.02
SMALL_READ = 16 * 1024
# Reads of one connection at shutdown: what has arrived by then, and no endless stream.
LAST_READS = 64


class Owner(Protocol):
    """Who accepts connections: what all of them share."""

    around: Surroundings
    not_here: bytes
    certificate: Certificate | None
    tls_only: bool
    max_line: int
    buffer: bytearray
    view: memoryview
    received: dict[Transport, int]
    connections: Places[Connection]
    receiving: Receiving | None

    def monotonic(self) -> float: ...
    def shaking(self, connection: Connection) -> None: ...
    def shaken_hands(self, connection: Connection) -> None: ...
    def ended(self, connection: Connection) -> None: ...


class Connection:
    """One accepted connection: a pump's readable."""

    __slots__ = ("sender", "_input", "_endpoint", "_socket", "_source", "_watcher", "_framing", "_feeder", "_read_at",
                 "_new", "_far", "_session", "__weakref__")

    def __init__(self, owner: Owner, sock: socket.socket, endpoint: Endpoint, sender: Sender, far: bool) -> None:
        """far: it comes from another machine."""
        self.sender = sender
        self._far = far
        self._session: Session | None = None    # of batches, once its first line has said so
        self._input = owner
        self._endpoint = endpoint
        self._socket = sock
        self._source: socket.socket | Encrypted = sock      # what plain bytes are read from
        self._watcher: Any = gevent.get_hub().loop.io(sock.fileno(), 1)
        self._framing: Framing = endpoint.protocol.framing(endpoint.longest or owner.max_line)
        self._feeder: Feeder = endpoint.protocol.feeder(owner.around.intake)
        self._read_at = float("-inf")
        self._new = True        # no message of it has come yet

    def watch(self) -> None:
        """See pump.Readable.watch. A connection may have been closed while it rested."""
        if self._watcher is not None:
            self._watcher.start(self._readable)

    def work(self) -> Outcome:
        """See pump.Readable.work: one read."""
        if self._watcher is None:
            return Outcome.CLOSED
        held = self._framing.held
        try:
            size = self._read(held)
        except (BlockingIOError, InterruptedError):
            return Outcome.EMPTY
        except BadTls as error:
            self.refuse(error.kind, str(error).encode())
            return Outcome.CLOSED
        except OSError:     # reset by the sender: the same as an end, and not our fault
            size = 0
        if size == 0:
            self.close()
            return Outcome.CLOSED
        try:
            self._take(held, size)
        except BadBatch as error:
            self.refuse("bad_message", str(error).encode())
            return Outcome.CLOSED
        now = self._input.monotonic()
        busy = now - self._read_at < BUSY_SECONDS
        self._read_at = now
        if size == READ_BYTES:
            return Outcome.MORE
        return Outcome.REST if busy and size < SMALL_READ else Outcome.EMPTY

    def refuse(self, kind: str, text: bytes) -> None:
        """Close, and count why; that its last message is unfinished then is no mistake of the sender's."""
        self._input.around.mistakes.note(kind, text, self.sender)
        self._framing.finish()
        self.close()

    def _read(self, held: int) -> int:
        """Read plain bytes to buffer[held:]; how many. The first byte of all says whether TLS is spoken."""
        owner, source = self._input, self._source
        view = owner.view[held:held + READ_BYTES]
        if not isinstance(source, Encrypted):
            size = source.recv_into(view)
            if self._read_at >= 0 or not size or self._endpoint.transport is not Transport.TCP:
                return size
            if not (self._endpoint.tls and view[0] == HANDSHAKE_BYTE):
                if owner.tls_only:
                    raise NotTls("its first bytes are no handshake")
                return size
            if owner.certificate is None:
                raise BadTls("a handshake, and tls-cert is not set")
            self._source = source = Encrypted(source, owner.certificate.context, bytes(view[:size]))
            self.sender.transport = "tls"
            owner.shaking(self)
        before = source.shaken
        try:
            return source.recv_into(view)
        finally:
            if source.shaken is not before:
                owner.shaken_hands(self)

    def finish(self) -> None:
        """Take what has arrived, and close. Of batches nothing more: they are sent again, and are counted once."""
        for _ in range(LAST_READS if self._session is None else 0):
            try:
                if self.work() is Outcome.CLOSED or not self.waits():
                    break
            except OSError:
                break
        self.close()

    def close(self) -> None:
        """See pump.Readable.close. An unfinished last message is a mistake of the sender's."""
        if self._watcher is None:
            return
        rest = self._framing.finish()
        if self._session is not None:       # what of a frame came is sent again
            self._session.close()
        elif rest:
            self._input.around.mistakes.note("incomplete", rest, self.sender)
        self._watcher.stop()
        self._watcher.close()
        self._watcher = None
        self._socket.close()
        self._input.ended(self)

    @property
    def mute(self) -> bool:
        """Whether nothing has come ever, or batches were announced and their sender was not let in (yet)."""
        nobody = self._read_at < 0 or (self._session is not None and not self._session.begun)
        return nobody and not self.waits()

    def waits(self) -> bool:
        """Whether something has come that was not read yet."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except OSError:     # nothing, or it was reset
            return False

    def _readable(self) -> None:
        self._watcher.stop()
        self._input.around.pump.ready(self)

    def _take(self, held: int, size: int) -> None:
        """Handle `size` bytes just read behind the `held` ones of the unfinished message. BadBatch ends it."""
        owner = self._input
        around = owner.around
        owner.received[self._endpoint.transport] += size
        self.sender.seen(around.roster.now(), size)
        runs, lost = self._framing.take(owner.buffer, held + size)
        if runs or lost:
            if self._new:
                if self._is_http(held + size, bool(lost) and not (runs and runs[0][0] == 0)):
                    return
                runs, lost = self._begin_batches(held + size) or (runs, lost)
                if self._session is None and self._must_show_token():
                    return
            if self._session is None or self._session.begun:    # who was not let in is the first to make room
                owner.connections.heard(self)
        for start, end in runs:
            if self._session is None or not self.sender.barred:     # lines are looked at one by one: it is the intake's
                around.pump.feed(self._feeder, owner.view, start, end, self.sender)
            if self.sender.barred:
                self.refuse(BARRED, f"{self.sender.name} is on the blacklist".encode())
                return
        for text in lost:
            around.mistakes.note("long_line", text, self.sender)

    def _begin_batches(self, end: int) -> Taken | None:
        """Where buffer[:end], all that has come so far, begins with the line for it, batches follow: what of them has
        come."""
        owner, buffer = self._input, self._input.buffer
        if (owner.receiving is None or self._endpoint.protocol is not LINES or end < len(MAGIC)
                or not buffer.startswith(MAGIC)):
            return None
        self._framing = framing = BatchFraming()
        self._feeder = self._session = owner.receiving.session(self._answer, self.sender)
        rest = end - len(MAGIC)
        buffer[:rest] = buffer[len(MAGIC):end]
        return framing.take(buffer, rest)

    def _must_show_token(self) -> bool:
        """Whether it is closed because senders of other machines must show the samples-token, which lines cannot."""
        if not self._far or self._input.receiving is None or not self._input.receiving.token:
            return False
        self.refuse("token_wanted", b"its samples show no samples-token")
        return True

    def _answer(self, data: bytes) -> None:
        """Send something, whole and at once: the little that one session is owed has room in the kernel as long as its
        sender reads. One that does not is closed, and will be told what is written when it connects again."""
        if self._watcher is None:
            return
        try:
            whole = self._source.send(data) == len(data)
        except BlockingIOError:
            whole = False
        except OSError:     # it has gone
            self.close()
            return
        if not whole:
            self.refuse("answers_unread", b"it does not read its acknowledgements")

    def _is_http(self, end: int, too_long: bool) -> bool:
        """Whether buffer[:end], all that has come of this connection so far, begins a request of HTTP: then it is
        closed, and nothing of it is taken. too_long: its first line is longer than one may be."""
        buffer = self._input.buffer
        self._new = BLANK.fullmatch(buffer, 0, end) is not None     # HTTP passes over empty lines before a request
        if not self._endpoint.refuse_http:
            return False
        found = HTTP_REQUEST.match(buffer, 0, end) or (too_long and LONG_REQUEST.match(buffer, 0, end))
        if not found:
            return False
        if self._source is self._socket:
            with contextlib.suppress(OSError):
                self._socket.send(self._input.not_here)
        self.refuse("http_request", found[0])
        return True
