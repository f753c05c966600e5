"""The HTTP server: gevent's WSGI server with bounds on time, size and connections, and quicker small answers.

Knows sockets and HTTP's framing; what is answered is the application's matter. What gevent's handler is
made to do otherwise, each for a measured or a named reason:

* headers and a small body leave in one packet (two cost a delayed acknowledgement, 40 ms per request on
  a connection that stays open), and headers are split without the mail package (50 us a request);
* a request has to arrive within a time, idle connections are closed, bodies have a limit, chunked ones are
  refused (their rest would be read into memory);
* a TLS handshake has a time as well, and the connection's own greenlet waits for it, not the one that accepts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer
from gevent.socket import socket as green_socket

from istat.daemon.ratelimit import LimitedLog, Writer
from istat.daemon.tls import Certificate
from istat_server.http.limits import LIMITS

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 1000  # open at once; further ones wait in the backlog
REQUEST_SECONDS = 10.0  # from a request's first byte to the end of its headers
IDLE_SECONDS = 75.0  # between requests, and for the rest of a body or an answer
HEADER_LINES = 100
HEADER_BYTES = 32 * 1024
LINE_BYTES = 8192
# Bodies up to this are copied behind the headers to go in one packet train. [bytes]
JOINED_BYTES = 64 * 1024
ENDING_SECONDS = 2.0  # that requests in progress get when the server stops

REASONS = {
    400: "Bad Request",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
}


class Refused(ValueError):
    """A request that is answered by the server itself, without the application."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class TooSlow(Refused):
    """The request did not arrive in time."""

    def __init__(self) -> None:
        super().__init__(408, "the request did not arrive in time")


class Headers:
    """A request's header lines, with as much of the mail package's interface as gevent's handler uses."""

    __slots__ = ("headers", "status", "_values")

    def __init__(self, file: Any) -> None:
        self.headers: list[str] = []
        self.status = ""
        self._values: dict[str, str] = {}
        size = 0
        while True:
            line = file.readline(LINE_BYTES + 1)
            if line in (b"\r\n", b"\n", b""):
                return
            size += len(line)
            if len(line) > LINE_BYTES or size > HEADER_BYTES or len(self.headers) == HEADER_LINES:
                raise Refused(431, "the request's headers are too large")
            text = line.decode("latin-1")
            key, colon, value = text.partition(":")
            if not colon or not key or key[0] in " \t" or key[-1] in " \t":
                raise Refused(400, "a header line cannot be read")
            self.headers.append(text)
            key, value = key.lower(), value.strip()
            if key == "transfer-encoding":
                raise Refused(411, "HTTP exception: Can't read body without content-length")
            if key == "content-length" and self._values.get(key, value) != value:
                raise Refused(400, "two lengths of the body")
            self._values[key] = value

    def get(self, key: str, default: str | None = None) -> str | None:
        """The last value of a header, or the default."""
        return self._values.get(key.lower(), default)

    getheader = get

    @property
    def typeheader(self) -> str | None:
        """The content type, if any."""
        return self._values.get("content-type")


class Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """One connection."""

    def MessageClass(self, file: Any, *_: Any) -> Headers:  # noqa: N802 - gevent's name
        """What gevent calls to read the header lines."""
        return Headers(file)

    def read_requestline(self) -> str:
        """Wait for a request as long as a connection may idle; from its first byte on the clock runs."""
        self._deadline: gevent.Timeout | None = None
        if self.server.ending:
            return ""
        self.server.idle.add(self)
        try:
            arrived = self.rfile.peek(1)
            if not arrived:
                return ""
        finally:
            self.server.idle.discard(self)
        # Headers that came in one piece, as they nearly always do, need no clock (it costs 15 us a request).
        if b"\r\n\r\n" not in arrived:
            self._deadline = gevent.Timeout.start_new(REQUEST_SECONDS, TooSlow())
        try:
            line: str = super().read_requestline()
            return line
        except TooSlow:
            return ""

    def read_request(self, raw_requestline: str) -> bool:
        """Read the headers, and refuse what must not be read further."""
        try:
            understood = super().read_request(raw_requestline)
        finally:
            if self._deadline is not None:
                self._deadline.close()
        if self.content_length and self.content_length > self.server.body_limit():
            raise Refused(413, f"the body has at most {self.server.body_limit()} bytes")
        return bool(understood)

    def _handle_client_error(self, ex: Exception) -> tuple[str, bytes]:
        status = ex.status if isinstance(ex, Refused) else 400
        text = str(ex) if isinstance(ex, Refused) else "the request cannot be understood"
        body = json.dumps({"error": text}).encode()
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        log.debug("refused a request from %s: %s", self.client_address, text)
        return str(status), head.encode() + body

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Every answer says that its type is to be believed."""
        return super().start_response(status, [*headers, ("X-Content-Type-Options", "nosniff")], exc_info)

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


class _Server(WSGIServer):  # type: ignore[misc]  # gevent has no types
    """gevent's server; every connection gets a limit on idleness and does not wait to fill packets."""

    ending = False

    def __init__(self, *arguments: Any, certificate: Certificate | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.idle: set[Handler] = set()
        self.certificate = certificate

    def body_limit(self) -> int:
        """What the application takes at most [bytes]; it may know only later, when there is one."""
        return int(getattr(self.application, "body_limit", LIMITS.body))

    def end_idle(self) -> None:
        """Let the connections that wait for a request end."""
        self.ending = True
        for handler in list(self.idle):
            with contextlib.suppress(OSError):  # the client was quicker
                # Not the TLS socket's own, which forgets its session and leaves the greenlet that reads with nothing.
                green_socket.shutdown(handler.socket, socket.SHUT_RD)

    def handle(self, sock: Any, address: Any) -> None:
        """Serve one connection to its end."""
        sock.settimeout(IDLE_SECONDS)
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.certificate is None:
            self._serve(sock, address)
            return
        try:
            sock = self.certificate.accept(sock)
        except OSError as error:
            log.debug("no TLS with %s: %s", address, error)
            return
        try:
            self._serve(sock, address)
        finally:
            sock.close()

    def _serve(self, sock: Any, address: Any) -> None:
        try:
            super().handle(sock, address)
        except OSError as error:    # of the connection: gevent's handler bears some of them only, and TLS has its own
            log.debug("%s has gone: %s", address, error)


class HttpServer:
    """Serves a WSGI application on a listening socket, which is its own from now on."""

    def __init__(self, app: Any, listener: socket.socket, connections: int = MOST_CONNECTIONS,
                 certificate: Certificate | None = None) -> None:
        """With a certificate it speaks TLS only."""
        listener.setblocking(False)
        self._server = _Server(
            listener,
            app,
            spawn=Pool(connections),
            log=LoggingLogAdapter(log, logging.DEBUG) if log.isEnabledFor(logging.DEBUG) else None,
            error_log=Writer(LimitedLog(log), "gevent"),
            handler_class=Handler,
            # Else gevent asks the name service for our name before it serves: slow or an error where there is none.
            environ={"SERVER_NAME": listener.getsockname()[0],
                     "wsgi.url_scheme": "http" if certificate is None else "https"},
            certificate=certificate,
        )

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Serve from now on in greenlets."""
        self._server.start()

    def stop(self) -> None:
        """Stop listening; requests in progress get ENDING_SECONDS."""
        self._server.end_idle()
        self._server.stop(timeout=ENDING_SECONDS)
