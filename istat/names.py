"""Counter names: munging, kinds, caret expansion. Knows no ids and no store.

Source: the behaviour specification of istatd, parts 1.1 and 1.3.
"""
from __future__ import annotations

from typing import NamedTuple

WIRE_NAME_ROOM = 1000       # [bytes] longest name taken from a sender, carets and tags included
CARETS_ROOM = 64            # most pieces of one caret name: bounds what a single line can fan out to

_CHANGED = {*range(33), *range(127, 256), *b"/:\\\"'"}
_MUNGE = bytes(0x5F if c in _CHANGED else c + 32 if 0x41 <= c <= 0x5A else c for c in range(256))


class Expansion(NamedTuple):
    """What one wire name means: the kind, and the stored names it feeds (each once, in the order written)."""

    event: bool
    names: tuple[bytes, ...]


def munge(name: bytes) -> bytes:
    """The stored form of one expanded name: lower case, `_` for what a name cannot hold; length is kept."""
    return name.translate(_MUNGE)


def stored(name: bytes) -> bytes:
    """The stored form of a name as a person writes it: a leading `*` is dropped, the rest munged."""
    return munge(name[1:] if name[:1] == b"*" else name)


def written(stored_name: bytes) -> bytes:
    """A stored name as it is told and asked for, so that `stored` gives it back: one that begins with a `*` has one
    more before it, as on the wire."""
    return b"*" + stored_name if stored_name[:1] == b"*" else stored_name


def expand(wire: bytes) -> Expansion:
    """Caret expansion of a wire name. No names at all for an empty one; an empty middle piece counts as absent.

    >>> expand(b"*cpu^host.a^role.b^").names
    (b'cpu.host.a', b'cpu.role.b', b'cpu')
    """
    event = wire[:1] == b"*"
    text = munge(wire[1:] if event else wire)
    if b"^" not in text:
        return Expansion(event, (text,) if text else ())        # the common case, and a quick one
    base, *pieces = text.split(b"^")
    stem = base + b"." if base else b""
    names = [stem + piece for piece in pieces if piece]
    if text.endswith(b"^") and base:
        names.append(base)
    return Expansion(event, tuple(dict.fromkeys(names)))


def ancestors(stored_name: bytes, most: int | None = None) -> list[bytes]:
    """The names above a stored name, nearest first, at most so many. Dots beside one another cut once.

    >>> ancestors(b"cpu.idle.host.a", 2)
    [b'cpu.idle.host', b'cpu.idle']
    """
    found: list[bytes] = []
    while most is None or len(found) < most:
        stored_name = stored_name.rpartition(b".")[0].rstrip(b".")
        if not stored_name:
            break
        found.append(stored_name)
    return found
