"""Who sends us samples: one `Sender` per TCP connection and per UDP sender, and the bounded list of them.

It does not know sockets, and it trusts nothing that a sender says about itself: metadata is shown, cut to
size, and decides nothing.
"""
from __future__ import annotations

import itertools
import socket
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from istat.clock import Clock
from istat.daemon.peers import in_words

# What one sender may tell about itself: keys, and bytes of a key or a value (istatd had no bound).
METADATA_KEYS = 32
METADATA_BYTES = 256
# What all senders may tell together [bytes of memory]: agents tell some 1,000 each, forged datagrams all they may.
METADATA_TOTAL = 8 << 20
# What each may tell even when others have told that much [bytes of memory]: twice what an agent tells.
METADATA_ALWAYS = 2048
# What a key costs beside the two texts [bytes].
ENTRY_BYTES = 40
# Senders kept in all, the gone ones included.
ROSTER_LIMIT = 10_000
# A UDP sender counts as online this long after its last datagram [s]: agents introduce themselves every
# 60 s, so two introductions may be lost.
UDP_ONLINE_SECONDS = 150.0
# A sender that is gone is forgotten after this time [s] (istatd's figure: 25 hours).
FORGET_SECONDS = 90_000.0
# Senders looked at between turns of others: some 3 ms.
SENDERS_AT_ONCE = 1000
# What an agent tells of collectors that fail: how many by this key, and with ".1" and so on behind it which.
FAILING = "failing"
_numbers = itertools.count(1)


class Told:
    """How many bytes of memory hold what a roster's senders have told, all together."""

    __slots__ = ("bytes",)

    def __init__(self) -> None:
        self.bytes = 0


class Sender:
    """One sender of samples.

    `address` is `host:port` (an IPv6 host in brackets), times are Unix seconds.
    """

    __slots__ = ("transport", "address", "who", "metadata", "first_seen", "last_seen", "bytes",
                 "connected", "metadata_refused", "refused", "number", "_told", "_own")

    def __init__(self, transport: str, address: str, now: float, told: Told | None = None) -> None:
        """told: where what it tells is counted, beside what others do."""
        self._told = told or Told()
        self._own = 0       # bytes of memory for that
        self.transport = transport
        self.address = address
        self.who = _who(address)
        self.metadata: dict[str, str] = {}
        self.first_seen = now
        self.last_seen = now
        self.bytes = 0
        self.connected = True
        self.metadata_refused = 0
        self.refused: dict[str, int] = {}   # by kind of mistake (mistakes.KINDS)
        self.number = next(_numbers)        # in the order of arrival

    def __str__(self) -> str:
        return f"{self.transport} {self.address}"

    def meta(self, key: bytes | str, value: bytes | str) -> bool:
        """Remember what a `#key value` line said. False when it was refused: too many keys, too long, or
        all senders have told too much."""
        key, value = _text(key).removeprefix("#"), _text(value)
        too_long = len(key.encode()) > METADATA_BYTES or len(value.encode()) > METADATA_BYTES
        before = self.metadata.get(key)
        more = _size(key, value) - (_size(key, before) if before is not None else 0)
        too_many = before is None and len(self.metadata) >= METADATA_KEYS
        no_room = more > 0 and self._own + more > METADATA_ALWAYS and self._told.bytes + more > METADATA_TOTAL
        if not key or too_long or too_many or no_room:
            self.metadata_refused += 1
            return False
        self.metadata[key] = value
        self._count(more)
        if key == FAILING:
            self._drop_failing(_whole(value))
        return True

    def _count(self, more: int) -> None:
        self._own += more
        self._told.bytes += more

    def _drop_failing(self, left: int) -> None:
        """Forget the collectors that work again: what is told of them has no end of its own."""
        for key in [key for key in self.metadata if key.startswith(f"{FAILING}.") and _whole(key[8:]) > left]:
            self._count(-_size(key, self.metadata.pop(key)))

    def failing(self) -> list[dict[str, object]]:
        """The collectors that fail there, as an agent tells: `#failing 2`, and from 1 on `#failing.1 SINCE NAME: WHY`.
        Without a name it is something else that keeps a collector from running."""
        found: list[dict[str, object]] = []
        for place in range(1, min(_whole(self.metadata.get(FAILING, "")), METADATA_KEYS) + 1):
            since, _, words = self.metadata.get(f"{FAILING}.{place}", "").partition(" ")
            name, colon, why = words.partition(": ")
            if colon:
                found.append({"agent": self.name, "collector": name, "why": why, "since": _whole(since)})
        return found

    def forget(self) -> None:
        """It is on no list any more: what it has told makes room for others'."""
        self._told.bytes -= self._own
        self._own = 0
        self.metadata = {}

    def seen(self, now: float, size: int) -> None:
        """`size` bytes came from this sender at time `now`."""
        self.last_seen = now
        self.bytes += size

    def online(self, now: float) -> bool:
        """Whether the sender is there: its connection is open, or its last datagram is recent."""
        if self.transport == "udp":
            return now - self.last_seen <= UDP_ONLINE_SECONDS
        return self.connected

    @property
    def identity(self) -> tuple[str, str]:
        """What tells a machine that came back from another one: its host and its name."""
        return self.address.rpartition(":")[0], self.name

    @property
    def name(self) -> str:
        """What to call it: its agent's name, else its host name, else its host's address."""
        host = self.address.rpartition(":")[0] or self.address
        return self.metadata.get("agent") or self.metadata.get("hostname") or host


