"""Top-cardinality: the cells with the most distinct items, and a SpreadSketch of the keys that have none.

Knows no metric but the HyperLogLog sketches that cells are ranked by. After SpreadSketch (Tang, Huang, Lee,
INFOCOM'20); residents bypass the sketch. What two sketches must agree on to be merged is in residents.py, and:

    bucket          a level, a candidate (the hash of a key), and 64 registers of items' hashes: those of a HyperLogLog
                    sketch of precision 6 with the metric's hash. A level of 0 is an empty bucket
    pair            mixed(hash + item * 0x9e3779b97f4a7c15 modulo 2**64), of a key's hash and an item's
    level           of a pair: zero bits at its lower end, + 1
    seen            1,024 registers of pairs, of all that came to the sketch: the upper 10 bits tell which, its rank is
                    the number of zero bits that follow, + 1

One update of a key without a cell takes the pair into `seen`, the item into the key's bucket of each row, and makes the
key the candidate of each bucket that has a lower level than the pair. Keys that hold many items become candidates most
likely. Only when the key is candidate of a bucket that changed, it is estimated. If the estimate is more than the
smallest rank, the key gets a cell with that as its `floor`: the cell's rank is at least so much, whatever its own
sketch, which begins empty, tells. It is no candidate any more then.

Estimate. The least of a key's registers in each place has its own items, and what other keys have put into all rows at
once. How much a row has in all is estimated by its registers; less the key's own D items, that is foreign. With this,
the expected sum of 2**-rank over the least registers is known for each D, and the D is searched that gives the sum
found (`expected`). Of that, CAUTION times (the mean content of a bucket + the smallest rank) is taken off: many small
keys are looked at, and those that are estimated too high by chance would get cells.

Ranks, and contents of rows, are by the classic estimator (linear counting up to 2.5 m, else the harmonic mean of
registers), as its two sums are kept from update to update. In its sparse form a cell's sketch ranks by its entries.

This module is the specification; `native/cubes/sampling/spread.pyx` is the fast build of it.
The same tests run on both.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from istat.kernels.python.cubes.sampling.estimates import estimated, expected, sums
from istat.kernels.python.cubes.sampling.residents import GOLDEN, MASK, Sampler, checked_shape, mixed, row_constants

if TYPE_CHECKING:
    from istat.kernels.python.cubes.hll import HyperLogLog

PRECISION = 6                       # of a bucket's registers
REGISTERS = 1 << PRECISION          # of a bucket
SEEN_PRECISION = 10
SEEN = 1 << SEEN_PRECISION          # registers for all pairs
# Taken off an estimate, of what its error comes from: with less, more wrong keys get cells; with more, less right ones.
CAUTION = 0.25
HALVINGS = 16                       # of the range in which the estimate is searched: it is within 0.002 %
MOST_RANK = 0xFFFFFFFF              # [items]


def default_width(most: int) -> int:
    """Buckets a row for so many cells."""
    return min(4 * most, most + 50)


def leading_zeros(word: int, bits: int) -> int:
    """Of a number of so many bits."""
    return bits - word.bit_length()


class SpreadSketch:
    """`depth` rows of `width` buckets. `coupons`: items are hashed as DataSketches does it."""

    def __init__(self, width: int, depth: int = 3, seed: int = 0, coupons: bool = False) -> None:
        checked_shape(width, depth, seed)
        self.width, self.depth, self.seed, self.coupons = width, depth, seed, coupons
        self._constants = row_constants(depth, seed)
        self.clear()

    def clear(self) -> None:
        """Empty buckets, no pairs seen."""
        buckets = self.width * self.depth
        self.levels = bytearray(buckets)
        self.candidates = array("Q", bytes(8 * buckets))
        self.registers = bytearray(REGISTERS * buckets)
        self._set_seen(bytes(SEEN))

    def _set_seen(self, seen: bytes) -> None:
        self.seen = bytearray(seen)
        self._inverse, self._zeros = sums(seen)

    @property
    def used(self) -> bool:
        """Whether anything was seen."""
        return self._zeros < SEEN

    @property
    def state(self) -> tuple[bytes, list[int], bytes, bytes]:
        """Levels, candidates, registers and what was seen: what `load` takes."""
        return bytes(self.levels), list(self.candidates), bytes(self.registers), bytes(self.seen)

    @property
    def noise(self) -> float:
        """[pairs] What other keys have put into a bucket on average."""
        return estimated(SEEN, self._inverse, self._zeros) / self.width

    def add(self, hash: int, item: int) -> bool:
        """One item of a key: whether the key is the candidate of a bucket that changed."""
        pair = mixed(hash + item * GOLDEN & MASK)
        self._see(pair)
        level = (pair & -pair).bit_length() if pair else 65
        register, rank = self._register(item)
        wanted = False
        for at in self._places(hash):
            changed = self.registers[at * REGISTERS + register] < rank
            if changed:
                self.registers[at * REGISTERS + register] = rank
            if level > self.levels[at]:
                self.levels[at], self.candidates[at] = level, hash
                wanted = True
            elif changed and self.candidates[at] == hash:
                wanted = True
        return wanted

    def estimate(self, hash: int, above: int) -> int:
        """[items] A key's, if that is more than `above`; else 0."""
        rows = [self.registers[at * REGISTERS : (at + 1) * REGISTERS] for at in self._places(hash)]
        caution = CAUTION * (self.noise + above)
        low = above + caution
        found, zeros = sums([min(ranks) for ranks in zip(*rows)])
        if estimated(REGISTERS, found, zeros) <= low:
            return 0                    # not even if all that the rows have in common were this key's
        contents = [estimated(REGISTERS, *sums(row)) for row in rows]
        high = min(*contents, MOST_RANK)        # of registers that were read, which may tell anything
        if low >= high or expected(low, contents, REGISTERS) <= found:
            return 0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if expected(middle, contents, REGISTERS) > found else (low, middle)
        return max(int(low - caution), above + 1)

    def is_candidate(self, hash: int) -> bool:
        """Whether a key is the candidate of one of its buckets."""
        return any(self.levels[at] and self.candidates[at] == hash for at in self._places(hash))

    def withdraw(self, hash: int) -> None:
        """The key is no candidate any more; its items stay."""
        for at in self._places(hash):
            if self.candidates[at] == hash:
                self.levels[at] = self.candidates[at] = 0

    def put(self, hash: int, registers: bytes) -> None:
        """Items of a key, as registers."""
        for at in self._places(hash):
            self._raise(at * REGISTERS, registers)

    def agrees(self, other: SpreadSketch) -> bool:
        """Whether the two can be merged."""
        mine = (self.width, self.depth, self.seed, self.coupons)
        return mine == (other.width, other.depth, other.seed, other.coupons)

    def copy(self) -> SpreadSketch:
        """An equal one."""
        made = SpreadSketch(self.width, self.depth, self.seed, self.coupons)
        made.load(*self.state)
        return made

    def combine(self, other: SpreadSketch) -> None:
        """Add an agreeing sketch: the larger of all registers, and the candidate of the higher level."""
        for at, level in enumerate(other.levels):
            if (level, other.candidates[at]) > (self.levels[at], self.candidates[at]):
                self.levels[at], self.candidates[at] = level, other.candidates[at]
        self._raise(0, other.registers)
        self._set_seen(bytes(map(max, self.seen, other.seen)))

    def load(self, levels: bytes, candidates: Sequence[int], registers: bytes, seen: bytes) -> None:
        """The state that another one had, row by row. ValueError when there can be no such one."""
        buckets = self.width * self.depth
        if (len(levels), len(candidates), len(registers), len(seen)) != (buckets, buckets, REGISTERS * buckets, SEEN):
            raise ValueError(f"that is no state of {self.depth} rows of {self.width} buckets")
        self.levels, self.candidates = bytearray(levels), array("Q", candidates)
        self.registers = bytearray(registers)
        self._set_seen(seen)

    def memory(self) -> int:
        """[bytes] in the native build."""
        return (9 + REGISTERS) * self.width * self.depth + SEEN

    def _places(self, hash: int) -> list[int]:
        """A key's bucket in each row."""
        words = [mixed(hash + constant & MASK) for constant in self._constants]
        return [row * self.width + ((word >> 32) * self.width >> 32) for row, word in enumerate(words)]

    def _register(self, item: int) -> tuple[int, int]:
        """Of a bucket, for an item: which register, and the rank."""
        if self.coupons:
            return item & REGISTERS - 1, item >> 26 & 63
        bits = 64 - PRECISION
        return item >> bits, leading_zeros(item & (1 << bits) - 1, bits) + 1

    def _see(self, pair: int) -> None:
        bits = 64 - SEEN_PRECISION
        register, rank = pair >> bits, leading_zeros(pair & (1 << bits) - 1, bits) + 1
        before = self.seen[register]
        if rank > before:
            self.seen[register] = rank
            self._inverse += 2.0**-rank - 2.0**-before
            self._zeros -= before == 0

    def _raise(self, first: int, registers: Sequence[int]) -> None:
        for at, rank in enumerate(registers, first):
            if rank > self.registers[at]:
                self.registers[at] = rank


