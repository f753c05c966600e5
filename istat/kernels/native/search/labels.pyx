# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What follows a dotted prefix in the names of a table. The specification is the Python twin."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy

from istat.kernels.native.names cimport MOVED, UNLISTED, NameTable, ref_at, ref_size, ref_text
from istat.kernels.native.search.segments cimport Segment
from istat.kernels.native.search.sorting cimport istat_chunks

cdef enum:
    DOT = 46
    BEHIND_DOT = 47             # the byte after `.`: `a/` is behind all names below `a.`


cdef class Labels:
    """What follows a prefix: labels, each with its counter and whether names go on behind it."""
    cdef NameTable table
    cdef const char *stem
    cdef Py_ssize_t stem_size
    cdef NameTable labels
    cdef int64_t *ids
    cdef uint8_t *deeper
    cdef uint32_t room
    cdef uint32_t limit

    def __cinit__(self, NameTable table, bytes stem, uint32_t limit):
        self.table = table
        self.stem = stem
        self.stem_size = len(stem)
        self.limit = limit
        self.labels = NameTable(table.key)

    def __dealloc__(self):
        free(self.ids)
        free(self.deeper)

    cdef int note(self, const char *label, Py_ssize_t size, int64_t id, uint32_t most) noexcept nogil:
        """A label and its id, or -1: names go on behind it. No new ones above `most`. 0, or -1: no memory."""
        cdef int64_t at = self.labels.find_text(label, size)
        cdef void *grown
        if at < 0:
            if self.labels.n >= most:
                return 0
            if self.labels.n == self.room:
                grown = realloc(self.ids, (self.room * 2 + 64) * sizeof(int64_t))
                if grown == NULL:
                    return -1
                self.ids = <int64_t *> grown
                grown = realloc(self.deeper, self.room * 2 + 64)
                if grown == NULL:
                    return -1
                self.deeper = <uint8_t *> grown
                self.room = self.room * 2 + 64
            at = self.labels.insert(label, size, 0, False)
            if at < 0:
                return -1
            self.ids[at] = -1
            self.deeper[at] = 0
        if id >= 0:
            self.ids[at] = id
        else:
            self.deeper[at] = 1
        return 0

    cdef int look_at(self, uint64_t id, uint64_t passed, uint32_t most) noexcept nogil:
        cdef uint64_t ref = ref_at(self.table.pages, id)
        cdef const char *name
        cdef const char *dot
        if ref & passed or ref_size(ref) < self.stem_size:
            return 0
        name = ref_text(istat_chunks(&self.table.arena.chunks), ref)
        if memcmp(name, self.stem, self.stem_size) != 0:
            return 0
        name += self.stem_size
        dot = <const char *> memchr(name, 46, <size_t> (ref_size(ref) - self.stem_size))
        if dot == NULL:
            return self.note(name, ref_size(ref) - self.stem_size, <int64_t> id, most)
        return self.note(name, dot - name, -1, most)

    cdef int look_in(self, Segment segment) noexcept nogil:
        """From label to label: behind the first name below one, the others are jumped over."""
        cdef char key[65536]
        cdef Py_ssize_t low
        cdef Py_ssize_t high
        cdef Py_ssize_t size
        cdef Py_ssize_t guess = 0
        cdef uint64_t ref
        cdef const char *name
        cdef const char *dot
        cdef uint32_t most = self.labels.n + self.limit
        segment.range_of(self.table, self.stem, self.stem_size, &low, &high)
        while low < high and self.labels.n < most:
            ref = ref_at(self.table.pages, segment.ids[low])
            if ref & (UNLISTED | MOVED):
                low += 1
                continue
            if self.look_at(segment.ids[low], UNLISTED | MOVED, most) < 0:
                return -1
            name = ref_text(self.table.arena.chunks, ref)
            dot = <const char *> memchr(name + self.stem_size, 46, <size_t> (ref_size(ref) - self.stem_size))
            if dot == NULL:
                low += 1
                continue
            size = dot - name
            memcpy(key, name, size)
            key[size] = BEHIND_DOT
            guess = segment.behind(self.table, key, size + 1, low, high, guess) - low
            low += guess
        if low < high:
            self.look_behind(segment)
        return 0

    cdef void look_behind(self, Segment segment) noexcept nogil:
        """Whether names go on behind the counters among the labels: those can lie where it was not looked any more."""
        cdef char key[65536]
        cdef Py_ssize_t low
        cdef Py_ssize_t high
        cdef Py_ssize_t size
        cdef uint64_t ref
        cdef uint32_t i
        for i in range(self.labels.n):
            ref = ref_at(self.labels.pages, i)
            size = self.stem_size + ref_size(ref)
            if self.ids[i] < 0 or self.deeper[i] or size >= 65535:
                continue
            memcpy(key, self.stem, self.stem_size)
            memcpy(key + self.stem_size, ref_text(self.labels.arena.chunks, ref), ref_size(ref))
            key[size] = DOT
            segment.range_of(self.table, key, size + 1, &low, &high)
            while low < high and ref_at(self.table.pages, segment.ids[low]) & (UNLISTED | MOVED):
                low += 1
            self.deeper[i] = low < high

    cdef int look_through(self, uint64_t first, uint64_t stop) noexcept nogil:
        cdef uint32_t most = self.labels.n + self.limit
        cdef uint64_t id
        for id in range(first, stop):
            if self.look_at(id, UNLISTED | MOVED, most) < 0:
                return -1
        return 0


def children(NameTable table not None, list segments not None, tail, list moved not None, bytes prefix not None,
             Py_ssize_t limit):
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label; at
    most `limit`, and then not always the first. The empty prefix gives the first labels of all names."""
    cdef bytes stem = prefix + b"." if prefix else b""
    cdef Labels found = Labels(table, stem, <uint32_t> min(max(limit, 0), 0x3FFFFFFF))
    cdef Segment segment
    cdef uint64_t first
    cdef uint64_t stop
    cdef uint64_t one
    cdef int result = 0
    cdef uint32_t i
    first, stop = tail
    stop = min(stop, <uint64_t> table.n)
    if len(stem) > 65535:
        return []
    for segment in segments:
        if segment.stop > table.n:
            raise ValueError("this segment is of another table")
        with nogil:
            result = result or found.look_in(segment)
    with nogil:
        result = result or found.look_through(first, stop)
    for id in moved:
        one = id
        result = result or found.look_at(one, UNLISTED, 0xFFFFFFFF)
    if result < 0:
        raise MemoryError()
    rows = [(found.labels.name(i), found.ids[i], found.deeper[i] == 1) for i in range(found.labels.n)]
    rows.sort()
    return rows[:limit]
