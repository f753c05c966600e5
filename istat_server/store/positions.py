"""Places in the journal of a store, and what a store knows of those that it follows or that follow it.

Plain values, kept in the MANIFEST (docs/formats/manifest.md) and told in docs/protocols/replication.md.
"""
from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Position:
    """A place in a store's journal. Later ones of one store are greater."""

    store: str                  # its UUID, 32 hexadecimal digits
    epoch: int                  # of the start that wrote there
    segment: int
    offset: int                 # [bytes] in the segment
    salt: int = field(default=0, compare=False)     # of the segment's header; 0: not known


# What a replica has of its master is not known: it wants a copy anew.
NOWHERE = Position("0" * 32, 0, 0, 0)


@dataclass(frozen=True)
class Follows:
    """Whose copy a replica's store is: its files are all that the master had up to a position, at a revision of its."""

    position: Position
    revision: int


@dataclass(frozen=True)
class Deposed:
    """The master whose place this store has taken, as long as it has not answered that it is fenced."""

    store: str                  # its UUID
    url: str


@dataclass(frozen=True)
class Known:
    """A replica that has had a lease, and where it can be asked; "": it has not said."""

    name: str
    url: str
