# Keys to slots.
#
# Struct of arrays. Slots in use are dense, 0 <= slot < count; an evicted cell's slot goes to the new one at once, so that
# there are never holes. An array may move whenever a cell is added: keep no pointers into it over an `add_key`.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.inner.arena cimport arena_t

cpdef enum:
    MOST_PROBES = 128           # of a look-up; see `add_key`
    LATE = 1                    # marks of a cell: admitted after the cube was full,
    TOUCHED = 2                 # updated since it was made or since the last reset,
    OVERFLOW = 4                # takes what refused cells would have got; not found by its key
    NOT_FOUND = -1              # instead of a slot
    REFUSED = -2                # there is no room for one more cell, or no probe found a free place
    NO_MEMORY = -3

cdef extern from *:
    """
    #define istat_prefetch(place) __builtin_prefetch(place)
    """
    void istat_prefetch(const void *place) noexcept nogil

# The room to reserve so that one more slot than so many has some. Doubled while it is small; later what would be idle is
# more than the time is worth: large arrays grow without being copied.
cdef inline uint32_t roomier(uint32_t count, uint32_t room) noexcept nogil:
    if count < room:
        return room
    return max(room * 2, <uint32_t> 4) if room < 8192 else room + room // 8

# Make an allocation as large as that; 0 or NO_MEMORY.
cdef int grow(void **place, uint64_t size) noexcept nogil

cdef class Cells:
    cdef uint32_t *table                    # slot + 1; 0 is free. Linear probing, at most half full
    cdef uint32_t mask                      # size of the table - 1; 0: none yet
    cdef uint64_t *hashes                   # per slot: XXH64 of the key
    cdef uint64_t *places                   # of the key in the arena << 16 | its size
    cdef uint32_t *generations              # rises when the slot changes owner; outlives `clear`
    cdef uint64_t *born                     # order of insertion
    cdef uint8_t *marks
    cdef uint32_t count                     # slots in use, the overflow cell's with them
    cdef uint32_t room                      # slots that the arrays have memory for
    cdef public uint32_t most               # cells allowed, the overflow cell not counted
    cdef readonly int64_t overflow          # slot of the overflow cell, or NOT_FOUND
    cdef uint64_t next_born
    cdef readonly uint64_t changes          # rises when a slot changes owner: what was looked up before is stale
    cdef arena_t arena                      # the keys' bytes
    cdef int64_t find_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil    # slot or NOT_FOUND
    cdef int64_t add_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil     # of a new key; slot, REFUSED, NO_MEMORY
    cdef int prepare(self, uint32_t size, uint64_t hash) noexcept nogil     # whether a new key can replace another: 0, REFUSED, NO_MEMORY
    cdef void replace_key(self, uint32_t slot, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil     # after `prepare`
    cdef int64_t add_overflow(self, const uint8_t *key, uint32_t size) noexcept nogil               # slot or NO_MEMORY
    cdef bint is_full(self) noexcept nogil
    cdef uint32_t residents(self) noexcept nogil                    # cells in use without the overflow cell
    cdef const uint8_t *key_at(self, uint32_t slot) noexcept nogil  # its size: `key_size`
    cdef uint32_t key_size(self, uint32_t slot) noexcept nogil
    cdef int reserve(self, uint32_t room) noexcept nogil            # 0 or NO_MEMORY
    cdef void keep_slots(self, const uint32_t *slots, uint32_t count) noexcept nogil    # these only, ascending: they become 0, 1, ...
    cdef void empty(self) noexcept nogil                            # no cells; memory and generations stay
    cdef uint32_t *listed(self) noexcept nogil                      # slots by insertion without the overflow cell, malloc'ed; NULL: no memory
    cdef uint64_t bytes(self) noexcept nogil                        # memory held
    cdef void _take_slot(self, uint32_t slot, int64_t place, uint64_t hash) noexcept nogil
    cdef void _settle(self, uint32_t slot) noexcept nogil
    cdef int64_t _free_place(self, uint64_t hash) noexcept nogil
    cdef int _grow_table(self) noexcept nogil
    cdef int _make_table(self, uint64_t size) noexcept nogil
    cdef void _unlist(self, uint32_t slot) noexcept nogil

cdef inline void foresee(Cells cells, const uint64_t *hashes, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    """Of n hashes that are looked up in turn, have what those behind the i-th lead to on its way to the cache: first their
    places in the table, then what lies about the slot there, then its key. The table is not empty."""
    cdef uint32_t slot
    if i + 24 < n:
        istat_prefetch(&cells.table[<uint32_t> hashes[i + 24] & cells.mask])
    if i + 16 < n:
        slot = cells.table[<uint32_t> hashes[i + 16] & cells.mask]
        if slot:
            istat_prefetch(&cells.hashes[slot - 1])
            istat_prefetch(&cells.places[slot - 1])
            istat_prefetch(&cells.marks[slot - 1])
    if i + 8 < n:
        slot = cells.table[<uint32_t> hashes[i + 8] & cells.mask]
        if slot:
            istat_prefetch(cells.arena.bytes + (cells.places[slot - 1] >> 16))
