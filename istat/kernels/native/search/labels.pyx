# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What follows a dotted prefix in the names of a table. The specification is the Python twin, which says what a part
of a name is."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy

from istat.kernels.native.names cimport MOVED, UNLISTED, NameTable, ref_at, ref_size, ref_text
from istat.kernels.native.search.segments cimport Segment
from istat.kernels.native.search.sorting cimport istat_chunks

cdef enum:
    DOT = 46
    MOST_KEY = 65535            # [bytes] of a name that is looked for
    BEHIND_DOT = 47             # the byte after `.`: `a/` is behind all names below `a.`


cdef inline bint only_dots(const char *text, Py_ssize_t size) noexcept nogil:
    while size > 0 and text[size - 1] == DOT:
        size -= 1
    return size == 0


cdef inline Py_ssize_t part_size(const char *text, Py_ssize_t size) noexcept nogil:
    """How long the first part is; all of it where nothing else follows."""
    cdef Py_ssize_t at = 0
    while at < size and text[at] == DOT:
        at += 1
    while at < size and text[at] != DOT:
        at += 1
    return size if only_dots(text + at, size - at) else at


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
    cdef const char *behind     # labels up to this one are not wanted; NULL: all are
    cdef Py_ssize_t behind_size

    def __cinit__(self, NameTable table, bytes stem, uint32_t limit, bytes behind):
        """`stem` and `behind` must outlive it."""
        self.table = table
        self.stem = stem
        self.stem_size = len(stem)
        self.limit = limit
        if behind is not None:
            self.behind = behind
            self.behind_size = len(behind)
        self.labels = NameTable(table.key)

    def __dealloc__(self):
        free(self.ids)
        free(self.deeper)

    cdef inline bint is_wanted(self, const char *label, Py_ssize_t size) noexcept nogil:
        """Whether it is behind the label that is given."""
        cdef int order
        if self.behind == NULL:
            return True
        order = memcmp(label, self.behind, <size_t> min(size, self.behind_size))
        return order > 0 or (order == 0 and size > self.behind_size)

    cdef int note(self, const char *label, Py_ssize_t size, int64_t id) noexcept nogil:
        """A label and its id, or -1: names go on behind it. 0, or -1: no memory."""
        cdef int64_t at
        cdef void *grown
        if not self.is_wanted(label, size):
            return 0
        at = self.labels.find_text(label, size)
        if at < 0:
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

    cdef int look_at(self, uint64_t id, uint64_t passed) noexcept nogil:
        cdef uint64_t ref = ref_at(self.table.pages, id)
        cdef const char *name
        cdef Py_ssize_t size
        cdef Py_ssize_t part
        if ref & passed or ref_size(ref) < self.stem_size:
            return 0
        name = ref_text(istat_chunks(&self.table.arena.chunks), ref)
        if memcmp(name, self.stem, self.stem_size) != 0:
            return 0
        name += self.stem_size
        size = <Py_ssize_t> ref_size(ref) - self.stem_size
        if self.stem_size and only_dots(name, size):        # `x.` is beside `x`, not below
            return 0
        part = part_size(name, size)
        return self.note(name, part, <int64_t> id if part == size else -1)

    cdef int look_in(self, Segment segment) noexcept nogil:
        """From label to label: behind the first name below one, the others are jumped over. Until there are enough."""
        cdef char key[65536]
        cdef Py_ssize_t low
        cdef Py_ssize_t high
        cdef Py_ssize_t size
        cdef Py_ssize_t part
        cdef Py_ssize_t guess = 0
        cdef uint64_t ref
        cdef const char *name
        cdef uint32_t most = self.labels.n + self.limit
        segment.range_of(self.table, self.stem, self.stem_size, &low, &high)
        if self.behind != NULL:
            memcpy(key, self.stem, self.stem_size)
            memcpy(key + self.stem_size, self.behind, self.behind_size)
            low = segment.lower(self.table, key, self.stem_size + self.behind_size, low, high)
        while low < high and self.labels.n < most:
            ref = ref_at(self.table.pages, segment.ids[low])
            if ref & (UNLISTED | MOVED):
                low += 1
                continue
            if self.look_at(segment.ids[low], UNLISTED | MOVED) < 0:
                return -1
            name = ref_text(self.table.arena.chunks, ref)
            size = <Py_ssize_t> ref_size(ref) - self.stem_size
            part = part_size(name + self.stem_size, size)
            if part == size or (self.stem_size and only_dots(name + self.stem_size, size)):
                low += 1
                continue
            size = self.stem_size + part
            memcpy(key, name, size)
            if self.look_beside(segment, key, size, low, high) < 0:
                return -1
            key[size] = BEHIND_DOT
            guess = segment.behind(self.table, key, size + 1, low, high, guess) - low
            low += guess
        return self.look_behind(segment) if low < high else 0

    cdef int look_beside(self, Segment segment, char *key, Py_ssize_t size, Py_ssize_t low,
                         Py_ssize_t high) noexcept nogil:
        """Counters whose name is that of a label, below which the name at `low` is, and dots: those with several lie among
        the names below, from `low` on. The bytes of the key behind the label are overwritten. 0, or -1: no memory."""
        cdef Py_ssize_t end
        cdef uint64_t ref
        cdef const char *name
        key[size] = DOT
        for end in range(size + 2, MOST_KEY):
            key[end - 1] = DOT
            low = segment.behind(self.table, key, end, low, high, 0)
            while low < high:
                ref = ref_at(self.table.pages, segment.ids[low])
                if not ref & (UNLISTED | MOVED):
                    name = ref_text(self.table.arena.chunks, ref)
                    if ref_size(ref) < end or memcmp(name, key, end) != 0:
                        return 0
                    if ref_size(ref) > end:
                        break
                    if self.note(key + self.stem_size, end - self.stem_size, segment.ids[low]) < 0:
                        return -1
                low += 1
            if low == high:
                return 0
        return 0

    cdef int look_behind(self, Segment segment) noexcept nogil:
        """What can lie where it was not looked any more: names behind the counters among the labels, and labels that
        a label found begins with, since `a-b` (or `a.`) is before `a.c` in the order of names and behind `a` in that of
        labels. 0, or -1: no memory."""
        cdef char key[65536]
        cdef Py_ssize_t size
        cdef Py_ssize_t k
        cdef Py_ssize_t same                    # so many bytes are those of the label before, and looked for with it
        cdef uint64_t ref
        cdef const char *label
        cdef const char *before = NULL
        cdef Py_ssize_t before_size = 0
        cdef uint32_t found = self.labels.n
        cdef uint32_t i
        memcpy(key, self.stem, self.stem_size)
        for i in range(found):
            ref = ref_at(self.labels.pages, i)
            label = ref_text(self.labels.arena.chunks, ref)
            size = self.stem_size + ref_size(ref)
            if size >= 65535:
                continue
            same = 0
            while same < before_size and same < <Py_ssize_t> ref_size(ref) and label[same] == before[same]:
                same += 1
            before = label
            before_size = ref_size(ref)
            for k in range(same, before_size):
                if label[k] > DOT or k == 0 or label[k - 1] == DOT:
                    continue
                memcpy(key + self.stem_size, label, k)
                if self.goes_on(segment, key, self.stem_size + k) and self.note(label, k, -1) < 0:
                    return -1
            if self.ids[i] >= 0 and not self.deeper[i] and before_size and label[before_size - 1] != DOT:
                memcpy(key + self.stem_size, label, before_size)
                self.deeper[i] = self.goes_on(segment, key, size)
        return 0

    cdef bint goes_on(self, Segment segment, char *key, Py_ssize_t size) noexcept nogil:
        """Whether there are names of a segment below a name; the byte behind this is overwritten."""
        cdef Py_ssize_t low
        cdef Py_ssize_t high
        cdef uint64_t ref
        cdef const char *name
        key[size] = DOT
        segment.range_of(self.table, key, size + 1, &low, &high)
        while low < high:
            ref = ref_at(self.table.pages, segment.ids[low])
            name = ref_text(self.table.arena.chunks, ref) + size + 1
            if not ref & (UNLISTED | MOVED) and not only_dots(name, <Py_ssize_t> ref_size(ref) - size - 1):
                return True
            low += 1
        return False

    cdef int look_through(self, uint64_t first, uint64_t stop) noexcept nogil:
        cdef uint64_t id
        for id in range(first, stop):
            if self.look_at(id, UNLISTED | MOVED) < 0:
                return -1
        return 0


def children(NameTable table not None, list segments not None, tail, list moved not None, bytes prefix not None,
             Py_ssize_t limit, bytes behind=None):
    """[(label, id of the name that ends there or -1, whether longer names follow)] below a dotted prefix, by label: the
    first `limit` of those behind a label. The empty prefix gives the first labels of all names."""
    cdef bytes stem = prefix + b"." if prefix else b""
    cdef Labels found = Labels(table, stem, <uint32_t> min(max(limit, 0), 0x3FFFFFFF), behind)
    cdef Segment segment
    cdef uint64_t first
    cdef uint64_t stop
    cdef uint64_t one
    cdef int result = 0
    cdef uint32_t i
    first, stop = tail
    stop = min(stop, <uint64_t> table.n)
    if len(stem) + len(behind or b"") > 65535 or limit <= 0:
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
        result = result or found.look_at(one, UNLISTED)
    if result < 0:
        raise MemoryError()
    rows = [(found.labels.name(i), found.ids[i], found.deeper[i] == 1) for i in range(found.labels.n)]
    rows.sort()
    return rows[:limit]
