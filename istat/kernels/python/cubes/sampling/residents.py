"""Which cells a full cube keeps: the seam between a cube's data (core) and a sketch of the keys that have no cell.

A sampler knows keys by their hashes alone, and of the metrics nothing but the values that cells are ranked by. It keeps
its residents, the cells that there are, in a min-heap. For an update of the primary metric core asks it:

    cell is resident    the metric takes the update, then `rose`
    room for a cell     the cell is made, its counter begins with what `taken` gave; it takes the update, then `entered`
    full                `offer`. When it says yes, the cell of `lowest` goes: `write_back` of it, then its key and
                        values are replaced: a counter begins with `estimate`, an HLL empty. It takes the update,
                        then `entered`

Two of a kind are merged so:

    `meet`                      a copy of the other's sketch, as far as the two agree
    cells of both sides         the metrics merge
    of this side alone          `known_there` comes on top: of a counter's value, or as its floor
    all cells                   `entered` again
    of the other alone          what `taken` gives comes on top: of its value, or as its floor
    `combine`                   the sketches
    of the other alone          the highest first: while there is room, or when it ranks above `lowest`, it gets a cell
                                as above; else `put_in`
    `part`                      the copy goes

Both kinds of sketch have `depth` rows of `width` buckets. A key's bucket in a row, by the 64-bit hash of the key and a
constant of the row, all modulo 2**64:

    mixed(x)        x ^= x >> 33; x *= 0xff51afd7ed558ccd; x ^= x >> 33; x *= 0xc4ceb9fe1a85ec53; x ^= x >> 33
    constant(r)     mixed(seed + (r + 1) * 0x9e3779b97f4a7c15)      r = 0 .. depth - 1
    bucket(r)       ((mixed(hash + constant(r)) >> 32) * width) >> 32

This module is the specification; `native/cubes/sampling/residents.pyx` is the fast build of it.
The same tests run on both.
"""

from __future__ import annotations

from typing import Any

MASK = 0xFFFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15
MOST_DEPTH = 8              # rows of a sketch
MOST_BUCKETS = 1 << 24      # of a sketch: what a file may ask for


def mixed(word: int) -> int:
    """A 64-bit word with all bits depending on all others (MurmurHash3's last step)."""
    word ^= word >> 33
    word = word * 0xFF51AFD7ED558CCD & MASK
    word ^= word >> 33
    word = word * 0xC4CEB9FE1A85EC53 & MASK
    return word ^ word >> 33


def row_constants(depth: int, seed: int) -> list[int]:
    """A constant for each row. The rows' hashes are mixed each: rows that are multiples of one value hit together."""
    return [mixed(seed + (row + 1) * GOLDEN & MASK) for row in range(depth)]


def checked_shape(width: int, depth: int, seed: int) -> None:
    """ValueError when no sketch has this shape."""
    if not 1 <= depth <= MOST_DEPTH:
        raise ValueError(f"a sketch has 1 to {MOST_DEPTH} rows, not {depth}")
    if not 1 <= width <= MOST_BUCKETS // depth:
        raise ValueError(f"a sketch has 1 to {MOST_BUCKETS} buckets in all, not {depth} rows of {width}")
    if not 0 <= seed <= MASK:
        raise ValueError(f"a seed has 64 bits and no sign, not {seed}")


class Sampler:
    """A min-heap of residents by rank; equal ranks by the key's hash, so that no order depends on slots.

    `most` is how many cells the cube may have; `estimate` what the cell that `offer` admitted begins with; `skipped`
    counts merges in which the sketches did not agree.
    """

    kind = ""

    def __init__(self, most: int) -> None:
        self.most = most
        self.estimate = 0
        self.skipped = 0
        self._heap: list[int] = []
        self._position: dict[int, int] = {}
        self._inherited: dict[int, int] = {}

    def watch(self, cells: Any, primary: Any) -> None:
        """Tell where hashes are (`cells.hashes[slot]`), and values (`primary.values[slot]`)."""
        self._cells, self._primary = cells, primary

    @property
    def residents(self) -> int:
        """How many cells there are."""
        return len(self._heap)

    def rank(self, slot: int) -> int:
        """What cells are ordered by."""
        raise NotImplementedError

    def lowest(self) -> int:
        """The slot of the lowest resident; there is one."""
        return self._heap[0]

    def inherited(self, slot: int) -> int:
        """What a cell has of the sketch: a part of its count, or its floor."""
        return self._inherited.get(slot, 0)

    def entered(self, slot: int, inherited: int) -> None:
        """A cell is in this slot now; its hash and value are there."""
        self._inherited[slot] = inherited
        self._settle(slot)

    def forget_residents(self) -> None:
        """No residents; the sketch stays. Core is about to number slots anew, and to enter them again."""
        self._heap.clear()
        self._position.clear()
        self._inherited.clear()

    # What a sketch defines.

    def rose(self, slot: int, before: int, now: int) -> None:
        """A resident was updated; of an HLL that was dense before, the rank that a register had and has."""
        raise NotImplementedError

    def taken(self, hash: int) -> int:
        """What the sketch holds for a key; it holds nothing afterwards."""
        raise NotImplementedError

    def offer(self, hash: int, amount: int, item: int) -> bool:
        """An update of a key that has no cell, by an amount or of an item: whether it gets the place of the lowest."""
        raise NotImplementedError

    def write_back(self, slot: int) -> None:
        """The cell of a slot will be evicted: its hash and value go into the sketch."""
        raise NotImplementedError

    def put_in(self, hash: int, value: Any) -> None:
        """A cell of another cube gets no place here: its value goes into the sketch."""
        raise NotImplementedError

    def clear(self) -> None:
        """No residents, and an empty sketch."""
        raise NotImplementedError

    def meet(self, other: Any) -> None:
        """Begin a merge: copy the other's sketch."""
        raise NotImplementedError

    def known_there(self, hash: int) -> int:
        """What the other's sketch holds for a resident of this side."""
        raise NotImplementedError

    def combine(self) -> None:
        """Merge the other's sketch into this one."""
        raise NotImplementedError

    def part(self) -> None:
        """End a merge."""
        raise NotImplementedError

    def memory(self) -> int:
        """[bytes] of the sketch and of what it keeps for residents, in the native build."""
        raise NotImplementedError

    # The heap.

    def _key(self, slot: int) -> tuple[int, int]:
        return self.rank(slot), self._cells.hashes[slot]

    def _settle(self, slot: int) -> None:
        """Bring a slot to its place, whether it was in the heap or not."""
        if slot not in self._position:
            self._position[slot] = len(self._heap)
            self._heap.append(slot)
        heap, at, key = self._heap, self._position[slot], self._key(slot)
        while at > 0 and key < self._key(heap[(at - 1) >> 1]):
            heap[at] = heap[(at - 1) >> 1]
            self._position[heap[at]] = at
            at = (at - 1) >> 1
        heap[at] = slot
        self._down(at)

    def _down(self, at: int) -> None:
        """Let the slot at this place sink below those that are lower."""
        heap, slot = self._heap, self._heap[at]
        key = self._key(slot)
        while (below := 2 * at + 1) < len(heap):
            if below + 1 < len(heap) and self._key(heap[below + 1]) < self._key(heap[below]):
                below += 1
            if not self._key(heap[below]) < key:
                break
            heap[at] = heap[below]
            self._position[heap[at]] = at
            at = below
        heap[at] = slot
        self._position[slot] = at
