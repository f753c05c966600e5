"""The agent's local ports, opened while it may: stat-port by TCP and UDP, of this machine only, and stat-path.

Sockets only: what comes in by them is `streams`' and `datagrams`' business.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from istat.daemon.handover import Handover
from istat.daemon.listening.binding import FREE_PORT_ATTEMPTS, PortInUse, addresses, bind_port
from istat.daemon.listening.paths import bind_path
from istat.settings.types import OFF

# Connections that may wait to be accepted.
BACKLOG = 128
# Rights of stat-path: whoever may connect to the port, which is every user of this machine, may do so here.
ANYONE = 0o666


@dataclass
class Ports:
    """Bound sockets, none of which waits. `port` is 0 where stat-port is off, `path` "" where there is none."""

    listeners: list[socket.socket] = field(default_factory=list)
    datagrams: list[socket.socket] = field(default_factory=list)
    port: int = 0
    path: str = ""

    def told(self) -> list[str]:
        """What is said of them on standard output."""
        return [*([f"stat-port={self.port}"] if self.port else []), *([f"stat-path={self.path}"] if self.path else [])]


def open_ports(settings: Mapping[str, Any], handover: Handover | None = None) -> Ports:
    """What the settings want, handed over or new. PortInUse, CannotListen."""
    ports, handover = Ports(), handover or Handover()
    with contextlib.ExitStack() as opened:
        if settings["stat-port"] != OFF:
            _open_port(ports, settings["stat-port"], handover, opened)
        if settings["stat-path"] is not None:
            ports.path = str(settings["stat-path"])
            sock = opened.enter_context(bind_path(handover, socket.SOCK_STREAM, ports.path, ANYONE))
            ports.listeners.append(sock)
        for sock in ports.listeners:
            sock.listen(BACKLOG)
        opened.pop_all()
    return ports


def _open_port(ports: Ports, wanted: int, handover: Handover, opened: contextlib.ExitStack) -> None:
    """TCP and UDP of one number on all addresses of loopback; 0: one that is free on all."""
    for attempt in range(FREE_PORT_ATTEMPTS):
        with contextlib.ExitStack() as tried:
            port, found = wanted, []
            try:
                for family, host in addresses(""):
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        found.append(tried.enter_context(bind_port(handover, family, kind, host, port)))
                        port = found[-1].getsockname()[1]
            except PortInUse:
                if wanted or attempt + 1 == FREE_PORT_ATTEMPTS:
                    raise
                continue
            opened.push(tried.pop_all())
            ports.port = port
            ports.listeners += [sock for sock in found if sock.type == socket.SOCK_STREAM]
            ports.datagrams += [sock for sock in found if sock.type == socket.SOCK_DGRAM]
            return
