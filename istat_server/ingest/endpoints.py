"""Where samples may come in: what an endpoint is, who offers which, and that no two are one.

Knows no sockets (`istat_server.sockets` binds them) and no protocol: an endpoint has one, for its transport.
"""
from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import pluggy

from istat.daemon import missing
from istat.errors import PluginError, SettingsError
from istat.settings.types import HIGHEST_PORT
from istat.wire.protocol import WireProtocol

NAME = re.compile(r"[a-z][a-z0-9-]*")
# Of sun_path, with its closing zero (unix(7)).
LONGEST_PATH = 107
# The plugin that offers the endpoints of the settings stat-port and listen-address.
OURS = "istat_server.builtin"
# Whoever may enter a Unix socket's folder may send, as whoever is on the machine may by loopback.
ANYONE = 0o666
Address = tuple[int, str]       # family, numeric address
# Stand for all addresses of their families.
WILDCARDS = frozenset(("0.0.0.0", "::"))


class Transport(enum.Enum):
    """How bytes come in. `UNIX` are connections, `UNIX_DATAGRAM` datagrams, of a socket in the file system."""

    TCP = "tcp"
    UDP = "udp"
    UNIX = "unix"
    UNIX_DATAGRAM = "unix-datagram"

    @property
    def local(self) -> bool:
        """Whether its address is a path."""
        return self in (Transport.UNIX, Transport.UNIX_DATAGRAM)

    @property
    def stream(self) -> bool:
        """Whether it has connections."""
        return self in (Transport.TCP, Transport.UNIX)


FIELDS: Mapping[str, type] = {"name": str, "transport": Transport, "address": str, "port": int, "path": str,
                              "longest": int, "tls": bool, "mode": int, "refuse_http": bool}


@dataclass(frozen=True)
class Endpoint:
    """Something to listen on, and what is spoken there.

    `name` is told on standard output with the port or path (`graphite-port=2003`), and in sentences. `address` is as
    in the setting listen-address: "" for this machine, "*" for everyone. Port 0 is a free one, the same for all
    endpoints that one plugin gives the same name. `longest` is the longest message [bytes] of a stream; 0 is max-line.
    `tls`: a TCP connection whose first byte begins a handshake speaks TLS; False where the protocol's own messages may
    begin with 0x16. `refuse_http`: a connection whose first line is a request of HTTP is closed; False where the
    protocol's own messages may begin like one. `mode` are the rights of a Unix socket's file. ValueError for what
    cannot be meant.
    """

    name: str
    transport: Transport
    protocol: WireProtocol
    address: str = ""
    port: int = 0
    path: str = ""
    longest: int = 0
    tls: bool = True
    mode: int = ANYONE
    refuse_http: bool = True

    def __post_init__(self) -> None:
        for field, kind in FIELDS.items():
            if not isinstance(getattr(self, field), kind):
                raise ValueError(f"an endpoint's {field} is of the type {kind.__name__}, not {getattr(self, field)!r}")
        if not all(hasattr(self.protocol, part) for part in ("name", "datagrams", "framing", "feeder")):
            raise ValueError(f"{self.protocol!r} is no protocol: istat/wire/protocol.py says what one has")
        if not NAME.fullmatch(self.name):
            raise ValueError(f"an endpoint's name is small letters, digits and dashes, not {self.name!r}")
        if self.transport.local:
            if not self.path.startswith("/") or len(self.path.encode()) > LONGEST_PATH or "\0" in self.path:
                raise ValueError(f"a Unix path is absolute and at most {LONGEST_PATH} bytes long, not {self.path!r}")
        elif self.path or not 0 <= self.port <= HIGHEST_PORT:
            raise ValueError(f"a {self.transport.value} endpoint has a port from 0 to {HIGHEST_PORT} and no path")


@dataclass(frozen=True)
class Offer:
    """An endpoint, and the plugin whose it is. `addresses` are those that its own means, once they are looked up."""

    endpoint: Endpoint
    owner: str
    addresses: Sequence[Address] = ()

    def claim(self) -> Claim:
        """What it wants for itself."""
        end = self.endpoint
        who = f"the setting {end.name}-port" if self.owner == OURS else f"{end.name} of {self.owner}"
        return Claim(who, end.transport, end.port, end.path, self.addresses)


class Claim(NamedTuple):
    """Something to listen on, and who wants it, in words."""

    who: str
    transport: Transport
    port: int
    path: str
    addresses: Sequence[Address]


def asked(plugins: pluggy.PluginManager, settings: Mapping[str, object]) -> list[Offer]:
    """All endpoints that plugins offer, ours first. PluginError when one fails or gives what is none."""
    found: list[Offer] = []
    for hook in plugins.hook.istat_endpoints.get_hookimpls():
        owner = hook.plugin_name
        try:
            answer: Any = hook.function(**dict.fromkeys(hook.argnames, settings))
            given = list(answer or ())
        except (Exception, SystemExit) as error:
            raise PluginError(f"the plugin {owner} cannot say where it listens: {missing.told(error)}") from error
        for endpoint in given:
            if not isinstance(endpoint, Endpoint):
                raise PluginError(f"the plugin {owner} gives {endpoint!r} for an endpoint; make it an Endpoint")
            found.append(Offer(endpoint, owner))
    return found


def check_names(offers: Sequence[Offer]) -> None:
    """PluginError for two plugins that give one name: nobody could tell their ports apart."""
    for one, other in combinations(offers, 2):
        if one.endpoint.name == other.endpoint.name and one.owner != other.owner:
            raise PluginError(f"the plugins {one.owner} and {other.owner} both call an endpoint {one.endpoint.name}: "
                              "remove one, or have one renamed")


def check_addresses(claims: Sequence[Claim]) -> None:
    """SettingsError for two of one address, in a sentence that names both."""
    for one, other in combinations(claims, 2):
        for where in _shared(one, other):
            raise SettingsError([f"{one.who} and {other.who} would both listen on {where}: give one of them another"])


def _shared(one: Claim, other: Claim) -> Iterator[str]:
    """What both want, as people write it."""
    if one.path or other.path:
        if one.path == other.path:
            yield one.path
    elif one.transport is other.transport and one.port and one.port == other.port:
        for family, host in one.addresses:
            for other_family, other_host in other.addresses:
                if family == other_family and (host == other_host or {host, other_host} & WILDCARDS):
                    yield f"{one.transport.value} port {one.port} of {host}"
