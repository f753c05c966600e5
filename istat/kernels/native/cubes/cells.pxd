# Keys to slots, and what metrics, samplers and the core share: the guard, handles. The seam for sampling is sampling/residents.pxd.
#
# Struct of arrays. Slots in use are dense, 0 <= slot < count; an evicted cell's slot goes to the new one at once, so that
# there are never holes. An array may move whenever a cell is added: keep no pointers into it over an `add_key`.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.sampling.residents cimport Sampler

cdef enum:
    MOST_PROBES = 128           # of a look-up; see `add_key`
    LATE = 1                    # marks of a cell: admitted after the cube was full,
    TOUCHED = 2                 # updated since it was made or since the last reset,
    OVERFLOW = 4                # takes what refused cells would have got; not found by its key
    NOT_FOUND = -1              # instead of a slot
    REFUSED = -2                # there is no room for one more cell, or no probe found a free place
    NO_MEMORY = -3

cdef class Guard:
    """One an instance, shared by its cores: busy flag, and the stamp of gauges that are set now."""
    cdef int busy
    cdef public int64_t tick                # [ns since 1970] set by the owner at interval edges
    cdef public uint64_t origin             # of the instance: breaks ties between gauges' stamps
    cdef int enter(self) except -1          # ConcurrentUse when somebody is in already
    cdef void leave(self) noexcept nogil

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
    cdef uint32_t most                      # cells allowed, the overflow cell not counted
    cdef int64_t overflow                   # slot of the overflow cell, or NOT_FOUND
    cdef uint64_t next_born
    cdef uint64_t changes                   # rises when a slot changes owner: what was looked up before is stale
    cdef uint8_t *arena
    cdef uint64_t arena_used
    cdef uint64_t arena_room
    cdef uint64_t arena_live                # bytes of keys of slots in use, as rounded
    cdef uint64_t *freed                    # per rounded size / 8: place + 1 of the first free piece, which leads to the next
    cdef int64_t find_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil    # slot or NOT_FOUND
    cdef int64_t add_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil     # of a new key; slot, REFUSED, NO_MEMORY
    cdef int replace_key(self, uint32_t slot, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil  # 0, REFUSED, NO_MEMORY
    cdef int64_t add_overflow(self, const uint8_t *key, uint32_t size) noexcept nogil               # slot or NO_MEMORY
    cdef bint full(self) noexcept nogil
    cdef uint32_t residents(self) noexcept nogil                    # cells in use without the overflow cell
    cdef const uint8_t *key(self, uint32_t slot) noexcept nogil     # its size: `key_size`
    cdef uint32_t key_size(self, uint32_t slot) noexcept nogil
    cdef int reserve(self, uint32_t room) noexcept nogil            # 0 or NO_MEMORY
    cdef int keep(self, const uint32_t *slots, uint32_t count) noexcept nogil   # these only, ascending; they become 0 .. count
    cdef void clear(self) noexcept nogil                            # no cells; memory and generations stay
    cdef uint32_t *in_order(self) noexcept nogil                    # slots by insertion without the overflow cell, malloc'ed; NULL: no memory
    cdef uint64_t bytes(self) noexcept nogil                        # memory held
    cdef int64_t _free_place(self, uint64_t hash) noexcept nogil
    cdef int _grow_table(self, uint32_t wanted) noexcept nogil
    cdef void _unlist(self, uint32_t slot) noexcept nogil
    cdef int64_t _store(self, const uint8_t *key, uint32_t size) noexcept nogil
    cdef void _unstore(self, uint64_t place) noexcept nogil
    cdef int _compact(self) noexcept nogil

cdef class CoreBase:
    """What a metric knows of the cube's data that it is a column of."""
    cdef Cells cells
    cdef readonly Guard guard
    cdef Sampler sampler                    # None in comprehensive mode
    cdef object primary                     # the metric that ranks cells, or None
    cdef readonly Py_ssize_t dimensions
    cdef bint saturated
    cdef int64_t slot_of(self, object key) except? -3                   # of a tuple or Cell, made when there is room; else REFUSED
    cdef int64_t slot_of_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil     # the same; or NO_MEMORY
    cdef int64_t admit(self, const uint8_t *key, uint32_t size, uint64_t hash,
                       int64_t amount, uint64_t item) noexcept nogil    # the same for a primary update of a key that is not resident

cdef class Cell:
    """Handle of a cell: finds it again by itself when it became stale."""
    cdef CoreBase core
    cdef readonly tuple key
    cdef bytes encoded
    cdef uint64_t hash
    cdef int64_t slot
    cdef uint32_t generation
