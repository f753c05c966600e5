# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Names to dense ids and back. Knows nothing of counters, routes, samples or search.

The text lies in an arena of chunks that several tables may share; a table holds an 8-byte reference for each
name, and 10 to 15 bytes of slots that find it. Nothing that a reference leads to ever moves, so that threads
can read names while the owner adds more. The specification is the Python twin.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **place, size_t alignment, size_t size)

cdef uint64_t NO_SLOTS[1]       # of a shard without names: its one slot is free for ever
NO_SLOTS[0] = 0
# Stands for every page whose ids are all gone. Nobody writes to it: what is gone never gets a name again.
cdef uint64_t GONE_PAGE[PAGE_MASK + 1]
for _at in range(PAGE_MASK + 1):
    GONE_PAGE[_at] = UNLISTED | GONE


cdef int enter(Directory *directory, void *entry) noexcept nogil:
    """Add an entry at the end; -1 when there is no memory."""
    cdef uint64_t room
    cdef void **grown
    if directory.used == directory.room:
        room = directory.room * 2 + 16
        grown = <void **> calloc(room, sizeof(void *))
        if grown == NULL or directory.outgrown_count == 48:
            free(grown)
            return -1
        if directory.used:
            memcpy(grown, directory.entries, directory.used * sizeof(void *))
            directory.outgrown[directory.outgrown_count] = directory.entries
            directory.outgrown_count += 1
        directory.entries = grown
        directory.room = room
    directory.entries[directory.used] = entry
    directory.used += 1
    return 0


cdef void empty(Directory *directory) noexcept nogil:
    cdef uint64_t i
    for i in range(directory.used):
        if directory.entries[i] != <void *> GONE_PAGE:
            free(directory.entries[i])
    for i in range(<uint64_t> directory.outgrown_count):
        free(directory.outgrown[i])
    free(directory.entries)


cdef class Arena:
    """Text in chunks that never move."""

    def __cinit__(self):
        self.chunk_used = CHUNK_MASK + 2        # more than a chunk holds: even an empty name needs a chunk

    def __dealloc__(self):
        empty(&self.directory)
        free(self.users)

    cdef void use(self, uint64_t place) noexcept nogil:
        """One more reference leads to this place."""
        self.users[place >> CHUNK_BITS] += 1

    cdef void unuse(self, uint64_t place) noexcept nogil:
        """One less does. A chunk that none leads to gives its memory back, unless it is still being filled."""
        cdef uint64_t chunk = place >> CHUNK_BITS
        self.users[chunk] -= 1
        if self.users[chunk] == 0 and chunk + 1 < self.directory.used:
            istat_give_back(self.chunks[chunk], 0, CHUNK_MASK + 1)
            self.freed += 1

    cdef int64_t put(self, const char *before, Py_ssize_t before_size, const char *text,
                     Py_ssize_t size) noexcept nogil:
        """Keep a text, and some bytes right before it: the place of the text, or NO_MEMORY."""
        cdef char *chunk = NULL
        cdef void *grown
        cdef int64_t place
        if self.chunk_used + before_size + size > CHUNK_MASK + 1:
            if self.directory.used == self.users_room:
                grown = realloc(self.users, (self.users_room * 2 + 64) * sizeof(uint32_t))
                if grown == NULL:
                    return NO_MEMORY
                self.users = <uint32_t *> grown
                self.users_room = self.users_room * 2 + 64
            if posix_memalign(<void **> &chunk, 4096, CHUNK_MASK + 1) != 0:
                return NO_MEMORY
            if enter(&self.directory, chunk) < 0:
                free(chunk)
                return NO_MEMORY
            self.users[self.directory.used - 1] = 0
            self.chunks = <char **> self.directory.entries
            self.chunk_used = self.directory.used == 1        # no text lies at place 0, so that no reference is 0
        chunk = self.chunks[self.directory.used - 1] + self.chunk_used
        memcpy(chunk, before, before_size)
        memcpy(chunk + before_size, text, size)
        place = <int64_t> ((self.directory.used - 1) << CHUNK_BITS | (self.chunk_used + before_size))
        self.chunk_used += before_size + size
        return place


