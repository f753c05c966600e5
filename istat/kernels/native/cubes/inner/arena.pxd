# Bytes of keys, in one piece of memory that may move. A place is where a key begins << 16 | its size.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    PLACE_BITS = 16
    PLACE_MASK = 0xFFFF

cdef struct arena_t:            # zero bytes: empty
    uint8_t *bytes
    uint64_t used
    uint64_t room
    uint64_t live               # bytes of the keys in use, as they are dealt out
    uint64_t *freed             # by size: 1 + where the first free piece is; that one leads to the next

# The place of a new key, or -1: no memory. `places` are those of all keys in use: they change when pieces are gathered up.
cdef int64_t arena_store(arena_t *arena, const uint8_t *key, uint32_t size, uint64_t *places, uint32_t count) noexcept nogil
# Room for a key, so that storing it cannot fail; 0 or -1.
cdef int arena_reserve(arena_t *arena, uint32_t size, uint64_t *places, uint32_t count) noexcept nogil
cdef void arena_drop(arena_t *arena, uint64_t place) noexcept nogil             # the key of a place is in use no more
cdef int arena_gather(arena_t *arena, uint64_t *places, uint32_t count) noexcept nogil     # keep these alone; 0 or -1
cdef void arena_clear(arena_t *arena) noexcept nogil                            # empty; the memory stays
cdef void arena_free(arena_t *arena) noexcept nogil
cdef uint64_t arena_bytes(const arena_t *arena) noexcept nogil                  # [bytes] held
