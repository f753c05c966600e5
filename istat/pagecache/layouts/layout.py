"""A file of rings: which of its bytes are on which page, and which pages an update touches. Knows no format by name.

A header at offset 0, then rings one after the other. Each update writes into the header, and a row into every ring
whose turn it is. RRD files and istatd's ring files are both of this kind.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

PAGE = 4096         # bytes; the page of x86 and the one all figures of the paper are for


@dataclass(frozen=True)
class Part:
    """A run of bytes of a file that has a name, such as `header` or `rra[3] AVERAGE/24`."""

    name: str
    offset: int
    length: int


@dataclass(frozen=True)
class Ring:
    """`rows` rows of `row_bytes`, written one after the other, round and round: one each `every` updates."""

    name: str
    offset: int
    rows: int
    row_bytes: int
    every: int

    @property
    def size(self) -> int:
        """Bytes of all rows."""
        return self.rows * self.row_bytes

    def row(self, update: int, start: int) -> int:
        """The row that the update of this number (from 1 on) writes: the pointer moves on, then the row is written."""
        return (start + update // self.every) % self.rows

    def pages(self, row: int, page_size: int = PAGE) -> range:
        """The pages that a row is on."""
        first = self.offset + row * self.row_bytes
        return range(first // page_size, (first + self.row_bytes - 1) // page_size + 1)


@dataclass(frozen=True)
class Layout:
    """Where in a file what is. `interval`: seconds from one update to the next; `touched_header`: the bytes of the
    header that an update reads or writes; `header`: names for parts of it, from offset 0 to where the rings begin."""

    name: str
    interval: int
    header: tuple[Part, ...]
    rings: tuple[Ring, ...]
    touched_header: int

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return max((ring.offset + ring.size for ring in self.rings), default=self._header_end)

    @property
    def _header_end(self) -> int:
        return max((part.offset + part.length for part in self.header), default=0)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that has a name, by offset."""
        rings = (Part(ring.name, ring.offset, ring.size) for ring in self.rings)
        return tuple(sorted((*self.header, *rings), key=lambda part: part.offset))

    def pages(self, page_size: int = PAGE) -> int:
        """How many pages the file has."""
        return -(-self.size // page_size)

    def names(self, page: int, page_size: int = PAGE) -> tuple[str, ...]:
        """What is on a page, by offset; nothing beyond the end."""
        first = page * page_size
        return tuple(part.name for part in self.parts
                     if part.offset < first + page_size and part.offset + part.length > first)

    def touched(self, update: int, starts: Sequence[int], page_size: int = PAGE) -> list[int]:
        """The pages that one update touches, ascending.

        update: its number, from 1 on, counted such that a ring is written when it is a multiple of `every`. starts: of
        each ring the row where its pointer stood at update 0.
        """
        pages = set(range(-(-self.touched_header // page_size)))
        for ring, start in zip(self.rings, starts, strict=True):
            if update % ring.every == 0:
                pages.update(ring.pages(ring.row(update, start), page_size))
        return sorted(pages)

    def zero_starts(self) -> list[int]:
        """All pointers at row 0: files that were made at once, so that their rows change pages together."""
        return [0] * len(self.rings)

    def random_starts(self, source: random.Random) -> list[int]:
        """Pointers anywhere, as rrdtool sets them."""
        return [source.randrange(ring.rows) for ring in self.rings]
