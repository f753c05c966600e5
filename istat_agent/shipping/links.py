"""Ways to the server: what each has, and datagrams over UDP. `connection.py` is the other one.

Sockets and addresses; knows neither the queue nor what is in it. Whatever waits here waits as a greenlet.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import gevent

from istat.clock import Clock

LINGER = 0.1  # seconds until a datagram is tried again that the kernel has no room for
RESOLVE = 60.0  # seconds for which an address is believed


class Link(Protocol):
    """A way to the server. `lost`: datagrams that were taken and then, as far as is known, did not arrive. `opened`:
    connections so far, where there are such: what was told over one may be told anew over the next."""

    lost: int
    opened: int

    def send(self, datagram: bytes) -> None:
        """Hand a datagram to the kernel. OSError when the server cannot be reached, as far as is known: the datagram
        was not taken then, unless the error is Broken."""

    def check(self) -> None:
        """OSError when what was sent before is known not to have been taken."""

    def close(self) -> None:
        """Give up the socket; the next send opens one."""

    def advice(self, error: OSError) -> str:
        """What to try after an error that only this way has, else ""."""


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
        self.opened = 0
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

    def advice(self, error: OSError) -> str:
        """See Link.advice."""
        return ""

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
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):     # an address needs neither a name server nor a thread that waits for it
            socket.inet_pton(family, host)
            return [(family, socket.SOCK_DGRAM, socket.IPPROTO_UDP, "", (host, port))]
    # In gevent's thread pool: a name server that does not answer must not stop the hub.
    resolver = gevent.get_hub().resolver
    return list(resolver.getaddrinfo(host, port, 0, socket.SOCK_DGRAM))
