# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Top-K: the cells with the largest counts, and a HeavyKeeper sketch of the keys that have none.

Knows no metric but the counts that cells are ranked by. The specification is the Python twin, which tells what an
update does and how bits and random numbers are made.
"""
import functools
import math
import struct

from cpython.bytes cimport PyBytes_AS_STRING
from libc.math cimport log
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from istat.kernels.native.cubes.inner.table cimport grow
from istat.kernels.native.cubes.sampling.residents cimport bucket_of, high_product, mixed_word

from istat.kernels.native.cubes.sampling.residents import checked_shape, mixed, row_constants

cdef extern from *:
    """
    #define ISTAT_LARGEST ((1ull << 48) - 1)
    #define ISTAT_FULL_SUM (1ull << 61)
    """
    const uint64_t LARGEST "ISTAT_LARGEST"          # count of a bucket
    const uint64_t FULL_SUM "ISTAT_FULL_SUM"        # of weights: both sum and number are halved there

cdef int64_t INT_MAX = 0x7FFFFFFFFFFFFFFF
GOLDEN = 0x9E3779B97F4A7C15
ONE = 1 << 63                       # a threshold that every draw is below
LEAST_CHANCE = 1e-12                # of a decay: what is rarer never happens
LEAST_BASE, MOST_BASE = 1.01, 4.0
# Cells and buckets a row: accuracy grows with the width, hardly with anything else. Between these, on a line.
WIDTHS = ((10, 150), (100, 400), (500, 1125), (1000, 1951))


def default_width(most):
    """Buckets a row for so many cells."""
    if most > WIDTHS[len(WIDTHS) - 1][0]:
        return 2 * most
    for (cells, width), (more_cells, more_width) in zip(WIDTHS, WIDTHS[1:]):
        if most <= more_cells:
            return width + max(most - cells, 0) * (more_width - width) // (more_cells - cells)
    raise AssertionError(most)


@functools.lru_cache(maxsize=None)
def decays(base):
    """For each count, until decay is too rare: the thresholds of one trial, then logarithms of the chance to fail."""
    if not LEAST_BASE <= base <= MOST_BASE:
        raise ValueError(f"the base of decay is {LEAST_BASE} to {MOST_BASE}, not {base}")
    numerator, denominator = base.as_integer_ratio()
    threshold, exact = ONE, ONE << 64       # whole numbers: the same on every machine
    thresholds, failures = [], []
    while threshold >= LEAST_CHANCE * ONE:
        thresholds.append(threshold)
        failures.append(math.log1p(-threshold / ONE) if threshold < ONE else -math.inf)
        exact = exact * denominator // numerator
        threshold = exact >> 64
    return struct.pack(f"={len(thresholds)}Q", *thresholds) + struct.pack(f"={len(failures)}d", *failures)


cdef class HeavyKeeper:
    """`depth` rows of `width` buckets, each with the fingerprint of one key and a count that is not above the truth."""

    def __cinit__(self, width, depth=3, base=1.08, seed=0):
        cdef int row
        checked_shape(width, depth, seed)
        self.tables = decays(float(base))
        self.most_units = len(self.tables) // 16
        self.thresholds = <const uint64_t *> PyBytes_AS_STRING(self.tables)
        self.failures = <const double *> (self.thresholds + self.most_units)
        self.width, self.depth, self.base, self.seed = width, depth, base, seed
        self.buckets = <uint64_t *> calloc(self.width * self.depth, sizeof(uint64_t))
        self.constants = <uint64_t *> malloc(self.depth * sizeof(uint64_t))
        if self.buckets == NULL or self.constants == NULL:
            raise MemoryError("no memory for a sketch")
        for row, constant in enumerate(row_constants(depth, seed)):
            self.constants[row] = constant
        self.state = mixed(seed ^ GOLDEN) or 1

    def __dealloc__(self):
        free(self.buckets)
        free(self.constants)

    @property
    def buckets(self):
        """Row by row."""
        cdef uint32_t at
        return [self.buckets[at] for at in range(self.width * self.depth)]

    @property
    def unit(self):
        """The mean weight of updates."""
        return self._unit()

    def find(self, uint64_t hash, int64_t most):
        """The first bucket of a key with a count of at most so much, or -1."""
        return self._find(hash, <uint64_t> most)

    def add(self, uint64_t hash, int64_t weight, int64_t most):
        """One update of a key: what it has if that is more than `most`, and the sketch forgets it then; else 0."""
        return self.add_update(hash, weight, most)

    def take(self, uint64_t hash):
        """What all buckets of a key hold together; they are empty afterwards."""
        return self.take_all(hash)

    def put(self, uint64_t hash, int64_t count):
        """Set a key's bucket, or else the smallest one of its row, to a count if that is larger."""
        self.put_count(hash, count)

    def agrees(self, HeavyKeeper other not None):
        """Whether the two can be merged."""
        return self.agrees_with(other)

    def copy(self):
        """An equal one."""
        cdef HeavyKeeper other = HeavyKeeper(self.width, self.depth, self.base, self.seed)
        if self.used:
            memcpy(other.buckets, self.buckets, self.width * self.depth * sizeof(uint64_t))
        other.weight, other.updates, other.used, other.state = self.weight, self.updates, self.used, self.state
        return other

    def combine(self, HeavyKeeper other not None):
        """Add an agreeing sketch, bucket by bucket: counts of one fingerprint add up, else the larger one stays."""
        self.combine_with(other)

    def clip(self, int64_t most):
        """No bucket holds more than this."""
        self.clip_to(most)

    def clear(self):
        """Empty buckets. The unit stays, as what the next updates are measured by at first."""
        self.empty()

    def load(self, buckets, weight, updates):
        """The state that another one had, row by row. ValueError when there can be no such one."""
        cdef uint32_t at
        if len(buckets) != self.width * self.depth:
            raise ValueError(f"{self.depth} rows of {self.width} buckets are not {len(buckets)} in all")
        if not 0 <= weight < 2 * FULL_SUM or not 0 <= updates < 2 * FULL_SUM:
            raise ValueError(f"{updates} updates of weight {weight} in all cannot be")
        for at, bucket in enumerate(buckets):
            self.buckets[at] = bucket
        self.weight, self.updates, self.used = weight, updates, any(buckets)

    def memory(self):
        """[bytes] of the buckets."""
        return sizeof(uint64_t) * self.width * self.depth

    cdef int64_t _find(self, uint64_t hash, uint64_t most) noexcept nogil:
        cdef uint64_t word = mixed_word(hash + self.constants[0])
        cdef uint64_t fingerprint = word & 0xFFFF
        cdef uint64_t bucket
        cdef uint32_t row, at
        for row in range(self.depth):
            if row > 0:
                word = mixed_word(hash + self.constants[row])
            at = row * self.width + bucket_of(word, self.width)
            bucket = self.buckets[at]
            if bucket >> COUNT_BITS == fingerprint and 0 < bucket & LARGEST <= most:
                return at
        return -1

    cdef int64_t add_update(self, uint64_t hash, int64_t weight, int64_t most) noexcept nogil:
        cdef uint64_t word = mixed_word(hash + self.constants[0])
        cdef uint64_t fingerprint = word & 0xFFFF
        cdef uint64_t least_count = LARGEST + 1
        cdef uint64_t *least = NULL
        cdef uint64_t *bucket
        cdef int64_t count = 0
        cdef bint found = False
        cdef uint32_t row
        self.add_weights(<uint64_t> weight if <uint64_t> weight < FULL_SUM else FULL_SUM, 1)
        for row in range(self.depth):
            if row > 0:
                word = mixed_word(hash + self.constants[row])
            bucket = self.buckets + row * self.width + bucket_of(word, self.width)
            count = <int64_t> (bucket[0] & LARGEST)
            if count != 0 and bucket[0] >> COUNT_BITS == fingerprint and count <= most:
                found = True
                break
            if <uint64_t> count < least_count:
                least = bucket
                least_count = <uint64_t> count
        if not found:
            bucket = least
            count = 0
        if count > INT_MAX - weight or count + weight > most:
            if found:
                bucket[0] = 0
            return INT_MAX if count > INT_MAX - weight else count + weight
        self.used = True
        if found or least_count == 0:
            count += weight
            bucket[0] = fingerprint << COUNT_BITS | (<uint64_t> count if <uint64_t> count < LARGEST else LARGEST)
        else:
            self._decay(bucket, fingerprint, weight)
        return 0

    cdef int64_t take_all(self, uint64_t hash) noexcept nogil:
        cdef int64_t at, taken = 0
        if not self.used:
            return 0
        at = self._find(hash, LARGEST)
        while at >= 0:
            taken += <int64_t> (self.buckets[at] & LARGEST)
            self.buckets[at] = 0
            at = self._find(hash, LARGEST)
        return taken

    cdef void put_count(self, uint64_t hash, int64_t count) noexcept nogil:
        cdef uint64_t kept = <uint64_t> count if <uint64_t> count < LARGEST else LARGEST
        cdef int64_t at
        cdef uint32_t row, place
        if count <= 0:              # of a cell from before the cube ranked its cells; nothing to keep
            return
        at = self._find(hash, LARGEST)
        if at < 0:
            at = bucket_of(mixed_word(hash + self.constants[0]), self.width)
            for row in range(1, self.depth):
                place = row * self.width + bucket_of(mixed_word(hash + self.constants[row]), self.width)
                if self.buckets[place] & LARGEST < self.buckets[at] & LARGEST:
                    at = place
        if kept > self.buckets[at] & LARGEST:
            self.buckets[at] = (mixed_word(hash + self.constants[0]) & 0xFFFF) << COUNT_BITS | kept
            self.used = True

    cdef bint agrees_with(self, HeavyKeeper other) noexcept nogil:
        return (self.width == other.width and self.depth == other.depth and self.base == other.base
                and self.seed == other.seed)

    cdef void combine_with(self, HeavyKeeper other) noexcept nogil:
        cdef uint64_t mine, theirs, count
        cdef uint32_t at
        for at in range(self.width * self.depth if other.used else 0):
            mine = self.buckets[at]
            theirs = other.buckets[at]
            if mine >> COUNT_BITS == theirs >> COUNT_BITS:
                count = (mine & LARGEST) + (theirs & LARGEST)
                self.buckets[at] = mine >> COUNT_BITS << COUNT_BITS | (count if count < LARGEST else LARGEST)
            elif theirs & LARGEST > mine & LARGEST or (theirs & LARGEST == mine & LARGEST and theirs > mine):
                self.buckets[at] = theirs
        self.used = self.used or other.used
        self.add_weights(other.weight, other.updates)

    cdef void add_weights(self, uint64_t weight, uint64_t updates) noexcept nogil:
        self.weight += weight
        self.updates += updates
        if self.weight >= FULL_SUM or self.updates >= FULL_SUM:
            self.weight >>= 1
            self.updates = self.updates >> 1 if self.updates > 1 else 1

    cdef void clip_to(self, int64_t most) noexcept nogil:
        cdef uint32_t at
        most = max(most, 0)         # a cell from before the cube ranked its cells may be below
        for at in range(self.width * self.depth):
            if self.buckets[at] & LARGEST > <uint64_t> most:
                self.buckets[at] = self.buckets[at] >> COUNT_BITS << COUNT_BITS | <uint64_t> most if most > 0 else 0

    cdef void empty(self) noexcept nogil:
        if self.used:       # else they are empty: of a thousand cubes most have nothing to clear
            memset(self.buckets, 0, self.width * self.depth * sizeof(uint64_t))
        if self.updates > 0:
            self.weight = <uint64_t> self._unit()
            self.updates = 1
        self.used = False

    cdef int64_t _unit(self) noexcept nogil:
        cdef uint64_t unit = (self.weight + self.updates // 2) // self.updates if self.updates > 0 else 1
        return <int64_t> unit if unit > 0 else 1

    cdef uint64_t _random(self) noexcept nogil:
        cdef uint64_t state = self.state
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        self.state = state
        return state * 0x2545F4914F6CDD1Du

    cdef void _decay(self, uint64_t *bucket, uint64_t fingerprint, int64_t weight) noexcept nogil:
        """Let an update of another key decay a bucket."""
        cdef int64_t unit = self._unit()
        cdef int64_t trials = weight // unit
        cdef int64_t rest = weight - trials * unit
        cdef int64_t count = <int64_t> (bucket[0] & LARGEST)
        cdef int64_t done = 0
        cdef int64_t next_one
        if rest != 0 and high_product(self._random(), <uint64_t> unit) < <uint64_t> rest:
            trials += 1
        next_one = self._next_success(count // unit, trials)
        while next_one > 0:
            done += next_one
            if count <= unit:
                count = weight - (done - 1) * unit
                bucket[0] = fingerprint << COUNT_BITS | (<uint64_t> count if <uint64_t> count < LARGEST else LARGEST)
                return
            count -= unit
            next_one = self._next_success(count // unit, trials - done)
        bucket[0] = bucket[0] >> COUNT_BITS << COUNT_BITS | <uint64_t> count

    cdef int64_t _next_success(self, int64_t units, int64_t trials) noexcept nogil:
        """Which of the next trials is the first to succeed against so many units, from 1; 0 when none does."""
        cdef double failed
        if trials == 0 or units >= self.most_units:
            return 0
        if trials == 1:
            return self._random() >> 1 < self.thresholds[units]
        failed = log(<double> ((self._random() >> 11) + 1) * (1.0 / 9007199254740992.0)) / self.failures[units]
        return <int64_t> failed + 1 if failed < <double> trials else 0


cdef class TopK(Sampler):
    """Keeps the cells with the largest counts; every count is at most the truth, but for equal fingerprints.

    A cell that came late begins with what the sketch held of its key: that is `inherited`, the rest of its value is
    exact. It is never more than the value, which a merge with a cell below 0 may have lessened.
    """

    def __cinit__(self, most, width=0, depth=3, base=1.08, seed=0):
        self.kind = "topk"
        self.most = most
        self.sketch = HeavyKeeper(width or default_width(most), depth, base, seed)

    def __dealloc__(self):
        free(self.parts)

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room > self.room and grow(<void **> &self.parts, room * sizeof(int64_t)) < 0:
            return -1
        return Sampler.reserve(self, room)

    cdef int64_t taken(self, uint64_t hash) noexcept nogil:
        return self.sketch.take_all(hash)

    cdef void entered(self, uint32_t slot, int64_t inherited) noexcept nogil:
        """A cell is in this slot now. The one that fills the cube clips the sketch: a larger count is a stranger's."""
        cdef uint32_t before = self.residents
        self.parts[slot] = min(inherited, max(self.rank(slot), 0))
        self._settle(slot)
        if self.residents > before and self.residents == self.most:
            self._clip()

    cdef bint offer(self, uint64_t hash, int64_t amount, uint64_t item) noexcept nogil:
        cdef int64_t have
        if amount <= 0:
            return False
        have = self.sketch.add_update(hash, amount, (<int64_t *> self.values[0])[self.heap[0]])
        self.estimate = have - amount
        return have > 0

    cdef void write_back(self, uint32_t slot) noexcept nogil:
        self.sketch.put_count(self.hashes[0][slot], (<int64_t *> self.values[0])[slot])

    cdef void put_in(self, uint64_t hash, const void *value) noexcept nogil:
        self.sketch.put_count(hash, (<const int64_t *> value)[0])

    cdef int64_t inherited(self, uint32_t slot) noexcept nogil:
        return self.parts[slot]

    cdef void clear(self) noexcept nogil:
        self.forget_residents()
        self.sketch.empty()

    cdef uint64_t bytes(self) noexcept nogil:
        return (sizeof(uint64_t) * self.sketch.width * self.sketch.depth + sizeof(int64_t) * <uint64_t> self.room
                + Sampler.bytes(self))

    cdef int meet(self, Sampler other) except -1:
        cdef TopK met = other
        self.theirs = met.sketch.copy() if self.sketch.agrees_with(met.sketch) else None
        self.skipped += met.skipped + (self.theirs is None)
        return 0

    cdef int64_t known_there(self, uint64_t hash) noexcept nogil:
        return self.theirs.take_all(hash) if self.theirs is not None else 0

    cdef void combine(self) noexcept nogil:
        if self.theirs is not None:
            self.sketch.combine_with(self.theirs)

    cdef int part(self) except -1:
        self.theirs = None
        if self.residents >= self.most:
            self._clip()
        return 0

    cdef void _clip(self) noexcept nogil:
        if self.sketch.used and self.residents > 0:
            self.sketch.clip_to(self.rank(self.heap[0]))
