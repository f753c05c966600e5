"""From whom nothing is taken: host names, addresses and networks, one a line of the file `blacklist-path`.

`Blacklist` is the list, `Reader` reads its file again when that has changed. Neither knows sockets: who is barred is
marked in the roster, and transports close or drop. A name is what a sender says of itself, an address what the system
says: who must be kept out is listed by address.
"""
from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from istat.access import guarded

log = logging.getLogger(__name__)

# Of a file [bytes]: some 60,000 names.
MOST_FILE = 1 << 20
MAPPED_BITS = 96         # of an IPv6 address before the IPv4 one that is mapped into it
# What no host name is: worth the time to look whether it is an address.
_ADDRESS = re.compile(r"[0-9a-f.:]+(?:%[^/]*)?(?:/[0-9.]+)?", re.IGNORECASE)
# What tells a file from itself of before: its modification time [ns], size [bytes], inode.
State = tuple[int, int, int]


class Blacklist:
    """Host names in lower case, and networks by how long their prefix is; a single address is a network too."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """lines: a file's. Blanks around, empty lines and `#` lines mean nothing."""
        names: set[str] = set()
        # (version, bits of the prefix) -> prefixes, so that a list of any length costs a look-up for each pair.
        self._networks: dict[tuple[int, int], set[int]] = {}
        for text in filter(None, (line.strip().lower() for line in lines)):
            found = _network(text)
            if found is not None:
                prefixes = self._networks.setdefault((found.version, found.prefixlen), set())
                prefixes.add(int(found.network_address) >> found.max_prefixlen - found.prefixlen)
            elif not text.startswith("#"):
                names.add(text)
        self.names = frozenset(names)

    def __len__(self) -> int:
        return len(self.names) + sum(len(prefixes) for prefixes in self._networks.values())

    def become(self, other: Blacklist) -> None:
        """Be like another one, and no more what it was."""
        self.names, self._networks = other.names, other._networks

    def bars(self, host: str, name: str = "") -> bool:
        """Whether an address (IPv6 with or without brackets; "" where there is none) or a host name is on it."""
        if name and name.strip().lower() in self.names:
            return True
        if not host or not self._networks:
            return False
        try:
            address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        except ValueError:      # a Unix socket's
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        number = int(address)
        return any(version == address.version and number >> address.max_prefixlen - bits in prefixes
                   for (version, bits), prefixes in self._networks.items())


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """What a line means as an address or a network; None for a name."""
    if _ADDRESS.fullmatch(text) is None:
        return None
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    # As `bars` takes an address: one of IPv4 that is written as one of IPv6 is that.
    mapped = found.network_address.ipv4_mapped if isinstance(found, ipaddress.IPv6Network) else None
    if mapped is not None and found.prefixlen >= MAPPED_BITS:
        return ipaddress.IPv4Network((int(mapped), found.prefixlen - MAPPED_BITS))
    return found


class Reader:
    """A service: keeps the list as its file says, by a look at the file every `blacklist-period`."""

    name = "the blacklist"

    def __init__(self, blacklist: Blacklist, changed: Callable[[], None], settings: Mapping[str, Any]) -> None:
        """changed: called when the list is another one."""
        self._blacklist, self._changed, self._settings = blacklist, changed, settings
        self._seen: State | None = None
        self._problem = ""
        self._wake = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Read the file, before anything is taken from anybody, and look again from now on."""
        self.look()
        self._greenlet = gevent.spawn(self._forever)

    def stop(self) -> None:
        """Look no more."""
        if self._greenlet is not None:
            self._greenlet.kill()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Another file, or another period; the file is read again in any case."""
        self._settings, self._seen = settings, None
        self._wake.set()

    def totals(self) -> dict[str, float]:
        """How many names and networks are on the list."""
        return {"blacklist.entries": len(self._blacklist)}

    def look(self) -> None:
        """Read the file if it is another one than before. One that cannot be read is told once, and the list stays."""
        path: Path | None = self._settings["blacklist-path"]
        if path is None or not self._settings["blacklist-period"]:
            self._hold(Blacklist())
            return
        # Beside the hub: a disk may take its time, and a long list takes some 100 ms.
        seen, found, problem = gevent.get_hub().threadpool.apply(_read, (path, self._seen))
        if problem and problem != self._problem:
            log.error("the blacklist %s stays as it was, with %d entries: %s", path, len(self._blacklist), problem)
        self._problem, self._seen = problem, seen
        if found is not None:
            self._hold(found)
            log.info("the blacklist %s has %d entries", path, len(self._blacklist))
            self._warn(path, [name for name in found.names if "/" in name])

    def _warn(self, path: Path, names: list[str]) -> None:
        """Of what was meant as a network, as no host has such a name."""
        if names:
            log.warning("the blacklist %s bars nobody by %r, which is no network%s", path, min(names)[:100],
                        f", nor by {len(names) - 1} others" if len(names) > 1 else "")

    def _hold(self, found: Blacklist) -> None:
        if len(found) or len(self._blacklist):
            self._blacklist.become(found)
            self._changed()

    def _forever(self) -> None:
        while True:
            self._wake.wait(self._settings["blacklist-period"] or None)
            self._wake.clear()
            self.look()


def _read(path: Path, before: State | None) -> tuple[State | None, Blacklist | None, str]:
    """(what the file is like now, the list, what is wrong): no list where it is as before, or cannot be read."""
    try:
        handle = guarded.open_file(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = os.fstat(handle)
            state = (found.st_mtime_ns, found.st_size, found.st_ino)
            if state == before:
                return before, None, ""
            data = b""
            while len(data) <= MOST_FILE and (more := os.read(handle, MOST_FILE + 1 - len(data))):
                data += more
        finally:
            os.close(handle)
    except OSError as error:
        return before, None, error.strerror or str(error)
    if len(data) > MOST_FILE:
        return state, None, f"it has more than {MOST_FILE:,} bytes; list networks in place of their addresses"
    return state, Blacklist(data.decode("utf-8", "replace").split("\n")), ""