class Roster:
    """The list of senders, at most `limit`; when it is full, those gone longest make place.

    When all are online, newcomers are served but not listed (UDP senders then share one sender, so that
    forged addresses cannot push real agents out). `unlisted` counts them.
    """

    def __init__(self, clock: Clock, limit: int = ROSTER_LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._open: dict[Sender, None] = {}
        self._gone: OrderedDict[Sender, None] = OrderedDict()     # longest gone first
        self._udp: OrderedDict[bytes, Sender] = OrderedDict()     # longest silent first
        self._others = Sender("udp", "(other senders)", clock.now())
        self.unlisted = 0
        self._told = Told()

    def __len__(self) -> int:
        return len(self._open) + len(self._gone) + len(self._udp)

    def now(self) -> float:
        """The time that senders' `last_seen` is told in, Unix seconds."""
        return self._clock.now()

    def connected(self, transport: str, address: str) -> Sender:
        """A connection was opened; give the result back to `disconnected` when it ends."""
        now = self._clock.now()
        sender = Sender(transport, address, now, self._told)
        if self._make_place(now):
            self._open[sender] = None
        else:
            self.unlisted += 1
        return sender

    def disconnected(self, sender: Sender) -> None:
        """The connection of this sender has ended."""
        sender.connected = False
        if sender in self._open:
            del self._open[sender]
            self._gone[sender] = None
        else:
            sender.forget()

    def from_udp(self, key: bytes, size: int) -> Sender:
        """The sender behind a UDP sender's key (kernels.udp), which has just sent `size` bytes."""
        now = self._clock.now()
        sender = self._udp.get(key)
        if sender is None:
            sender = self._new_udp(key, now)
        else:
            self._udp.move_to_end(key)
        sender.seen(now, size)
        return sender

    def online(self) -> int:
        """How many listed senders are online."""
        now = self._clock.now()
        return len(self._open) + sum(sender.online(now) for sender in self._udp.values())

    def row(self, sender: Sender) -> dict[str, object]:
        """A row of `/api/v1/agents`."""
        return {"name": sender.name, "address": sender.address, "version": sender.metadata.get("version"),
                "last_seen": sender.last_seen, "online": sender.online(self._clock.now()),
                "transport": sender.transport, "bytes": sender.bytes, "metadata": dict(sender.metadata),
                "refused": dict(sender.refused), "failing": sender.failing()}

    def istatd_row(self, sender: Sender) -> dict[str, object]:
        """A row of istatd's `/?a=*`: metadata, and four keys that are ours whatever a sender tells."""
        now = self._clock.now()
        own = {"_online": sender.online(now), "_connected": _iso(sender.first_seen),
               "_idle": max(0, int(now - sender.last_seen))}
        told = {key: value for key, value in sender.metadata.items() if key not in own and key != "_peer"}
        return {"_peer": sender.address, **told, **own}

    def _new_udp(self, key: bytes, now: float) -> Sender:
        if not self._make_place(now):
            self.unlisted += 1
            return self._others
        sender = Sender("udp", address_of(key), now, self._told)
        self._udp[key] = sender
        return sender

    def _make_place(self, now: float) -> bool:
        if len(self) < self._limit:
            return True
        if self._gone:
            self._gone.popitem(last=False)[0].forget()
            return True
        if self._udp:
            key, longest_silent = next(iter(self._udp.items()))
            if not longest_silent.online(now):
                self._udp.pop(key).forget()
                return True
        return False

    def senders(self, before: int | None = None, between: Callable[[], None] = lambda: None) -> list[Sender]:
        """All senders worth showing that arrived before the one of this number, the last one first.

        A machine that came back (same host and name) hides its gone selves, and an agent that was started again the one
        before, whose datagrams ended before its own began. `between` is called between portions of a few milliseconds'
        work.
        """
        now = self._clock.now()
        self._forget(now)
        everyone = list(self._everyone())
        newest = _newest(_portioned(everyone, between), now)
        return sorted((one for one in _portioned(everyone, between) if (before is None or one.number < before)
                       and self._is_shown(one, newest, now)), key=lambda one: -one.number)

    def failing(self) -> list[dict[str, object]]:
        """The collectors that fail at agents that are online, as they tell. Their metadata bounds how many."""
        now = self._clock.now()
        told = [sender for sender in self._everyone() if FAILING in sender.metadata and sender.online(now)]
        if not told:
            return []
        names = {sender.name for sender in told}
        newest = _newest((sender for sender in self._everyone() if sender.name in names), now)
        return [row for sender in told if self._is_shown(sender, newest, now) for row in sender.failing()]

    def _is_shown(self, sender: Sender, newest: Mapping[tuple[str, str], Sender], now: float) -> bool:
        first = newest.get(sender.identity)     # None: it has told another name meanwhile
        if first is sender or first is None:
            return True
        followed = "agent" in sender.metadata and sender.transport == "udp" and sender.last_seen <= first.first_seen
        return sender.online(now) and not followed

    def _everyone(self) -> Iterable[Sender]:
        yield from self._open
        yield from self._gone
        yield from self._udp.values()

    def purge(self, keep: int, older: float) -> None:
        """Forget senders that are offline and were not heard for more than `older` seconds, but for the `keep` of them
        that were heard last."""
        now = self._clock.now()
        idle = [one for one in self._everyone() if not one.online(now) and now - one.last_seen > older]
        idle.sort(key=lambda one: -one.last_seen)
        going = dict.fromkeys(idle[keep:])
        self._gone = OrderedDict((one, None) for one in self._gone if one not in going)
        self._udp = OrderedDict((key, one) for key, one in self._udp.items() if one not in going)
        for one in going:
            one.forget()

    def _forget(self, now: float) -> None:
        while self._gone and now - next(iter(self._gone)).last_seen > FORGET_SECONDS:
            self._gone.popitem(last=False)[0].forget()
        while self._udp and now - next(iter(self._udp.values())).last_seen > FORGET_SECONDS:
            self._udp.popitem(last=False)[1].forget()


def _newest(senders: Iterable[Sender], now: float) -> dict[tuple[str, str], Sender]:
    """Of each identity the sender that is online, or else was seen last."""
    newest: dict[tuple[str, str], Sender] = {}
    for sender in senders:
        known = newest.setdefault(sender.identity, sender)
        if (sender.online(now), sender.last_seen) > (known.online(now), known.last_seen):
            newest[sender.identity] = sender
    return newest


def _portioned(senders: list[Sender], between: Callable[[], None]) -> Iterator[Sender]:
    for at, sender in enumerate(senders, 1):
        yield sender
        if at % SENDERS_AT_ONCE == 0:
            between()


def key_of(address: tuple[Any, ...]) -> bytes:
    """The key of a UDP sender's address, as recvmsg(2) gives it: what kernels.udp makes of the same."""
    host, port = address[0].partition("%")[0], address[1]
    return int(port).to_bytes(2, "big") + socket.inet_pton(socket.AF_INET6 if ":" in host else socket.AF_INET, host)


def address_of(key: bytes) -> str:
    """`host:port` of a UDP sender's key: its port (2 bytes) and its address (4 or 16 bytes)."""
    port = int.from_bytes(key[:2], "big")
    return in_words((socket.inet_ntop(socket.AF_INET6 if len(key) == 18 else socket.AF_INET, key[2:]), port))


def _size(key: str, value: str) -> int:
    """What these cost: a text of two signs has fifty bytes, and one wide sign makes all the others four bytes wide."""
    return sys.getsizeof(key) + sys.getsizeof(value) + ENTRY_BYTES


def _text(value: bytes | str) -> str:
    return (value if isinstance(value, str) else value.decode("utf-8", "replace")).strip()


def _whole(text: str) -> int:
    """A number that a sender told, 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else 0


def _who(address: str) -> str:
    """Whose connections are one sender's: a host's, or a user's of a Unix socket."""
    return address.rpartition(":")[0] or address.rpartition(" of ")[2]


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
