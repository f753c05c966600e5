# Names to dense ids and back; the engine looks names up without the GIL.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

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
    """
    uint64_t istat_hash(uint64_t key, const char *text, Py_ssize_t size) noexcept nogil

cdef class NameTable:
    cdef uint64_t key
    cdef uint64_t *slots           # (upper half of the hash) << 32 | index + 1; 0 is free; GRAVE: a name was here
    cdef uint64_t mask
    cdef uint32_t used             # slots that are not free, graves among them
    cdef uint32_t here             # names in the table
    cdef char *text                # all names
    cdef uint64_t text_size
    cdef uint64_t text_room
    cdef uint64_t *ref             # of an id: where its name begins << 24 | its length
    cdef uint8_t *away             # of an id, a bit: its name was taken away
    cdef uint32_t room
    cdef uint32_t n                # ids given
    cdef const char *text_of(self, uint64_t index) noexcept nogil
    cdef Py_ssize_t size_of(self, uint64_t index) noexcept nogil
    cdef bint is_away(self, uint64_t index) noexcept nogil
    cdef int64_t find_text(self, const char *name, Py_ssize_t size) noexcept nogil      # index, or -1
    cdef int64_t insert(self, const char *name, Py_ssize_t size) noexcept nogil         # index, or -1: no memory
    cdef int make_room(self) noexcept nogil
    cdef int keep_text(self, uint32_t index, const char *name, Py_ssize_t size) noexcept nogil
    cdef void place(self, uint32_t index, const char *name, Py_ssize_t size) noexcept nogil
    cdef int renew_slots(self) noexcept nogil
    cdef int take_away(self, uint32_t index) noexcept nogil
    cdef int64_t insert_nameless(self, const char *text, Py_ssize_t size) noexcept nogil
