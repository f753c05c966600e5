# Names to dense ids and back; the engine looks names up without the GIL.
#
# Chunks of text, pages of references and the directories that lead to them never move and are never freed while their
# table lives. Another thread may therefore read the names that existed when it copied `pages` and `chunks`.
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    /* Keyed 64-bit hash by 64x64->128 bit multiplication and folding: eight bytes a step; the key is random in
       each process, so that nobody can prepare names that collide. */
    static inline uint64_t istat_fold(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
    }
    static inline uint64_t istat_hash(uint64_t key, const char *text, Py_ssize_t size) {
        uint64_t state = key ^ ((uint64_t) size * 0x9E3779B97F4A7C15ull), word;
        while (size >= 8) {
            memcpy(&word, text, 8);
            state = istat_fold(state ^ word, 0xD6E8FEB86659FD93ull ^ key);
            text += 8; size -= 8;
        }
        word = 0;
        memcpy(&word, text, (size_t) size);
        state = istat_fold(state ^ word, 0xA0761D6478BD642Full ^ key);
        return istat_fold(state, 0xE7037ED1A0B428DBull);
    }
    #define istat_prefetch(place) __builtin_prefetch(place)
    """
    void istat_prefetch(const void *place) noexcept nogil
    uint64_t istat_hash(uint64_t key, const char *text, Py_ssize_t size) noexcept nogil

cdef enum:
    CHUNK_BITS = 18             # a chunk of text: 256 KiB; no name lies in two
    CHUNK_MASK = 0x3FFFF
    PAGE_BITS = 12              # a page of references: 4,096 names
    PAGE_MASK = 0xFFF
    SHARD_BITS = 6              # parts of the hash table, which grow one at a time
    MOST_NAMES = 0xFFFFFFFEu
    NAME_ROOM = 0xFFFF          # [bytes] longest name: what a reference can tell
    UNLISTED = 1 << 16          # flags of a reference: its name does not lead to the id,
    MOVED = 1 << 17             # another one was given: the first reference lies before its text
    GONE = 1 << 18              # the id is gone,
    SKIPPED = 1 << 19           # and the last segment over it was made without it
    NO_MEMORY = -1              # what `insert` gives for no id
    EXISTS = -2
    TOO_LONG = -3

# A reference: place in the arena << 20 | flags | length.
cdef inline const char *ref_text(char **chunks, uint64_t ref) noexcept nogil:
    return chunks[ref >> (20 + CHUNK_BITS)] + (ref >> 20 & CHUNK_MASK)

cdef inline Py_ssize_t ref_size(uint64_t ref) noexcept nogil:
    return <Py_ssize_t> (ref & NAME_ROOM)

cdef inline uint64_t ref_at(uint64_t **pages, uint64_t id) noexcept nogil:
    return pages[id >> PAGE_BITS][id & PAGE_MASK]

cdef struct Shard:
    uint64_t *slots             # (upper half of the hash) << 32 | index + 1; 0 is free
    uint64_t size
    uint64_t used

# A growing array of pointers. One that became too small is kept until the end: a thread may be reading it.
cdef struct Directory:
    void **entries
    uint64_t used
    uint64_t room
    void *outgrown[48]
    int outgrown_count

cdef extern from *:
    """
    #include <stdint.h>
    #include <sys/mman.h>
    /* Give the memory of whole pages inside place[from..to) back; they read as zeros from then on. The bytes given back. */
    static inline uint64_t istat_give_back(void *place, uint64_t from, uint64_t to) {
        uintptr_t first = ((uintptr_t) place + from + 4095) & ~(uintptr_t) 4095;
        uintptr_t last = ((uintptr_t) place + to) & ~(uintptr_t) 4095;
        if (first >= last || madvise((void *) first, last - first, MADV_DONTNEED) != 0) return 0;
        return last - first;
    }
    """
    uint64_t istat_give_back(void *place, uint64_t start, uint64_t end) noexcept nogil

cdef class Arena:
    cdef Directory directory
    cdef char **chunks
    cdef uint64_t chunk_used
    cdef uint32_t *users        # of a chunk: how many references lead into it
    cdef uint64_t users_room
    cdef uint64_t freed         # chunks whose memory was given back
    cdef void use(self, uint64_t place) noexcept nogil
    cdef void unuse(self, uint64_t place) noexcept nogil
    cdef int64_t put(self, const char *before, Py_ssize_t before_size, const char *text,
                     Py_ssize_t size) noexcept nogil      # place of the text, or NO_MEMORY

cdef class NameTable:
    cdef uint64_t key
    cdef Shard shards[1 << SHARD_BITS]
    cdef Directory directory
    cdef uint64_t **pages
    cdef Arena arena
    cdef bint shares
    cdef uint16_t *forgotten    # of a page: how many of its ids are
    cdef uint64_t forgotten_room
    cdef Directory given_back   # pages that a page of gone ids stands for
    cdef readonly list moved    # ids that have another name than their first one
    cdef uint32_t n             # ids given
    cdef uint32_t here          # names in the table
    cdef int64_t find_text(self, const char *name, Py_ssize_t size) noexcept nogil      # id, or -1
    cdef void foresee(self, const char *name, Py_ssize_t size) noexcept nogil
    cdef int64_t find_tag(self, uint32_t tag, const char *name, Py_ssize_t size) noexcept nogil
    cdef int64_t insert(self, const char *name, Py_ssize_t size, uint64_t ref, bint star) noexcept nogil
    cdef int64_t insert_unlisted(self, const char *text, Py_ssize_t size) noexcept nogil
    cdef void mark_gone(self, uint32_t index) noexcept nogil
    cdef void forget(self, uint32_t index) noexcept nogil
    cdef bint is_forgotten(self, uint64_t index) noexcept nogil
    cdef bint page_gone(self, uint64_t page) noexcept nogil
    cdef int unlist_id(self, uint32_t index) noexcept nogil
    cdef bint is_unlisted(self, uint64_t index) noexcept nogil
    cdef int make_page(self) noexcept nogil
    cdef int put_slot(self, uint32_t tag, uint64_t index) noexcept nogil
    cdef int drop_slot(self, uint64_t index) noexcept nogil
    cdef uint64_t ref(self, uint32_t index) except 0
    cdef uint64_t ref_of(self, uint64_t other, const char *name, Py_ssize_t size) noexcept nogil
