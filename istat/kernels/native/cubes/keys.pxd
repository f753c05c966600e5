# Values of a cell's dimensions as canonical bytes, and back: tag, then body (None; int and float 8 bytes little-endian;
# str and bytes as varint length and bytes), one after another in the order of the dimensions.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    KEY_ROOM = 4096             # [bytes] longest key
    MOST_DIMENSIONS = 64
    TAG_NONE = 0
    TAG_INT = 1
    TAG_FLOAT = 2
    TAG_STR = 3
    TAG_BYTES = 4
    MALFORMED = -1

cdef struct field_t:            # one value inside a key
    int tag
    int64_t whole               # TAG_INT
    double real                 # TAG_FLOAT
    const uint8_t *text         # TAG_STR, TAG_BYTES: points into the key
    Py_ssize_t size

cdef Py_ssize_t encode_key(object values, Py_ssize_t dimensions, uint8_t *to) except -1     # `to` has KEY_ROOM; bytes written
cdef Py_ssize_t encode_value(object value, uint8_t *to, Py_ssize_t room) except -1
cdef int64_t whole(object value) except? -1             # an int, or what stands for one; TypeError, OverflowError
cdef Py_ssize_t read_field(const uint8_t *key, Py_ssize_t size, field_t *field) noexcept nogil  # bytes of the first value, or MALFORMED
cdef bint well_formed(const uint8_t *key, Py_ssize_t size, Py_ssize_t dimensions) noexcept nogil
cdef bint is_utf8(const uint8_t *text, Py_ssize_t size) noexcept nogil
cdef tuple decode_key(const uint8_t *key, Py_ssize_t size, Py_ssize_t dimensions)   # ValueError when malformed

cdef inline void copy_text(uint8_t *to, const char *text, Py_ssize_t size) noexcept nogil:
    """memcpy of what is mostly short: a call for that takes longer than the copying."""
    if size > 16:
        memcpy(to, text, size)
    elif size >= 8:
        memcpy(to, text, 8)
        memcpy(to + size - 8, text + size - 8, 8)
    elif size >= 4:
        memcpy(to, text, 4)
        memcpy(to + size - 4, text + size - 4, 4)
    else:
        while size:
            size -= 1
            to[size] = text[size]

# Write a value; the bytes written, or -1: longer than the room.
cdef inline Py_ssize_t put_word(int tag, uint64_t word, uint8_t *to, Py_ssize_t room) noexcept nogil:
    if room < 9:
        return -1
    to[0] = <uint8_t> tag
    memcpy(to + 1, &word, 8)
    return 9

cdef inline Py_ssize_t put_text(int tag, const char *text, Py_ssize_t size, uint8_t *to, Py_ssize_t room) noexcept nogil:
    cdef Py_ssize_t head = 2 if size < 0x80 else 3
    if size > KEY_ROOM or head + size > room:
        return -1
    to[0] = <uint8_t> tag
    if head == 2:
        to[1] = <uint8_t> size
    else:
        to[1] = <uint8_t> (size & 0x7F | 0x80)
        to[2] = <uint8_t> (size >> 7)
    copy_text(to + head, text, size)
    return head + size

cdef inline uint64_t float_bits(double value) noexcept nogil:
    """The bits of a number that is not NaN; those of 0.0 for -0.0."""
    cdef uint64_t bits
    value += 0.0
    memcpy(&bits, &value, 8)
    return bits
