# Which cells a full cube keeps: the seam between a cube's data (core) and a sketch of the keys that have no cell.
#
# A sampler knows keys by their hashes alone, and of the metrics nothing but where the values are that cells are ranked by.
# It keeps its residents, the cells that there are, in a min-heap. For an update of the primary metric core asks it:
#
#     cell is resident      the metric takes the update, then `rose`
#     room for a cell       the cell is made, its counter begins with what `taken` gave; it takes the update, then `entered`
#     full                  `offer`. When it says yes, the cell of `lowest` goes: `write_back` of it, then its key and values are
#                           replaced: a counter begins with `estimate`, an HLL empty. It takes the update, then `entered` (of
#                           the same slot; what an HLL rose by is not told again)
#
# Two of a kind are merged so:
#
#     `meet`                a copy of the other's sketch, as far as the two agree
#     cells of both sides   the metrics merge
#     of this side alone    `known_there` comes on top: of a counter's value, or as its floor
#     all cells             `entered` again
#     of the other alone    what `taken` gives comes on top: of its value, or as its floor
#     `combine`             the sketches
#     of the other alone    the highest first: while there is room, or when it ranks above `lowest`, it gets a cell as above;
#                           else `put_in`
#     `part`                the copy goes
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t istat_high_product(uint64_t a, uint64_t b) {
        return (uint64_t) ((__uint128_t) a * b >> 64);
    }
    """
    uint64_t high_product "istat_high_product"(uint64_t a, uint64_t b) noexcept nogil

cdef inline uint64_t mixed_word(uint64_t word) noexcept nogil:
    """All bits depend on all others."""
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCDu
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53u
    return word ^ word >> 33

cdef inline uint32_t bucket_of(uint64_t mixed, uint32_t width) noexcept nogil:
    """Of a row, by the mixed sum of a key's hash and the row's constant."""
    return <uint32_t> ((mixed >> 32) * width >> 32)

cdef class Sampler:
    cdef readonly str kind          # "topk" or "cardinality"
    cdef uint64_t **hashes          # address of core's array of keys' hashes by slot: it moves as it grows
    cdef void **values              # the same of what cells are ranked by: int64_t counts, or hll_t sketches
    cdef int layout                 # of these sketches
    cdef uint32_t *ranks            # by slot, [items]; NULL: the counts are the ranks
    cdef uint32_t *heap             # slots, the lowest first
    cdef uint32_t *position         # by slot: 1 + where in the heap it is, or 0
    cdef uint32_t residents         # slots in the heap
    cdef uint32_t room              # slots that the arrays have memory for
    cdef public uint32_t most       # cells that the cube may have
    cdef readonly int64_t estimate  # of the last key that `offer` admitted: what its counter begins with, or its floor
    cdef readonly uint64_t skipped  # merges in which the sketches did not agree
    cdef void watch(self, uint64_t **hashes, void **values, int layout) noexcept nogil
    cdef int reserve(self, uint32_t room) noexcept nogil                            # 0, or -1: no memory
    cdef int64_t taken(self, uint64_t hash) noexcept nogil                          # what the sketch holds for a key, and forgets
    cdef void entered(self, uint32_t slot, int64_t inherited) noexcept nogil        # its value and hash are there already
    cdef void rose(self, uint32_t slot, int before, int now) noexcept nogil         # before, now: of an HLL's register, as hll_add_ranks gives them
    cdef bint offer(self, uint64_t hash, int64_t amount, uint64_t item) noexcept nogil
    cdef void write_back(self, uint32_t slot) noexcept nogil                        # value and hash are still there
    cdef void put_in(self, uint64_t hash, const void *value) noexcept nogil         # a count or an hll_t that got no cell
    cdef uint32_t lowest(self) noexcept nogil                                       # of at least one resident
    cdef int64_t rank(self, uint32_t slot) noexcept nogil
    cdef int64_t inherited(self, uint32_t slot) noexcept nogil                      # of a count; of an HLL its floor
    cdef void forget_residents(self) noexcept nogil                                 # the sketch stays: slots will be renumbered
    cdef void clear(self) noexcept nogil                                            # as new
    cdef uint64_t bytes(self) noexcept nogil
    cdef int meet(self, Sampler other) except -1                                    # MemoryError
    cdef int64_t known_there(self, uint64_t hash) noexcept nogil
    cdef void combine(self) noexcept nogil
    cdef int part(self) except -1
    cdef bint _lower(self, uint32_t one, uint32_t other) noexcept nogil
    cdef void _settle(self, uint32_t slot) noexcept nogil
    cdef void _down(self, uint32_t at) noexcept nogil