cdef class NameTable:
    def __cinit__(self, uint64_t key=0, NameTable share=None):
        cdef int i
        self.key = key
        self.shares = share is not None
        self.arena = share.arena if share is not None else Arena()
        self.moved = []
        for i in range(1 << SHARD_BITS):
            self.shards[i].slots = NO_SLOTS
            self.shards[i].size = 1

    def __dealloc__(self):
        cdef int i
        for i in range(1 << SHARD_BITS):
            if self.shards[i].slots != NO_SLOTS:
                free(self.shards[i].slots)
        empty(&self.directory)
        empty(&self.given_back)
        free(self.forgotten)

    def __len__(self):
        return self.n

    cdef int64_t find_text(self, const char *name, Py_ssize_t size) noexcept nogil:
        return self.find_tag(<uint32_t> (istat_hash(self.key, name, size) >> 32), name, size)

    cdef void foresee(self, const char *name, Py_ssize_t size) noexcept nogil:
        """Have the slots of a name on their way to the cache, for a look at it a little later."""
        cdef uint32_t tag = <uint32_t> (istat_hash(self.key, name, size) >> 32)
        cdef Shard *shard = &self.shards[tag >> (32 - SHARD_BITS)]
        istat_prefetch(&shard.slots[home(tag, shard.size)])

    cdef int64_t find_tag(self, uint32_t tag, const char *name, Py_ssize_t size) noexcept nogil:
        cdef Shard *shard = &self.shards[tag >> (32 - SHARD_BITS)]
        cdef uint64_t at = home(tag, shard.size)
        cdef uint64_t slot
        cdef uint64_t ref
        while True:
            slot = shard.slots[at]
            if slot == 0:
                return -1
            if slot >> 32 == tag:
                ref = ref_at(self.pages, (slot & 0xFFFFFFFFu) - 1)
                if ref_size(ref) == size and memcmp(ref_text(self.arena.chunks, ref), name, size) == 0:
                    return <int64_t> (slot & 0xFFFFFFFFu) - 1
            at += 1
            if at == shard.size:
                at = 0

    cdef int64_t insert(self, const char *name, Py_ssize_t size, uint64_t ref, bint star) noexcept nogil:
        """The id of a new name, or EXISTS, NO_MEMORY, TOO_LONG. `ref` leads to its text when the arena has it already,
        else it is 0; `star` puts a `*` before the text, for a name that begins with one and is otherwise the same."""
        cdef int64_t place
        cdef uint32_t tag
        if size > NAME_ROOM:
            return TOO_LONG
        tag = <uint32_t> (istat_hash(self.key, name, size) >> 32)
        if self.find_tag(tag, name, size) >= 0:
            return EXISTS
        if self.make_page() < 0:
            return NO_MEMORY
        if ref == 0:
            place = self.arena.put(b"*", star, name, size)
            if place < 0:
                return NO_MEMORY
            ref = <uint64_t> place << 20 | <uint64_t> size
        self.pages[self.n >> PAGE_BITS][self.n & PAGE_MASK] = ref
        if self.put_slot(tag, self.n) < 0:
            return NO_MEMORY
        self.arena.use(ref >> 20)
        self.n += 1
        return <int64_t> self.n - 1

    cdef int make_page(self) noexcept nogil:
        """Room for the next reference. 0, or NO_MEMORY."""
        cdef uint64_t *page = NULL
        cdef void *grown
        if self.n == MOST_NAMES:
            return NO_MEMORY
        if self.n >> PAGE_BITS == self.directory.used:
            if self.directory.used == self.forgotten_room:
                grown = realloc(self.forgotten, (self.forgotten_room * 2 + 64) * sizeof(uint16_t))
                if grown == NULL:
                    return NO_MEMORY
                self.forgotten = <uint16_t *> grown
                self.forgotten_room = self.forgotten_room * 2 + 64
            if posix_memalign(<void **> &page, 4096, (PAGE_MASK + 1) * sizeof(uint64_t)) != 0:
                return NO_MEMORY
            if enter(&self.directory, page) < 0:
                free(page)
                return NO_MEMORY
            self.forgotten[self.directory.used - 1] = 0
            self.pages = <uint64_t **> self.directory.entries
        return 0

    cdef int64_t insert_unlisted(self, const char *text, Py_ssize_t size) noexcept nogil:
        """The next id, unlisted, or NO_MEMORY, TOO_LONG."""
        cdef int64_t place
        if size > NAME_ROOM:
            return TOO_LONG
        place = self.arena.put(b"", 0, text, size)
        if place < 0 or self.make_page() < 0:
            return NO_MEMORY
        self.pages[self.n >> PAGE_BITS][self.n & PAGE_MASK] = <uint64_t> place << 20 | UNLISTED | <uint64_t> size
        self.arena.use(<uint64_t> place)
        self.n += 1
        return <int64_t> self.n - 1

    cdef void mark_gone(self, uint32_t index) noexcept nogil:
        """An unlisted id is gone: segments made from now on are without it."""
        if not self.is_forgotten(index):
            self.pages[index >> PAGE_BITS][index & PAGE_MASK] |= GONE

    cdef void forget(self, uint32_t index) noexcept nogil:
        """Let go of the text of an unlisted id, for good."""
        cdef uint64_t ref = ref_at(self.pages, index)
        cdef uint64_t page = index >> PAGE_BITS
        cdef uint64_t first
        if self.is_forgotten(index) or not ref & UNLISTED:
            return
        if ref & MOVED:
            memcpy(&first, ref_text(self.arena.chunks, ref) - sizeof(first), sizeof(first))
            self.arena.unuse(first >> 20)
        self.arena.unuse(ref >> 20)
        self.pages[page][index & PAGE_MASK] = UNLISTED | GONE
        self.forgotten[page] += 1
        if self.forgotten[page] == PAGE_MASK + 1 and enter(&self.given_back, self.pages[page]) == 0:
            first = <uint64_t> self.pages[page]
            self.pages[page] = GONE_PAGE
            istat_give_back(<void *> first, 0, (PAGE_MASK + 1) * sizeof(uint64_t))

    cdef bint is_forgotten(self, uint64_t index) noexcept nogil:
        """Whether the text of an id was let go of."""
        return ref_at(self.pages, index) & ~<uint64_t> (UNLISTED | GONE | SKIPPED) == 0

    cdef bint page_gone(self, uint64_t page) noexcept nogil:
        """Whether all 4096 ids of a page are gone."""
        return self.pages[page] == GONE_PAGE

    def set_gone(self, uint32_t index):
        """An unlisted id is gone: segments made from now on are without it.

        ValueError when it is listed.
        """
        if index >= self.n or not self.is_unlisted(index):
            raise ValueError(f"the id {index} is listed")
        self.mark_gone(index)

    def forget_skipped(self, uint32_t first, uint32_t count):
        """Let go of the texts of those of these ids that are gone, and that the last segment over them was made without.

        How many; they tell an empty name from now on.
        """
        cdef uint64_t index
        cdef uint32_t found = 0
        cdef uint64_t stop = min(<uint64_t> first + count, <uint64_t> self.n)
        index = first
        while index < stop:
            if self.pages[index >> PAGE_BITS] == GONE_PAGE:
                index = (index | PAGE_MASK) + 1
                continue
            if ref_at(self.pages, index) & SKIPPED and not self.is_forgotten(index):
                self.forget(<uint32_t> index)
                found += 1
            index += 1
        return found

    cdef int unlist_id(self, uint32_t index) noexcept nogil:
        """As `unlist`: 0, or -1: the id is not listed."""
        if index >= self.n or self.is_unlisted(index):
            return -1
        self.drop_slot(index)
        self.pages[index >> PAGE_BITS][index & PAGE_MASK] |= UNLISTED
        return 0

    cdef bint is_unlisted(self, uint64_t index) noexcept nogil:
        return ref_at(self.pages, index) & UNLISTED != 0

    cdef int put_slot(self, uint32_t tag, uint64_t index) noexcept nogil:
        cdef Shard *shard = &self.shards[tag >> (32 - SHARD_BITS)]
        if (shard.used + 1) * 5 > shard.size * 4 and grow(shard) < 0:
            return -1
        place_slot(shard, <uint64_t> tag << 32 | (index + 1))
        shard.used += 1
        self.here += 1
        return 0

    cdef int drop_slot(self, uint64_t index) noexcept nogil:
        """Free the slot of an id; those behind it that it kept from their places move up. 0, or -1 when it has none."""
        cdef uint64_t ref = ref_at(self.pages, index)
        cdef uint32_t tag = <uint32_t> (istat_hash(self.key, ref_text(self.arena.chunks, ref), ref_size(ref)) >> 32)
        cdef Shard *shard = &self.shards[tag >> (32 - SHARD_BITS)]
        cdef uint64_t wanted = <uint64_t> tag << 32 | (index + 1)
        cdef uint64_t at = home(tag, shard.size)
        cdef uint64_t next
        cdef uint64_t slot
        cdef uint64_t off
        while shard.slots[at] != wanted:
            if shard.slots[at] == 0:
                return -1
            at = at + 1 if at + 1 < shard.size else 0
        next = at
        while True:
            next = next + 1 if next + 1 < shard.size else 0
            slot = shard.slots[next]
            if slot == 0:
                break
            # It may move to `at` unless its own place lies behind that one, up to where it is now.
            off = home(<uint32_t> (slot >> 32), shard.size)
            if (at < off <= next) if at < next else (off <= next or off > at):
                continue
            shard.slots[at] = slot
            at = next
        shard.slots[at] = 0
        shard.used -= 1
        self.here -= 1
        return 0

    cdef uint64_t ref_of(self, uint64_t other, const char *name, Py_ssize_t size) noexcept nogil:
        """A reference to `name` where the text of the reference `other`, and what lies before it, spells it; else 0."""
        cdef Py_ssize_t more = size - ref_size(other)
        if more < 0 or <uint64_t> more > (other >> 20 & CHUNK_MASK) or size > NAME_ROOM:
            return 0
        if memcmp(ref_text(self.arena.chunks, other) - more, name, size) != 0:
            return 0
        return (other >> 20) - <uint64_t> more << 20 | <uint64_t> size

    def find(self, bytes name not None):
        """The id of a name, or -1."""
        return self.find_text(name, len(name))

    def add(self, bytes name not None):
        """The id of a name, made now if it is new: the next dense integer. ValueError beyond 65,535 bytes."""
        cdef int64_t index = self.find_text(name, len(name))
        if index < 0:
            index = self.insert(name, len(name), 0, False)
            if index == TOO_LONG:
                raise ValueError(f"a name has at most {NAME_ROOM} bytes")
            if index < 0:
                raise MemoryError("no memory for another name")
        return index

    def name(self, uint32_t index):
        """The name of an id; of an unlisted one, the name that it had."""
        cdef uint64_t ref = self.ref(index)
        return ref_text(self.arena.chunks, ref)[:ref_size(ref)]

    cdef uint64_t ref(self, uint32_t index) except 0:
        if index >= self.n:
            raise IndexError(f"no name has the id {index}")
        return ref_at(self.pages, index)

    def add_unlisted(self, bytes text=b""):
        """The next id, unlisted; `text` is the name that it tells."""
        cdef int64_t index = self.insert_unlisted(text, len(text))
        if index < 0:
            raise MemoryError("no memory for another name")
        return index

    def unlist(self, uint32_t index):
        """Take an id off the list: its name is found no more, and may be given to another id; the id still tells it.
        ValueError when it is not listed."""
        if self.unlist_id(index) < 0:
            raise ValueError(f"the id {index} has no name here")

    def relist(self, uint32_t index, bytes name not None):
        """List an unlisted id under this name. ValueError when it is listed or gone, or another id has the name."""
        cdef uint64_t ref
        cdef uint64_t first
        cdef int64_t place
        if index >= self.n or self.has(index) or len(name) > NAME_ROOM or self.find_text(name, len(name)) >= 0:
            raise ValueError(f"the id {index} cannot be called {name!r}")
        ref = ref_at(self.pages, index) & ~<uint64_t> UNLISTED
        if ref & GONE:
            raise ValueError(f"the id {index} cannot be called {name!r}")
        if ref_size(ref) != len(name) or memcmp(ref_text(self.arena.chunks, ref), <const char *> name, len(name)) != 0:
            first = ref
            if ref & MOVED:
                memcpy(&first, ref_text(self.arena.chunks, ref) - sizeof(first), sizeof(first))
            place = self.arena.put(<char *> &first, sizeof(first), name, len(name))
            if place < 0:
                raise MemoryError("no memory for another name")
            if not ref & MOVED:
                self.moved.append(index)
            else:
                self.arena.unuse(ref >> 20)
            self.arena.use(<uint64_t> place)
            ref = <uint64_t> place << 20 | MOVED | <uint64_t> len(name)
        if self.put_slot(<uint32_t> (istat_hash(self.key, name, len(name)) >> 32), index) < 0:
            raise MemoryError("no memory for another name")
        self.pages[index >> PAGE_BITS][index & PAGE_MASK] = ref

    def has(self, uint32_t index):
        """Whether an id is listed: its name leads to it."""
        return index < self.n and not self.is_unlisted(index)

    def count(self):
        """How many names there are; `len` is how many ids were given."""
        return self.here

    def memory(self):
        """Bytes held; the text counts in the table that was first."""
        cdef uint64_t bytes = (self.directory.used - self.given_back.used) * (PAGE_MASK + 1) * sizeof(uint64_t)
        cdef int i
        for i in range(1 << SHARD_BITS):
            if self.shards[i].slots != NO_SLOTS:
                bytes += self.shards[i].size * sizeof(uint64_t)
        return bytes if self.shares else bytes + (
            self.arena.directory.used - self.arena.freed) * (CHUNK_MASK + 1)


cdef inline uint64_t home(uint32_t tag, uint64_t size) noexcept nogil:
    """The place of a tag among the slots of its shard. It grows with the tag, so that growing copies in order."""
    return <uint64_t> <uint32_t> (tag << SHARD_BITS) * size >> 32


cdef inline void place_slot(Shard *shard, uint64_t slot) noexcept nogil:
    cdef uint64_t at = home(<uint32_t> (slot >> 32), shard.size)
    while shard.slots[at] != 0:
        at = at + 1 if at + 1 < shard.size else 0
    shard.slots[at] = slot


cdef int grow(Shard *shard) noexcept nogil:
    """Half as many slots again. Places follow from the tag kept in each slot, so no name is read again."""
    cdef Shard more
    cdef uint64_t i
    more.size = shard.size + shard.size // 2 + 15
    more.used = shard.used
    more.slots = <uint64_t *> calloc(more.size, sizeof(uint64_t))
    if more.slots == NULL:
        return -1
    for i in range(shard.size):
        if shard.slots[i] != 0:
            place_slot(&more, shard.slots[i])
    if shard.slots != NO_SLOTS:
        free(shard.slots)
    shard[0] = more
    return 0
