"""HyperLogLog: how many distinct items, from their hashes. The specification of the native sketches.

An item's hash is an index and a rank (how many zeros its rest begins with, and one); a sketch keeps the largest rank of
each index. It is empty, sparse (a sorted list at 26 bits of index, nearly exact) or dense (a byte for each of
2**precision registers). Which form and which bytes it has depends on its items alone, never on the order in which they
came or were merged. Knows no keys, cells or files.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from istat.errors import SchemaMismatch
from istat.kernels.python.cubes.hashing import DATASKETCHES, INDEX_BITS, hash_id, hashed, hashes_of

MIN_PRECISION, MAX_PRECISION = 4, 18
RANK_BITS = 6
RANK_MASK = (1 << RANK_BITS) - 1
STRUCT_BYTES = 16  # of a native sketch, without its list or registers
NO_SKETCH = "that is no sketch of this precision and hash"


class HyperLogLog:
    """How many distinct items there were, in 2**precision bytes at most. One writer at a time.

    The error is 1.04 / 2**(precision / 2), one standard deviation: 1.6 % at 12. Items are hashed by "xxh64", or by
    "datasketches", as that library does it.
    """

    def __init__(self, precision: int = 12, hash: str = "xxh64") -> None:
        """ValueError when there is no such precision (4 to 18) or hash."""
        self._hash = hash_id(hash)
        if not MIN_PRECISION <= precision <= MAX_PRECISION:
            raise ValueError(f"a precision is from {MIN_PRECISION} to {MAX_PRECISION}, not {precision}")
        self.precision, self.hash = precision, hash
        self.clear()

    def clear(self) -> None:
        """Forget all items."""
        self._sparse: dict[int, int] = {}  # index to rank, at 26 bits of index
        self._dense: bytearray | None = None

    # --- adding --------------------------------------------------------------------------------------

    def add(self, item: Any) -> bool:
        """A str, bytes or int. Whether that changed anything. TypeError, OverflowError."""
        return self.add_hash(hashed(item, self._hash))

    def add_hash(self, hash: int) -> bool:
        """An item by its hash, or its coupon. Whether that changed anything."""
        if self._dense is None:
            index, rank = self._entry(hash)
            return rank > 0 and self._add_entry(index, rank)
        before, now = self.add_ranks(hash)
        return now > before

    def add_ranks(self, hash: int) -> tuple[int, int]:
        """As `add_hash`: the rank that the register of a dense one had and has; (0, 0) of others."""
        if self._dense is None:
            self.add_hash(hash)
            return 0, 0
        index, rank = self._fold_hash(hash)
        before = self._dense[index]
        self._dense[index] = max(before, rank)
        return before, self._dense[index]

    def add_many(self, items: Any) -> int:
        """A batch: a buffer of whole numbers or of fixed-width bytes, or a sequence of str, bytes and int; all or, when
        one is wrong, nothing. How many of them changed anything. TypeError, OverflowError."""
        return sum([self.add_hash(hash) for hash in hashes_of(items, self._hash)])

    def _entry(self, hash: int) -> tuple[int, int]:
        """Index at 26 bits, and rank; a rank of 0 stands for no item."""
        if self._hash == DATASKETCHES:
            return hash & (1 << INDEX_BITS) - 1, hash >> INDEX_BITS
        bits = 64 - INDEX_BITS
        return hash >> bits, bits + 1 - (hash & (1 << bits) - 1).bit_length()

    def _fold_hash(self, hash: int) -> tuple[int, int]:
        return self._fold(*self._entry(hash), INDEX_BITS)

    def _fold(self, index: int, rank: int, bits: int) -> tuple[int, int]:
        """Index and rank at so many bits to those at the precision."""
        if self._hash == DATASKETCHES:
            return index & (1 << self.precision) - 1, rank
        more = bits - self.precision
        low = index & (1 << more) - 1
        return index >> more, more + 1 - low.bit_length() if low else more + rank

    def _add_entry(self, index: int, rank: int) -> bool:
        if self._dense is not None:
            index, rank = self._fold(index, rank, INDEX_BITS)
            risen = rank > self._dense[index]
            self._dense[index] = max(self._dense[index], rank)
            return risen
        if index not in self._sparse and len(self._sparse) == self._limit():
            self._make_dense()
            return self._add_entry(index, rank)
        risen = rank > self._sparse.get(index, 0)
        self._sparse[index] = max(self._sparse.get(index, 0), rank)
        return risen

    def _limit(self) -> int:
        """Most entries of the sparse list: it takes no more than half of what the registers do. None below 2**8."""
        return 1 << (self.precision - 3) if self.precision >= 8 else 0

    def _make_dense(self) -> bytearray:
        if self._dense is None:
            self._dense = bytearray(1 << self.precision)
            for index, rank in self._sparse.items():
                self._add_entry(index, rank)
            self._sparse = {}
        return self._dense

    # --- merging -------------------------------------------------------------------------------------

    def merge(self, other: HyperLogLog, allow_precision_loss: bool = False) -> None:
        """Add the items of another. SchemaMismatch when it has another hash, or a smaller precision and that is not
        allowed: then this one takes the smaller precision."""
        if self._hash != other._hash:
            raise SchemaMismatch(f"a sketch hashed by {other.hash} cannot be merged into one hashed by {self.hash}")
        if other.precision < self.precision:
            if not allow_precision_loss:
                raise SchemaMismatch(f"a sketch of precision {other.precision} would make one of {self.precision} less "
                                     "precise; allow that with allow_precision_loss=True")  # fmt: skip
            folded = self.fold(other.precision)
            self.precision, self._sparse, self._dense = folded.precision, folded._sparse, folded._dense
        if other is not self:
            self._take(other)

    def _take(self, other: HyperLogLog) -> None:
        if other._dense is None:
            for index, rank in other._sparse.items():
                self._add_entry(index, rank)
            return
        dense = self._make_dense()
        for at, rank in enumerate(other._dense):
            if rank:
                index, rank = self._fold(at, rank, other.precision)
                dense[index] = max(dense[index], rank)

    def fold(self, precision: int) -> HyperLogLog:
        """Another one with the same items and a smaller precision, as if it had been that from the start. ValueError
        when it is larger or none."""
        made = HyperLogLog(precision, self.hash)
        if precision > self.precision:
            raise ValueError(f"a sketch of precision {self.precision} cannot be brought to {precision}")
        made._take(self)
        return made

    def copy(self) -> HyperLogLog:
        """Another one with the same items."""
        return self.fold(self.precision)

    # --- reading -------------------------------------------------------------------------------------

    def estimate(self) -> float:
        """How many distinct items, about: linear counting in 2**26 while sparse, then Ertl's improved estimator."""
        if self._dense is None:
            return -(2.0**INDEX_BITS) * math.log1p(-float(len(self._sparse)) / 2.0**INDEX_BITS)
        m = float(1 << self.precision)
        most = self._most_rank(self.precision)
        counts = [0] * (most + 1)
        for rank in self._dense:
            counts[rank] += 1
        z = m * tau(1.0 - counts[most] / m)
        for k in range(most - 1, 0, -1):
            z = 0.5 * (z + counts[k])
        z += m * sigma(counts[0] / m)
        return m * m / (2.0 * math.log(2.0) * z)

    def _most_rank(self, bits: int) -> int:
        """The largest rank beside an index of so many bits."""
        return RANK_MASK if self._hash == DATASKETCHES else 65 - bits

    def entries(self) -> list[int]:
        """The sparse list, ascending: index << 6 | rank at 26 bits of index. ValueError when it is dense."""
        if self._dense is not None:
            raise ValueError("a dense sketch has registers, and no list of entries")
        return [index << RANK_BITS | rank for index, rank in sorted(self._sparse.items())]

    def registers(self) -> bytes:
        """A byte for each register, whatever the form."""
        made = self if self._dense is not None else self.copy()
        return bytes(made._make_dense())

    def packed(self) -> bytes:
        """The registers at six bits each, register i at bits 6 i.., the lowest bit first, whatever the form."""
        ranks = iter(self.registers())
        words = [a | b << 6 | c << 12 | d << 18 for a, b, c, d in zip(ranks, ranks, ranks, ranks)]
        return b"".join([word.to_bytes(3, "little") for word in words])

    def memory(self) -> int:
        """Bytes that the native one takes at least, without those of the Python object around it: a list there also has
        room to grow, by how it grew."""
        return STRUCT_BYTES + (4 * len(self._sparse) if self._dense is None else len(self._dense))

    @property
    def form(self) -> str:
        """ "empty", "sparse" or "dense"."""
        if self._dense is not None:
            return "dense"
        return "sparse" if self._sparse else "empty"

    @property
    def is_empty(self) -> bool:
        """Whether no item was added."""
        return self.form == "empty"

    def __repr__(self) -> str:
        return (f"HyperLogLog(precision={self.precision}, hash={self.hash!r}): {self.form}, "
                f"about {self.estimate():.0f} items")  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        if self._dense is not None:
            return from_packed, (self.packed(), self.precision, self.hash)
        return from_entries, (self.entries(), self.precision, self.hash)


