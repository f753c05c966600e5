# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Top-cardinality: the cells with the most distinct items, and a SpreadSketch of the keys that have none.

Knows no metric but the HyperLogLog sketches that cells are ranked by. The specification is the Python twin, which tells
what an update does and how bits are made.
"""
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from istat.kernels.native.cubes.hll cimport (
    COUPONS,
    HLL_DENSE,
    HLL_SPARSE,
    PRECISION,
    entry_of,
    folded,
    hll_clear,
    hll_merge,
    hll_registers,
    hll_sums,
)
from istat.kernels.native.cubes.inner.table cimport grow
from istat.kernels.native.cubes.sampling.estimates cimport estimated, expected, inverse_of, raise_all, sum_of
from istat.kernels.native.cubes.sampling.residents cimport bucket_of, mixed_word

from istat.kernels.native.cubes.sampling.residents import checked_shape, row_constants

cdef extern from *:
    """
    #include <stdint.h>
    static inline int istat_level(uint64_t pair) { return pair ? __builtin_ctzll(pair) + 1 : 65; }
    static inline int istat_rank(uint64_t rest, int bits) {     /* zeros before the first one, + 1 */
        rest = rest << (64 - bits);
        return rest ? __builtin_clzll(rest) + 1 : bits + 1;
    }
    """
    int istat_level(uint64_t pair) noexcept nogil
    int istat_rank(uint64_t rest, int bits) noexcept nogil

cdef double CAUTION = 0.25          # taken off an estimate, of what its error comes from: see the twin
cdef enum:
    HALVINGS = 16                   # of the range in which the estimate is searched
cdef uint32_t MOST_RANK = 0xFFFFFFFF
cdef uint32_t UNKNOWN = 0xFFFFFFFF
cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15u


def default_width(most):
    """Buckets a row for so many cells."""
    return min(4 * most, most + 50)


cdef class SpreadSketch:
    """`depth` rows of `width` buckets. `coupons`: items are hashed as DataSketches does it."""

    def __cinit__(self, width, depth=3, seed=0, coupons=False):
        cdef size_t buckets
        checked_shape(width, depth, seed)
        self.width, self.depth, self.seed, self.coupons = width, depth, seed, coupons
        self.layout = BUCKET_PRECISION | (COUPONS if coupons else 0)
        buckets = <size_t> self.width * self.depth
        self.levels = <uint8_t *> calloc(buckets, 1)
        self.candidates = <uint64_t *> calloc(buckets, sizeof(uint64_t))
        self.registers = <uint8_t *> calloc(buckets, REGISTERS)
        self.seen = <uint8_t *> calloc(SEEN, 1)
        if self.levels == NULL or self.candidates == NULL or self.registers == NULL or self.seen == NULL:
            raise MemoryError("no memory for a sketch")
        for row, constant in enumerate(row_constants(depth, seed)):
            self.constants[<int> row] = constant
        self._sum_seen()

    def __dealloc__(self):
        free(self.levels)
        free(self.candidates)
        free(self.registers)
        free(self.seen)

    @property
    def used(self):
        """Whether anything was seen."""
        return self.zeros < SEEN

    @property
    def noise(self):
        """[pairs] What other keys have put into a bucket on average."""
        return self._noise()

    @property
    def state(self):
        """Levels, candidates, registers and what was seen: what `load` takes."""
        cdef size_t buckets = <size_t> self.width * self.depth
        return (<bytes> self.levels[:buckets], [self.candidates[at] for at in range(buckets)],
                <bytes> self.registers[:REGISTERS * buckets], <bytes> self.seen[:SEEN])

    def add(self, uint64_t hash, uint64_t item):
        """One item of a key: whether the key is the candidate of a bucket that changed."""
        return self.add_item(hash, item)

    def estimate(self, uint64_t hash, int64_t above):
        """[items] A key's, if that is more than `above`; else 0."""
        return self.estimate_of(hash, above)

    def is_candidate(self, uint64_t hash):
        """Whether a key is the candidate of one of its buckets."""
        return self.has_candidate(hash)

    def withdraw(self, uint64_t hash):
        """The key is no candidate any more; its items stay."""
        self.withdraw_key(hash)

    def put(self, uint64_t hash, bytes registers not None):
        """Items of a key, as registers."""
        if len(registers) != REGISTERS:
            raise ValueError(f"a bucket has {REGISTERS} registers, not {len(registers)}")
        self.put_registers(hash, <const uint8_t *> PyBytes_AS_STRING(registers))

    def agrees(self, SpreadSketch other not None):
        """Whether the two can be merged."""
        return self.agrees_with(other)

    def copy(self):
        """An equal one."""
        cdef SpreadSketch made = SpreadSketch(self.width, self.depth, self.seed, self.coupons)
        cdef size_t buckets = <size_t> self.width * self.depth
        memcpy(made.levels, self.levels, buckets)
        memcpy(made.candidates, self.candidates, buckets * sizeof(uint64_t))
        memcpy(made.registers, self.registers, buckets * REGISTERS)
        memcpy(made.seen, self.seen, SEEN)
        made._sum_seen()
        return made

    def combine(self, SpreadSketch other not None):
        """Add an agreeing sketch: the larger of all registers, and the candidate of the higher level."""
        self.combine_with(other)

    def clear(self):
        """Empty buckets, no pairs seen."""
        self.empty()

    def load(self, bytes levels not None, candidates, bytes registers not None, bytes seen not None):
        """The state that another one had, row by row. ValueError when there can be no such one."""
        cdef size_t buckets = <size_t> self.width * self.depth
        cdef size_t at
        if (len(levels), len(candidates), len(registers), len(seen)) != (buckets, buckets, REGISTERS * buckets, SEEN):
            raise ValueError(f"that is no state of {self.depth} rows of {self.width} buckets")
        for at, candidate in enumerate(candidates):
            self.candidates[at] = candidate
        memcpy(self.levels, PyBytes_AS_STRING(levels), buckets)
        memcpy(self.registers, PyBytes_AS_STRING(registers), buckets * REGISTERS)
        memcpy(self.seen, PyBytes_AS_STRING(seen), SEEN)
        self._sum_seen()

    def memory(self):
        """[bytes] of the buckets and of the registers for all pairs."""
        return (9 + REGISTERS) * self.width * self.depth + SEEN

    cdef uint32_t _place(self, uint64_t hash, uint32_t row) noexcept nogil:
        return row * self.width + bucket_of(mixed_word(hash + self.constants[row]), self.width)

    cdef bint add_item(self, uint64_t hash, uint64_t item) noexcept nogil:
        cdef uint64_t pair = mixed_word(hash + item * GOLDEN)
        cdef int level = istat_level(pair)
        cdef uint32_t entry = folded(self.layout, entry_of(self.layout, item))
        cdef uint8_t rank = entry & 63
        cdef uint8_t *register
        cdef uint32_t row, at
        cdef bint changed, wanted = False
        self._see(pair)
        for row in range(self.depth):
            at = self._place(hash, row)
            register = self.registers + <size_t> at * REGISTERS + (entry >> 6)
            changed = register[0] < rank
            if changed:
                register[0] = rank
            if level > self.levels[at]:
                self.levels[at] = <uint8_t> level
                self.candidates[at] = hash
                wanted = True
            elif changed and self.candidates[at] == hash:
                wanted = True
        return wanted

    cdef int64_t estimate_of(self, uint64_t hash, int64_t above) noexcept nogil:
        """[items] A key's, if that is more than `above`; else 0."""
        cdef uint8_t least[REGISTERS]
        cdef double contents[8]
        cdef const uint8_t *ranks
        cdef double caution = CAUTION * (self._noise() + above)
        cdef double low = above + caution
        cdef double found, high, middle
        cdef uint32_t row, at, zeros
        for row in range(self.depth):
            ranks = self.registers + <size_t> self._place(hash, row) * REGISTERS
            for at in range(REGISTERS):
                least[at] = ranks[at] if row == 0 or ranks[at] < least[at] else least[at]
        found = sum_of(least, REGISTERS, &zeros)
        if estimated(REGISTERS, found, zeros) <= low:
            return 0                    # not even if all that the rows have in common were this key's
        for row in range(self.depth):
            middle = sum_of(self.registers + <size_t> self._place(hash, row) * REGISTERS, REGISTERS, &zeros)
            contents[row] = estimated(REGISTERS, middle, zeros)
            if row == 0 or contents[row] < high:
                high = contents[row]
        if high > MOST_RANK:
            high = MOST_RANK            # of registers that were read, which may tell anything
        if low >= high or expected(low, contents, self.depth, REGISTERS) <= found:
            return 0
        for at in range(HALVINGS):
            middle = (low + high) / 2
            if expected(middle, contents, self.depth, REGISTERS) > found:
                low = middle
            else:
                high = middle
        low -= caution
        return <int64_t> low if <int64_t> low > above else above + 1

    cdef void withdraw_key(self, uint64_t hash) noexcept nogil:
        cdef uint32_t row, at
        for row in range(self.depth):
            at = self._place(hash, row)
            if self.candidates[at] == hash:
                self.levels[at] = 0
                self.candidates[at] = 0

    cdef bint has_candidate(self, uint64_t hash) noexcept nogil:
        cdef uint32_t row, at
        for row in range(self.depth):
            at = self._place(hash, row)
            if self.levels[at] != 0 and self.candidates[at] == hash:
                return True
        return False

    cdef int64_t candidate_estimate(self, uint64_t hash) noexcept nogil:
        return self.estimate_of(hash, 0) if self.zeros < SEEN and self.has_candidate(hash) else 0

    cdef void put_registers(self, uint64_t hash, const uint8_t *registers) noexcept nogil:
        cdef uint32_t row
        for row in range(self.depth):
            raise_all(self.registers + <size_t> self._place(hash, row) * REGISTERS, registers, REGISTERS)

    cdef bint agrees_with(self, SpreadSketch other) noexcept nogil:
        return (self.width == other.width and self.depth == other.depth and self.seed == other.seed
                and self.coupons == other.coupons)

    cdef void combine_with(self, SpreadSketch other) noexcept nogil:
        cdef size_t at, buckets = <size_t> self.width * self.depth
        for at in range(buckets):
            if other.levels[at] > self.levels[at] or (other.levels[at] == self.levels[at]
                                                      and other.candidates[at] > self.candidates[at]):
                self.levels[at] = other.levels[at]
                self.candidates[at] = other.candidates[at]
        raise_all(self.registers, other.registers, buckets * REGISTERS)
        raise_all(self.seen, other.seen, SEEN)
        self._sum_seen()

    cdef void empty(self) noexcept nogil:
        cdef size_t buckets = <size_t> self.width * self.depth
        memset(self.levels, 0, buckets)
        memset(self.candidates, 0, buckets * sizeof(uint64_t))
        memset(self.registers, 0, buckets * REGISTERS)
        memset(self.seen, 0, SEEN)
        self._sum_seen()

    cdef void _see(self, uint64_t pair) noexcept nogil:
        cdef uint8_t *register = self.seen + (pair >> (64 - SEEN_PRECISION))
        cdef int rank = istat_rank(pair, 64 - SEEN_PRECISION)
        if rank > register[0]:
            self.inverse += inverse_of(rank) - inverse_of(register[0])
            self.zeros -= register[0] == 0
            register[0] = <uint8_t> rank

    cdef void _sum_seen(self) noexcept nogil:
        self.inverse = sum_of(self.seen, SEEN, &self.zeros)

    cdef double _noise(self) noexcept nogil:
        return estimated(SEEN, self.inverse, self.zeros) / self.width


