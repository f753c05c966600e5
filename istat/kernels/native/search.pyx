# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Search over a name table: sorted segments with signatures, and plain scans of what is in none yet.

A segment has a range of ids in the order of the names that they had first, so that it stays right when an id gets
another name; such ids (`moved`) are passed over in segments and looked at one by one. For each 64 names in order
a segment has a signature of 4,096 bits, one for each hash of three bytes in a row; they lie bit by bit, so that a few
rows are and-ed to find the blocks that can hold a literal: 12 bytes a name in all. Segments are never changed, and
nothing here takes anything from a table but what never moves: all of it may run in threads while the owner of the
table adds names. The specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset
from cpython.bytes cimport PyBytes_FromStringAndSize

from istat.kernels.native.names cimport AWAY, GONE, MOVED, SKIPPED, NameTable, ref_at, ref_size, ref_text

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #define istat_prefetch(place) __builtin_prefetch(place)
    #define istat_ones(word) ((unsigned) __builtin_popcountll(word))
    #define istat_lowest(word) ((unsigned) __builtin_ctzll(word))
    #define istat_chunks(table_chunks) __atomic_load_n(table_chunks, __ATOMIC_ACQUIRE)
    /* Seven bytes as a number in the order of the text, and below them how many of these there are; 8: and more. */
    static inline uint64_t istat_key(const char *text, uint64_t size) {
        uint64_t key = 0, i, here = size < 7 ? size : 7;
        for (i = 0; i < here; i++) key |= (uint64_t) (unsigned char) text[i] << (56 - 8 * i);
        return key | (size > 7 ? 8 : size);
    }
    static inline uint32_t istat_trigram(const char *text) {
        uint32_t three = (uint32_t) (unsigned char) text[0] | (uint32_t) (unsigned char) text[1] << 8
                         | (uint32_t) (unsigned char) text[2] << 16;
        return three * 0x9E3779B1u >> 20;
    }
    """
    void istat_prefetch(const void *place) noexcept nogil
    uint32_t istat_ones(uint64_t word) noexcept nogil
    uint32_t istat_lowest(uint64_t word) noexcept nogil
    char **istat_chunks(char ***place) noexcept nogil
    uint64_t istat_key(const char *text, uint64_t size) noexcept nogil
    uint32_t istat_trigram(const char *text) noexcept nogil

cdef extern from "<string.h>" nogil:
    void *memmem(const void *text, size_t size, const void *word, size_t word_size)

cdef enum:
    BLOCK = 64                  # names that share a signature
    ROWS = 4096                 # bits of a signature
    SIGN_WORDS = 64
    MOST_ROWS = 64              # rows and-ed for one question: more tell little
    SMALL_SORT = 12
    NO_BOUND = 0x7FFFFFFF
    BEHIND_DOT = 47             # the byte after `.`: `a/` is behind all names below `a.`
    SCANNED = 4                 # where one name in so many would be looked at, all are, by id, until there are enough


# -- patterns ------------------------------------------------------------------------------------------------------

cdef class Pattern:
    """A compiled pattern: a deterministic automaton, and what its names must begin with and contain.

    classes: 256 bytes, the class of each byte. moves: little-endian 16-bit states, a row of classes for each state; state 0 fails,
    1 accepts whatever follows, 2 is the first. accepts: a byte for each state. ValueError when that does not fit.
    """
    cdef uint8_t classes[256]
    cdef uint16_t *moves
    cdef uint8_t *accepts
    cdef Py_ssize_t width
    cdef readonly bytes prefix
    cdef readonly tuple literals

    def __cinit__(self, bytes classes not None, bytes moves not None, bytes accepts not None, bytes prefix=b"",
                  literals=()):
        cdef Py_ssize_t states = len(accepts)
        cdef Py_ssize_t i
        if len(classes) != 256 or states < 3:
            raise ValueError("a pattern has 256 classes and at least 3 states")
        self.width = max(classes) + 1
        if len(moves) != 2 * states * self.width:
            raise ValueError(f"{states} states of {self.width} classes are not {len(moves)} bytes")
        self.moves = <uint16_t *> malloc(len(moves))
        self.accepts = <uint8_t *> malloc(states)
        if self.moves == NULL or self.accepts == NULL:
            raise MemoryError()
        memcpy(self.classes, <const char *> classes, 256)
        memcpy(self.accepts, <const char *> accepts, states)
        for i in range(states * self.width):
            self.moves[i] = <uint16_t> (<uint8_t> moves[2 * i] | <uint16_t> <uint8_t> moves[2 * i + 1] << 8)
            if self.moves[i] >= states:
                raise ValueError(f"there is no state {self.moves[i]}")
        self.prefix = prefix
        self.literals = tuple(literals)

    def __dealloc__(self):
        free(self.moves)
        free(self.accepts)

    def fits(self, bytes name not None):
        """Whether the whole name fits."""
        return self.run(name, len(name))

    cdef bint run(self, const char *name, Py_ssize_t size) noexcept nogil:
        cdef uint32_t state = 2
        cdef Py_ssize_t i
        for i in range(size):
            state = self.moves[state * self.width + self.classes[<uint8_t> name[i]]]
            if state < 2:
                return state
        return self.accepts[state]


# -- texts ---------------------------------------------------------------------------------------------------------

cdef inline uint64_t first_ref(NameTable table, uint64_t id) noexcept nogil:
    """The reference to the first name of an id, which is its place in the order of segments."""
    cdef uint64_t ref = ref_at(table.pages, id)
    if ref & MOVED:
        memcpy(&ref, ref_text(istat_chunks(&table.arena.chunks), ref) - sizeof(ref), sizeof(ref))
    return ref


cdef inline int compare(const char *a, Py_ssize_t a_size, const char *b, Py_ssize_t b_size) noexcept nogil:
    cdef int sign = memcmp(a, b, <size_t> min(a_size, b_size))
    if sign != 0:
        return sign
    if a_size < b_size:
        return -1
    return 1 if a_size > b_size else 0


cdef inline int compare_ids(NameTable table, uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t x = first_ref(table, a)
    cdef uint64_t y = first_ref(table, b)
    return compare(ref_text(table.arena.chunks, x), ref_size(x), ref_text(table.arena.chunks, y), ref_size(y))


# -- sorting: quicksort by seven bytes at a time, which lie beside the ids ------------------------------------------------------

cdef struct Item:
    uint64_t key
    uint32_t id


cdef inline void set_keys(NameTable table, Item *items, Py_ssize_t n, Py_ssize_t depth) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t ref
    for i in range(n):
        if i + 8 < n:
            istat_prefetch(&table.pages[items[i + 8].id >> 12][items[i + 8].id & 0xFFF])
        ref = first_ref(table, items[i].id)
        items[i].key = istat_key(ref_text(table.arena.chunks, ref) + depth, <uint64_t> (ref_size(ref) - depth))


cdef void sort_small(NameTable table, Item *items, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t k
    cdef Item one
    for i in range(1, n):
        one = items[i]
        k = i
        while k > 0 and (one.key < items[k - 1].key or (
                one.key == items[k - 1].key and compare_ids(table, one.id, items[k - 1].id) < 0)):
            items[k] = items[k - 1]
            k -= 1
        items[k] = one


cdef void sort_items(NameTable table, Item *items, Py_ssize_t n, Py_ssize_t depth, uint64_t *chance) noexcept nogil:
    """Sort by the text from `depth` on; the keys are set. The pivot is by chance: no names can make this slow."""
    cdef Py_ssize_t low
    cdef Py_ssize_t high
    cdef Py_ssize_t at
    cdef uint64_t pivot
    cdef Item kept
    while n > SMALL_SORT:
        chance[0] = chance[0] * 6364136223846793005u + 1442695040888963407u
        pivot = items[(chance[0] >> 33) % <uint64_t> n].key
        low = 0
        at = 0
        high = n
        while at < high:
            kept = items[at]
            if kept.key < pivot:
                items[at] = items[low]
                items[low] = kept
                low += 1
                at += 1
            elif kept.key > pivot:
                high -= 1
                items[at] = items[high]
                items[high] = kept
            else:
                at += 1
        if pivot & 15 == 8 and high - low > 1:
            set_keys(table, items + low, high - low, depth + 7)
            sort_items(table, items + low, high - low, depth + 7, chance)
        if low < n - high:
            sort_items(table, items, low, depth, chance)
            items += high
            n -= high
        else:
            sort_items(table, items + high, n - high, depth, chance)
            n = low
    sort_small(table, items, n)


# -- segments --------------------------------------------------------------------------------------------------------------

cdef class Segment:
    """The names of the ids first..stop-1 in order, without those that were gone. Made by `build` and `merge`."""
    cdef uint32_t *ids
    cdef uint64_t *rows             # ROWS times `words`: bit b of row r: block b has three bytes with the hash r
    cdef Py_ssize_t n
    cdef Py_ssize_t words
    cdef readonly uint32_t first
    cdef readonly uint32_t stop

    def __cinit__(self, uint32_t first, uint32_t stop, Py_ssize_t n):
        self.first = first
        self.stop = stop
        self.n = n
        self.words = ((self.n + BLOCK - 1) // BLOCK + 63) // 64 | 1     # odd, so that rows do not share cache places
        self.ids = <uint32_t *> malloc(self.n * sizeof(uint32_t) + 1)
        self.rows = <uint64_t *> calloc(ROWS * self.words, sizeof(uint64_t))
        if self.ids == NULL or self.rows == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self.ids)
        free(self.rows)

    def __len__(self):
        return self.n

    def memory(self):
        """Bytes held."""
        return self.n * sizeof(uint32_t) + ROWS * self.words * sizeof(uint64_t)

    cdef void sign(self, NameTable table) noexcept nogil:
        """Make the signatures."""
        cdef uint64_t bits[SIGN_WORDS]
        cdef Py_ssize_t block
        cdef Py_ssize_t i
        cdef Py_ssize_t k
        cdef uint64_t ref
        cdef uint64_t word
        cdef const char *text
        cdef uint32_t hash
        for block in range((self.n + BLOCK - 1) // BLOCK):
            memset(bits, 0, sizeof(bits))
            for i in range(block * BLOCK, min((block + 1) * BLOCK, self.n)):
                ref = first_ref(table, self.ids[i])
                text = ref_text(table.arena.chunks, ref)
                for k in range(ref_size(ref) - 2):
                    hash = istat_trigram(text + k)
                    bits[hash >> 6] |= <uint64_t> 1 << (hash & 63)
            for i in range(SIGN_WORDS):
                word = bits[i]
                while word != 0:
                    k = i * 64 + istat_lowest(word)
                    self.rows[k * self.words + (block >> 6)] |= <uint64_t> 1 << (block & 63)
                    word &= word - 1

    cdef Py_ssize_t lower(self, NameTable table, const char *key, Py_ssize_t size, Py_ssize_t low,
                          Py_ssize_t high) noexcept nogil:
        """The first place from `low` on whose name is not before the key, or `high`."""
        cdef Py_ssize_t middle
        cdef uint64_t ref
        while low < high:
            middle = low + (high - low) // 2
            ref = first_ref(table, self.ids[middle])
            if compare(ref_text(table.arena.chunks, ref), ref_size(ref), key, size) < 0:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Py_ssize_t behind(self, NameTable table, const char *key, Py_ssize_t size, Py_ssize_t low, Py_ssize_t high,
                           Py_ssize_t guess) noexcept nogil:
        """As `lower`, for a key that is rather near `low`, by a guess so many places behind it."""
        cdef Py_ssize_t step = 1
        cdef Py_ssize_t from_ = low
        cdef uint64_t ref
        if guess > 1 and low + guess < high:
            ref = first_ref(table, self.ids[low + guess - 1])
            if compare(ref_text(table.arena.chunks, ref), ref_size(ref), key, size) < 0:
                from_ = low + guess
                step = guess
            else:
                return self.lower(table, key, size, low, low + guess - 1)
        while low + step < high:
            ref = first_ref(table, self.ids[low + step])
            if compare(ref_text(table.arena.chunks, ref), ref_size(ref), key, size) >= 0:
                break
            from_ = low + step + 1
            step *= 2
        return self.lower(table, key, size, from_, min(low + step, high))

    cdef void range_of(self, NameTable table, const char *prefix, Py_ssize_t size, Py_ssize_t *low,
                       Py_ssize_t *high) noexcept nogil:
        """The places of the names that begin with a prefix."""
        cdef Py_ssize_t middle
        cdef Py_ssize_t least
        cdef Py_ssize_t most = self.n
        cdef uint64_t ref
        low[0] = self.lower(table, prefix, size, 0, self.n) if size else 0
        least = low[0]
        while size and least < most:
            middle = least + (most - least) // 2
            ref = first_ref(table, self.ids[middle])
            if ref_size(ref) >= size and memcmp(ref_text(table.arena.chunks, ref), prefix, size) == 0:
                least = middle + 1
            else:
                most = middle
        high[0] = most

    cdef uint64_t *blocks_of(self, Rows *rows, Py_ssize_t low, Py_ssize_t high, Py_ssize_t *names) noexcept nogil:
        """A bit for each block between two places that can hold what is wanted, and how many names these have. NULL when
        there is no memory."""
        cdef uint64_t *mask = <uint64_t *> calloc(self.words, sizeof(uint64_t))
        cdef uint64_t *row
        cdef Py_ssize_t block
        cdef Py_ssize_t i
        cdef Py_ssize_t r
        cdef Py_ssize_t first = low // BLOCK // 64
        cdef Py_ssize_t stop = ((high + BLOCK - 1) // BLOCK + 63) // 64
        names[0] = 0
        if mask == NULL or low >= high:
            return mask
        for block in range(low // BLOCK, (high + BLOCK - 1) // BLOCK):
            mask[block >> 6] |= <uint64_t> 1 << (block & 63)
        for r in range(rows.count):
            row = self.rows + rows.hash[r] * self.words
            for i in range(first, stop):
                mask[i] &= row[i]
        for i in range(first, stop):
            names[0] += BLOCK * istat_ones(mask[i])
        names[0] = min(names[0], high - low)
        return mask


cdef struct Rows:               # the rows that tell of some literals
    uint32_t hash[MOST_ROWS]
    int count


cdef Rows rows_of(literals) except *:
    cdef Rows rows
    cdef bytes literal
    cdef Py_ssize_t i
    rows.count = 0
    for literal in sorted(literals, key=len, reverse=True):
        for i in range(len(literal) - 2):
            if rows.count < MOST_ROWS:
                rows.hash[rows.count] = istat_trigram(<const char *> literal + i)
                rows.count += 1
    return rows


def build(NameTable table not None, uint32_t first, uint32_t stop):
    """The segment of the ids first..stop-1, without those that are gone, which are marked as skipped. ValueError when
    some of them are not there."""
    cdef Segment made
    cdef Item *items
    cdef uint64_t id
    cdef Py_ssize_t n = 0
    cdef uint64_t chance = table.key | 1
    cdef Py_ssize_t i
    if not first <= stop <= table.n:
        raise ValueError(f"there are no ids {first}..{stop} among {table.n}")
    items = <Item *> malloc(<size_t> (stop - first) * sizeof(Item) + 1)
    if items == NULL:
        raise MemoryError()
    with nogil:
        for id in range(first, stop):
            if ref_at(table.pages, id) & GONE:      # nobody else changes what is gone until it is marked
                if not table.is_forgotten(id):
                    table.pages[id >> 12][id & 0xFFF] |= SKIPPED
                continue
            items[n].id = <uint32_t> id
            n += 1
    try:
        made = Segment(first, stop, n)
    except MemoryError:
        free(items)
        raise
    with nogil:
        set_keys(table, items, made.n, 0)
        sort_items(table, items, made.n, 0, &chance)
        for i in range(made.n):
            made.ids[i] = items[i].id
        free(items)
        made.sign(table)
    return made


def merge(NameTable table not None, Segment left not None, Segment right not None):
    """One segment of two neighbours. ValueError when they are none."""
    cdef Segment made
    cdef Py_ssize_t a = 0
    cdef Py_ssize_t b = 0
    cdef Py_ssize_t i
    if left.stop != right.first or right.stop > table.n:
        raise ValueError(f"{left.first}..{left.stop} and {right.first}..{right.stop} are no neighbours")
    made = Segment(left.first, right.stop, left.n + right.n)
    with nogil:
        for i in range(made.n):
            if b == right.n or (a < left.n and compare_ids(table, left.ids[a], right.ids[b]) <= 0):
                made.ids[i] = left.ids[a]
                a += 1
                if a + 8 < left.n:
                    foresee(table, left.ids[a + 8], left.ids[a + 4])
            else:
                made.ids[i] = right.ids[b]
                b += 1
                if b + 8 < right.n:
                    foresee(table, right.ids[b + 8], right.ids[b + 4])
        made.sign(table)
    return made


cdef inline void foresee(NameTable table, uint64_t far, uint64_t near) noexcept nogil:
    """Have a reference, and the text of another one, on their way to the cache."""
    istat_prefetch(&table.pages[far >> 12][far & 0xFFF])
    istat_prefetch(ref_text(table.arena.chunks, ref_at(table.pages, near) if not ref_at(table.pages, near) & MOVED
                            else first_ref(table, near)))


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

    def __cinit__(self, NameTable table, Pattern pattern, words, int64_t after, Least least):
        cdef Py_ssize_t i
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
            refs[i] = AWAY
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
            if refs[i] & passed or self.too_long(refs[i]) or (
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
            if self.look_at(NULL, first, n, AWAY | MOVED) < 0:
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
                                      AWAY | MOVED)
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
                    result = self.look_at(ids, 0, n, AWAY)
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
               Py_ssize_t limit=-1):
    """Ids whose names hold all the words, shorter names first, then by name; at most `limit`."""
    cdef Least least = Least(table, table.n if limit < 0 else limit, True)
    return Question(table, None, words, -1, least).answer(segments, tail, moved)


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


# -- children -------------------------------------------------------------------------------------------------------------

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
            if ref & (AWAY | MOVED):
                low += 1
                continue
            if self.look_at(segment.ids[low], AWAY | MOVED, most) < 0:
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
        return 0

    cdef int look_through(self, uint64_t first, uint64_t stop) noexcept nogil:
        cdef uint32_t most = self.labels.n + self.limit
        cdef uint64_t id
        for id in range(first, stop):
            if self.look_at(id, AWAY | MOVED, most) < 0:
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
        result = result or found.look_at(one, AWAY, 0xFFFFFFFF)
    if result < 0:
        raise MemoryError()
    rows = [(found.labels.name(i), found.ids[i], found.deeper[i] == 1) for i in range(found.labels.n)]
    rows.sort()
    return rows[:limit]
