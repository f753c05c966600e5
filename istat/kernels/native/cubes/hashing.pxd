# Hashes of bytes, numbers and items of a sketch. The specification is the Python twin.
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from *:
    """
    #include <stdint.h>
    static inline uint64_t istat_rotated(uint64_t word, int bits) {
        return word << bits | word >> (64 - bits);
    }
    """
    uint64_t istat_rotated(uint64_t word, int bits) noexcept nogil

cdef enum:
    XXH64 = 1                   # the numbers of the hashes, as files have them
    DATASKETCHES = 2

cdef uint64_t xxh64(const uint8_t *data, size_t size) noexcept nogil

cdef inline uint64_t xxh64_word(uint64_t word) noexcept nogil:
    """As `xxh64` of the number's eight bytes, the lowest first."""
    cdef uint64_t state = 0x27D4EB2F165667C5u + 8
    state ^= istat_rotated(word * 0xC2B2AE3D27D4EB4Fu, 31) * 0x9E3779B185EBCA87u
    state = istat_rotated(state, 27) * 0x9E3779B185EBCA87u + 0x85EBCA77C2B2AE63u
    state = (state ^ state >> 33) * 0xC2B2AE3D27D4EB4Fu
    state = (state ^ state >> 29) * 0x165667B19E3779F9u
    return state ^ state >> 32

# What DataSketches makes of an item: rank << 26 | index; 0 of no bytes, which stands for no item.
cdef uint64_t coupon(const uint8_t *data, size_t size) noexcept nogil
cdef uint64_t coupon_word(uint64_t word) noexcept nogil

# The number of a hash by its name; ValueError.
cdef int hash_id(object name) except -1
# The hash of a str, bytes or int by one of the two; TypeError, OverflowError.
cdef int hash_object(object item, int hash, uint64_t *out) except -1

cdef class Hashes:
    """The hashes of a batch of items."""
    cdef uint64_t *items
    cdef Py_ssize_t n

# Of a buffer of int32, int64, uint32, uint64 or S<n>, or of a sequence of str, bytes, int; TypeError, OverflowError.
cdef Hashes hashes_of(object items, int hash)
