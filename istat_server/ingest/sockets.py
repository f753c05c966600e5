"""Opening the sockets that samples come in by: addresses, ports, buffers, and what to say when it fails.

The same port serves UDP and TCP, over IPv4 and IPv6.
"""
from __future__ import annotations

import errno
import logging
import socket
from dataclasses import dataclass, field

from istat.errors import IstatError

log = logging.getLogger(__name__)

# Bound when `listen-address` says nothing: this machine only.
LOOPBACK = ("127.0.0.1", "::1")
# Bound for `listen-address = "*"`: everyone.
EVERYWHERE = ("0.0.0.0", "::")
# TCP connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096
# A free port of the first socket may be taken on another address: how often to try again.
FREE_PORT_ATTEMPTS = 16

# Linux, include/uapi/asm-generic/socket.h; Python has no name for it.
SO_RCVBUFFORCE = 33


class PortInUse(IstatError):
    """Another process listens on the port."""

    exit_code = 87


class CannotListen(IstatError):
    """The address is not this machine's, or the port needs a privilege."""

    exit_code = 88


@dataclass
class StatSockets:
    """The bound sockets of the stat port, all non-blocking."""

    port: int
    tcp: list[socket.socket] = field(default_factory=list)
    udp: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        for sock in self.tcp + self.udp:
            sock.close()


def addresses(listen_address: str) -> list[tuple[socket.AddressFamily, str]]:
    """(family, numeric address) of each address to bind. CannotListen when the name has none.

    "" is loopback, "*" every address; both mean IPv4, and IPv6 where the machine has it.
    """
    wanted = {"": LOOPBACK, "*": EVERYWHERE}.get(listen_address, (listen_address,))
    found: list[tuple[socket.AddressFamily, str]] = []
    for host in wanted:
        try:
            answers = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise CannotListen(f"listen-address {host!r} is not an address: {error.strerror}") from error
        found += [(family, str(where[0])) for family, _, _, _, where in answers]
    if listen_address in ("", "*"):
        found = [(family, host) for family, host in found if family == socket.AF_INET or _has_ipv6(host)]
    return list(dict.fromkeys(found))


def open_stat_sockets(listen_address: str, port: int, udp_buffer_kib: int) -> StatSockets:
    """Bind `port` (0: one that is free) for TCP and UDP. PortInUse, CannotListen."""
    where = addresses(listen_address)
    for attempt in range(FREE_PORT_ATTEMPTS):
        sockets = StatSockets(port)
        try:
            for family, host in where:
                sockets.tcp.append(_bind(family, socket.SOCK_STREAM, host, sockets.port))
                sockets.port = sockets.tcp[0].getsockname()[1]
                sockets.udp.append(_bind(family, socket.SOCK_DGRAM, host, sockets.port))
        except PortInUse:
            sockets.close()
            if port == 0 and attempt + 1 < FREE_PORT_ATTEMPTS:
                continue
            raise
        except CannotListen:
            sockets.close()
            raise
        break
    for sock in sockets.tcp:
        sock.listen(BACKLOG)
    for sock in sockets.udp:
        grow_receive_buffer(sock, udp_buffer_kib * 1024)
    return sockets


def grow_receive_buffer(sock: socket.socket, wanted: int) -> int:
    """Give a UDP socket a receive buffer of `wanted` bytes if the system lets us; the bytes granted.

    SO_RCVBUFFORCE needs CAP_NET_ADMIN; without it the kernel clamps to net.core.rmem_max. Linux reports
    twice the size, for its own bookkeeping (socket(7)).
    """
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
    if granted < wanted:
        log.warning("the UDP receive buffer is %d KiB instead of %d KiB: bursts may be lost; to raise it: "
                    "sysctl -w net.core.rmem_max=%d", granted // 1024, wanted // 1024, wanted)
    return granted


def listen_error(error: OSError, host: str, port: int) -> IstatError:
    """The sentence for an OSError of bind(2)."""
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{where} is in use by another process; choose another, or 0 for a free one")
    if error.errno == errno.EACCES:
        return CannotListen(f"no permission for {where}; choose a port from 1024 up")
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(f"listen-address {host} is not an address of this machine")
    return CannotListen(f"cannot listen on {where}: {error.strerror}")


def _has_ipv6(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _bind(family: int, kind: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            # A restarted server takes its port though old connections linger in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise listen_error(error, host, port) from error
    return sock
