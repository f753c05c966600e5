"""The agent's own lines on their way into the spool. Knows no forwarder, so that an agent without one needs none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from istat_agent.counters import Counters


class Relaying(Protocol):
    """What is wanted of the relay (forwarding.relay)."""

    def own(self, text: bytes) -> None:
        """Forward whole lines."""

    def tell(self, text: bytes) -> None:
        """Tell `#key value` lines about this agent."""

    def flush(self) -> None:
        """Have what was given sent, or in the spool soon."""


class OwnLines:
    """What ships the lines of our collectors, in the place of `istat_agent.shipping.ship.Shipper`."""

    def __init__(self, relay: Relaying, identity: bytes, counters: Counters,
                 news: Callable[[], Iterable[bytes]], metrics: Callable[[], Iterable[bytes]] = tuple) -> None:
        """identity: `#key value` lines that introduce this agent; news(): more of them, told at once after `tell`;
        metrics(): what it declares of metrics, told at once after `declare`."""
        self._relay, self._identity, self._counters, self._news = relay, identity, counters, news
        self._metrics = metrics

    def renew(self, identity: bytes) -> None:
        """We are introduced by these lines from now on."""
        if identity != self._identity:
            self._identity = identity
            self.tell()

    def offer(self, lines: Sequence[bytes]) -> None:
        """See Shipper.offer."""
        if lines:
            self._relay.own(b"".join(lines))
            self._counters.samples += len(lines)

    def tell(self) -> None:
        """See Shipper.tell. The forwarder tells it again at each connection."""
        self._relay.tell(self._identity + b"".join(self._news()))

    def declare(self) -> None:
        """See Shipper.declare. The forwarder tells them again at each connection."""
        lines = b"".join(self._metrics())
        if lines:
            self._relay.tell(lines)

    def forever(self) -> None:
        """Introduce the agent; the forwarder does the rest."""
        self.tell()
        self.declare()

    def flush(self) -> None:
        """See Shipper.flush: all is in the spool, or will be soon."""
        self._relay.flush()

    def close(self) -> None:
        """See Shipper.close. The relay outlives us."""
