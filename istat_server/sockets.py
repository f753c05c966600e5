"""Opening the sockets that the server listens on: addresses, ports, buffers, and what to say when it fails.

The stat port serves UDP and TCP, over IPv4 and IPv6. Knows nothing of what comes in by them.
"""
from __future__ import annotations

import errno
import logging
import socket
import time
from array import array
from dataclasses import dataclass, field

from istat.daemon.handover import Handover
from istat.errors import IstatError

log = logging.getLogger(__name__)

# Bound when `listen-address` says nothing: this machine only.
LOOPBACK = ("127.0.0.1", "::1")
# Bound for `listen-address = "*"`: everyone.
EVERYWHERE = ("0.0.0.0", "::")
# TCP connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096
# Of the HTTP port: browsers open six at once.
HTTP_BACKLOG = 256
# A free port of the first socket may be taken on another address: how often to try again.
FREE_PORT_ATTEMPTS = 16
# The service manager closes its copies of sockets that it is to forget when it has read the message: how often to look
# whether it has, and how long to wait in between [s].
LET_GO_ATTEMPTS, LET_GO_SECONDS = 500, 0.01

# Linux, include/uapi/asm-generic/socket.h; Python has no name for them.
SO_RCVBUFFORCE, SO_MEMINFO = 33, 55
# Place of the count of dropped datagrams in what SO_MEMINFO tells (include/uapi/linux/sock_diag.h), 32-bit numbers all.
SK_MEMINFO_DROPS, SK_MEMINFO_VARS = 8, 9


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
    udp_buffer: int = 0         # the least receive buffer that a UDP socket got [bytes]
    drops_before: list[int] = field(default_factory=list)   # of each UDP socket: datagrams it lost before it was ours

    def close(self) -> None:
        for sock in self.tcp + self.udp:
            sock.close()


def addresses(listen_address: str, setting: str = "listen-address") -> list[tuple[socket.AddressFamily, str]]:
    """(family, numeric address) of each address to bind. CannotListen when the name has none.

    "" is loopback, "*" every address; both mean IPv4, and IPv6 where the machine has it.
    """
    wanted = {"": LOOPBACK, "*": EVERYWHERE}.get(listen_address, (listen_address,))
    found: list[tuple[socket.AddressFamily, str]] = []
    for host in wanted:
        try:
            answers = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise CannotListen(f"{setting} {host!r} is not an address: {error.strerror}") from error
        found += [(family, str(where[0])) for family, _, _, _, where in answers]
    if listen_address in ("", "*"):
        found = [(family, host) for family, host in found if family == socket.AF_INET or _has_ipv6(host)]
    return list(dict.fromkeys(found))


def open_stat_sockets(listen_address: str, port: int, udp_buffer_kib: int,
                      handover: Handover | None = None) -> StatSockets:
    """Bind `port` (0: one that is free) for TCP and UDP; sockets that were handed over are used as they are.

    PortInUse, CannotListen.
    """
    handover = handover or Handover()
    where = addresses(listen_address)
    for attempt in range(FREE_PORT_ATTEMPTS):
        sockets = StatSockets(port)
        try:
            for family, host in where:
                sockets.tcp.append(_bound(handover, family, socket.SOCK_STREAM, host, sockets.port))
                sockets.port = sockets.tcp[0].getsockname()[1]
                sockets.udp.append(_bound(handover, family, socket.SOCK_DGRAM, host, sockets.port))
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
    sockets.drops_before = [drops(sock) for sock in sockets.udp]
    if port:        # another start takes another free one
        for sock in sockets.tcp + sockets.udp:
            handover.keep(sock)
    wanted = udp_buffer_kib * 1024
    sockets.udp_buffer = min(grow_receive_buffer(sock, wanted) for sock in sockets.udp)
    if sockets.udp_buffer < wanted:
        log.warning("the UDP receive buffer is %d KiB instead of %d KiB: bursts may be lost; to raise it: "
                    "echo net.core.rmem_max=%d > /etc/sysctl.d/60-istatd.conf; sysctl --system",
                    sockets.udp_buffer // 1024, udp_buffer_kib, wanted)
    return sockets


def open_http_socket(host: str, port: int, handover: Handover | None = None) -> socket.socket:
    """Bind `port` (0: one that is free) for HTTP, or take the socket that was handed over. PortInUse, CannotListen."""
    where = addresses(host, "http-listen-address")
    family, address = next((one for one in where if one[0] == socket.AF_INET), where[0])
    handover = handover or Handover()
    sock = _bound(handover, family, socket.SOCK_STREAM, address, port)
    sock.listen(HTTP_BACKLOG)
    if port:
        handover.keep(sock)
    return sock


def grow_receive_buffer(sock: socket.socket, wanted: int) -> int:
    """Give a UDP socket a receive buffer of `wanted` bytes if the system lets us; the bytes granted.

    SO_RCVBUFFORCE needs CAP_NET_ADMIN; without it the kernel clamps to net.core.rmem_max, also below what the
    socket has: one that systemd made may have more than we could give. Linux reports twice the size, for its own
    bookkeeping (socket(7)).
    """
    if _receive_buffer(sock) < wanted:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
        except OSError:
            with socket.socket(sock.family, socket.SOCK_DGRAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
                better = _receive_buffer(probe) > _receive_buffer(sock)
            if better:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
    return _receive_buffer(sock)


def drops(sock: socket.socket) -> int:
    """Datagrams that the kernel dropped on a UDP socket since it was opened; 0 where the kernel does not tell."""
    try:
        told = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * SK_MEMINFO_VARS)
    except OSError:
        return 0
    return int(array("I", told)[SK_MEMINFO_DROPS]) if len(told) == 4 * SK_MEMINFO_VARS else 0


def _receive_buffer(sock: socket.socket) -> int:
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def listen_error(error: OSError, host: str, port: int) -> IstatError:
    """The sentence for an OSError of bind(2)."""
    where = f"port {port} of {host}"
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{where} is in use by another process; choose another, or 0 for a free one")
    if error.errno == errno.EACCES:
        return CannotListen(f"no permission for {where}; choose a port from 1024 up")
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(f"{host} is not an address of this machine: choose another to listen on")
    return CannotListen(f"cannot listen on {where}: {error.strerror}")


def _has_ipv6(host: str) -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def _bound(handover: Handover, family: int, kind: int, host: str, port: int) -> socket.socket:
    """A socket bound to this address: handed over, or made now."""
    sock = handover.take(family, kind, host, port) or _bind_freed(handover, family, kind, host, port)
    sock.setblocking(False)
    return sock


def _bind_freed(handover: Handover, family: int, kind: int, host: str, port: int) -> socket.socket:
    """_bind, though the port is held on another address by a socket that was handed over: from 127.0.0.1 to all."""
    try:
        return _bind(family, kind, host, port)
    except PortInUse:
        if not handover.let_go(family, kind, port):
            raise
    for _ in range(LET_GO_ATTEMPTS):
        try:
            return _bind(family, kind, host, port)
        except PortInUse:
            time.sleep(LET_GO_SECONDS)
    return _bind(family, kind, host, port)


def _bind(family: int, kind: int, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
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