class TopCardinality(Sampler):
    """Keeps the cells with the most distinct items."""

    kind = "cardinality"

    def __init__(self, most: int, width: int = 0, depth: int = 3, seed: int = 0, coupons: bool = False) -> None:
        super().__init__(most)
        self.sketch = SpreadSketch(width or default_width(most), depth, seed, coupons)
        self._theirs: SpreadSketch | None = None
        self._ranks: dict[int, int] = {}
        self._sums: dict[int, tuple[float, int]] = {}       # of sketches in dense form

    def rank(self, slot: int) -> int:
        """[items] Distinct ones since the cell was admitted, or what it was admitted with if that is more."""
        return self._ranks[slot]

    def rose(self, slot: int, before: int, now: int) -> None:
        """A resident took an item."""
        known = self._sums.get(slot)
        if known:
            if now <= before:
                return                  # the item was there already
            self._sums[slot] = known[0] + (2.0**-now - 2.0**-before), known[1] - (before == 0)
        self._rank(slot)
        self._down(self._position[slot])

    def taken(self, hash: int) -> int:
        """What the sketch estimates for a key, if it is a candidate."""
        return estimate_of_candidate(self.sketch, hash)

    def entered(self, slot: int, inherited: int) -> None:
        """A cell is in this slot now, with this floor."""
        self._sums.pop(slot, None)
        self._inherited[slot] = inherited
        self._rank(slot)
        self._settle(slot)

    def offer(self, hash: int, amount: int, item: int) -> bool:
        """An item of a key that has no cell: whether it gets the place of the lowest."""
        if not self.sketch.add(hash, item):
            return False
        self.estimate = self.sketch.estimate(hash, self.rank(self.lowest()))
        if self.estimate:
            self.sketch.withdraw(hash)
        return self.estimate > 0

    def write_back(self, slot: int) -> None:
        """The cell of a slot will be evicted: its items go into the sketch."""
        self.put_in(self._cells.hashes[slot], self._primary.values[slot])

    def put_in(self, hash: int, value: HyperLogLog | None) -> None:
        """A cell of another cube gets no place here: its items go into the sketch."""
        if value is not None:
            self.sketch.put(hash, folded(value))

    def forget_residents(self) -> None:
        """No residents; the sketch stays."""
        super().forget_residents()
        self._ranks.clear()
        self._sums.clear()

    def clear(self) -> None:
        """No residents, and an empty sketch."""
        self.forget_residents()
        self.sketch.clear()

    def meet(self, other: Any) -> None:
        """Begin a merge: copy the other's sketch."""
        self._theirs = other.sketch.copy() if self.sketch.agrees(other.sketch) else None
        self.skipped += other.skipped + (self._theirs is None)

    def known_there(self, hash: int) -> int:
        """What the other's sketch estimates for a key, if it is a candidate there."""
        return estimate_of_candidate(self._theirs, hash) if self._theirs else 0

    def combine(self) -> None:
        """Merge the other's sketch into this one."""
        if self._theirs:
            self.sketch.combine(self._theirs)

    def part(self) -> None:
        """End a merge."""
        self._theirs = None

    def memory(self) -> int:
        """[bytes] of the sketch and of what it keeps for residents, in the native build."""
        return self.sketch.memory() + 28 * self.residents

    def _rank(self, slot: int) -> None:
        """Rank a slot by its sketch and its floor."""
        own, value = 0.0, self._primary.values[slot]
        if value is not None and value.form == "sparse":
            own = float(len(value.entries()))
        elif value is not None and value.form == "dense":
            if slot not in self._sums:
                self._sums[slot] = sums(value.registers())
            own = estimated(1 << value.precision, *self._sums[slot])
        self._ranks[slot] = min(max(int(own + 0.5), self._inherited[slot]), MOST_RANK)


def estimate_of_candidate(sketch: SpreadSketch, hash: int) -> int:
    """[items] A key's estimate, if it is a candidate; else 0."""
    return sketch.estimate(hash, 0) if sketch.used and sketch.is_candidate(hash) else 0


def folded(sketch: HyperLogLog) -> bytes:
    """The registers of a sketch at the precision of a bucket's."""
    return sketch.fold(PRECISION).registers()
