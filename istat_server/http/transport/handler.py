"""One connection: gevent's WSGI handler, with bounds on time and memory, and quicker small answers.

Knows HTTP's framing and the connection's place; what is answered is the application's matter. What gevent's handler is
made to do otherwise, each for a measured or a named reason:

* headers and a small body leave in one packet (two cost a delayed acknowledgement, 40 ms per request on
  a connection that stays open), and headers are split without the mail package (50 us a request);
* a request has to arrive within a time, idle connections are closed, bodies have a limit, chunked ones are
  refused (their rest would be read into memory);
* after each answer the hub has a turn, whatever is in the buffer already; long questions take turns, and end when their
  client has gone;
* what is held of bodies and answers counts in one total for all connections.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import socket
import struct
import time
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler
from gevent.socket import socket as green_socket

from istat.daemon.turns import turn_of_the_hub
from istat_server.http.transport.body import Body
from istat_server.http.transport.connections import Place
from istat_server.http.transport.desk import ASKER, Gone
from istat_server.http.transport.flight import ANSWER_SPEED, RETRY_SECONDS, Busy, Cargo
from istat_server.http.transport.head import REASONS, VERSIONS, Headers, Refused, TooSlow, error_body

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0  # from a request's first byte to the end of its headers
IDLE_SECONDS = 75.0  # between requests, and between two pieces of an answer that are taken
# Bodies up to this are copied behind the headers to go in one packet train. [bytes]
JOINED_BYTES = 64 * 1024
# Answers up to this are not counted: a thousand of them are nothing. [bytes]
UNCOUNTED_BYTES = 16 * 1024
# What is handed to the kernel at once; then others have their turn [bytes]: 0.1 ms, with TLS 0.5.
PIECE_BYTES = 256 * 1024
HEAD_END, LENGTH = b"\r\n\r\n", b"\ncontent-length:"
AT_ONCE = struct.pack("ii", 1, 0)       # SO_LINGER: close throws away what is not sent, and says so


class Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """One connection."""

    def __init__(self, sock: Any, address: Any, server: Any, place: Place) -> None:
        super().__init__(sock, address, server)
        self.place = place
        self._cargo = Cargo(place.client, self._stands_still)
        self._whole = False         # nothing but the present request is in the buffer
        self._answers = False       # some request was answered
        self._answered = False      # the present one was, and what follows is thrown away
        self._deadline: gevent.Timeout | None = None
        self._long = False
        self._poll: Any = None

    def handle(self) -> None:
        """Serve the connection to its end."""
        ASKER.set(self)
        try:
            super().handle()
        finally:
            if self._deadline is not None:      # the connection broke off in a head
                self._deadline.close()

    def end(self) -> None:
        """Let the connection end when nothing more is to be answered on it: what has come is answered yet."""
        with contextlib.suppress(OSError, AttributeError):      # the client was quicker; or it has ended
            # Not the TLS socket's own, which forgets its session and leaves the greenlet that reads with nothing.
            green_socket.shutdown(self.socket, socket.SHUT_RD)

    # -- a request comes in

    def MessageClass(self, file: Any, *_: Any) -> Headers:  # noqa: N802 - gevent's name
        """What gevent calls to read the header lines."""
        return Headers(file)

    def read_requestline(self) -> str:
        """Wait for a request as long as a connection may idle; from its first byte on the clock runs."""
        self._deadline = None
        if self._answers:
            self._pause()
        if self.server.ending:
            return ""
        arrived = self.rfile.peek(1)
        if not arrived or self.place.leaving:
            return ""
        end = arrived.find(HEAD_END)
        self._whole = end >= 0 and end + len(HEAD_END) == len(arrived)
        # Headers that came in one piece, as they nearly always do, need no clock (it costs 15 us a request).
        if end >= 0:
            if LENGTH not in arrived[:end].lower():
                # It has come whole: it makes no room while it waits for its turn.
                self.server.connections.works(self.place)
            self.server.desk.begin(self.place.client)
        else:
            self._deadline = gevent.Timeout.start_new(REQUEST_SECONDS, TooSlow())
        try:
            line: str = super().read_requestline()
            return line
        except TooSlow:
            self._slow("its first line")
            return ""

    def _pause(self) -> None:
        """Between two requests: the hub has a turn, and the connection is idle."""
        self.server.connections.idles(self.place)
        if self._whole and self.server.certificate is None:
            # Nothing is in our buffer: to wait for the socket is a turn of the hub, and costs nothing more.
            self.socket._wait(self.socket._read_event)
        else:
            turn_of_the_hub()

    def read_request(self, raw_requestline: str) -> bool:
        """Read the headers, and refuse what must not be read further."""
        try:
            understood = super().read_request(raw_requestline)
        except TooSlow:
            self._slow("its headers")
            raise
        finally:
            if self._deadline is not None:
                self._deadline.close()
        if self.request_version not in VERSIONS:
            raise Refused(400, "the version of HTTP must be 1.0 or 1.1")
        if self.content_length and self.content_length > self.server.body_limit():
            raise Refused(413, f"the body has at most {self.server.body_limit()} bytes")
        if self.place.leaving:      # what is worked on has a place
            raise Refused(503, "the connection has made room for another: ask again on a new one")
        if not self.content_length:
            self.server.connections.works(self.place)
        if self._deadline is not None:
            self.server.desk.begin(self.place.client)
        return bool(understood)

    def get_environ(self) -> dict[str, Any]:
        """What the application is told. Its input is a body that comes in time, whatever Upgrade says."""
        environ: dict[str, Any] = super().get_environ()
        self._answered = False
        if self.content_length:
            self._whole = False
            self.wsgi_input.rfile = Body(self.rfile, self.socket, self.content_length, self)
        environ["wsgi.input"] = self.wsgi_input
        environ["wsgi.input_terminated"] = True
        return environ

    def stay(self) -> None:
        """See body.Owner."""
        self.server.desk.stay(self.place.client)

    def grant(self, size: int) -> None:
        """See body.Owner. What is thrown away needs no room."""
        if not self._answered:
            self.making(size)

    def came_whole(self) -> None:
        """See body.Owner."""
        self.server.connections.works(self.place)
        self.socket.settimeout(IDLE_SECONDS)

    def came_no_more(self) -> None:
        """See body.Owner. Who has made room for another gets no answer: a thousand at once are let go quickly."""
        if self.place.leaving and not self._answered:
            raise Gone

    def came_late(self) -> None:
        """See body.Owner: the connection ends with the answer."""
        self._slow("its body")
        self._await_no_more()
        if self._answered:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the rest of the body came too slowly")

    def _slow(self, what: str) -> None:
        self.server.note("http_slow", self.place, f"{what} did not come in time")

    # -- it is worked on

    def run_application(self) -> None:
        """Have the request answered, and let go of all that it held."""
        self._answers = True
        try:
            super().run_application()
        except Gone:
            self.server.gone += 1
            self.close_connection = True
        except Busy as busy:
            self._refuse(busy)
        finally:
            self._answered = True
            self._works_no_more()
            self.server.flight.unload(self._cargo)
            if self.content_length:
                self.socket.settimeout(IDLE_SECONDS)
                self.server.connections.idles(self.place)   # what is left of the body is only thrown away
                if self._body_was_not_asked_for():
                    self._await_no_more()

    def _await_no_more(self) -> None:
        """What there may be yet of the body is not read, and the connection ends."""
        self.close_connection = True
        self.wsgi_input.content_length = self.wsgi_input.position

    def turn(self) -> None:
        """See desk.Asker."""
        if not self._long:
            self.server.desk.becomes_long(self.place.client)
            self._long = True
        self.server.desk.go_on(self.place.client)
        if not self._there():
            raise Gone

    def making(self, size: int) -> None:
        """See desk.Asker."""
        try:
            self.server.flight.load(self._cargo, size)
        except Busy:
            self.server.note("http_busy", self.place, f"no room for {size} bytes more")
            raise

    def _there(self) -> bool:
        """Whether the client has not closed its side."""
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self.socket.fileno(), select.POLLRDHUP)
        return not self._poll.poll(0)

    def _works_no_more(self) -> None:
        if self._long:
            self._long = False
            self.server.desk.ends(self.place.client)

    # -- its answer goes out

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Every answer says that its type is to be believed, and whether a body is wanted yet."""
        headers = [*headers, ("X-Content-Type-Options", "nosniff")]
        if self._body_was_not_asked_for():
            headers.append(("Connection", "close"))
        return super().start_response(status, headers, exc_info)

    def _body_was_not_asked_for(self) -> bool:
        """Whether the client waits for `100 Continue`: it may send no body after an answer, nor does it have to."""
        return bool(self.content_length) and self.wsgi_input.socket is not None

    def write(self, data: bytes) -> None:
        """The next part of an answer, or all of it. Busy when it is the first, and there is no room for it."""
        if len(data) > UNCOUNTED_BYTES:
            self.server.flight.unload(self._cargo)      # what it was made of
            if self.headers_sent:
                self.server.flight.add(self._cargo, len(data))
            else:
                self.making(len(data))
        super().write(data)

    def _write_with_headers(self, data: bytes) -> None:
        if len(data) > JOINED_BYTES or (self.provided_content_length is None and data):
            super()._write_with_headers(data)
            return
        self.headers_sent = True
        self.finalize_headers()
        parts = [b"HTTP/1.1 ", self.status, b"\r\n"]
        for name, value in self.response_headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n", data)
        self._sendall(b"".join(parts))

    def _sendall(self, data: bytes) -> None:
        self._works_no_more()       # its client may take its time
        # Whatever has come of its body: who made room now would stay, beside all places, until the answer is taken.
        self.server.connections.works(self.place)
        self.server.flight.starts(self._cargo)
        try:
            if len(data) <= JOINED_BYTES:
                self.socket.sendall(data)
            else:
                self._send_in_pieces(memoryview(data))
        except OSError as error:
            self.server.broken += 1
            self.code: int = -abs(self.code)    # as gevent marks it
            if isinstance(error, TimeoutError):
                self._unread()
            # gevent takes other errors for ours, and TLS has many.
            raise ConnectionResetError(errno.ECONNRESET, f"the answer was not taken: {error}") from error
        finally:
            self.server.flight.stops(self._cargo)
        self.response_length += len(data)

    def _send_in_pieces(self, data: memoryview) -> None:
        until, at = time.monotonic() + IDLE_SECONDS + len(data) / ANSWER_SPEED, 0
        while at < len(data):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, "it took too long")
            self.socket.settimeout(min(left, IDLE_SECONDS))
            sent = self.socket.send(data[at : at + PIECE_BYTES])
            at += sent
            self.server.flight.moves(self._cargo, sent)
            if sent == PIECE_BYTES:
                turn_of_the_hub()
        self.socket.settimeout(IDLE_SECONDS)

    def _unread(self) -> None:
        """The client does not take its answer: close throws the rest of it away."""
        self.server.note("http_unread", self.place, f"{self.response_length} bytes of its answer were taken")
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)

    def _stands_still(self) -> None:
        """Others need the memory, or the place: the answer is cut."""
        self._unread()
        with contextlib.suppress(OSError):
            green_socket.shutdown(self.socket, socket.SHUT_RDWR)

    # -- it is refused

    def handle_error(self, kind: type[BaseException], error: BaseException, trace: Any) -> None:
        """What went wrong is told, and answered with a 500; but when the server stops, nothing more is said to a client
        that took nothing of what was said before: gevent's handler would wait for it once more."""
        if isinstance(error, gevent.GreenletExit):
            raise error
        super().handle_error(kind, error, trace)

    def _refuse(self, busy: Busy) -> None:
        """Say so instead of the answer, of which nothing has gone out."""
        self.close_connection = True
        self._sendall(_refusal(busy.status, str(busy), f"Retry-After: {RETRY_SECONDS}\r\n"))

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        self.server.broken += 1
        status = ex.status if isinstance(ex, Refused) else 400
        text = str(ex) if isinstance(ex, Refused) else "the request cannot be understood"
        log.debug("refused a request from %s: %s", self.client_address, text)
        return str(status), _refusal(status, text)


def _refusal(status: int, text: str, headers: str = "") -> bytes:
    body = error_body(text)
    head = (f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n{headers}"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n")
    return head.encode() + body