cdef class TopCardinality(Sampler):
    """Keeps the cells with the most distinct items."""

    def __cinit__(self, most, width=0, depth=3, seed=0, coupons=False):
        self.kind = "cardinality"
        self.most = most
        self.sketch = SpreadSketch(width or default_width(most), depth, seed, coupons)

    def __dealloc__(self):
        free(self.floors)
        free(self.inverses)
        free(self.zeros)
        free(self.ranks)

    cdef int reserve(self, uint32_t room) noexcept nogil:
        if room > self.room and (grow(<void **> &self.floors, room * sizeof(uint32_t)) < 0 or
                                 grow(<void **> &self.inverses, room * sizeof(double)) < 0 or
                                 grow(<void **> &self.zeros, room * sizeof(uint32_t)) < 0 or
                                 grow(<void **> &self.ranks, room * sizeof(uint32_t)) < 0):
            return -1
        return Sampler.reserve(self, room)

    cdef int64_t taken(self, uint64_t hash) noexcept nogil:
        return self.sketch.candidate_estimate(hash)

    cdef void entered(self, uint32_t slot, int64_t inherited) noexcept nogil:
        """A cell is in this slot now, with this floor."""
        self.floors[slot] = <uint32_t> inherited if inherited < MOST_RANK else MOST_RANK
        self.zeros[slot] = UNKNOWN
        self._rank(slot, (<hll_t *> self.values[0]) + slot)
        self._settle(slot)

    cdef void rose(self, uint32_t slot, int before, int now) noexcept nogil:
        if self.zeros[slot] != UNKNOWN:
            if now <= before:
                return                  # the item was there already
            self.inverses[slot] += inverse_of(now) - inverse_of(before)
            self.zeros[slot] -= before == 0
        self._rank(slot, (<hll_t *> self.values[0]) + slot)
        self._down(self.position[slot] - 1)

    cdef bint offer(self, uint64_t hash, int64_t amount, uint64_t item) noexcept nogil:
        if not self.sketch.add_item(hash, item):
            return False
        self.estimate = self.sketch.estimate_of(hash, self.ranks[self.heap[0]])
        if self.estimate > 0:
            self.sketch.withdraw_key(hash)
        return self.estimate > 0

    cdef void write_back(self, uint32_t slot) noexcept nogil:
        self.put_in(self.hashes[0][slot], (<hll_t *> self.values[0]) + slot)

    cdef void put_in(self, uint64_t hash, const void *value) noexcept nogil:
        """Without memory for it, items are lost to the sketch, not to any cell."""
        cdef uint8_t registers[REGISTERS]
        cdef hll_t small
        memset(&small, 0, sizeof(small))
        if hll_merge(&small, self.sketch.layout, <const hll_t *> value, self.layout) >= 0:
            hll_registers(&small, self.sketch.layout, registers)
            self.sketch.put_registers(hash, registers)
        hll_clear(&small)

    cdef int64_t inherited(self, uint32_t slot) noexcept nogil:
        return self.floors[slot]

    cdef void clear(self) noexcept nogil:
        self.forget_residents()
        self.sketch.empty()

    cdef uint64_t bytes(self) noexcept nogil:
        return ((9 + REGISTERS) * <uint64_t> self.sketch.width * self.sketch.depth + SEEN
                + (3 * sizeof(uint32_t) + sizeof(double)) * <uint64_t> self.room + Sampler.bytes(self))

    cdef int meet(self, Sampler other) except -1:
        cdef TopCardinality met = other
        self.theirs = met.sketch.copy() if self.sketch.agrees_with(met.sketch) else None
        self.skipped += met.skipped + (self.theirs is None)
        return 0

    cdef int64_t known_there(self, uint64_t hash) noexcept nogil:
        return 0 if self.theirs is None else self.theirs.candidate_estimate(hash)

    cdef void combine(self) noexcept nogil:
        if self.theirs is not None:
            self.sketch.combine_with(self.theirs)

    cdef int part(self) except -1:
        self.theirs = None
        return 0

    cdef void _rank(self, uint32_t slot, const hll_t *own) noexcept nogil:
        """Rank a slot by its sketch and its floor."""
        cdef double found = 0
        cdef uint32_t rank
        if own.form == HLL_SPARSE:
            found = own.count
        elif own.form == HLL_DENSE:
            if self.zeros[slot] == UNKNOWN:
                hll_sums(own, self.layout, &self.inverses[slot], &self.zeros[slot])
            found = estimated(1u << (self.layout & PRECISION), self.inverses[slot], self.zeros[slot])
        rank = <uint32_t> (found + 0.5) if found + 0.5 < MOST_RANK else MOST_RANK
        self.ranks[slot] = rank if rank > self.floors[slot] else self.floors[slot]
