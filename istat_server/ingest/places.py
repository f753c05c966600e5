"""The places for connections of senders: how many there are, how many of them one address may take, and who has been
silent longest, to make room when all are taken.

Knows neither sockets nor what is sent: whoever accepts connections asks here.
"""
from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, Generic, Protocol, TypeVar

from istat.daemon.descriptors import UNLIMITED
from istat.daemon.peers import household


class Connected(Protocol):
    """Who takes a place."""

    @property
    def mute(self) -> bool:
        """Whether it has said nothing ever."""


T = TypeVar("T", bound=Connected)

LOOPBACK = "loopback"


class Places(Generic[T]):
    """Those who are connected, whoever has been silent longest first."""

    def __init__(self, most: int, share: int, affordable: int = UNLIMITED) -> None:
        """most: places in all; share: of one address; affordable: all that there can be, whatever is wanted."""
        self.most, self.share, self.affordable = most, share, affordable
        self._silent: OrderedDict[T, str] = OrderedDict()       # -> its address
        self._of: Counter[str] = Counter()      # no more addresses than places
        # Of each address those that may have said nothing yet, in the order they came: who has is found out when asked.
        self._mute: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._silent)

    def __iter__(self) -> Iterator[T]:
        return iter(self._silent)

    def __contains__(self, one: object) -> bool:
        return one in self._silent

    @property
    def full(self) -> bool:
        """Whether somebody has to make room for a new one."""
        return len(self._silent) >= min(self.most, self.affordable)

    def has_share(self, address: str) -> bool:
        """Whether an address has all that it may have."""
        return self._of[address] >= self.share

    def take(self, one: T, address: str) -> None:
        """A new one is here."""
        self._silent[one] = address
        self._of[address] += 1
        self._mute.setdefault(address, {})[one] = None

    def heard(self, one: T) -> None:
        """It has said something."""
        self._silent.move_to_end(one)

    def silent_longest(self) -> T:
        """Who has said nothing for the longest time; there must be somebody."""
        return next(iter(self._silent))

    def mute_longest(self, address: str) -> T | None:
        """Who of an address came first of those that have said nothing ever."""
        those = self._mute.get(address, {})
        while those:
            first = next(iter(those))
            if first.mute:
                return first
            del those[first]
        return None

    def leave(self, one: T) -> bool:
        """It has gone; whether it was here."""
        address = self._silent.pop(one, None)
        if address is None:
            return False
        self._of[address] -= 1
        self._mute[address].pop(one, None)
        if not self._of[address]:
            del self._of[address], self._mute[address]
        return True


def address_of(address: Sequence[Any]) -> str:
    """What counts as one address: all of this machine's loopback, else a household."""
    host = ip_address(address[0].partition("%")[0])
    if isinstance(host, IPv6Address):
        host = host.ipv4_mapped or host
    return LOOPBACK if host.is_loopback else household(tuple(address))
