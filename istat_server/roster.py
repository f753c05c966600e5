"""Who sends us samples: one `Peer` per TCP connection and per UDP sender, and the bounded list of them.

It does not know sockets, and it trusts nothing that a peer says about itself: metadata is shown, cut to
size, and decides nothing.
"""
from __future__ import annotations

import socket
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime

from istat.clock import Clock

# What one peer may tell about itself: keys, and bytes of a key or a value (istatd had no bound).
METADATA_KEYS = 32
METADATA_BYTES = 256
# Peers kept in all, the gone ones included.
ROSTER_LIMIT = 10_000
# A UDP sender counts as online this long after its last datagram [s]: agents introduce themselves every
# 60 s, so two introductions may be lost.
UDP_ONLINE_SECONDS = 150.0
# A peer that is gone is forgotten after this time [s] (istatd's figure: 25 hours).
FORGET_SECONDS = 90_000.0


class Peer:
    """One sender of samples.

    `address` is `host:port` (an IPv6 host in brackets), times are Unix seconds.
    """

    __slots__ = ("transport", "address", "metadata", "first_seen", "last_seen", "bytes",
                 "connected", "metadata_refused")

    def __init__(self, transport: str, address: str, now: float) -> None:
        self.transport = transport
        self.address = address
        self.metadata: dict[str, str] = {}
        self.first_seen = now
        self.last_seen = now
        self.bytes = 0
        self.connected = True
        self.metadata_refused = 0

    def meta(self, key: bytes | str, value: bytes | str) -> bool:
        """Remember what a `#key value` line said. False when it was refused: too many keys, or too long."""
        key, value = _text(key).removeprefix("#"), _text(value)
        too_long = len(key.encode()) > METADATA_BYTES or len(value.encode()) > METADATA_BYTES
        if not key or too_long or (key not in self.metadata and len(self.metadata) >= METADATA_KEYS):
            self.metadata_refused += 1
            return False
        self.metadata[key] = value
        return True

    def seen(self, now: float, size: int) -> None:
        """`size` bytes came from this peer at time `now`."""
        self.last_seen = now
        self.bytes += size

    def online(self, now: float) -> bool:
        """Whether the peer is there: its connection is open, or its last datagram is recent."""
        if self.transport == "udp":
            return now - self.last_seen <= UDP_ONLINE_SECONDS
        return self.connected

    @property
    def name(self) -> str:
        """What to call it: its agent's name, else its host name, else its host's address."""
        host = self.address.rpartition(":")[0] or self.address
        return self.metadata.get("agent") or self.metadata.get("hostname") or host


class Roster:
    """The list of peers, at most `limit`; when it is full, those gone longest make place.

    When all are online, newcomers are served but not listed (UDP senders then share one peer, so that
    forged addresses cannot push real agents out). `unlisted` counts them.
    """

    def __init__(self, clock: Clock, limit: int = ROSTER_LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._open: dict[Peer, None] = {}
        self._gone: OrderedDict[Peer, None] = OrderedDict()     # longest gone first
        self._senders: OrderedDict[bytes, Peer] = OrderedDict()     # longest silent first
        self._others = Peer("udp", "(other senders)", clock.now())
        self.unlisted = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._gone) + len(self._senders)

    def now(self) -> float:
        """The time that peers' `last_seen` is told in, Unix seconds."""
        return self._clock.now()

    def connected(self, transport: str, address: str) -> Peer:
        """A connection was opened; give the result back to `disconnected` when it ends."""
        now = self._clock.now()
        peer = Peer(transport, address, now)
        if self._make_place(now):
            self._open[peer] = None
        else:
            self.unlisted += 1
        return peer

    def disconnected(self, peer: Peer) -> None:
        """The connection of this peer has ended."""
        peer.connected = False
        if peer in self._open:
            del self._open[peer]
            self._gone[peer] = None

    def sender(self, key: bytes, size: int) -> Peer:
        """The peer behind a UDP sender's key (kernels.udp), which has just sent `size` bytes."""
        now = self._clock.now()
        peer = self._senders.get(key)
        if peer is None:
            peer = self._new_sender(key, now)
        else:
            self._senders.move_to_end(key)
        peer.seen(now, size)
        return peer

    def online(self) -> int:
        """How many listed peers are online."""
        now = self._clock.now()
        return len(self._open) + sum(peer.online(now) for peer in self._senders.values())

    def agents(self) -> list[dict[str, object]]:
        """The rows of `/api/v1/agents`: online ones and the most recently seen first."""
        now = self._clock.now()
        return [{"name": peer.name, "address": peer.address, "version": peer.metadata.get("version"),
                 "last_seen": peer.last_seen, "online": peer.online(now), "transport": peer.transport,
                 "bytes": peer.bytes, "metadata": dict(peer.metadata)} for peer in self._shown(now)]

    def istatd_agents(self) -> list[dict[str, object]]:
        """The rows of istatd's `/?a=*`, without its wrapping: metadata, and keys that begin with `_`."""
        now = self._clock.now()
        rows = []
        for peer in self._shown(now):
            row: dict[str, object] = dict(peer.metadata)
            row.update(_peer=peer.address, _online=peer.online(now), _connected=_iso(peer.first_seen),
                       _idle=max(0, int(now - peer.last_seen)))
            rows.append(row)
        return rows

    def _new_sender(self, key: bytes, now: float) -> Peer:
        if not self._make_place(now):
            self.unlisted += 1
            return self._others
        peer = Peer("udp", address_of(key), now)
        self._senders[key] = peer
        return peer

    def _make_place(self, now: float) -> bool:
        if len(self) < self._limit:
            return True
        if self._gone:
            self._gone.popitem(last=False)
            return True
        if self._senders:
            key, longest_silent = next(iter(self._senders.items()))
            if not longest_silent.online(now):
                del self._senders[key]
                return True
        return False

    def _shown(self, now: float) -> list[Peer]:
        """All peers worth showing. A machine that came back (same host and name) hides its gone selves, and an agent
        that was started again the one before, whose datagrams ended before its own began."""
        self._forget(now)
        peers = sorted(self._everyone(), key=lambda peer: (not peer.online(now), -peer.last_seen))
        known: dict[tuple[str, str], float] = {}    # -> when the one shown was first seen
        shown = []
        for peer in peers:
            identity = (peer.address.rpartition(":")[0], peer.name)
            followed = "agent" in peer.metadata and peer.transport == "udp" and \
                peer.last_seen <= known.get(identity, peer.first_seen)
            if identity not in known or (peer.online(now) and not followed):
                shown.append(peer)
            known.setdefault(identity, peer.first_seen)
        return shown

    def _everyone(self) -> Iterable[Peer]:
        yield from self._open
        yield from self._gone
        yield from self._senders.values()

    def _forget(self, now: float) -> None:
        while self._gone and now - next(iter(self._gone)).last_seen > FORGET_SECONDS:
            self._gone.popitem(last=False)
        while self._senders and now - next(iter(self._senders.values())).last_seen > FORGET_SECONDS:
            self._senders.popitem(last=False)


def address_of(key: bytes) -> str:
    """`host:port` of a UDP sender's key: its port (2 bytes) and its address (4 or 16 bytes)."""
    port = int.from_bytes(key[:2], "big")
    if len(key) == 18:
        return f"[{socket.inet_ntop(socket.AF_INET6, key[2:])}]:{port}"
    return f"{socket.inet_ntop(socket.AF_INET, key[2:])}:{port}"


def _text(value: bytes | str) -> str:
    return (value if isinstance(value, str) else value.decode("utf-8", "replace")).strip()


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
