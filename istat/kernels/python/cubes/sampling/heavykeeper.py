"""Top-K: the cells with the largest counts, and a HeavyKeeper sketch of the keys that have none.

Knows no metric but the counts that cells are ranked by. After HeavyKeeper (Gong et al., ATC'18), the variant that
decays the smallest of a key's buckets; residents bypass the sketch, and an update may have any weight. What two
sketches must agree on to be merged is in residents.py, and:

    fingerprint     the lowest 16 bits of mixed(hash + constant(0))
    bucket          fingerprint << 48 | count; a count of 0 is an empty bucket

One update of a key without a cell by a weight v, where n is the smallest resident count. A count above n cannot be of a
key that has no cell: the fingerprint is another key's.

    1. the first row whose bucket has the fingerprint, and a count c <= n: c + v is what the key has. None: v.
    2. more than n: the key gets a cell, and that bucket is empty again.
    3. else a found bucket takes c + v; or the first empty one of the key takes v; or the smallest one (the first of
       these) decays, and changes hands when nothing is left of it.

Decay by weight. `unit` is the mean weight of all updates that came to the sketch, at least 1, rounded. v makes v //
unit trials, and one more with the probability of the rest. In each, a bucket of count c loses one unit with the
probability base ** -(c // unit), and is empty when it had no more than one. The trial that empties it is the first that
counts for the new owner: of its v he has lost as many units as there were trials before.

    random          xorshift64*: x ^= x >> 12; x ^= x << 25; x ^= x >> 27; x * 0x2545f4914f6cdd1d; x begins as
                    mixed(seed ^ 0x9e3779b97f4a7c15), or 1 instead of 0
    one trial       random >> 1 < threshold, which is base ** -C * 2**63, rounded down step by step
    several         the next one that succeeds: int(log(u) / log1p(-p)) + 1, u = ((random >> 11) + 1) / 2**53
    the rest        random * unit >> 64 < v % unit

This module is the specification; `native/cubes/sampling/heavykeeper.pyx` is the fast build of it.
The same tests run on both.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Sequence

from istat.kernels.python.cubes.sampling.residents import GOLDEN, MASK, Sampler, checked_shape, mixed, row_constants

COUNT_BITS = 48
LARGEST = (1 << COUNT_BITS) - 1     # count of a bucket
ONE = 1 << 63                       # a threshold that every draw is below
LEAST_CHANCE = 1e-12                # of a decay: what is rarer never happens
LEAST_BASE, MOST_BASE = 1.01, 4.0
FULL_SUM = 1 << 61                  # of weights: both sum and number are halved there
INT_MAX = (1 << 63) - 1
# Cells and buckets a row: accuracy grows with the width, hardly with anything else. Between these, on a line.
WIDTHS = ((10, 150), (100, 400), (500, 1125), (1000, 1951))


def default_width(most: int) -> int:
    """Buckets a row for so many cells."""
    if most > WIDTHS[-1][0]:
        return 2 * most
    for (cells, width), (more_cells, more_width) in zip(WIDTHS, WIDTHS[1:]):
        if most <= more_cells:
            return width + max(most - cells, 0) * (more_width - width) // (more_cells - cells)
    raise AssertionError(most)


@functools.cache
def decays(base: float) -> tuple[array[int], array[float]]:
    """For each count, until decay is too rare: the threshold of one trial, and the logarithm of the chance to fail."""
    if not LEAST_BASE <= base <= MOST_BASE:
        raise ValueError(f"the base of decay is {LEAST_BASE} to {MOST_BASE}, not {base}")
    numerator, denominator = base.as_integer_ratio()
    threshold, exact = ONE, ONE << 64       # whole numbers: the same on every machine
    thresholds: array[int] = array("Q")
    failures = array("d")
    while threshold >= LEAST_CHANCE * ONE:
        thresholds.append(threshold)
        failures.append(math.log1p(-threshold / ONE) if threshold < ONE else -math.inf)
        exact = exact * denominator // numerator
        threshold = exact >> 64
    return thresholds, failures


class HeavyKeeper:
    """`depth` rows of `width` buckets, each with the fingerprint of one key and a count that is not above the truth."""

    def __init__(self, width: int, depth: int = 3, base: float = 1.08, seed: int = 0) -> None:
        checked_shape(width, depth, seed)
        self.width, self.depth, self.base, self.seed = width, depth, base, seed
        self._thresholds, self._failures = decays(base)
        self._constants = row_constants(depth, seed)
        self._state = mixed(seed ^ GOLDEN) or 1
        self.buckets = array("Q", bytes(8 * width * depth))
        self.weight, self.updates = 0, 0        # of what came: their quotient is the unit
        self.used = False                       # whether a bucket may be in use

    @property
    def unit(self) -> int:
        """The mean weight of updates."""
        return max(1, (self.weight + self.updates // 2) // self.updates) if self.updates else 1

    def find(self, hash: int, most: int) -> int:
        """The first bucket of a key with a count of at most so much, or -1."""
        fingerprint, places = self._places(hash)
        for at in places:
            bucket = self.buckets[at]
            if bucket >> COUNT_BITS == fingerprint and 0 < bucket & LARGEST <= most:
                return at
        return -1

    def add(self, hash: int, weight: int, most: int) -> int:
        """One update of a key: what it has if that is more than `most`, and the sketch forgets it then; else 0."""
        self._weigh(weight)
        fingerprint, places = self._places(hash)
        buckets, least, least_count = self.buckets, -1, LARGEST + 1
        for at in places:
            count = buckets[at] & LARGEST
            if count and buckets[at] >> COUNT_BITS == fingerprint and count <= most:
                break
            if count < least_count:
                least, least_count = at, count
        else:
            at, count = -1, 0
        if count + weight > most:
            if at >= 0:
                buckets[at] = 0
            return min(count + weight, INT_MAX)
        self.used = True
        if at >= 0 or least_count == 0:
            buckets[at if at >= 0 else least] = fingerprint << COUNT_BITS | min(count + weight, LARGEST)
        else:
            self._decay(least, fingerprint, weight)
        return 0

    def take(self, hash: int) -> int:
        """What all buckets of a key hold together; they are empty afterwards."""
        taken = 0
        while self.used and (at := self.find(hash, LARGEST)) >= 0:
            taken += self.buckets[at] & LARGEST
            self.buckets[at] = 0
        return taken

    def put(self, hash: int, count: int) -> None:
        """Set a key's bucket, or else the smallest one of its row, to a count if that is larger."""
        fingerprint, places = self._places(hash)
        at = self.find(hash, LARGEST)
        if at < 0:
            at = min(places, key=lambda place: self.buckets[place] & LARGEST)
        if min(count, LARGEST) > self.buckets[at] & LARGEST:
            self.buckets[at] = fingerprint << COUNT_BITS | min(count, LARGEST)
            self.used = True

    def agrees(self, other: HeavyKeeper) -> bool:
        """Whether the two can be merged."""
        return (self.width, self.depth, self.base, self.seed) == (other.width, other.depth, other.base, other.seed)

    def copy(self) -> HeavyKeeper:
        """An equal one."""
        other = HeavyKeeper(self.width, self.depth, self.base, self.seed)
        other.buckets = self.buckets[:]
        other.weight, other.updates, other.used, other._state = self.weight, self.updates, self.used, self._state
        return other

    def combine(self, other: HeavyKeeper) -> None:
        """Add an agreeing sketch, bucket by bucket: counts of one fingerprint add up, else the larger one stays."""
        for at, theirs in enumerate(other.buckets):
            mine = self.buckets[at]
            if mine >> COUNT_BITS == theirs >> COUNT_BITS:
                count = min((mine & LARGEST) + (theirs & LARGEST), LARGEST)
                self.buckets[at] = mine >> COUNT_BITS << COUNT_BITS | count
            elif (theirs & LARGEST, theirs) > (mine & LARGEST, mine):
                self.buckets[at] = theirs
        self.used |= other.used
        self._add_weights(other.weight, other.updates)

    def clip(self, most: int) -> None:
        """No bucket holds more than this."""
        most = max(most, 0)         # a cell from before the cube ranked its cells may be below
        for at, bucket in enumerate(self.buckets):
            if bucket & LARGEST > most:
                self.buckets[at] = bucket >> COUNT_BITS << COUNT_BITS | most if most else 0

    def clear(self) -> None:
        """Empty buckets. The unit stays, as what the next updates are measured by at first."""
        self.buckets = array("Q", bytes(8 * self.width * self.depth))
        self.weight, self.updates = (self.unit, 1) if self.updates else (0, 0)
        self.used = False

    def load(self, buckets: Sequence[int], weight: int, updates: int) -> None:
        """The state that another one had, row by row. ValueError when there can be no such one."""
        if len(buckets) != self.width * self.depth:
            raise ValueError(f"{self.depth} rows of {self.width} buckets are not {len(buckets)} in all")
        if not 0 <= weight < 2 * FULL_SUM or not 0 <= updates < 2 * FULL_SUM:
            raise ValueError(f"{updates} updates of weight {weight} in all cannot be")
        self.buckets = array("Q", buckets)
        self.weight, self.updates, self.used = weight, updates, any(buckets)

    def memory(self) -> int:
        """[bytes] in the native build."""
        return 8 * self.width * self.depth

    def _places(self, hash: int) -> tuple[int, list[int]]:
        """A key's fingerprint, and its bucket in each row."""
        words = [mixed(hash + constant & MASK) for constant in self._constants]
        places = [row * self.width + ((word >> 32) * self.width >> 32) for row, word in enumerate(words)]
        return words[0] & 0xFFFF, places

    def _random(self) -> int:
        state = self._state
        state ^= state >> 12
        state ^= state << 25 & MASK
        self._state = state = state ^ state >> 27
        return state * 0x2545F4914F6CDD1D & MASK

    def _weigh(self, weight: int) -> None:
        self._add_weights(min(weight, FULL_SUM), 1)

    def _add_weights(self, weight: int, updates: int) -> None:
        self.weight += weight
        self.updates += updates
        if self.weight >= FULL_SUM or self.updates >= FULL_SUM:
            self.weight, self.updates = self.weight >> 1, (self.updates >> 1) or 1

    def _decay(self, at: int, fingerprint: int, weight: int) -> None:
        """Let an update of another key decay a bucket."""
        unit = self.unit
        trials, rest = divmod(weight, unit)
        if rest and self._random() * unit >> 64 < rest:
            trials += 1
        done, count = 0, self.buckets[at] & LARGEST
        while (next_one := self._next_success(count // unit, trials - done)) > 0:
            done += next_one
            if count <= unit:
                fresh = weight - (done - 1) * unit
                self.buckets[at] = fingerprint << COUNT_BITS | min(fresh, LARGEST)
                return
            count -= unit
        self.buckets[at] = self.buckets[at] >> COUNT_BITS << COUNT_BITS | count

    def _next_success(self, units: int, trials: int) -> int:
        """Which of the next trials is the first to succeed against so many units, from 1; 0 when none does."""
        if trials == 0 or units >= len(self._thresholds):
            return 0
        if trials == 1:
            return int(self._random() >> 1 < self._thresholds[units])
        failed = math.log(((self._random() >> 11) + 1) * 2.0**-53) / self._failures[units]
        return int(failed) + 1 if failed < float(trials) else 0


class TopK(Sampler):
    """Keeps the cells with the largest counts; every count is at most the truth, but for equal fingerprints.

    A cell that came late begins with what the sketch held of its key: that is `inherited`, the rest of its value is
    exact. It is never more than the value, which a merge with a cell below 0 may have lessened.
    """

    kind = "topk"

    def __init__(self, most: int, width: int = 0, depth: int = 3, base: float = 1.08, seed: int = 0) -> None:
        super().__init__(most)
        self.sketch = HeavyKeeper(width or default_width(most), depth, base, seed)
        self._theirs: HeavyKeeper | None = None

    def rank(self, slot: int) -> int:
        """The count."""
        return int(self._primary.values[slot])

    def rose(self, slot: int, before: int, now: int) -> None:
        """The count of a resident rose."""
        self._down(self._position[slot])

    def taken(self, hash: int) -> int:
        """What the sketch holds for a key; it holds nothing afterwards."""
        return self.sketch.take(hash)

    def entered(self, slot: int, inherited: int) -> None:
        """A cell is in this slot now. The one that fills the cube clips the sketch: see the module's step 1."""
        new = slot not in self._position
        super().entered(slot, min(inherited, max(self.rank(slot), 0)))
        if new and self.residents == self.most:
            self._clip()

    def offer(self, hash: int, amount: int, item: int) -> bool:
        """An update of a key that has no cell: whether it gets one in place of the lowest."""
        if amount <= 0:
            return False
        have = self.sketch.add(hash, amount, self.rank(self.lowest()))
        self.estimate = have - amount
        return have > 0

    def write_back(self, slot: int) -> None:
        """The cell of a slot will be evicted: its count goes into the sketch."""
        self.sketch.put(self._cells.hashes[slot], self.rank(slot))

    def put_in(self, hash: int, value: int) -> None:
        """A cell of another cube gets no place here: its count goes into the sketch."""
        self.sketch.put(hash, value)

    def clear(self) -> None:
        """No residents, and an empty sketch."""
        self.forget_residents()
        self.sketch.clear()

    def meet(self, other: TopK) -> None:
        """Begin a merge: copy the other's sketch."""
        self._theirs = other.sketch.copy() if self.sketch.agrees(other.sketch) else None
        self.skipped += other.skipped + (self._theirs is None)

    def known_there(self, hash: int) -> int:
        """What the other's sketch holds for a resident of this side; the copy holds nothing afterwards."""
        return self._theirs.take(hash) if self._theirs else 0

    def combine(self) -> None:
        """Merge the other's sketch into this one."""
        if self._theirs:
            self.sketch.combine(self._theirs)

    def part(self) -> None:
        """End a merge."""
        self._theirs = None
        if self.residents >= self.most:
            self._clip()

    def memory(self) -> int:
        """[bytes] of the sketch and of what it keeps for residents, in the native build."""
        return self.sketch.memory() + 16 * self.residents

    def _clip(self) -> None:
        if self.sketch.used and self._heap:
            self.sketch.clip(self.rank(self.lowest()))
