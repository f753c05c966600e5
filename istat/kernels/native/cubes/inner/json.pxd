# Parts of a cell as JSON, written into text that has the room for them. How they look, the twin of cubes.text says.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from istat.kernels.native.cubes.histogram cimport hist_shape, hist_t
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.keys cimport field_t
from istat.kernels.native.render cimport Text

cdef extern from *:
    """
    #include <stdint.h>
    static const char istat_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839"
        "40414243444546474849505152535455565758596061626364656667686970717273747576777879"
        "8081828384858687888990919293949596979899";
    static const char istat_hex[] = "0123456789abcdef";
    static const char istat_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    #define EACH(byte) (0x0101010101010101u * (uint64_t)(byte))
    /* Whether one of eight bytes is below 32, a quote or a backslash: the high bit of such a byte is set in the sum. Bytes
       above the first one that is may be told wrongly, which only costs the slow way. */
    static inline uint64_t istat_to_escape(uint64_t bytes) {
        uint64_t quote = bytes ^ EACH('"'), slash = bytes ^ EACH(92);
        return (((bytes - EACH(32)) & ~bytes) | ((quote - EACH(1)) & ~quote) | ((slash - EACH(1)) & ~slash)) & EACH(128);
    }
    """
    const char istat_pairs[]
    const char istat_hex[]
    const char istat_base64[]
    uint64_t istat_to_escape(uint64_t bytes) noexcept nogil

cdef enum:
    PAD = 32                    # [bytes] that may be read behind a piece, and written behind text
    ESCAPED = 6                 # [bytes] the longest escape
    SUMMARY = 0                 # how histograms are written
    BUCKETS = 1
    ENCODED = 2
    HEAD_ROOM = 640             # [bytes] of a histogram's object before its percentiles, buckets or slots

cdef struct Piece:              # constant text, with PAD bytes behind it
    const char *data
    Py_ssize_t size

cdef struct Style:
    int histogram
    bint encoded_hll
    int quantiles
    Piece *names                # of quantiles
    double *percentiles
    int64_t *found              # room for their values

# Room: HEAD_ROOM, and that of the quantiles. 0, or -1: no memory.
cdef int put_histogram(Text *text, const hist_t *histogram, const hist_shape *shape, const Style *style) noexcept nogil
# Room: 2**precision. 0, or -1: no memory.
cdef int put_registers(Text *text, const hll_t *sketch, int layout) noexcept nogil
# Room: NUMBER_ROOM, and ESCAPED for each byte of a text.
cdef void put_tag(Text *text, const field_t *field) noexcept nogil


cdef inline void put(Text *text, const char *data, Py_ssize_t size) noexcept nogil:
    memcpy(text.data + text.used, data, size)
    text.used += size


cdef inline void put_piece(Text *text, const Piece *piece) noexcept nogil:
    """A copy whose size the compiler knows is much quicker than one of 12 bytes."""
    if piece.size <= 16:
        memcpy(text.data + text.used, piece.data, 16)
    elif piece.size <= 32:
        memcpy(text.data + text.used, piece.data, 32)
    else:
        memcpy(text.data + text.used, piece.data, piece.size)
    text.used += piece.size


cdef inline void put_byte(Text *text, char byte) noexcept nogil:
    text.data[text.used] = byte
    text.used += 1


cdef inline int digits_of(uint64_t value) noexcept nogil:
    cdef int digits = 1
    while True:
        if value < 10:
            return digits
        if value < 100:
            return digits + 1
        if value < 1000:
            return digits + 2
        if value < 10000:
            return digits + 3
        value //= 10000
        digits += 4


cdef inline void put_count(Text *text, uint64_t value) noexcept nogil:
    cdef int digits = digits_of(value)
    cdef char *end = text.data + text.used + digits
    cdef uint64_t rest
    text.used += digits
    while value >= 100:
        rest = value // 100
        end -= 2
        memcpy(end, istat_pairs + 2 * (value - 100 * rest), 2)
        value = rest
    if value >= 10:
        memcpy(end - 2, istat_pairs + 2 * value, 2)
    else:
        (end - 1)[0] = <char>(48 + value)


cdef inline void put_whole(Text *text, int64_t value) noexcept nogil:
    if value < 0:
        put_byte(text, b"-")
        put_count(text, 0 - <uint64_t>value)
    else:
        put_count(text, <uint64_t>value)


cdef inline void put_escaped(Text *text, uint8_t byte) noexcept nogil:
    """A byte of a string. Room: ESCAPED."""
    if byte >= 32 and byte != 34 and byte != 92:
        put_byte(text, byte)
        return
    put_byte(text, 92)
    if byte == 34 or byte == 92:
        put_byte(text, byte)
    elif byte == 10:
        put_byte(text, b"n")
    elif byte == 13:
        put_byte(text, b"r")
    elif byte == 9:
        put_byte(text, b"t")
    elif byte == 8:
        put_byte(text, b"b")
    elif byte == 12:
        put_byte(text, b"f")
    else:
        put(text, b"u00", 3)
        put_byte(text, istat_hex[byte >> 4])
        put_byte(text, istat_hex[byte & 15])


cdef inline void put_string(Text *text, const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """UTF-8 as a string, eight bytes at a time where none is to be escaped. Room: size * ESCAPED + PAD."""
    cdef Py_ssize_t at = 0
    cdef uint64_t eight
    put_byte(text, 34)
    while at + 8 <= size:
        memcpy(&eight, data + at, 8)
        if istat_to_escape(eight):
            break
        memcpy(text.data + text.used, &eight, 8)
        text.used += 8
        at += 8
    while at < size:
        put_escaped(text, data[at])
        at += 1
    put_byte(text, 34)


cdef inline void put_base64(Text *text, const uint8_t *data, Py_ssize_t size) noexcept nogil:
    """Room: size / 3 * 4 + 4."""
    cdef Py_ssize_t at, left
    cdef uint64_t bits
    cdef int i
    for at in range(0, size, 3):
        left = size - at
        bits = <uint64_t>data[at] << 16
        if left > 1:
            bits |= <uint64_t>data[at + 1] << 8
        if left > 2:
            bits |= data[at + 2]
        for i in range(4):
            put_byte(text, istat_base64[bits >> (18 - 6 * i) & 63] if i <= left else b"=")
