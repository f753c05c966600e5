# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Names to dense ids and back, and search over them. Knows nothing of counters, routes or samples.

All names lie in one buffer in the order of their ids; a table of 8-byte slots finds them. Memory: the
name, 8 bytes for its start and 8 to 16 for its slot. The specification is the Python twin.
"""
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memchr, memcmp, memcpy

cdef extern from "<string.h>" nogil:
    void *memmem(const void *text, size_t size, const void *word, size_t word_size)


cdef class NameTable:
    def __cinit__(self, uint64_t key=0):
        self.key = key
        self.mask = 1023
        self.slots = <uint64_t *> calloc(1024, sizeof(uint64_t))
        self.room = 512
        self.start = <uint64_t *> calloc(self.room + 1, sizeof(uint64_t))
        self.text_room = 16384
        self.text = <char *> realloc(NULL, self.text_room)
        if self.slots == NULL or self.start == NULL or self.text == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.slots)
        free(self.start)
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
            if slot >> 32 == tag:
                index = (slot & 0xFFFFFFFFu) - 1
                if (<Py_ssize_t> (self.start[index + 1] - self.start[index]) == size
                        and memcmp(self.text + self.start[index], name, size) == 0):
                    return <int64_t> index
            at = (at + 1) & self.mask

    cdef int64_t insert(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef uint64_t tag
        cdef uint64_t at
        cdef uint64_t room
        cdef void *grown
        if self.n == 0xFFFFFFFEu:
            return -1
        if (<uint64_t> self.n + 1) * 4 > (self.mask + 1) * 3 and self.grow_slots() < 0:
            return -1
        if self.text_size + size > self.text_room:
            room = (self.text_size + size) + (self.text_size + size) // 2
            grown = realloc(self.text, room)
            if grown == NULL:
                return -1
            self.text = <char *> grown
            self.text_room = room
        if self.n == self.room:
            grown = realloc(self.start, (<uint64_t> self.room * 3 // 2 + 1) * sizeof(uint64_t))
            if grown == NULL:
                return -1
            self.start = <uint64_t *> grown
            self.room = <uint32_t> (<uint64_t> self.room * 3 // 2)
        memcpy(self.text + self.text_size, name, size)
        self.text_size += size
        tag = istat_hash(self.key, name, size) >> 32
        at = tag & self.mask
        while self.slots[at] != 0:
            at = (at + 1) & self.mask
        self.n += 1
        self.slots[at] = tag << 32 | self.n
        self.start[self.n] = self.text_size
        return self.n - 1

    cdef int grow_slots(self) noexcept nogil:
        """Twice the slots. Places follow from the tag kept in each slot, so no name is read again."""
        cdef uint64_t mask = self.mask * 2 + 1
        cdef uint64_t *slots
        cdef uint64_t i
        cdef uint64_t at
        slots = <uint64_t *> calloc(mask + 1, sizeof(uint64_t))
        if slots == NULL:
            return -1
        for i in range(self.mask + 1):
            if self.slots[i] != 0:
                at = (self.slots[i] >> 32) & mask
                while slots[at] != 0:
                    at = (at + 1) & mask
                slots[at] = self.slots[i]
        free(self.slots)
        self.slots = slots
        self.mask = mask
        return 0

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
        return self.text[self.start[index]:self.start[index + 1]]

    def memory(self):
        """Bytes held."""
        return self.text_room + (<uint64_t> self.room + 1) * 8 + (self.mask + 1) * 8

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
            if fits(glob, size, self.text + self.start[i], <Py_ssize_t> (self.start[i + 1] - self.start[i])):
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
            for word in words:
                if memmem(self.text + self.start[i], self.start[i + 1] - self.start[i],
                          <const char *> word, len(word)) == NULL:
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
            size = <Py_ssize_t> (self.start[i + 1] - self.start[i])
            name = self.text + self.start[i]
            if size < stem_size or memcmp(name, stem_text, stem_size) != 0:
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
