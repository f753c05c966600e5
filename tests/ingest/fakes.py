"""An intake that keeps what it is fed, and what listeners need around it."""
from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import gevent

from istat.clock import FakeClock
from istat.daemon.handover import Handover
from istat.wire.lines import LINES
from istat.wire.protocol import WireProtocol
from istat_server.ingest.endpoints import Endpoint, Offer, Transport
from istat_server.ingest.pump import Pump
from istat_server.mistakes import Mistakes
from istat_server.roster import Roster, Sender
from istat_server.sockets import Bound, Sockets, open_endpoints, placed


class FakeIntake:
    """Takes whole lines, as the real one does, and remembers them with their senders."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.refused: list[tuple[str, bytes]] = []
        self.senders: list[Sender] = []
        self.feeds = 0

    def feed(self, view: memoryview, start: int, end: int, sender: Sender) -> int:
        self.feeds += 1
        data = bytes(view[start:end])
        whole = data.rfind(b"\n") + 1
        for line in data[:whole].split(b"\n")[:-1]:
            self.lines.append(line)
            self.senders.append(sender)
        return whole

    def refuse(self, kind: str, text: bytes, sender: Sender) -> None:
        self.refused.append((kind, text))


def listening(transport: Transport, protocol: WireProtocol = LINES, **more: Any) -> Bound:
    """An endpoint on a free port of loopback, or on a path."""
    offer = Offer(Endpoint("test", transport, protocol, more.pop("address", "127.0.0.1"), **more), "a test")
    (bound,) = open_endpoints(placed([offer]), 1024).bound
    return bound


class Bench:
    """An intake with roster, mistakes and a running pump."""

    def __init__(self) -> None:
        self.clock = FakeClock(1_700_000_000)
        self.intake = FakeIntake()
        self.mistakes = Mistakes(self.clock)
        self.roster = Roster(self.clock)
        self.errors: list[BaseException] = []
        self.pump = Pump(lambda where, error: self.errors.append(error))


def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Let the hub run until the condition holds; AssertionError when it does not in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        gevent.sleep(0.002)


def stat_port(address: str = "127.0.0.1", port: int = 0, buffer: int = 64, handover: Handover | None = None) -> Sockets:
    """The sockets of a stat port, as the built-in parts want them."""
    offers = [Offer(Endpoint("stat", transport, LINES, address, port), "a test")
              for transport in (Transport.TCP, Transport.UDP)]
    return open_endpoints(placed(offers), buffer, handover)


def tcp_of(sockets: Sockets) -> list[socket.socket]:
    """Those for connections."""
    return [sock for one in sockets.of(Transport.TCP) for sock in one.sockets]


def udp_of(sockets: Sockets) -> list[socket.socket]:
    """Those for datagrams."""
    return [sock for one in sockets.of(Transport.UDP) for sock in one.sockets]


def port_of(sockets: Sockets) -> int:
    """The port that it became."""
    return sockets.bound[0].endpoint.port
