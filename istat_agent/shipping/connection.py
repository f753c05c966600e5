"""The way to the server by a connection over TCP, with TLS if there is a context for it.

In a module of its own, since the libraries of TLS take 5 MB of an agent that sends datagrams and needs none. Knows
neither the queue nor what is in it. Whatever waits here waits as a greenlet.
"""

from __future__ import annotations

import errno
import ssl
from collections import deque
from typing import Any

import gevent
import gevent.socket

from istat.forwarding.ways import unacknowledged
from istat_agent.shipping.links import Broken

CONNECT = 10.0  # seconds for a connection, and for its handshake
WELCOME = 0.1  # seconds in which a server that does not take us closes a new connection, most networks included
STUCK = 10.0  # seconds after which a server that reads nothing counts as away


class Answers(OSError):
    """Who is there answers, as no server does that takes samples: it has taken none."""

    def __init__(self) -> None:
        super().__init__(errno.EPROTO, "who is there answers, and takes no samples")


class TcpLink:
    """A TCP connection that is opened when there is something to send, and again when it has ended."""

    def __init__(self, host: str, port: int, greeting: bytes = b"", context: ssl.SSLContext | None = None) -> None:
        """greeting: sent first over each new connection. context: of istat.daemon.tls, whose sockets wait as greenlets
        do; the server's certificate must be for `host`."""
        self.lost = self.opened = 0
        self._host, self._port, self._greeting, self._context = host, port, greeting, context
        self._socket: Any = None
        # How many bytes had been sent with each datagram that the server's machine has not acknowledged yet.
        self._in_flight: deque[int] = deque()
        self._sent = 0
        self._here = 0      # datagrams of this connection

    def send(self, datagram: bytes) -> None:
        """See Link.send."""
        ended = self._ended()
        if ended is not None:
            self._give_up(ended)
            if isinstance(ended, (ssl.SSLError, Answers)):
                raise ended
        if self._socket is None:
            self._socket = self._connected()
            self.opened += 1
            self._in_flight.clear()
            self._sent = self._here = 0
            if self._greeting:      # that can be spared: then nothing else goes to a server that refuses us
                self._put(self._greeting)
                gevent.sleep(WELCOME)
                self.check()
        self._put(datagram)
        self._forget_acknowledged()

    def check(self) -> None:
        """See Link.check."""
        ended = self._ended()
        if ended is not None:
            self._give_up(ended)
            raise ended

    def close(self) -> None:
        """See Link.close. What was sent is brought by the kernel."""
        sock, self._socket = self._socket, None
        if sock is not None:
            sock.close()

    def advice(self, error: OSError) -> str:
        """See Link.advice."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return ("Is the certificate in its tls-cert signed by one of those in our tls-ca, and for the name that "
                    "the setting server has?")
        if isinstance(error, ssl.SSLError):
            return "Does the server speak TLS there (tls-cert), and does it want a certificate of ours (tls-client-ca)?"
        if isinstance(error, Answers):
            return "Is the port in the setting server its stat-port? http-port is another one."
        if error.errno == errno.ECONNRESET:
            return "Does it want TLS (its samples-tls, our tls), or has it too many connections (its max-connections)?"
        return ""

    def _put(self, datagram: bytes) -> None:
        if not datagram:
            return
        self._sent += len(datagram)
        self._here += 1
        self._in_flight.append(self._sent)
        try:
            with gevent.Timeout(STUCK, TimeoutError(errno.ETIMEDOUT, "it reads nothing")):
                self._socket.sendall(datagram)
        except OSError as error:
            self._give_up(error)
            raise Broken(error.errno, error.strerror or str(error)) from error

    def _give_up(self, why: OSError) -> None:
        """The connection has ended: what the other machine has not acknowledged did not arrive, and nothing at all did
        where TLS says that the server does not want us, or where it takes no samples."""
        self._forget_acknowledged()
        refused = isinstance(why, Answers) or isinstance(why, ssl.SSLError) and "ALERT" in (why.reason or "")
        self.lost += self._here if refused else len(self._in_flight)
        self._in_flight.clear()
        self.close()

    def _forget_acknowledged(self) -> None:
        """With TLS the kernel has some more bytes than we sent, so that rather more is counted as lost than less."""
        waits = unacknowledged(self._socket)
        if waits is None:
            return
        while self._in_flight and self._in_flight[0] <= self._sent - waits:
            self._in_flight.popleft()

    def _ended(self) -> OSError | None:
        """How the server has closed the connection, if it has. It says nothing else, but for TLS' own matters."""
        if self._socket is None:
            return None
        self._socket.settimeout(0)
        try:
            if self._socket.recv(1024):
                return Answers()
            return ConnectionResetError(errno.ECONNRESET, "the server closes the connection")
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError as error:
            return error
        finally:
            self._socket.settimeout(None)

    def _connected(self) -> Any:
        sock = gevent.socket.create_connection((self._host, self._port), CONNECT)
        sock.settimeout(None)
        if self._context is None:
            return sock
        try:
            with gevent.Timeout(CONNECT, TimeoutError(errno.ETIMEDOUT, "the TLS handshake takes too long")):
                return self._context.wrap_socket(sock, server_hostname=self._host)
        except BaseException:
            sock.close()
            raise
