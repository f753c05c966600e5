"""Opening the sockets that the server listens on: addresses, ports, paths, buffers, and what to say when it fails.

Knows nothing of what comes in by them.
"""
from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
import time
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from istat.access import guarded
from istat.daemon.descriptors import UNLIMITED
from istat.daemon.handover import Handover
from istat.errors import IstatError
from istat_server.ingest.endpoints import OURS, Claim, Endpoint, Offer, Transport

log = logging.getLogger(__name__)

# Bound when `listen-address` says nothing: this machine only.
LOOPBACK = ("127.0.0.1", "::1")
# Bound for `listen-address = "*"`: everyone.
EVERYWHERE = ("0.0.0.0", "::")
# TCP connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096
# Of the HTTP port, where each costs some 0.1 ms. Beyond it the kernel drops who wants to connect, and who tries again
# after a second: that shall not befall others when a client opens as many connections at once as there are places.
HTTP_BACKLOG = 1024
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
class Bound:
    """An endpoint and its sockets, one for each address, all non-blocking."""

    endpoint: Endpoint          # with the port that it became
    lasting: bool               # the next start asks for the same; for port 0 it takes another
    sockets: list[socket.socket] = field(default_factory=list)
    drops_before: list[int] = field(default_factory=list)   # of each UDP socket: datagrams it lost before it was ours


@dataclass
class Sockets:
    """All that samples come in by."""

    bound: list[Bound] = field(default_factory=list)
    udp_buffer: int = 0         # the least receive buffer that a UDP socket got [bytes]
    affordable: int = UNLIMITED     # connections that may be open at once, as far as open files go
    http_port: int = 0          # where HTTP is, for whoever asks for it here

    def of(self, *transports: Transport) -> list[Bound]:
        """Those of these transports."""
        return [one for one in self.bound if one.endpoint.transport in transports]

    def told(self) -> list[str]:
        """What is said of them on standard output: `stat-port=8111`, each once."""
        words = (f"{end.name}-path={end.path}" if end.transport.local else f"{end.name}-port={end.port}"
                 for end in (one.endpoint for one in self.bound))
        return list(dict.fromkeys(words))

    def listening(self) -> dict[str, object]:
        """The same for programs: `{"stat-port": 8111}`."""
        return {f"{end.name}-path" if end.transport.local else f"{end.name}-port":
                end.path if end.transport.local else end.port for end in (one.endpoint for one in self.bound)}

    def all(self) -> Iterator[socket.socket]:
        """Every socket."""
        for one in self.bound:
            yield from one.sockets

    def close(self) -> None:
        """Close them all."""
        for sock in self.all():
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
        except UnicodeError as error:       # an empty or too long part of a name, as in "a..b"
            raise CannotListen(f"{setting} {host!r} is not an address: no host can have that name") from error
        found += [(family, str(where[0])) for family, _, _, _, where in answers]
    if listen_address in ("", "*"):
        found = [(family, host) for family, host in found if family == socket.AF_INET or _has_ipv6(host)]
    return list(dict.fromkeys(found))


def placed(offers: Iterable[Offer], udp_at_home: bool = False) -> list[Offer]:
    """The same with the addresses that are meant. CannotListen for a name that has none.

    udp_at_home: UDP is for this machine only, whatever an endpoint says.
    """
    found = []
    for offer in offers:
        end = offer.endpoint
        setting = "listen-address" if offer.owner == OURS else f"the address of {end.name},"
        where = [] if end.transport.local else addresses(end.address, setting)
        everywhere = not all(ip_address(host).is_loopback for _, host in where)
        if udp_at_home and everywhere and end.transport is Transport.UDP:
            log.warning("%s takes UDP on this machine only, as samples-tls = required says: senders elsewhere use TCP "
                        "with TLS", end.name)
            where = addresses("")
        found.append(replace(offer, addresses=where))
    return found


def http_claim(host: str, port: int) -> Claim:
    """HTTP's port, so that no endpoint takes it."""
    return Claim("the setting http-port", Transport.TCP, port, "", [_http_address(host)])


def open_endpoints(offers: Sequence[Offer], udp_buffer_kib: int, handover: Handover | None = None) -> Sockets:
    """Bind what is offered, as it was `placed`; sockets that were handed over are used as they are.

    Those of one plugin and name that have port 0 share one that is free. PortInUse, CannotListen.
    """
    handover = handover or Handover()
    sockets = Sockets()
    try:
        for offer in offers:
            if all(offer.endpoint.name != one.endpoint.name for one in sockets.bound):
                alike = [one for one in offers if one.endpoint.name == offer.endpoint.name]
                sockets.bound += _open_named(alike, handover)
    except IstatError:
        sockets.close()
        raise
    for one in sockets.bound:
        if one.endpoint.transport.stream:
            for sock in one.sockets:
                sock.listen(BACKLOG)
        for sock in one.sockets if one.lasting else ():
            handover.keep(sock)
    _grow_buffers(sockets, udp_buffer_kib)
    return sockets


