# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Bytes of keys, in one piece of memory. Knows neither what they mean nor who finds them.

Memory is dealt out in multiples of 8 bytes. A piece that is given back serves the next key of its size. Keys of ever
other sizes would leave more and more pieces idle: before the arena grows for that, those in use are gathered up.
"""
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memset

from istat.kernels.native.cubes.keys cimport KEY_ROOM

cdef enum:
    PIECE_SIZES = KEY_ROOM // 8 + 1
    LEAST_ROOM = 128            # [bytes] 1000 cubes with a few cells each stay small
    LARGE = 65536               # [bytes] from here on it grows by a quarter: a doubled one would be half empty


cdef inline uint32_t piece(uint64_t size) noexcept nogil:
    """What a key takes: room for the link of a free piece at least."""
    return <uint32_t> ((size + 7) & ~<uint64_t> 7) if size else 8


cdef int arena_reserve(arena_t *arena, uint32_t size, uint64_t *places, uint32_t count) noexcept nogil:
    cdef uint32_t taken = piece(size)
    if (arena.freed != NULL and arena.freed[taken >> 3]) or arena.used + taken <= arena.room:
        return 0
    return make_room(arena, taken, places, count)


cdef int64_t arena_store(arena_t *arena, const uint8_t *key, uint32_t size, uint64_t *places, uint32_t count) noexcept nogil:
    cdef uint32_t taken = piece(size)
    cdef uint64_t at
    if arena_reserve(arena, size, places, count) < 0:
        return -1
    if arena.freed != NULL and arena.freed[taken >> 3]:
        at = arena.freed[taken >> 3] - 1
        memcpy(&arena.freed[taken >> 3], arena.bytes + at, sizeof(uint64_t))
    else:
        at = arena.used
        arena.used += taken
    memcpy(arena.bytes + at, key, size)
    arena.live += taken
    return <int64_t> (at << PLACE_BITS | size)


cdef int make_room(arena_t *arena, uint32_t taken, uint64_t *places, uint32_t count) noexcept nogil:
    cdef uint64_t room
    cdef void *grown
    if arena.used > arena.live * 2 + LEAST_ROOM and arena_gather(arena, places, count) < 0:
        return -1
    if arena.used + taken <= arena.room:
        return 0
    room = arena.room * 2 if arena.room < LARGE else arena.room + arena.room // 4
    room = max(room, max(arena.used + taken, <uint64_t> LEAST_ROOM))
    grown = realloc(arena.bytes, room)
    if grown == NULL:
        return -1
    arena.bytes = <uint8_t *> grown
    arena.room = room
    return 0


cdef void arena_drop(arena_t *arena, uint64_t place) noexcept nogil:
    cdef uint32_t taken = piece(place & PLACE_MASK)
    cdef uint64_t at = place >> PLACE_BITS
    arena.live -= taken
    if arena.freed == NULL:
        arena.freed = <uint64_t *> calloc(PIECE_SIZES, sizeof(uint64_t))
        if arena.freed == NULL:
            return                  # the piece lies idle until all are gathered up
    memcpy(arena.bytes + at, &arena.freed[taken >> 3], sizeof(uint64_t))
    arena.freed[taken >> 3] = at + 1


cdef int arena_gather(arena_t *arena, uint64_t *places, uint32_t count) noexcept nogil:
    cdef uint64_t live = 0
    cdef uint64_t used = 0
    cdef uint64_t room
    cdef uint64_t size
    cdef uint8_t *made
    cdef uint32_t i
    for i in range(count):
        live += piece(places[i] & PLACE_MASK)
    room = live + live // 4 + LEAST_ROOM
    made = <uint8_t *> malloc(room)
    if made == NULL:
        return -1
    for i in range(count):
        size = places[i] & PLACE_MASK
        memcpy(made + used, arena.bytes + (places[i] >> PLACE_BITS), size)
        places[i] = used << PLACE_BITS | size
        used += piece(size)
    arena_free(arena)
    arena.bytes = made
    arena.room = room
    arena.used = used
    arena.live = used
    return 0


cdef void arena_clear(arena_t *arena) noexcept nogil:
    arena.used = 0
    arena.live = 0
    if arena.freed != NULL:
        memset(arena.freed, 0, PIECE_SIZES * sizeof(uint64_t))


cdef void arena_free(arena_t *arena) noexcept nogil:
    free(arena.bytes)
    free(arena.freed)
    memset(arena, 0, sizeof(arena_t))


cdef uint64_t arena_bytes(const arena_t *arena) noexcept nogil:
    return arena.room + (PIECE_SIZES * sizeof(uint64_t) if arena.freed != NULL else 0)
