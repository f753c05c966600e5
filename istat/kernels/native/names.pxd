# Names to dense ids and back; the engine looks names up without the GIL.
from libc.stdint cimport int64_t, uint32_t, uint64_t

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
    cdef uint64_t *slots           # (upper half of the hash) << 32 | index + 1; 0 is free
    cdef uint64_t mask
    cdef char *text                # all names, one after the other
    cdef uint64_t text_size
    cdef uint64_t text_room
    cdef uint64_t *start           # start[i] .. start[i + 1] is name i
    cdef uint32_t room
    cdef uint32_t n
    cdef int64_t find_text(self, const char *name, Py_ssize_t size) noexcept nogil      # index, or -1
    cdef int64_t insert(self, const char *name, Py_ssize_t size) noexcept nogil         # index, or -1: no memory
    cdef int grow_slots(self) noexcept nogil
