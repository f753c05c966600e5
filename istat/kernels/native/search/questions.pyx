# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Questions about the names of a table: which fit a pattern, which hold some words.

Segments narrow them down, and the tail, the ids that are in no segment yet, is looked at one by one. All of it may run
in threads while the owner of the table adds names. The specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcmp

from istat.kernels.native.names cimport MOVED, UNLISTED, NameTable, istat_prefetch, ref_at, ref_size, ref_text
from istat.kernels.native.search.patterns cimport Pattern
from istat.kernels.native.search.segments cimport BLOCK, Rows, Segment, istat_lowest, rows_of
from istat.kernels.native.search.sorting cimport istat_chunks

cdef extern from "<string.h>" nogil:
    void *memmem(const void *text, size_t size, const void *word, size_t word_size)

cdef enum:
    NO_BOUND = 0x7FFFFFFF
    SCANNED = 4                 # where one name in so many would be looked at, all are, by id, until there are enough


# -- the smallest few ------------------------------------------------------------------------------------------------------

cdef class Least:
    """The `room` least of the ids that are put in: by number, or by length and text of their names."""
    cdef NameTable table
    cdef bint by_name
    cdef uint32_t *ids          # a heap, the greatest on top
    cdef Py_ssize_t n
    cdef Py_ssize_t room
    cdef Py_ssize_t space       # allocated

    def __cinit__(self, NameTable table, Py_ssize_t room, bint by_name):
        self.table = table
        self.room = room
        self.by_name = by_name

    def __dealloc__(self):
        free(self.ids)

    cdef bint before(self, uint32_t a, uint32_t b) noexcept nogil:
        cdef uint64_t x
        cdef uint64_t y
        cdef char **chunks
        if not self.by_name:
            return a < b
        x = ref_at(self.table.pages, a)
        y = ref_at(self.table.pages, b)
        if ref_size(x) != ref_size(y):
            return ref_size(x) < ref_size(y)
        chunks = istat_chunks(&self.table.arena.chunks)
        return memcmp(ref_text(chunks, x), ref_text(chunks, y), ref_size(x)) < 0

    cdef inline bint full(self) noexcept nogil:
        return self.n == self.room

    cdef int put(self, uint32_t id) noexcept nogil:
        """0, or -1: no memory."""
        cdef Py_ssize_t at
        cdef Py_ssize_t up
        cdef void *grown
        if self.n == self.room:
            if self.room == 0 or not self.before(id, self.ids[0]):
                return 0
            self.n -= 1
            self.sink(self.ids[self.n])
        if self.n == self.space:
            grown = realloc(self.ids, (self.space * 2 + 64) * sizeof(uint32_t))
            if grown == NULL:
                return -1
            self.ids = <uint32_t *> grown
            self.space = self.space * 2 + 64
        at = self.n
        self.n += 1
        while at > 0:
            up = (at - 1) // 2
            if not self.before(self.ids[up], id):
                break
            self.ids[at] = self.ids[up]
            at = up
        self.ids[at] = id
        return 0

    cdef void sink(self, uint32_t id) noexcept nogil:
        """Put an id into the heap in place of the one on top."""
        cdef Py_ssize_t at = 0
        cdef Py_ssize_t down
        while True:
            down = 2 * at + 1
            if down >= self.n:
                break
            if down + 1 < self.n and self.before(self.ids[down], self.ids[down + 1]):
                down += 1
            if not self.before(id, self.ids[down]):
                break
            self.ids[at] = self.ids[down]
            at = down
        if self.n:
            self.ids[at] = id

    cdef list take(self):
        """The ids, least first."""
        cdef uint32_t top
        cdef list found = [0] * self.n
        while self.n:
            top = self.ids[0]
            self.n -= 1
            found[self.n] = top
            self.sink(self.ids[self.n])
        return found


# -- questions ------------------------------------------------------------------------------------------------------------

