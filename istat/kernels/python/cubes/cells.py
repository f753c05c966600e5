"""Keys of a cube's cells to dense slots; and what metrics, samplers and the core share: guard, handles. Knows no
metrics.

Slots in use are 0 .. count - 1. An evicted cell's slot goes to the new cell at once, so that there are never holes.

This module is the specification; `native/cubes/cells.pyx` is the fast build of it and the same tests run on both. How
much memory a cell takes is each build's own business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from istat.errors import ConcurrentUse
from istat.kernels.python.cubes.hashing import xxh64
from istat.kernels.python.cubes.keys import Value, decoded, encoded

#: [places] of a look-up. Keys made to collide get no cell then, instead of making all look-ups slow.
MOST_PROBES = 128
# Marks of a cell: admitted after the cube was full; updated since the last reset; stands for all that have no cell.
LATE, TOUCHED, OVERFLOW = 1, 2, 4
NOT_FOUND, REFUSED = -1, -2         # instead of a slot
SMALLEST_TABLE = 8                  # [places]
CELL_BYTES = 36     # [bytes] hash, place of the key, order, generation, marks, and two places of the table


class Guard:
    """One an instance, shared by its cores: who is in has the instance for himself.

    `with guard:` raises ConcurrentUse when somebody is in already, the same thread as well. `tick` [ns since 1970] and
    `origin` (of the instance) are the stamp of gauges that are set now.
    """

    def __init__(self, origin: int = 0, tick: int = 0) -> None:
        self.origin, self.tick = origin, tick
        self._free = [True]     # taking out the last one of a list is atomic, and no lock that gevent might replace

    def __enter__(self) -> Guard:
        try:
            self._free.pop()
        except IndexError:
            raise ConcurrentUse("another call is at work in this instance: an instance has one writer. "
                                "Give each thread its own one, or write through istat.cube.Easy") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._free.append(True)


class Cells:
    """The table. The overflow cell has a slot and a key, but is not found by it."""

    def __init__(self) -> None:
        self._slots: dict[bytes, int] = {}      # in the order of insertion
        self._table = [NOT_FOUND] * SMALLEST_TABLE
        self.keys: list[bytes] = []
        self.hashes: list[int] = []
        self.generations: list[int] = []        # of slots; outlive `clear`
        self.marks: list[int] = []
        self.most = 0                           # cells allowed, the overflow cell not counted
        self.overflow = NOT_FOUND
        self.changes = 0                        # rises when a slot changes owner: what was looked up before is stale

    def __len__(self) -> int:
        """How many cells there are, without the overflow cell."""
        return len(self._slots)

    @property
    def full(self) -> bool:
        """Whether there are as many cells as are allowed."""
        return len(self._slots) >= self.most

    def find(self, key: bytes) -> int:
        """The slot of a key, or NOT_FOUND."""
        return self._slots.get(key, NOT_FOUND)

    def in_order(self) -> list[int]:
        """Slots by insertion, without the overflow cell."""
        return list(self._slots.values())

    def add(self, key: bytes) -> int:
        """The slot of a new key; REFUSED when there is no room, or no free place within so many probes."""
        hash = xxh64(key)
        place = NOT_FOUND if self.full else self._free_place(hash)
        if place < 0:
            return REFUSED
        self._slots[key] = self._table[place] = slot = self._new_slot(key, hash, 0)
        return slot

    def takes(self, hash: int) -> bool:
        """Whether a probe finds a free place for a new key of this hash."""
        return self._free_place(hash) >= 0

    def replace(self, slot: int, key: bytes, hash: int) -> None:
        """Give a slot to a new key, for which there is a free place (`takes`)."""
        del self._slots[self.keys[slot]]
        self._unlist(slot)
        self._slots[key] = self._table[self._first_free(hash)] = slot
        self.keys[slot], self.hashes[slot], self.marks[slot] = key, hash, 0
        self.generations[slot] += 1
        self.changes += 1

    def add_overflow(self, key: bytes) -> int:
        """The slot of the overflow cell, made now."""
        self.overflow = self._new_slot(key, 0, OVERFLOW)
        return self.overflow

    def keep(self, slots: Sequence[int]) -> None:
        """Keep these slots only, ascending ones; they become 0, 1, ..."""
        place = {old: new for new, old in enumerate(slots)}
        self._slots = {key: place[slot] for key, slot in self._slots.items() if slot in place}
        for slot in [slot for slot in self._table if slot >= 0 and slot not in place]:
            self._unlist(slot)
        self._table = [place.get(slot, NOT_FOUND) for slot in self._table]
        self.keys = [self.keys[slot] for slot in slots]
        self.hashes = [self.hashes[slot] for slot in slots]
        self.marks = [self.marks[slot] for slot in slots]
        self.generations = [generation + 1 for generation in self.generations]
        self.overflow = place.get(self.overflow, NOT_FOUND)
        self.changes += 1

    def clear(self) -> None:
        """No cells; generations and the size of the table stay."""
        self._table = [NOT_FOUND] * len(self._table)
        self.keep(())

    def memory(self) -> int:
        """[bytes] What these cells take in the native build, roughly."""
        return len(self.keys) * CELL_BYTES + sum(map(len, self.keys)) + 4 * len(self._table)

    def _new_slot(self, key: bytes, hash: int, marks: int) -> int:
        slot = len(self.keys)
        self.keys.append(key)
        self.hashes.append(hash)
        self.marks.append(marks)
        if slot == len(self.generations):
            self.generations.append(0)
        self.changes += 1
        return slot

    # The native build finds cells by an open table, half full at most, with linear probing. Here a dict does that; the
    # table is kept to refuse the same keys, those for which all places within MOST_PROBES are taken.

    def _free_place(self, hash: int) -> int:
        """The first free place for a new key, or NOT_FOUND; the table is made larger before if need be."""
        if 2 * (len(self._slots) + 1) > len(self._table):
            self._fill_table(2 * len(self._table))
        return self._first_free(hash)

    def _first_free(self, hash: int) -> int:
        table, mask = self._table, len(self._table) - 1
        home = hash & mask
        return next((at & mask for at in range(home, home + MOST_PROBES) if table[at & mask] < 0), NOT_FOUND)

    def _fill_table(self, size: int) -> None:
        """The table anew. In the order of places, from behind a free one: no key gets further from its home by that."""
        first = self._table.index(NOT_FOUND)
        old = [slot for slot in self._table[first:] + self._table[:first] if slot >= 0]
        self._table = [NOT_FOUND] * size
        for slot in old:
            self._table[self._first_free(self.hashes[slot])] = slot

    def _unlist(self, slot: int) -> None:
        """Take a slot out of the table; those behind it move up, so that no look-up meets a hole."""
        table, mask = self._table, len(self._table) - 1
        hole = self.hashes[slot] & mask
        while table[hole] != slot:
            hole = hole + 1 & mask
        at = hole
        while table[at := at + 1 & mask] >= 0:
            if at - self.hashes[table[at]] & mask >= at - hole & mask:      # its home is not behind the hole
                table[hole], hole = table[at], at
        table[hole] = NOT_FOUND


class CoreBase:
    """What a metric knows of the cube's data that it is a column of."""

    def __init__(self, names: Sequence[str], guard: Guard) -> None:
        self.names = tuple(names)
        self.dimensions = len(self.names)
        self.guard = guard
        self.cells = Cells()
        self.sampler: Any = None                # what a full cube asks (sampling/); None in comprehensive mode
        self.primary: Any = None                # the metric that ranks cells
        self.saturated = False
        self.refused = 0                        # updates whose cell got no room
        self.evicted = 0                        # cells that others took the place of

    def key_of(self, target: object) -> bytes:
        """The key of a tuple of values, or of a Cell. ValueError for a wrong number of values, or another cube's cell;
        else errors as of `keys.encoded`."""
        if isinstance(target, Cell):
            if target.core is not self:
                raise ValueError(f"{target!r} is a cell of another cube")
            return target.encoded
        if not isinstance(target, (tuple, list)):
            raise TypeError(f"a cell is named by a tuple of values or a Cell, not by {type(target).__name__}: "
                            f"{target!r}")
        if len(target) != self.dimensions:
            raise ValueError(f"a cell of this cube has {self.dimensions} values ({', '.join(self.names)}), "
                             f"not {len(target)}: {target!r}")
        return encoded(tuple(target))     # of our own: what stands for an int may run a program's code

    def slot_of(self, key: bytes) -> int:
        """The slot for an update of a metric that does not rank: the key's cell, made when there is room; or
        REFUSED."""
        raise NotImplementedError

    def rank_up(self, key: bytes, amount: int, item: int) -> int:
        """The slot for an update of the primary metric, with its value raised; or REFUSED."""
        raise NotImplementedError


class Cell:
    """Handle of a cell, for many updates of one key. It makes no cell; the first update does. It finds its cell again
    by itself after evictions and resets."""

    __slots__ = ("core", "encoded", "key")

    def __init__(self, core: CoreBase, encoded: bytes) -> None:
        self.core, self.encoded = core, encoded
        self.key: tuple[Value, ...] = decoded(encoded, core.dimensions)

    @property
    def resident(self) -> bool:
        """Whether the cube has the cell now."""
        return self.core.cells.find(self.encoded) >= 0

    def __repr__(self) -> str:
        return f"Cell({', '.join(map(repr, self.key))})"


class KeyBatch:
    """The keys of a batch of rows, for several metrics of one cube; good for as long as the cube is."""

    __slots__ = ("core", "keys")

    def __init__(self, core: CoreBase, keys: list[bytes]) -> None:
        self.core, self.keys = core, keys

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return f"KeyBatch({len(self.keys)} rows)"
