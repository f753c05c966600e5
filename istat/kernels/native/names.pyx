# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Names to dense ids and back, and search over them. Knows nothing of counters, routes or samples.

All names lie in one buffer; a table of 8-byte slots finds them. Memory: the name, 8 bytes for its place and length,
8 to 16 for its slot, a bit that tells whether it was taken away. The specification is the Python twin.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "<string.h>" nogil:
    void *memmem(const void *text, size_t size, const void *word, size_t word_size)

cdef enum:
    LENGTH_BITS = 24               # of a `ref`: the rest is where the name begins
    LONGEST = 0xFFFFFF
    GRAVE = 0xFFFFFFFFu            # of a slot: a name was here


cdef class NameTable:
    def __cinit__(self, uint64_t key=0):
        self.key = key
        self.mask = 1023
        self.slots = <uint64_t *> calloc(1024, sizeof(uint64_t))
        self.room = 512
        self.ref = <uint64_t *> calloc(self.room, sizeof(uint64_t))
        self.away = <uint8_t *> calloc(self.room // 8 + 1, 1)
        self.text_room = 16384
        self.text = <char *> realloc(NULL, self.text_room)
        if self.slots == NULL or self.ref == NULL or self.away == NULL or self.text == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.slots)
        free(self.ref)
        free(self.away)
        free(self.text)

    def __len__(self):
        return self.n

    cdef int64_t find_text(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef uint64_t hash = istat_hash(self.key, name, size)
        cdef uint64_t tag = hash >> 32
        cdef uint64_t at = tag & self.mask
        cdef uint64_t slot
        cdef uint64_t index
        while True:
            slot = self.slots[at]
            if slot == 0:
                return -1
            if slot >> 32 == tag and slot & 0xFFFFFFFFu != GRAVE:
                index = (slot & 0xFFFFFFFFu) - 1
                if self.size_of(index) == size and memcmp(self.text_of(index), name, size) == 0:
                    return <int64_t> index
            at = (at + 1) & self.mask

    cdef const char *text_of(self, uint64_t index) noexcept nogil:
        return self.text + (self.ref[index] >> LENGTH_BITS)

    cdef Py_ssize_t size_of(self, uint64_t index) noexcept nogil:
        return <Py_ssize_t> (self.ref[index] & LONGEST)

    cdef bint is_away(self, uint64_t index) noexcept nogil:
        return self.away[index >> 3] >> (index & 7) & 1

    cdef int64_t insert(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef uint32_t index = self.n
        if self.n == 0xFFFFFFFEu or self.make_room() < 0 or self.keep_text(index, name, size) < 0:
            return -1
        self.away[index >> 3] &= <uint8_t> ~(1 << (index & 7))
        self.n += 1
        self.place(index, name, size)
        return index

    cdef int make_room(self) noexcept nogil:
        """For one more slot and one more name. 0, or -1: no memory."""
        cdef void *grown
        cdef uint32_t room = <uint32_t> (<uint64_t> self.room * 3 // 2)
        if (<uint64_t> self.used + 1) * 4 > (self.mask + 1) * 3 and self.renew_slots() < 0:
            return -1
        if self.n < self.room:
            return 0
        grown = realloc(self.ref, <size_t> room * sizeof(uint64_t))
        if grown == NULL:
            return -1
        self.ref = <uint64_t *> grown
        grown = realloc(self.away, room // 8 + 1)
        if grown == NULL:
            return -1
        self.away = <uint8_t *> grown
        self.room = room
        return 0

    cdef int keep_text(self, uint32_t index, const char *name, Py_ssize_t size) noexcept nogil:
        """Copy the name that an id has from now on. 0, or -1: no memory, or longer than any name."""
        cdef uint64_t room
        cdef void *grown
        if size > LONGEST:
            return -1
        if self.text_size + size > self.text_room:
            room = (self.text_size + size) + (self.text_size + size) // 2
            grown = realloc(self.text, room)
            if grown == NULL:
                return -1
            self.text = <char *> grown
            self.text_room = room
        memcpy(self.text + self.text_size, name, size)
        self.ref[index] = self.text_size << LENGTH_BITS | <uint64_t> size
        self.text_size += size
        return 0

    cdef void place(self, uint32_t index, const char *name, Py_ssize_t size) noexcept nogil:
        """Into the first slot that is free or a grave."""
        cdef uint64_t tag = istat_hash(self.key, name, size) >> 32
        cdef uint64_t at = tag & self.mask
        while self.slots[at] != 0 and self.slots[at] & 0xFFFFFFFFu != GRAVE:
            at = (at + 1) & self.mask
        if self.slots[at] == 0:
            self.used += 1
        self.slots[at] = tag << 32 | (<uint64_t> index + 1)
        self.here += 1

    cdef int renew_slots(self) noexcept nogil:
        """Slots without graves, twice as many if the names here need them. Places follow from the tag kept in each
        slot, so no name is read again."""
        cdef uint64_t mask = self.mask
        cdef uint64_t *slots
        cdef uint64_t i
        cdef uint64_t at
        if <uint64_t> self.here * 2 > mask:
            mask = mask * 2 + 1
        slots = <uint64_t *> calloc(mask + 1, sizeof(uint64_t))
        if slots == NULL:
            return -1
        for i in range(self.mask + 1):
            if self.slots[i] != 0 and self.slots[i] & 0xFFFFFFFFu != GRAVE:
                at = (self.slots[i] >> 32) & mask
                while slots[at] != 0:
                    at = (at + 1) & mask
                slots[at] = self.slots[i]
        free(self.slots)
        self.slots = slots
        self.mask = mask
        self.used = self.here
        return 0

    cdef int take_away(self, uint32_t index) noexcept nogil:
        """Leave a grave in the slot, which probing passes. 0, or -1: the id has no name here."""
        cdef uint64_t at
        if index >= self.n or self.is_away(index):
            return -1
        at = (istat_hash(self.key, self.text_of(index), self.size_of(index)) >> 32) & self.mask
        while self.slots[at] & 0xFFFFFFFFu != <uint64_t> index + 1:
            at = (at + 1) & self.mask
        self.slots[at] = GRAVE
        self.away[index >> 3] |= <uint8_t> (1 << (index & 7))
        self.here -= 1
        return 0

    cdef int64_t insert_nameless(self, const char *text, Py_ssize_t size) noexcept nogil:
        """The next id, whose text is in no slot, or -1: no memory."""
        cdef uint32_t index = self.n
        if self.n == 0xFFFFFFFEu or self.make_room() < 0 or self.keep_text(index, text, size) < 0:
            return -1
        self.away[index >> 3] |= <uint8_t> (1 << (index & 7))
        self.n += 1
        return index

    def add_nameless(self, bytes text=b""):
        """The next id, without a name in the table; `text` is what it tells."""
        cdef int64_t index = self.insert_nameless(text, len(text))
        if index < 0:
            raise MemoryError("no memory for another name")
        return index

    def remove(self, uint32_t index):
        """Take a name away: it is found no more, and may be given to another id; the id still tells it. ValueError
        when the id has none here."""
        if self.take_away(index) < 0:
            raise ValueError(f"the id {index} has no name here")

    def put_back(self, uint32_t index, bytes name not None):
        """Give an id without a name this one. ValueError when it has one, or when another has it."""
        if index >= self.n or not self.is_away(index) or self.find_text(name, len(name)) >= 0:
            raise ValueError(f"the id {index} cannot be called {name!r}")
        if self.make_room() < 0:
            raise MemoryError("no memory for another name")
        if self.size_of(index) != len(name) or memcmp(self.text_of(index), <const char *> name, len(name)) != 0:
            if self.keep_text(index, name, len(name)) < 0:
                raise MemoryError("no memory for another name")
        self.away[index >> 3] &= <uint8_t> ~(1 << (index & 7))
        self.place(index, name, len(name))

    def has(self, uint32_t index):
        """Whether an id has its name here: it was not taken away."""
        return index < self.n and not self.is_away(index)

    def count(self):
        """How many names there are; `len` is how many ids were given."""
        return self.here

    def find(self, bytes name not None):
        """The id of a name, or -1."""
        return self.find_text(name, len(name))

    def add(self, bytes name not None):
        """The id of a name, made now if it is new: the next dense integer."""
        cdef int64_t index = self.find_text(name, len(name))
        if index < 0:
            index = self.insert(name, len(name))
            if index < 0:
                raise MemoryError("no memory for another name")
        return index

    def name(self, uint32_t index):
        """The name of an id."""
        if index >= self.n:
            raise IndexError(f"no name has the id {index}")
        return self.text_of(index)[:self.size_of(index)]

    def memory(self):
        """Bytes held."""
        return self.text_room + <uint64_t> self.room * 8 + self.room // 8 + (self.mask + 1) * 8

    def match(self, bytes pattern not None, uint32_t first=0, uint32_t names=0xFFFFFFFF, Py_ssize_t limit=-1):
        """Ids from `first`, over at most `names` names, whose whole name fits the pattern; at most `limit`.

        `*` is any run of characters, `?` any run of characters but dots.
        """
        cdef const char *glob = pattern
        cdef Py_ssize_t size = len(pattern)
        cdef uint64_t stop = min(<uint64_t> first + names, <uint64_t> self.n)
        cdef uint64_t i
        found = []
        for i in range(first, stop):
            if not self.is_away(i) and fits(glob, size, self.text_of(i), self.size_of(i)):
                found.append(i)
                if len(found) == limit:
                    break
        return found

    def search(self, list words not None, uint32_t first=0, uint32_t names=0xFFFFFFFF, Py_ssize_t limit=-1):
        """Ids from `first`, over at most `names` names, that contain every word; at most `limit`."""
        cdef uint64_t stop = min(<uint64_t> first + names, <uint64_t> self.n)
        cdef uint64_t i
        cdef bytes word
        found = []
        for i in range(first, stop):
            if self.is_away(i):
                continue
            for word in words:
                if memmem(self.text_of(i), self.size_of(i), <const char *> word, len(word)) == NULL:
                    break
            else:
                found.append(i)
                if len(found) == limit:
                    break
        return found

    def children(self, bytes prefix not None, Py_ssize_t limit=-1, uint32_t first=0, uint32_t names=0xFFFFFFFF):
        """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix.

        Of the names from id `first`, at most `names` of them.
        The empty prefix gives the first labels of all names. In order of first appearance.
        """
        cdef bytes stem = prefix + b"." if prefix else b""
        cdef Py_ssize_t stem_size = len(stem)
        cdef const char *stem_text = stem
        cdef NameTable labels = NameTable(self.key)
        cdef const char *name
        cdef const char *dot
        cdef Py_ssize_t size
        cdef Py_ssize_t label_size
        cdef int64_t label
        cdef uint64_t i
        ids = []
        deeper = []
        for i in range(first, min(<uint64_t> first + names, <uint64_t> self.n)):
            size = self.size_of(i)
            name = self.text_of(i)
            if self.is_away(i) or size < stem_size or memcmp(name, stem_text, stem_size) != 0:
                continue
            dot = <const char *> memchr(name + stem_size, 46, size - stem_size)
            label_size = size - stem_size if dot == NULL else dot - name - stem_size
            label = labels.find_text(name + stem_size, label_size)
            if label < 0:
                if labels.n == <uint64_t> limit:
                    continue
                label = labels.insert(name + stem_size, label_size)
                if label < 0:
                    raise MemoryError()
                ids.append(-1)
                deeper.append(False)
            if dot == NULL:
                ids[label] = i
            elif not deeper[label]:
                deeper[label] = True
        return [(labels.name(k), ids[k], deeper[k]) for k in range(labels.n)]


cdef bint fits(const char *pattern, Py_ssize_t size, const char *name, Py_ssize_t name_size) noexcept nogil:
    """Whether the whole name fits. The last `?` grows first, then the last `*`: no more need be tried, since a
    run that may not cross a dot can only be replaced by a shorter tail of the same component."""
    cdef Py_ssize_t p = 0
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t star = -1
    cdef Py_ssize_t star_i = 0
    cdef Py_ssize_t mark = -1
    cdef Py_ssize_t mark_i = 0
    if size == 0:
        return False
    while True:
        if p < size and pattern[p] == 42:
            star = p
            star_i = i
            mark = -1
            p += 1
        elif p < size and pattern[p] == 63:
            mark = p
            mark_i = i
            p += 1
        elif i < name_size and p < size and pattern[p] == name[i]:
            p += 1
            i += 1
        elif i == name_size and p == size:
            return True
        elif mark >= 0 and mark_i < name_size and name[mark_i] != 46:
            mark_i += 1
            i = mark_i
            p = mark + 1
        elif star >= 0 and star_i < name_size:
            star_i += 1
            i = star_i
            p = star + 1
            mark = -1
        else:
            return False