def _open_named(offers: Sequence[Offer], handover: Handover) -> list[Bound]:
    """The endpoints of one name: those that have no port get one together."""
    free = any(not offer.endpoint.port and not offer.endpoint.transport.local for offer in offers)
    for attempt in range(FREE_PORT_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            bound: list[Bound] = []
            port = 0
            try:
                for offer in offers:
                    bound.append(_open(offer, port, handover, opened))
                    port = port or bound[-1].endpoint.port
            except PortInUse:
                if not free or attempt + 1 == FREE_PORT_ATTEMPTS:
                    raise
                continue
            opened.pop_all()
            return bound
    raise AssertionError("the last attempt raises or returns")


def _open(offer: Offer, port: int, handover: Handover, opened: contextlib.ExitStack) -> Bound:
    """One endpoint, on `port` if it has none of its own; `opened` closes its sockets should another fail."""
    end = offer.endpoint
    bound = Bound(end, lasting=bool(end.port) or end.transport.local)
    kind = socket.SOCK_STREAM if end.transport.stream else socket.SOCK_DGRAM
    if end.transport.local:
        bound.sockets.append(opened.enter_context(_bound_path(handover, kind, end.path, end.mode)))
        return bound
    port = end.port or port
    for family, host in offer.addresses:
        sock = opened.enter_context(_bound(handover, family, kind, host, port))
        port = sock.getsockname()[1]
        bound.sockets.append(sock)
    bound.endpoint = replace(end, port=port)
    if end.transport is Transport.UDP:
        bound.drops_before = [drops(sock) for sock in bound.sockets]
    return bound


def _grow_buffers(sockets: Sockets, wanted_kib: int) -> None:
    """Give all UDP sockets their receive buffers; one warning when the system does not let us."""
    wanted = wanted_kib * 1024
    granted = [grow_receive_buffer(sock, wanted) for one in sockets.of(Transport.UDP) for sock in one.sockets]
    sockets.udp_buffer = min(granted, default=wanted)
    if sockets.udp_buffer < wanted:
        log.warning("the UDP receive buffer is %d KiB instead of %d KiB: bursts may be lost; to raise it: "
                    "echo net.core.rmem_max=%d > /etc/sysctl.d/60-istatd.conf; sysctl --system",
                    sockets.udp_buffer // 1024, wanted_kib, wanted)


def open_http_socket(host: str, port: int, handover: Handover | None = None) -> socket.socket:
    """Bind `port` (0: one that is free) for HTTP, or take the socket that was handed over. PortInUse, CannotListen."""
    family, address = _http_address(host)
    handover = handover or Handover()
    sock = _bound(handover, family, socket.SOCK_STREAM, address, port)
    sock.listen(HTTP_BACKLOG)
    if port:
        handover.keep(sock)
    return sock


def _http_address(host: str) -> tuple[socket.AddressFamily, str]:
    where = addresses(host, "http-listen-address")
    return next((one for one in where if one[0] == socket.AF_INET), where[0])


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


def _bound_path(handover: Handover, kind: int, path: str, mode: int) -> socket.socket:
    """A Unix socket at this path: handed over, or made now. A file that a dead one has left there is replaced."""
    sock = handover.take(socket.AF_UNIX, kind, path, 0) or _bind_path(kind, path, mode)
    sock.setblocking(False)
    return sock


def _bind_path(kind: int, path: str, mode: int) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    before = os.umask(0o777 & ~mode)        # the rights are there from the first moment on
    try:
        guarded.check(os.path.dirname(path) or ".")
        _remove_dead(kind, path)
        sock.bind(path)
    except PortInUse:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        raise _path_error(error, path) from error
    finally:
        os.umask(before)
    return sock


def _remove_dead(kind: int, path: str) -> None:
    """Remove the file of a socket that nobody listens on. PortInUse when somebody does, or when it is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise PortInUse(f"{path} is there and is no socket: name another path, or remove it")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:     # its backlog is full: it is alive
            pass
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:     # a live one of another kind
                raise
    raise PortInUse(f"{path} is in use by another process; name another path")


def _path_error(error: OSError, path: str) -> CannotListen:
    """The sentence for what the system says of a path."""
    if error.errno == errno.ENOENT:
        return CannotListen(f"the folder of {path} does not exist: make it, or name another path")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return CannotListen(f"no permission for {path}: let this user write to its folder, or name another path")
    return CannotListen(f"cannot listen on {path}: {error.strerror}")
