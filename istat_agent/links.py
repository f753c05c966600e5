"""Ways to the server: datagrams over UDP, or a connection over TCP, with TLS if there is a context for it.

Sockets, addresses and time-outs; knows neither the queue nor what is in it. Whatever waits here waits as a greenlet.
"""

from __future__ import annotations

import errno
import fcntl
import socket
import ssl
import sys
import termios
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import gevent
import gevent.socket

from istat.clock import Clock

LINGER = 0.1  # seconds until a datagram is tried again that the kernel has no room for
RESOLVE = 60.0  # seconds for which an address is believed
CONNECT = 10.0  # seconds for a connection, and for its handshake
WELCOME = 0.1  # seconds in which a server that does not take us closes a new connection, most networks included
STUCK = 10.0  # seconds after which a server that reads nothing counts as away


class Link(Protocol):
    """A way to the server. `lost`: datagrams that were taken and then, as far as is known, did not arrive."""

    lost: int

    def send(self, datagram: bytes) -> None:
        """Hand a datagram to the kernel. OSError when the server cannot be reached, as far as is known: the datagram
        was not taken then, unless the error is Broken."""

    def check(self) -> None:
        """OSError when what was sent before is known not to have been taken."""

    def close(self) -> None:
        """Give up the socket; the next send opens one."""


class Broken(ConnectionError):
    """A connection ended while a datagram was on its way: it counts as lost, for twice would be worse than never."""


class UdpLink:
    """A UDP socket connected to one of the addresses that a name stands for, IPv4 or IPv6.

    Connected, so that a closed port is reported (ICMP) at the next call.
    """

    def __init__(
        self,
        host: str,
        port: int,
        clock: Clock,
        resolve: Callable[[str, int], Sequence[Any]] | None = None,
    ) -> None:
        self.lost = 0  # nobody knows
        self._host, self._port, self._clock = host, port, clock
        self._resolve = resolve or _getaddrinfo
        self._socket: socket.socket | None = None
        self._address: Any = None
        self._resolved = 0.0
        self._tries = 0

    def send(self, datagram: bytes) -> None:
        """See Link.send. A datagram that the kernel has no room for is sent a little later."""
        connection = self._connected()
        try:
            try:
                connection.send(datagram)
            except BlockingIOError:
                gevent.sleep(LINGER)
                connection.send(datagram)
        except OSError:
            self.close()  # resolve again next time, and try the next address
            self._tries += 1
            raise

    def check(self) -> None:
        """See Link.check."""
        if self._socket is None:
            return
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self.close()
            self._tries += 1
            raise OSError(code, "the server refuses")

    def close(self) -> None:
        """Give up the socket; the next send opens one."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connected(self) -> socket.socket:
        now = self._clock.monotonic()
        if self._socket is not None and now - self._resolved < RESOLVE:
            return self._socket
        addresses = self._resolve(self._host, self._port)
        self._resolved = now
        if self._socket is not None and any(a[4] == self._address for a in addresses):
            return self._socket
        self.close()
        family, kind, protocol, _, self._address = addresses[self._tries % len(addresses)]
        self._socket = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        self._socket.connect(self._address)
        return self._socket

def _getaddrinfo(host: str, port: int) -> Sequence[Any]:
    # In gevent's thread pool: a name server that does not answer must not stop the hub.
    resolver = gevent.get_hub().resolver
    return list(resolver.getaddrinfo(host, port, 0, socket.SOCK_DGRAM))


class TcpLink:
    """A TCP connection that is opened when there is something to send, and again when it has ended."""

    def __init__(self, host: str, port: int, greeting: bytes = b"", context: ssl.SSLContext | None = None) -> None:
        """greeting: sent first over each new connection. context: of istat.daemon.tls, whose sockets wait as greenlets
        do; the server's certificate must be for `host`."""
        self.lost = 0
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
            if isinstance(ended, ssl.SSLError):
                raise ended
        if self._socket is None:
            self._socket = self._connected()
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
        where TLS says that the server does not want us."""
        self._forget_acknowledged()
        refused = isinstance(why, ssl.SSLError) and "ALERT" in (why.reason or "")
        self.lost += self._here if refused else len(self._in_flight)
        self._in_flight.clear()
        self.close()

    def _forget_acknowledged(self) -> None:
        """With TLS the kernel has some more bytes than we sent, so that rather more is counted as lost than less."""
        try:
            told = fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, bytes(4))     # SIOCOUTQ of tcp(7)
        except OSError:
            return
        arrived = self._sent - int.from_bytes(told, sys.byteorder)
        while self._in_flight and self._in_flight[0] <= arrived:
            self._in_flight.popleft()

    def _ended(self) -> OSError | None:
        """How the server has closed the connection, if it has. It says nothing else, but for TLS' own matters."""
        if self._socket is None:
            return None
        self._socket.settimeout(0)
        try:
            if self._socket.recv(1024):
                return None
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
