# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keys to slots. Knows no metrics, no sketches, no values of dimensions.

A table of 4-byte slot numbers, linear probing, at most half full, leads from a key's hash to its slot; the keys lie in
an arena whose freed pieces are used again. The hash is public, so that keys which collide can be made on purpose: what
finds no free place within 128 probes gets no cell, and no look-up takes longer than that. The specification is
`cells` of the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcmp, memcpy, memset

from istat.kernels.native.cubes.hashing cimport xxh64
from istat.kernels.native.cubes.inner.arena cimport (PLACE_BITS, PLACE_MASK, arena_bytes, arena_clear, arena_drop, arena_free,
                                                     arena_gather, arena_reserve, arena_store)

cdef enum:
    SMALLEST_TABLE = 8          # [places]

cdef struct birth_t:
    uint64_t born
    uint32_t slot


cdef int grow(void **place, uint64_t size) noexcept nogil:
    cdef void *grown = realloc(place[0], size)
    if grown == NULL:
        return NO_MEMORY
    place[0] = grown
    return 0


cdef int by_birth(const void *one, const void *other) noexcept nogil:
    cdef uint64_t first = (<const birth_t *> one).born
    cdef uint64_t second = (<const birth_t *> other).born
    return (first > second) - (first < second)


cdef int sort_slots(uint32_t *slots, uint32_t count, const uint64_t *born) noexcept nogil:
    cdef birth_t *births = <birth_t *> malloc((count + 1) * sizeof(birth_t))
    cdef uint32_t i
    if births == NULL:
        return NO_MEMORY
    for i in range(count):
        births[i].born = born[slots[i]]
        births[i].slot = slots[i]
    qsort(births, count, sizeof(birth_t), by_birth)
    for i in range(count):
        slots[i] = births[i].slot
    free(births)
    return 0