cdef class Question:
    """What names are wanted: those that fit a pattern, or hold some words; among ids above `after`."""
    cdef NameTable table
    cdef Pattern pattern
    cdef list words
    cdef const char **word
    cdef Py_ssize_t *word_size
    cdef Py_ssize_t word_count
    cdef const char *prefix
    cdef Py_ssize_t prefix_size
    cdef int64_t after
    cdef Rows rows
    cdef Least least
    cdef bint in_order
    cdef Py_ssize_t bound       # by name: longer names, and those as long, need no look any more in this segment
    cdef const char *behind     # by name: those before it and itself are not wanted
    cdef Py_ssize_t behind_size

    def __cinit__(self, NameTable table, Pattern pattern, words, int64_t after, Least least, bytes behind=None):
        """`behind` must outlive the question."""
        cdef Py_ssize_t i
        self.behind_size = -1
        if behind is not None:
            self.behind = behind
            self.behind_size = len(behind)
        self.table = table
        self.pattern = pattern
        self.words = list(words)
        self.after = after
        self.least = least
        if pattern is not None:
            self.prefix = <const char *> pattern.prefix
            self.prefix_size = len(pattern.prefix)
        self.rows = rows_of(self.words if pattern is None else pattern.literals)
        self.word_count = len(self.words)
        self.word = <const char **> malloc((self.word_count + 1) * sizeof(char *))
        self.word_size = <Py_ssize_t *> malloc((self.word_count + 1) * sizeof(Py_ssize_t))
        if self.word == NULL or self.word_size == NULL:
            raise MemoryError()
        for i in range(self.word_count):
            self.word[i] = <bytes> self.words[i]
            self.word_size[i] = len(self.words[i])

    def __dealloc__(self):
        free(self.word)
        free(self.word_size)

    cdef bint wanted(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef Py_ssize_t i
        if self.pattern is not None:
            return self.pattern.run(name, size)
        for i in range(self.word_count):
            if memmem(name, size, self.word[i], self.word_size[i]) == NULL:
                return False
        return True

    cdef inline bint too_long(self, uint64_t ref) noexcept nogil:
        """By name: whether enough shorter names are known."""
        return self.least.by_name and self.least.full() and (
            ref_size(ref) >= self.bound or ref_size(ref) > ref_size(ref_at(self.table.pages, self.least.ids[0])))

    cdef inline bint is_before(self, const char *name, Py_ssize_t size) noexcept nogil:
        """By name: whether a name was on a page before."""
        return size < self.behind_size or (size == self.behind_size and memcmp(name, self.behind, <size_t> size) <= 0)

    cdef inline bint is_behind(self, const char *name, Py_ssize_t size) noexcept nogil:
        """Whether a name is as long as the worst one known and behind it; so are then all that follow in order."""
        cdef uint64_t worst = ref_at(self.table.pages, self.least.ids[0])
        if ref_size(worst) != size or memcmp(
                name, ref_text(istat_chunks(&self.table.arena.chunks), worst), <size_t> size) < 0:
            return False
        if self.in_order:
            self.bound = min(self.bound, size)
        return True

    cdef int look_at(self, const uint32_t *ids, uint64_t first, Py_ssize_t n, uint64_t passed) noexcept nogil:
        """Put the wanted ones of some ids (or of the n from `first` on) among the least, but for references with a flag
        of `passed`. 0, or -1: no memory."""
        cdef uint64_t refs[BLOCK]
        cdef uint64_t id
        cdef Py_ssize_t i
        cdef char **chunks = istat_chunks(&self.table.arena.chunks)
        for i in range(n):
            id = ids[i] if ids != NULL else first + <uint64_t> i
            refs[i] = UNLISTED
            if <int64_t> id <= self.after or (not self.least.by_name and self.least.full() and id > self.least.ids[0]):
                continue
            refs[i] = ref_at(self.table.pages, id)
        if passed & MOVED == 0:
            chunks = istat_chunks(&self.table.arena.chunks)     # it has what these references lead to
        for i in range(n):
            if not (refs[i] & passed or self.too_long(refs[i])):
                istat_prefetch(ref_text(chunks, refs[i]))
                istat_prefetch(ref_text(chunks, refs[i]) + ref_size(refs[i]) - 1)
        for i in range(n):
            if refs[i] & passed or self.too_long(refs[i]) or self.is_before(ref_text(chunks, refs[i]), ref_size(refs[i])) or (
                    self.least.by_name and self.least.full() and self.is_behind(ref_text(chunks, refs[i]), ref_size(refs[i]))):
                continue
            if self.wanted(ref_text(chunks, refs[i]), ref_size(refs[i])):
                if self.least.put(ids[i] if ids != NULL else <uint32_t> (first + <uint64_t> i)) < 0:
                    return -1
        return 0

    cdef int look_through(self, uint64_t first, uint64_t stop) noexcept nogil:
        """The same for a range of ids in no order of names: by id, until there are enough where ids decide."""
        cdef Py_ssize_t n
        self.in_order = False
        self.bound = NO_BOUND
        if self.after >= 0 and first <= <uint64_t> self.after:
            first = <uint64_t> self.after + 1
        while first < stop and (self.least.by_name or not self.least.full() or first < self.least.ids[0]):
            n = <Py_ssize_t> min(stop - first, <uint64_t> BLOCK)
            if self.look_at(NULL, first, n, UNLISTED | MOVED) < 0:
                return -1
            first += <uint64_t> n
        return 0

    cdef int look_in(self, Segment segment) noexcept nogil:
        """The same for a segment."""
        cdef Py_ssize_t low = 0
        cdef Py_ssize_t high = segment.n
        cdef Py_ssize_t names
        cdef Py_ssize_t i
        cdef Py_ssize_t begin
        cdef uint64_t word
        cdef int result = 0
        cdef uint64_t *blocks
        if <int64_t> segment.stop <= self.after + 1:
            return 0
        if self.pattern is not None:
            segment.range_of(self.table, self.prefix, self.prefix_size, &low, &high)
        blocks = segment.blocks_of(&self.rows, low, high, &names)
        if blocks == NULL:
            return -1
        if not self.least.by_name and names > segment.n // SCANNED:
            free(blocks)
            return self.look_through(segment.first, segment.stop)
        self.in_order = True
        self.bound = NO_BOUND
        for i in range(low // BLOCK // 64, ((high + BLOCK - 1) // BLOCK + 63) // 64 if low < high else 0):
            word = blocks[i]
            while word != 0 and result == 0:
                begin = (i * 64 + istat_lowest(word)) * BLOCK
                word &= word - 1
                result = self.look_at(segment.ids + max(begin, low), 0, min(begin + BLOCK, high) - max(begin, low),
                                      UNLISTED | MOVED)
        free(blocks)
        return result

    cdef list answer(self, list segments, tail, list moved):
        cdef Segment segment
        cdef uint64_t first
        cdef uint64_t stop
        cdef uint32_t ids[BLOCK]
        cdef Py_ssize_t n = 0
        cdef int result
        first, stop = tail
        stop = min(stop, <uint64_t> self.table.n)
        if self.least.room <= 0:
            return []
        for segment in segments:
            if segment.stop > self.table.n:
                raise ValueError("this segment is of another table")
            with nogil:
                result = self.look_in(segment)
            if result < 0:
                raise MemoryError()
        with nogil:
            result = self.look_through(first, stop)
        self.bound = NO_BOUND
        for id in moved:
            ids[n] = id
            n += 1
            if n == BLOCK or id == moved[len(moved) - 1]:
                if result == 0:
                    result = self.look_at(ids, 0, n, UNLISTED)
                n = 0
        if result < 0:
            raise MemoryError()
        return self.least.take()


def find(NameTable table not None, list segments not None, tail, list moved not None, Pattern pattern not None,
         int64_t after=-1, Py_ssize_t limit=-1):
    """Ids above `after` whose whole name fits, ascending, at most `limit`.

    `segments` and `tail`, a range of ids, together have each id once, in ascending order; `moved` is a copy of the table's.
    """
    cdef Least least = Least(table, table.n if limit < 0 else limit, False)
    return Question(table, pattern, (), after, least).answer(segments, tail, moved)


def find_words(NameTable table not None, list segments not None, tail, list moved not None, list words not None,
               Py_ssize_t limit=-1, bytes behind=None):
    """Ids whose names hold all the words, shorter names first, then by name; at most `limit`, of those that come
    behind a name."""
    cdef Least least = Least(table, table.n if limit < 0 else limit, True)
    return Question(table, None, words, -1, least, behind).answer(segments, tail, moved)


def work(NameTable table not None, list segments not None, tail, Pattern pattern, list words not None):
    """How many names a question would look at, at most."""
    cdef Question question = Question(table, pattern, words, -1, Least(table, 0, False))
    cdef Segment segment
    cdef Py_ssize_t low
    cdef Py_ssize_t high
    cdef Py_ssize_t names
    cdef Py_ssize_t all = tail[1] - tail[0]
    for segment in segments:
        low = 0
        high = segment.n
        with nogil:
            if question.prefix_size:
                segment.range_of(table, question.prefix, question.prefix_size, &low, &high)
            free(segment.blocks_of(&question.rows, low, high, &names))
        all += names
    return all
