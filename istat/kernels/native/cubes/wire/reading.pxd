# Numbers out of bytes of strangers, and numbers as bytes. The specification is the Python twin. Written out here, since
# most of it is called once a value. A reader that refused something gives zeros from then on: loops look at `why` once a
# cell.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef enum:
    VARINT_ROOM = 10            # [bytes] the longest
    FINE = 0                    # why a reader refused: places in REASONS, from 1
    CUT_OFF
    TOO_LARGE
    OVERLONG
    NO_BUDGET
    TRAILING
    NO_NUMBER
    NOT_FINITE
    FILLED
    SAME_ORIGIN
    OUT_OF_ORDER
    INCONSISTENT
    NO_SUCH_RUN
    NO_SUCH_SKETCH
    MALFORMED_KEY
    TWICE
    NO_PLACE
    OTHER_SKETCH
    PAST_END
    EMPTY_BUCKET
    SHORT_OF_MEMORY = -1        # no fault of the bytes: MemoryError

cdef struct reader_t:
    const uint8_t *data
    size_t at                   # where the next read begins
    size_t size
    uint64_t budget             # [bytes] of memory that may still be planned
    size_t where                # of what was refused
    int why

cdef struct out_t:              # bytes that grow; zero bytes are an empty one
    uint8_t *data
    size_t used
    size_t room
    bint failed                 # no memory: what was written since is lost

cdef void refuse(reader_t *r, int why, size_t where) noexcept nogil
cdef reader_t reader_of(const uint8_t *data, size_t size, uint64_t budget) noexcept nogil
cdef uint64_t long_varint(reader_t *r, uint64_t most) noexcept nogil
# A number of up to 192 bits as varint, lowest 64 first; `bits` is the most that it may have.
cdef void read_wide(reader_t *r, uint64_t *words, int bits) noexcept nogil
cdef int put_wide(out_t *out, uint64_t low, uint64_t middle, uint64_t high) noexcept nogil
# FormatError or MemoryError where the reader refused, or has bytes left.
cdef int finish(reader_t *r, size_t base) except -1
cdef int grow(out_t *out, size_t more) noexcept nogil       # 0, or -1: no memory
cdef bytes taken(out_t *out)    # what was written, as bytes; its memory is given back; MemoryError

cdef inline uint64_t read_varint(reader_t *r, uint64_t most) noexcept nogil:
    """A number in groups of seven bits, up to `most`."""
    cdef uint64_t value
    if r.at < r.size and r.data[r.at] < 128 and r.data[r.at] <= most:
        value = r.data[r.at]
        r.at += 1
        return value
    return long_varint(r, most)

cdef inline int64_t read_zigzag(reader_t *r) noexcept nogil:
    cdef uint64_t value = read_varint(r, <uint64_t> -1)
    return <int64_t> ((value >> 1) ^ (0 - (value & 1)))

cdef inline const uint8_t *read_bytes(reader_t *r, size_t size) noexcept nogil:
    """The place of the next bytes, so many; NULL where there are less."""
    if size > r.size - r.at:
        refuse(r, CUT_OFF, r.at)
        return NULL
    r.at += size
    return r.data + (r.at - size)

cdef inline uint8_t read_u8(reader_t *r, uint8_t most) noexcept nogil:
    """One byte, up to `most`."""
    if r.at == r.size:
        refuse(r, CUT_OFF, r.at)
        return 0
    if r.data[r.at] > most:
        refuse(r, TOO_LARGE, r.at)
        return 0
    r.at += 1
    return r.data[r.at - 1]

cdef inline uint64_t read_u64(reader_t *r) noexcept nogil:
    cdef uint64_t value = 0
    cdef const uint8_t *place = read_bytes(r, 8)
    if place != NULL:
        memcpy(&value, place, 8)
    return value

cdef inline double read_f64(reader_t *r) noexcept nogil:
    cdef double value = 0
    cdef const uint8_t *place = read_bytes(r, 8)
    if place != NULL:
        memcpy(&value, place, 8)
    return value

cdef inline void plan(reader_t *r, uint64_t size, size_t where) noexcept nogil:
    """So many bytes are going to be allocated; refuse where that is more than what is left."""
    if size > r.budget:
        refuse(r, NO_BUDGET, where)
    else:
        r.budget -= size

cdef inline int put_bytes(out_t *out, const void *data, size_t size) noexcept nogil:
    if out.room - out.used < size and grow(out, size) < 0:
        return -1
    memcpy(out.data + out.used, data, size)
    out.used += size
    return 0

cdef inline int put_u8(out_t *out, uint8_t value) noexcept nogil:
    return put_bytes(out, &value, 1)

cdef inline int put_number(out_t *out, uint64_t value) noexcept nogil:
    """As varint."""
    if out.room - out.used < 10 and grow(out, 10) < 0:
        return -1
    while value >= 128:
        out.data[out.used] = <uint8_t> (value | 128)
        out.used += 1
        value >>= 7
    out.data[out.used] = <uint8_t> value
    out.used += 1
    return 0

cdef inline int put_signed(out_t *out, int64_t value) noexcept nogil:
    """As zigzag."""
    return put_number(out, (<uint64_t> value << 1) ^ <uint64_t> (value >> 63))
