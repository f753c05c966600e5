"""Opening the sockets that the server listens on: those of endpoints with their buffers, and our own services' ports.

Knows nothing of what comes in by them; how one is bound is `istat.daemon.listening`'s matter.
"""
from __future__ import annotations

import contextlib
import logging
import socket
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from istat.daemon.descriptors import UNLIMITED
from istat.daemon.handover import Handover
from istat.daemon.listening.binding import (
    FREE_PORT_ATTEMPTS,
    CannotListen,
    PortInUse,
    addresses,
    bind_port,
    open_listeners,
)
from istat.daemon.listening.paths import bind_path
from istat.errors import IstatError
from istat.settings.types import OFF
from istat_server.ingest.endpoints import OURS, Address, Claim, Endpoint, Offer, Transport

__all__ = ["CannotListen", "PortInUse", "Bound", "Sockets"]

log = logging.getLogger(__name__)

# TCP connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
BACKLOG = 4096
# Of the HTTP port, where each costs some 0.1 ms. Beyond it the kernel drops who wants to connect, and who tries again
# after a second: that shall not befall others when a client opens as many connections at once as there are places.
HTTP_BACKLOG = 1024
# Of the ports that few ask: of operators, and of one system that scrapes.
FEW_BACKLOG = 64
# Our services that have ports besides those of endpoints: their settings are `NAME-port` and `NAME-listen-address`.
HTTP, ADMIN, PROMETHEUS = "http", "admin", "prometheus"

# Linux, include/uapi/asm-generic/socket.h; Python has no name for them.
SO_RCVBUFFORCE, SO_MEMINFO = 33, 55
# Place of the count of dropped datagrams in what SO_MEMINFO tells (include/uapi/linux/sock_diag.h), 32-bit numbers all.
SK_MEMINFO_DROPS, SK_MEMINFO_VARS = 8, 9


@dataclass
class Bound:
    """An endpoint and its sockets, one for each address, all non-blocking."""

    endpoint: Endpoint          # with the port that it became
    lasting: bool               # the next start asks for the same; for port 0 it takes another
    sockets: list[socket.socket] = field(default_factory=list)
    drops_before: list[int] = field(default_factory=list)   # of each UDP socket: datagrams it lost before it was ours


@dataclass
class Sockets:
    """All that samples come in by, and what the admin port and the exporter listen on."""

    bound: list[Bound] = field(default_factory=list)
    services: dict[str, list[socket.socket]] = field(default_factory=dict)      # of ADMIN and PROMETHEUS, if wanted
    udp_buffer: int = 0         # the least receive buffer that a UDP socket got [bytes]
    affordable: int = UNLIMITED     # connections that may be open at once, as far as open files go
    http: socket.socket | None = None
    http_port: int = 0          # where HTTP is, for whoever asks for it here; 0: nowhere

    def of(self, *transports: Transport) -> list[Bound]:
        """Those of these transports."""
        return [one for one in self.bound if one.endpoint.transport in transports]

    def told(self) -> list[str]:
        """What is said of them on standard output: `stat-port=8111`, each once."""
        words = (f"{end.name}-path={end.path}" if end.transport.local else f"{end.name}-port={end.port}"
                 for end in (one.endpoint for one in self.bound))
        return list(dict.fromkeys(words))

    def told_services(self) -> list[str]:
        """The same of our services: `admin-port=8112`."""
        return [f"{name}-port={port}" for name, port in self._service_ports().items()]

    def listening(self) -> dict[str, object]:
        """All of it for programs: `{"stat-port": 8111}`."""
        ends = {f"{end.name}-path" if end.transport.local else f"{end.name}-port":
                end.path if end.transport.local else end.port for end in (one.endpoint for one in self.bound)}
        return {**ends, **{f"{name}-port": port for name, port in self._service_ports().items()}}

    def _service_ports(self) -> dict[str, int]:
        return {name: found[0].getsockname()[1] for name, found in self.services.items()}

    def all(self) -> Iterator[socket.socket]:
        """Every socket."""
        for one in self.bound:
            yield from one.sockets
        for sockets in self.services.values():
            yield from sockets

    def close(self) -> None:
        """Close them all."""
        for sock in self.all():
            sock.close()


# What the log says of each, and of those who may send from elsewhere.
UDP_AT_HOME = {"samples-tls": ("samples-tls = required", " with TLS"),
               "samples-token": ("samples-token", ", and forward acknowledged batches")}


def placed(offers: Iterable[Offer], udp_at_home: str = "") -> list[Offer]:
    """The same with the addresses that are meant. CannotListen for a name that has none.

    udp_at_home: the setting for which UDP is for this machine only, whatever an endpoint says; "": it is not.
    """
    found = []
    for offer in offers:
        end = offer.endpoint
        setting = "listen-address" if offer.owner == OURS else f"the address of {end.name},"
        where = [] if end.transport.local else addresses(end.address, setting)
        everywhere = not all(ip_address(host).is_loopback for _, host in where)
        if udp_at_home and everywhere and end.transport is Transport.UDP:
            log.warning("%s takes UDP on this machine only, as %s says: senders elsewhere use TCP%s", end.name,
                        *UDP_AT_HOME[udp_at_home])
            where = addresses("")
        found.append(replace(offer, addresses=where))
    return found


def service_claims(settings: Mapping[str, Any]) -> list[Claim]:
    """The ports of our services, so that no endpoint takes them."""
    return [Claim(f"the setting {name}-port", Transport.TCP, settings[f"{name}-port"], "",
                  service_addresses(settings[f"{name}-listen-address"], name))
            for name in (HTTP, ADMIN, PROMETHEUS) if settings[f"{name}-port"] != OFF]


def service_addresses(host: str, name: str) -> list[Address]:
    """Where a service listens: one that speaks HTTP on one address, of IPv4 where there is one. CannotListen."""
    where: list[Address] = [*addresses(host, f"{name}-listen-address")]
    return where if name == ADMIN else [next((one for one in where if one[0] == socket.AF_INET), where[0])]


def open_service(settings: Mapping[str, Any], name: str, handover: Handover) -> list[socket.socket]:
    """What a service listens on, bound or handed over. PortInUse, CannotListen."""
    backlog = HTTP_BACKLOG if name == HTTP else FEW_BACKLOG
    where = service_addresses(settings[f"{name}-listen-address"], name)
    return open_listeners(where, settings[f"{name}-port"], backlog, handover)


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
        bound.sockets.append(opened.enter_context(bind_path(handover, kind, end.path, end.mode)))
        return bound
    port = end.port or port
    for family, host in offer.addresses:
        sock = opened.enter_context(bind_port(handover, family, kind, host, port))
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


def open_services(settings: Mapping[str, Any], sockets: Sockets, handover: Handover) -> None:
    """Open what our services listen on, as far as they are wanted, beside what is open. PortInUse, CannotListen."""
    if settings["http-port"] != OFF:
        sockets.http = open_service(settings, HTTP, handover)[0]
        sockets.http_port = sockets.http.getsockname()[1]
    for name in (ADMIN, PROMETHEUS):
        if settings[f"{name}-port"] != OFF:
            sockets.services[name] = open_service(settings, name, handover)


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
