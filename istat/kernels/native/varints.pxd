# Numbers as bytes, as journal records and the directories of blocks have them: seven bits a byte, lowest first. Signed
# ones are zigzagged: 0, -1, 1, -2, ... are 0, 1, 2, 3, ... All is written out here, since it is called once a value.
# The specification is the Python twin.
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    VARINT_ROOM = 10            # [bytes] the longest

cdef inline uint8_t *put_varint(uint8_t *to, uint64_t value) noexcept nogil:
    """Write a number; the byte after it."""
    while value >= 128:
        to[0] = <uint8_t> (value | 128)
        to += 1
        value >>= 7
    to[0] = <uint8_t> value
    return to + 1


cdef inline const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, uint64_t *out) noexcept nogil:
    """Read a number: the byte after it, or NULL when it is cut off or has more than 64 bits."""
    cdef uint64_t value = 0
    cdef int shift = 0
    while at < end and shift < 64:
        value |= <uint64_t> (at[0] & 127) << shift
        if at[0] < 128:
            if shift == 63 and at[0] > 1:
                return NULL
            out[0] = value
            return at + 1
        at += 1
        shift += 7
    return NULL


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t> ((value >> 1) ^ (0 - (value & 1)))
