"""One sender of samples: what is known of it, what it has told of itself, and what that costs.

It knows no sockets, and trusts nothing that a sender says about itself: metadata is shown, cut to size, and decides
nothing but that a host name on the blacklist bars who says it.
"""
from __future__ import annotations

import itertools
import sys

from istat_server.senders.blacklist import Blacklist

# What one sender may tell about itself: keys, and bytes of a key or a value (istatd had no bound).
METADATA_KEYS = 32
METADATA_BYTES = 256
# What all senders may tell together [bytes of memory]: agents tell some 1,000 each, forged datagrams all they may.
METADATA_TOTAL = 8 << 20
# What each may tell even when others have told that much [bytes of memory]: twice what an agent tells.
METADATA_ALWAYS = 2048
# What a key costs beside the two texts [bytes].
ENTRY_BYTES = 40
# A UDP sender counts as online this long after its last datagram [s]: agents introduce themselves every
# 60 s, so two introductions may be lost.
UDP_ONLINE_SECONDS = 150.0
# What an agent tells of collectors that fail: how many by this key, and with ".1" and so on behind it which.
FAILING = "failing"
# What a sender calls its machine; the blacklist knows machines by it.
HOSTNAME = "hostname"
_numbers = itertools.count(1)


class Common:
    """What a roster's senders have together: how many bytes of memory hold what they have told, and the blacklist."""

    __slots__ = ("bytes", "blacklist")

    def __init__(self) -> None:
        self.bytes = 0
        self.blacklist = Blacklist()


class Sender:
    """One sender of samples.

    `address` is `host:port` (an IPv6 host in brackets), times are Unix seconds. `barred`: it is on the blacklist, and
    nothing of it is taken. `via`: the sender that has told of this one, a forwarder; this one has never sent anything
    here itself.
    """

    __slots__ = ("transport", "address", "who", "metadata", "first_seen", "last_seen", "bytes",
                 "connected", "metadata_refused", "refused", "number", "barred", "via", "_common", "_shared", "_own")

    def __init__(self, transport: str, address: str, now: float, common: Common | None = None, shared: bool = False,
                 via: Sender | None = None) -> None:
        """common: what it has with the other ones of its roster. shared: it stands for several, none of whom bars the
        others by a name."""
        self._common = common or Common()
        self._shared = shared
        self.barred = False
        self.via = via
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
        no_room = more > 0 and self._own + more > METADATA_ALWAYS and self._common.bytes + more > METADATA_TOTAL
        if not key or too_long or too_many or no_room:
            self.metadata_refused += 1
            return False
        self.metadata[key] = value
        self._count(more)
        if key == FAILING:
            self._drop_failing(_whole(value))
        elif key == HOSTNAME:
            self.judge()
        return True

    def judge(self) -> None:
        """See whether it is on the blacklist. Who is told of by a forwarder never is: it is that one who sends."""
        if not self._shared and self.via is None:
            self.barred = self._common.blacklist.bars(self.host, self.metadata.get(HOSTNAME, ""))

    @property
    def doubtful(self) -> bool:
        """Whether each name that it gives itself must be looked at before what follows is taken."""
        return self.barred or bool(self._common.blacklist.names)

    def _count(self, more: int) -> None:
        self._own += more
        self._common.bytes += more

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
        self._common.bytes -= self._own
        self._own = 0
        self.metadata = {}

    def seen(self, now: float, size: int) -> None:
        """`size` bytes came from this sender at time `now`."""
        self.last_seen = now
        self.bytes += size

    def online(self, now: float) -> bool:
        """Whether the sender is there: its connection is open, or its last datagram is recent. Of one that is told of
        by a forwarder: whether that one is, and tells of it still."""
        if self.via is not None:
            return self.connected and self.via.online(now)
        if self.transport == "udp":
            return now - self.last_seen <= UDP_ONLINE_SECONDS
        return self.connected

    @property
    def identity(self) -> tuple[str, str]:
        """What tells a machine that came back from another one: its host and its name."""
        return self.host, self.name

    @property
    def host(self) -> str:
        """The host of its address, without the port; "" of a Unix socket."""
        return self.address.rpartition(":")[0]

    @property
    def name(self) -> str:
        """What to call it: its agent's name, else its host name, else its host's address."""
        return self.metadata.get("agent") or self.metadata.get(HOSTNAME) or self.host or self.address


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
