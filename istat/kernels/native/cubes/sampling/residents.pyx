# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which cells a full cube keeps: the residents, in a min-heap. Knows no sketch and no metric.

What `TopK` and `TopCardinality` share; residents.pxd tells in which order a cube asks. The specification is the Python
twin.
"""
from libc.stdlib cimport free
from libc.string cimport memset

from istat.kernels.native.cubes.inner.table cimport grow

GOLDEN = 0x9E3779B97F4A7C15
MOST_DEPTH = 8              # rows of a sketch
MOST_BUCKETS = 1 << 24      # of a sketch: what a file may ask for


def mixed(uint64_t word):
    """A 64-bit word with all bits depending on all others (MurmurHash3's last step)."""
    return mixed_word(word)


def row_constants(depth, seed):
    """A constant for each row. The rows' hashes are mixed each: rows that are multiples of one value hit together."""
    return [mixed(seed + (row + 1) * GOLDEN & 0xFFFFFFFFFFFFFFFF) for row in range(depth)]


def checked_shape(width, depth, seed):
    """ValueError when no sketch has this shape."""
    if not 1 <= depth <= MOST_DEPTH:
        raise ValueError(f"a sketch has 1 to {MOST_DEPTH} rows, not {depth}")
    if not 1 <= width <= MOST_BUCKETS // depth:
        raise ValueError(f"a sketch has 1 to {MOST_BUCKETS} buckets in all, not {depth} rows of {width}")
    if not 0 <= seed <= 0xFFFFFFFFFFFFFFFF:
        raise ValueError(f"a seed has 64 bits and no sign, not {seed}")


cdef class Sampler:
    """A min-heap of residents by rank; equal ranks by the key's hash, so that no order depends on slots."""

    def __dealloc__(self):
        free(self.heap)
        free(self.position)

    cdef void watch(self, uint64_t **hashes, void **values, int layout) noexcept nogil:
        """Where the cube has its keys' hashes and the values that cells are ranked by."""
        self.hashes = hashes
        self.values = values
        self.layout = layout

    cdef int reserve(self, uint32_t room) noexcept nogil:
        """Memory for so many slots; -1 when there is none."""
        if room <= self.room:
            return 0
        if (grow(<void **> &self.heap, room * sizeof(uint32_t)) < 0 or
                grow(<void **> &self.position, room * sizeof(uint32_t)) < 0):
            return -1
        memset(self.position + self.room, 0, (room - self.room) * sizeof(uint32_t))
        self.room = room
        return 0

    cdef int64_t rank(self, uint32_t slot) noexcept nogil:
        if self.ranks == NULL:
            return (<int64_t *> self.values[0])[slot]
        return self.ranks[slot]

    cdef uint32_t lowest(self) noexcept nogil:
        return self.heap[0]

    cdef void forget_residents(self) noexcept nogil:
        cdef uint32_t i
        for i in range(self.residents):
            self.position[self.heap[i]] = 0
        self.residents = 0

    cdef bint _lower(self, uint32_t one, uint32_t other) noexcept nogil:
        cdef int64_t rank, other_rank
        if self.ranks == NULL:
            rank = (<int64_t *> self.values[0])[one]
            other_rank = (<int64_t *> self.values[0])[other]
        else:
            rank = self.ranks[one]
            other_rank = self.ranks[other]
        if rank != other_rank:
            return rank < other_rank
        return self.hashes[0][one] < self.hashes[0][other]

    cdef void _settle(self, uint32_t slot) noexcept nogil:
        """Bring a slot to its place, whether it was in the heap or not."""
        cdef uint32_t at, above
        if self.position[slot] == 0:
            self.heap[self.residents] = slot
            self.residents += 1
            self.position[slot] = self.residents
        at = self.position[slot] - 1
        while at > 0:
            above = (at - 1) >> 1
            if not self._lower(slot, self.heap[above]):
                break
            self.heap[at] = self.heap[above]
            self.position[self.heap[at]] = at + 1
            at = above
        self.heap[at] = slot
        self.position[slot] = at + 1
        self._down(at)

    cdef void _down(self, uint32_t at) noexcept nogil:
        """Let the slot at this place sink below those that are lower."""
        cdef uint32_t slot = self.heap[at]
        cdef uint32_t below
        while True:
            below = 2 * at + 1
            if below >= self.residents:
                break
            if below + 1 < self.residents and self._lower(self.heap[below + 1], self.heap[below]):
                below += 1
            if not self._lower(self.heap[below], slot):
                break
            self.heap[at] = self.heap[below]
            self.position[self.heap[at]] = at + 1
            at = below
        self.heap[at] = slot
        self.position[slot] = at + 1

    # What follows is the sketch's business.

    cdef int64_t taken(self, uint64_t hash) noexcept nogil:
        return 0

    cdef void entered(self, uint32_t slot, int64_t inherited) noexcept nogil:
        self._settle(slot)

    cdef void rose(self, uint32_t slot, int before, int now) noexcept nogil:
        self._down(self.position[slot] - 1)

    cdef bint offer(self, uint64_t hash, int64_t amount, uint64_t item) noexcept nogil:
        return False

    cdef void write_back(self, uint32_t slot) noexcept nogil:
        pass

    cdef void put_in(self, uint64_t hash, const void *value) noexcept nogil:
        pass

    cdef int64_t inherited(self, uint32_t slot) noexcept nogil:
        return 0

    cdef void clear(self) noexcept nogil:
        self.forget_residents()

    cdef uint64_t bytes(self) noexcept nogil:
        return 2 * sizeof(uint32_t) * <uint64_t> self.room

    cdef int meet(self, Sampler other) except -1:
        return 0

    cdef int64_t known_there(self, uint64_t hash) noexcept nogil:
        return 0

    cdef void combine(self) noexcept nogil:
        pass

    cdef int part(self) except -1:
        return 0
