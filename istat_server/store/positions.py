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

    def lost(self) -> Position:
        """That it is not known any more what a replica has of this store: it wants a copy anew. Whose it was stays
        known, so that it is copied from no other, and fenced by a promotion."""
        return Position(self.store, 0, 0, 0)

    @property
    def known(self) -> bool:
        """Whether it is a place: the first segment is 1."""
        return self.segment > 0


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