def sigma(x: float) -> float:
    """x + sum of x**(2**k) * 2**(k - 1): what the zero registers add. Ertl, "New cardinality estimation algorithms"."""
    if x == 1.0:
        return math.inf
    y, z, last = 1.0, x, -1.0
    while z != last:
        last = z
        x *= x
        z += x * y
        y += y
    return z


def tau(x: float) -> float:
    """(1 - x - sum of (1 - x**(2**-k))**2 * 2**-k) / 3: what the full registers take away."""
    if x in (0.0, 1.0):
        return 0.0
    y, z, last = 1.0, 1.0 - x, -1.0
    while z != last:
        last = z
        x = math.sqrt(x)
        y *= 0.5
        z -= (1.0 - x) * (1.0 - x) * y
    return z / 3.0


def from_packed(packed: bytes, precision: int = 12, hash: str = "xxh64") -> HyperLogLog:
    """A sketch from its registers at six bits each. ValueError when these are none of a sketch like that."""
    made = HyperLogLog(precision, hash)
    if len(packed) != (1 << precision) // 4 * 3:
        raise ValueError(NO_SKETCH)
    registers = made._make_dense()
    for i in range(0, 1 << precision, 4):
        word = int.from_bytes(packed[i // 4 * 3 : i // 4 * 3 + 3], "little")
        registers[i : i + 4] = bytes([word >> shift & RANK_MASK for shift in (0, 6, 12, 18)])
    if max(registers) > made._most_rank(precision):
        raise ValueError(NO_SKETCH)
    return made


def from_entries(entries: Iterable[int], precision: int = 12, hash: str = "xxh64") -> HyperLogLog:
    """A sketch from its sparse list. ValueError when it is none of a sketch like that."""
    made = HyperLogLog(precision, hash)
    last = -1
    for entry in entries:
        index, rank = entry >> RANK_BITS, entry & RANK_MASK
        if not (last < index < 1 << INDEX_BITS and 1 <= rank <= made._most_rank(INDEX_BITS)):
            raise ValueError(NO_SKETCH)
        made._sparse[index] = rank
        last = index
    if len(made._sparse) > made._limit():
        raise ValueError(NO_SKETCH)
    return made
