# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Names in order, with signatures that tell which of them need not be looked at.

A segment has a range of ids in the order of the names that they had first, so that it stays right when an id gets
another name; such ids (`moved`) are passed over in segments and looked at one by one. For each 64 names in order
a segment has a signature of 4,096 bits, one for each hash of three bytes in a row; they lie bit by bit, so that a few
rows are and-ed to find the blocks that can hold a literal: 12 bytes a name in all. Segments are never changed, and
nothing here takes anything from a table but what never moves: all of it may run in threads while the owner of the
table adds names. The specification is the Python twin.
"""
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memset

from istat.kernels.native.names cimport GONE, MOVED, SKIPPED, istat_prefetch, ref_at, ref_size, ref_text
from istat.kernels.native.search.sorting cimport Item, compare, compare_ids, first_ref, sort_ids

cdef extern from *:
    """
    #include <stdint.h>
    #define istat_ones(word) ((unsigned) __builtin_popcountll(word))
    static inline uint32_t istat_trigram(const char *text) {
        uint32_t three = (uint32_t) (unsigned char) text[0] | (uint32_t) (unsigned char) text[1] << 8
                         | (uint32_t) (unsigned char) text[2] << 16;
        return three * 0x9E3779B1u >> 20;
    }
    """
    uint32_t istat_ones(uint64_t word) noexcept nogil
    uint32_t istat_trigram(const char *text) noexcept nogil

cdef enum:
    ROWS = 4096                 # bits of a signature
    SIGN_WORDS = 64


cdef class Segment:
    """The names of the ids first..stop-1 in order, without those that were gone. Made by `build` and `merge`."""

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
        sort_ids(table, items, made.n, table.key | 1)
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
