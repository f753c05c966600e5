"""Who sends us samples: the bounded list of them, a `Sender` (`senders/sender.py`) per TCP connection, per UDP sender,
and per sender that a forwarder tells of.

It does not know sockets.
"""
from __future__ import annotations

import itertools
import socket
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from istat.clock import Clock
from istat.daemon.peers import in_words
from istat_server.senders.blacklist import Blacklist
from istat_server.senders.sender import FAILING, Common, Sender

__all__ = ["FORGET_SECONDS", "Roster", "Sender", "address_of", "key_of"]

# Senders kept in all, the gone ones included.
ROSTER_LIMIT = 10_000
# A sender that is gone is forgotten after this time [s] (istatd's figure: 25 hours).
FORGET_SECONDS = 90_000.0
# Senders looked at between turns of others: some 3 ms.
SENDERS_AT_ONCE = 1000
# What istatd's list of senders says of those on the blacklist; and its keys that no sender decides.
BLACKLISTED = "blacklisted"
OWN_KEYS = ("_peer", "_online", "_connected", "_idle", "_via", BLACKLISTED)


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
        self._common = Common()
        self._others = Sender("udp", "(other senders)", clock.now(), shared=True)
        self._outcasts = Sender("udp", "(other senders, barred)", clock.now(), shared=True)
        self._outcasts.barred = True
        self._barred: dict[tuple[str, str], Sender] = {}          # gone ones by identity, each once
        self._origins: dict[Sender, dict[str, Sender]] = {}     # by forwarder and label
        self.unlisted = 0

    def __len__(self) -> int:
        return len(self._open) + len(self._gone) + len(self._udp) + sum(map(len, self._origins.values()))

    @property
    def blacklist(self) -> Blacklist:
        """From whom nothing is taken. Who changes it calls `judge`."""
        return self._common.blacklist

    def now(self) -> float:
        """The time that senders' `last_seen` is told in, Unix seconds."""
        return self._clock.now()

    def connected(self, transport: str, address: str, shared: bool = False) -> Sender:
        """A connection was opened; give the result back to `disconnected` when it ends. shared: see Sender."""
        now = self._clock.now()
        sender = Sender(transport, address, now, self._common, shared)
        sender.judge()
        if self._make_place(now):
            self._open[sender] = None
        else:
            self.unlisted += 1
        return sender

    def disconnected(self, sender: Sender) -> None:
        """The connection of this sender has ended."""
        sender.connected = False
        for origin in self._origins.pop(sender, {}).values():
            self._gone[origin] = None
        if sender in self._open:
            del self._open[sender]
            if sender.barred:       # who comes again and again has one entry
                self._forget_gone(self._barred.pop(sender.identity, None))
                self._barred[sender.identity] = sender
            self._gone[sender] = None
        else:
            sender.forget()

    def origin(self, forwarder: Sender, label: str) -> Sender:
        """Of whom a forwarder tells under this label (a name or an address): the same sender each time, until the
        forwarder's connection ends. Where there is no room it is on no list."""
        now = self._clock.now()
        found = self._origins.get(forwarder, {}).get(label)
        if found is None:
            listed = forwarder in self._open and self._make_place(now)
            # What one that is on no list has told is nobody's to forget: it takes no room of others'.
            found = Sender(forwarder.transport, label, now, self._common if listed else None, via=forwarder)
            if listed:
                self._origins.setdefault(forwarder, {})[label] = found
            else:
                self.unlisted += 1
        found.seen(now, 0)
        return found

    def keep_origins(self, forwarder: Sender, labels: Collection[str]) -> None:
        """Those that a forwarder tells of no more are gone."""
        told = self._origins.get(forwarder, {})
        for label in [one for one in told if one not in labels]:
            origin = told.pop(label)
            origin.connected = False
            self._gone[origin] = None

    def judge(self, between: Callable[[], None] = lambda: None) -> None:
        """See of all senders whether they are on the blacklist, which has changed. `between`: as of `senders`."""
        for sender in _portioned([*self._open, *self._udp.values()], between):
            sender.judge()

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
                "refused": dict(sender.refused), "failing": sender.failing(), "blacklisted": sender.barred,
                "via": sender.via.name if sender.via is not None else None}

    def istatd_row(self, sender: Sender) -> dict[str, object]:
        """A row of istatd's `/?a=*`: metadata, and four keys that are ours whatever a sender tells."""
        now = self._clock.now()
        own: dict[str, object] = {"_online": sender.online(now) and not sender.barred,
                                  "_connected": _iso(sender.first_seen), "_idle": max(0, int(now - sender.last_seen))}
        if sender.via is not None:
            own["_via"] = sender.via.name
        told = {key: value for key, value in sender.metadata.items() if key not in OWN_KEYS}
        return {"_peer": sender.address, **told, **({BLACKLISTED: "true"} if sender.barred else {}), **own}

    def _new_udp(self, key: bytes, now: float) -> Sender:
        if not self._make_place(now):
            self.unlisted += 1
            barred = self.blacklist.bars(address_of(key).rpartition(":")[0])
            return self._outcasts if barred else self._others
        sender = Sender("udp", address_of(key), now, self._common)
        sender.judge()
        self._udp[key] = sender
        return sender

    def _make_place(self, now: float) -> bool:
        if len(self) < self._limit:
            return True
        if self._gone:
            self._forget_gone(next(iter(self._gone)))
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
        yield from itertools.chain.from_iterable(told.values() for told in self._origins.values())

    def purge(self, keep: int, older: float) -> None:
        """Forget senders that are offline and were not heard for more than `older` seconds, but for the `keep` of them
        that were heard last."""
        now = self._clock.now()
        idle = [one for one in self._everyone() if not one.online(now) and now - one.last_seen > older]
        idle.sort(key=lambda one: -one.last_seen)
        going = dict.fromkeys(idle[keep:])
        self._udp = OrderedDict((key, one) for key, one in self._udp.items() if one not in going)
        for one in going:
            self._forget_gone(one)
            one.forget()

    def _forget_gone(self, sender: Sender | None) -> None:
        if sender is None or sender not in self._gone:
            return
        del self._gone[sender]
        if self._barred.get(sender.identity) is sender:
            del self._barred[sender.identity]
        sender.forget()

    def _forget(self, now: float) -> None:
        while self._gone and now - next(iter(self._gone)).last_seen > FORGET_SECONDS:
            self._forget_gone(next(iter(self._gone)))
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


def _iso(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
