"""Whom to forward to: targets, groups of them, and the type of the setting `forward`.

Knows no sockets. An entry such as `a.example.net:8111 | istatd:old.example.net:8111` is a group: its first target that
can be reached is used.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from istat.settings.types import Address, HostPort, Type, text_of

#: Where a server takes samples unless told otherwise.
STAT_PORT = 8111
#: What stands before a target that is an original istatd, which takes lines and acknowledges nothing.
ORIGINAL = "istatd:"
BETWEEN = "|"
# Each target of a group has a greenlet, and a place among what is in doubt.
MOST_TARGETS = 16
_ADDRESS = Address(STAT_PORT)


class Target(NamedTuple):
    """A server to forward to. `original`: it is an istatd of before, and is sent plain lines."""

    host: str
    port: int
    original: bool = False

    def __str__(self) -> str:
        return f"{ORIGINAL if self.original else ''}{HostPort(self.host, self.port)}"


class Targets(tuple[Target, ...]):
    """A group: targets in the order in which they are tried. Its text names it, and its cursor in the spool."""

    __slots__ = ()

    def __str__(self) -> str:
        return f" {BETWEEN} ".join(map(str, self))


@dataclass(frozen=True)
class TargetGroup(Type):
    """An entry of `forward`: targets with `|` between them. Its value are Targets."""

    word = "TARGET|..."

    def parse(self, text: str) -> Targets:
        """See Type.parse."""
        found = Targets(self._target(part.strip()) for part in text.split(BETWEEN))
        if len({(target.host, target.port) for target in found}) != len(found):
            raise ValueError(f"names a target twice: {text!r}")
        if len(found) > MOST_TARGETS:
            raise ValueError(f"has more than {MOST_TARGETS} targets in one group")
        return found

    def from_toml(self, value: Any) -> Targets:
        """See Type.from_toml."""
        return self.parse(text_of(self, value))

    def expects(self) -> str:
        """See Type.expects."""
        return "targets such as a.example.net:8111 | b.example.net:8111, or istatd:old.example.net:8111"

    def _target(self, text: str) -> Target:
        original = text.lower().startswith(ORIGINAL)
        try:
            address = _ADDRESS.parse(text[len(ORIGINAL):] if original else text)
        except ValueError:
            raise self.wrong(text) from None
        if address is None or not address.host or not address.port:
            raise self.wrong(text)
        return Target(address.host.lower(), address.port, original)
