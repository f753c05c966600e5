"""What a master answers its replicas, as they read it (docs/protocols/replication.md).

Who answers may be anybody: what is none of an istat-server's answers raises one of STRANGE, and nothing else. Knows no
HTTP but for the names of headers.
"""
from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from typing import Any

from istat_server.store.positions import Position

# What becomes of answers that are none of an istat-server's, wherever that shows.
STRANGE = (KeyError, ValueError, TypeError, AttributeError, RecursionError, OverflowError)
STORE = re.compile(r"[0-9a-f]{32}")         # its UUID
FAR = (1 << 63) - 1                         # the largest number
_POSITION = ("store", "epoch", "segment", "offset", "salt")


@dataclass(frozen=True)
class State:
    """How a server stands. `position`: the end of what is synced of its journal; `time` [Unix s]; `final`: deletes
    up to this one cannot be undone any more, which holds for who has read up to `position` (0: not known now)."""

    version: str
    store: str
    epoch: int
    revision: int
    term: int
    fenced: str
    follows: str | None
    position: Position
    time: float
    replicas: tuple[str, ...]
    final: int = 0
    deposed: str | None = None      # the UUID of the store whose place it has taken, until that has been told


@dataclass(frozen=True)
class LeasedFile:
    """A file of a lease: its path in the store, and its size [bytes]."""

    path: str
    size: int


@dataclass(frozen=True)
class Lease:
    """What a master holds for a replica: files, and the journal from `position` (offset 0) on, which together are one
    state of its store. `manifest` is the text of that state's MANIFEST."""

    name: str
    until: int
    term: int
    revision: int
    time: float
    position: Position
    manifest: str
    files: tuple[LeasedFile, ...]


@dataclass(frozen=True)
class Piece:
    """Synced bytes of one segment, from `position` on; none when there was nothing more in time.

    `next` is the position behind them; where its segment is another one, that of `position` has ended. `left`: bytes
    that are synced and come behind these; `time`: the master's clock [Unix s].
    """

    position: Position
    data: bytes
    next: Position
    left: int
    time: float
    term: int
    revision: int


@dataclass(frozen=True)
class Namespace:
    """The two files of a namespace, and the stamp by which it is known that they have changed."""

    name: str
    stamp: str
    values: bytes
    versions: bytes


def whole(value: Any) -> int:
    """A number of an answer, from 0 on."""
    number = int(value)
    if isinstance(value, float) or not 0 <= number <= FAR:
        raise ValueError(f"{value!r:.100} is no number of an istat-server")
    return number


def time_of(value: Any) -> float:
    """A time [Unix s]."""
    number = float(value)
    if not 0 <= number <= FAR:      # nor is what is no number at all
        raise ValueError(f"{value!r:.100} is no time")
    return number


def _words(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.100} is no text")
    return value


def _store(value: Any) -> str:
    if not STORE.fullmatch(_words(value)):
        raise ValueError(f"{value!r:.100} is no store")
    return value        # type: ignore[no-any-return]


def position_of(found: Any) -> Position:
    """A position of an answer."""
    return Position(_store(found["store"]), *(whole(found[key]) for key in _POSITION[1:]))


def state_of(found: dict[str, Any]) -> State:
    """An answer of `state`. What it has that we do not know is a newer istatd's."""
    follows, deposed = (None if found[key] is None else _store(found[key]) for key in ("follows", "deposed"))
    return State(_words(found["version"]), _store(found["store"]), whole(found["epoch"]), whole(found["revision"]),
                 whole(found["term"]), _words(found["fenced"]), follows, position_of(found["position"]),
                 time_of(found["time"]), tuple(map(_words, found["replicas"])), whole(found["final"]), deposed)


def lease_of(found: dict[str, Any]) -> Lease:
    """An answer of `lease`."""
    files = tuple(LeasedFile(_words(path), whole(size)) for path, size in found["files"])
    return Lease(_words(found["name"]), whole(found["until"]), whole(found["term"]), whole(found["revision"]),
                 time_of(found["time"]), position_of(found["position"]), _words(found["manifest"]), files)


def piece_of(position: Position, data: bytes, told: Message) -> Piece:
    """What came of a journal from a position on, and the headers that came with it."""
    behind = position_of(dict(zip(_POSITION, told["X-Istat-Next"].split(), strict=True)))
    within = behind.segment == position.segment and behind.offset == position.offset + len(data)
    if behind.store != position.store or not (within or behind.segment > position.segment):
        raise ValueError("the bytes of a journal do not end where it goes on")
    return Piece(position, data, behind, whole(told["X-Istat-Left"]), time_of(told["X-Istat-Time"]),
                 whole(told["X-Istat-Term"]), whole(told["X-Istat-Revision"]))