cdef class Cells:
    def __cinit__(self):
        self.overflow = NOT_FOUND
        self.most = 0xFFFFFFFE

    def __dealloc__(self):
        free(self.table)
        free(self.hashes)
        free(self.places)
        free(self.generations)
        free(self.born)
        free(self.marks)
        arena_free(&self.arena)

    cdef int64_t find_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil:
        cdef uint32_t at = <uint32_t> hash & self.mask
        cdef uint32_t slot
        cdef uint64_t place
        if self.mask == 0:
            return NOT_FOUND
        for _ in range(MOST_PROBES):
            slot = self.table[at]
            if slot == 0:
                return NOT_FOUND
            slot -= 1
            if self.hashes[slot] == hash:
                place = self.places[slot]
                if place & PLACE_MASK == size and memcmp(self.arena.bytes + (place >> PLACE_BITS), key, size) == 0:
                    return slot
            at = (at + 1) & self.mask
        return NOT_FOUND

    cdef int64_t _free_place(self, uint64_t hash) noexcept nogil:
        """Where the table takes one more key of this hash, or REFUSED."""
        cdef uint32_t at = <uint32_t> hash & self.mask
        for _ in range(MOST_PROBES):
            if self.table[at] == 0:
                return at
            at = (at + 1) & self.mask
        return REFUSED

    cdef int64_t add_key(self, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil:
        cdef int64_t at, place
        cdef uint32_t slot = self.count
        if self.is_full():
            return REFUSED
        if slot == self.room or self._grow_table() < 0:
            return NO_MEMORY
        at = self._free_place(hash)
        if at < 0:
            return REFUSED
        place = arena_store(&self.arena, key, size, self.places, self.count)
        if place < 0:
            return NO_MEMORY
        self.table[at] = slot + 1
        self._take_slot(slot, place, hash)
        self.count += 1
        return slot

    cdef void _take_slot(self, uint32_t slot, int64_t place, uint64_t hash) noexcept nogil:
        self.hashes[slot] = hash
        self.places[slot] = <uint64_t> place
        self.born[slot] = self.next_born
        self.marks[slot] = 0
        self.next_born += 1

    cdef void replace_key(self, uint32_t slot, const uint8_t *key, uint32_t size, uint64_t hash) noexcept nogil:
        cdef int64_t place = arena_store(&self.arena, key, size, self.places, self.count)
        self._unlist(slot)
        arena_drop(&self.arena, self.places[slot])
        self.table[self._free_place(hash)] = slot + 1
        self._take_slot(slot, place, hash)
        self.generations[slot] += 1
        self.changes += 1

    cdef int64_t add_overflow(self, const uint8_t *key, uint32_t size) noexcept nogil:
        cdef int64_t place
        if self.overflow >= 0:
            return self.overflow
        if self.count == self.room:
            return NO_MEMORY
        place = arena_store(&self.arena, key, size, self.places, self.count)
        if place < 0:
            return NO_MEMORY
        self.overflow = self.count
        self._take_slot(self.count, place, 0)
        self.marks[self.count] = OVERFLOW
        self.count += 1
        return self.overflow

    cdef bint is_full(self) noexcept nogil:
        return self.residents() >= self.most

    cdef int prepare(self, uint32_t size, uint64_t hash) noexcept nogil:
        if self._grow_table() < 0 or arena_reserve(&self.arena, size, self.places, self.count) < 0:
            return NO_MEMORY
        return 0 if self._free_place(hash) >= 0 else REFUSED

    cdef uint32_t residents(self) noexcept nogil:
        return self.count - (self.overflow >= 0)

    cdef const uint8_t *key_at(self, uint32_t slot) noexcept nogil:
        return self.arena.bytes + (self.places[slot] >> PLACE_BITS)

    cdef uint32_t key_size(self, uint32_t slot) noexcept nogil:
        return <uint32_t> (self.places[slot] & PLACE_MASK)

    cdef int reserve(self, uint32_t room) noexcept nogil:
        """Arrays for so many slots. Those that grew before one could not stay grown: `room` tells what all have."""
        cdef uint32_t *generations
        if room <= self.room:
            return 0
        if (grow(<void **> &self.hashes, room * sizeof(uint64_t)) < 0 or grow(<void **> &self.places, room * sizeof(uint64_t)) < 0
                or grow(<void **> &self.born, room * sizeof(uint64_t)) < 0 or grow(<void **> &self.marks, room) < 0
                or grow(<void **> &self.generations, room * sizeof(uint32_t)) < 0):
            return NO_MEMORY
        generations = self.generations + self.room
        memset(generations, 0, (room - self.room) * sizeof(uint32_t))
        self.room = room
        return 0

    cdef int _grow_table(self) noexcept nogil:
        """Have a table that one more key fills by half at most. 0 or NO_MEMORY."""
        cdef uint64_t size = <uint64_t> self.mask + 1 if self.mask else SMALLEST_TABLE
        if (<uint64_t> self.residents() + 1) * 2 > size:
            size *= 2
        elif self.mask:
            return 0
        return self._make_table(size)

    cdef int _make_table(self, uint64_t size) noexcept nogil:
        cdef uint32_t *made = <uint32_t *> calloc(size, sizeof(uint32_t))
        cdef uint32_t slot
        if made == NULL:
            return NO_MEMORY
        free(self.table)
        self.table = made
        self.mask = <uint32_t> (size - 1)
        for slot in range(self.count):
            if slot + 16 < self.count:
                istat_prefetch(&made[<uint32_t> self.hashes[slot + 16] & self.mask])
            if slot != self.overflow:
                self._settle(slot)
        return 0

    cdef void _settle(self, uint32_t slot) noexcept nogil:
        """Enter a slot into a table that is made anew.

        Who came further from its home stays, who is nearer moves on: the longest way is as short as any order of the keys
        would have it, so that no key that was found before needs more than 128 probes now.
        """
        cdef uint32_t at = <uint32_t> self.hashes[slot] & self.mask
        cdef uint32_t way = 0
        cdef uint32_t other, other_way
        while self.table[at]:
            other = self.table[at] - 1
            other_way = (at - <uint32_t> self.hashes[other]) & self.mask
            if other_way < way:
                self.table[at] = slot + 1
                slot = other
                way = other_way
            at = (at + 1) & self.mask
            way += 1
        self.table[at] = slot + 1

    cdef void _unlist(self, uint32_t slot) noexcept nogil:
        """Free a slot's place in the table; those behind it that it kept from their homes move up."""
        cdef uint32_t at = <uint32_t> self.hashes[slot] & self.mask
        cdef uint32_t next, home
        while self.table[at] != slot + 1:
            at = (at + 1) & self.mask
        next = at
        while True:
            next = (next + 1) & self.mask
            if self.table[next] == 0:
                break
            home = <uint32_t> self.hashes[self.table[next] - 1] & self.mask
            if ((next - home) & self.mask) >= ((next - at) & self.mask):
                self.table[at] = self.table[next]
                at = next
        self.table[at] = 0

    cdef void keep_slots(self, const uint32_t *slots, uint32_t count) noexcept nogil:
        cdef uint32_t i, slot
        cdef int64_t overflow = NOT_FOUND
        for i in range(count):
            slot = slots[i]
            if slot == self.overflow:
                overflow = i
            self.hashes[i] = self.hashes[slot]
            self.places[i] = self.places[slot]
            self.born[i] = self.born[slot]
            self.marks[i] = self.marks[slot]
        for i in range(self.count):
            self.generations[i] += 1
        self.count = count
        self.overflow = overflow
        self.changes += 1
        arena_gather(&self.arena, self.places, count)       # without memory for that, dropped keys stay where they are
        if self.mask:
            memset(self.table, 0, (<uint64_t> self.mask + 1) * sizeof(uint32_t))
        for i in range(count):
            if i != overflow:
                self._settle(i)

    cdef void empty(self) noexcept nogil:
        cdef uint32_t i
        if self.count == 0:
            return
        for i in range(self.count):
            self.generations[i] += 1
        if self.mask:               # without one there may be the overflow cell
            memset(self.table, 0, (<uint64_t> self.mask + 1) * sizeof(uint32_t))
        arena_clear(&self.arena)
        self.count = 0
        self.overflow = NOT_FOUND
        self.next_born = 0
        self.changes += 1

    cdef uint32_t *listed(self) noexcept nogil:
        """Slots are in order unless one changed its owner: then they are sorted."""
        cdef uint32_t *slots = <uint32_t *> malloc((<uint64_t> self.count + 1) * sizeof(uint32_t))
        cdef uint32_t i
        cdef uint32_t used = 0
        cdef bint sorted = True
        if slots == NULL:
            return NULL
        for i in range(self.count):
            if i == self.overflow:
                continue
            sorted = sorted and (used == 0 or self.born[slots[used - 1]] < self.born[i])
            slots[used] = i
            used += 1
        if not sorted and sort_slots(slots, used, self.born) < 0:
            free(slots)
            return NULL
        return slots

    cdef uint64_t bytes(self) noexcept nogil:
        cdef uint64_t held = self.room * <uint64_t> (3 * sizeof(uint64_t) + sizeof(uint32_t) + 1) + arena_bytes(&self.arena)
        if self.mask:
            held += (<uint64_t> self.mask + 1) * sizeof(uint32_t)
        return held

    # For tests, as the twin has it; the kernels call what is above.

    def __len__(self):
        """How many cells there are, without the overflow cell."""
        return self.residents()

    @property
    def full(self):
        """Whether there are as many cells as are allowed."""
        return self.is_full()

    @property
    def keys(self):
        """The keys by slot."""
        return [PyBytes_FromStringAndSize(<const char *> self.key_at(slot), self.key_size(slot)) for slot in range(self.count)]

    def in_order(self):
        """Slots by insertion, without the overflow cell."""
        cdef uint32_t *slots = self.listed()
        if slots == NULL:
            raise MemoryError("no memory for the order of cells")
        try:
            return [slots[i] for i in range(self.residents())]
        finally:
            free(slots)

    def find(self, bytes key not None):
        """The slot of a key, or NOT_FOUND."""
        return self.find_key(<const uint8_t *> PyBytes_AS_STRING(key), <uint32_t> PyBytes_GET_SIZE(key),
                             xxh64(<const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)))

    def add(self, bytes key not None):
        """The slot of a new key; REFUSED when there is no room, or no free place within so many probes."""
        cdef int64_t slot = self.reserve(roomier(self.count, self.room))
        if slot == 0:
            slot = self.add_key(<const uint8_t *> PyBytes_AS_STRING(key), <uint32_t> PyBytes_GET_SIZE(key),
                                xxh64(<const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)))
        if slot == NO_MEMORY:
            raise MemoryError("no memory for another cell")
        return slot
