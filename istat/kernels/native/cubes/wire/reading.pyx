# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Numbers out of bytes of strangers, and numbers as bytes. Knows neither cells nor columns.

The loops stand in the .pxd; here is what happens once. The specification is the Python twin.
"""
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc

from istat.errors import FormatError

#: Why a reader refuses, by number from 1; the twin has the same sentences.
REASONS = (
    "cut off", "a number above its limit", "a number of more bytes than it needs", "takes more memory than max_memory",
    "bytes behind the end", "not a number", "a number that is not finite", "bits that fill up and are not 0",
    "an origin that is the one before", "names or entries that do not ascend", "figures that contradict each other",
    "slots that are none, or not as they are written", "no HyperLogLog of this precision", "a key that is none of this cube",
    "a key that is there already", "a key that finds no place among those that collide with it",
    "a sketch of other parameters than the schema's", "a bucket behind the last one", "a bucket that holds nothing",
)


cdef void refuse(reader_t *r, int why, size_t where) noexcept nogil:
    """The first refusal stays; nothing is read from then on."""
    if r.why == FINE:
        r.why = why
        r.where = where
    r.at = r.size


cdef uint64_t long_varint(reader_t *r, uint64_t most) noexcept nogil:
    """A number of any length, or one that is refused."""
    cdef uint64_t value = 0
    cdef size_t at = r.at
    cdef int shift = 0
    while at < r.size:
        value |= <uint64_t> (r.data[at] & 127) << shift
        if r.data[at] < 128:
            if shift == 63 and r.data[at] > 1:
                break
            if r.data[at] == 0 and shift:
                refuse(r, OVERLONG, r.at)
                return 0
            if value > most:
                break
            r.at = at + 1
            return value
        at += 1
        shift += 7
        if shift > 63:
            break
    refuse(r, CUT_OFF if at == r.size and shift <= 63 else TOO_LARGE, r.at)
    return 0


cdef reader_t reader_of(const uint8_t *data, size_t size, uint64_t budget) noexcept nogil:
    """A reader at the front of these bytes."""
    cdef reader_t r
    r.data, r.at, r.size, r.budget, r.where, r.why = data, 0, size, budget, 0, FINE
    return r


cdef void read_wide(reader_t *r, uint64_t *words, int bits) noexcept nogil:
    cdef size_t at = r.at
    cdef int shift = 0
    cdef uint64_t group
    words[0] = words[1] = words[2] = 0
    while at < r.size:
        group = r.data[at] & 127
        if shift + 7 > bits and group >> (bits - shift):
            break
        words[shift >> 6] |= group << (shift & 63)
        if (shift & 63) > 57 and shift < 128:
            words[(shift >> 6) + 1] |= group >> (64 - (shift & 63))
        if r.data[at] < 128:
            if group == 0 and shift:
                refuse(r, OVERLONG, r.at)
            else:
                r.at = at + 1
            return
        at += 1
        shift += 7
        if shift >= bits:
            break
    refuse(r, CUT_OFF if at == r.size and shift < bits else TOO_LARGE, r.at)


cdef int put_wide(out_t *out, uint64_t low, uint64_t middle, uint64_t high) noexcept nogil:
    while middle or high:
        if put_u8(out, <uint8_t> (low | 128)) < 0:
            return -1
        low = low >> 7 | middle << 57
        middle = middle >> 7 | high << 57
        high >>= 7
    return put_number(out, low)


cdef int finish(reader_t *r, size_t base) except -1:
    """Raise what the reader found, or that bytes are left."""
    if r.why == FINE and r.at < r.size:
        refuse(r, TRAILING, r.at)
    if r.why == SHORT_OF_MEMORY:
        raise MemoryError
    if r.why != FINE:
        raise FormatError(base + r.where, REASONS[r.why - 1])
    return 0


cdef int grow(out_t *out, size_t more) noexcept nogil:
    """Room for so many bytes more; doubles at least."""
    cdef size_t room = out.room * 2 if out.room * 2 - out.used >= more else out.used + more
    cdef void *moved = realloc(out.data, room + 256)
    if moved == NULL:
        out.failed = True
        return -1
    out.data = <uint8_t *> moved
    out.room = room + 256
    return 0


cdef bytes taken(out_t *out):
    try:
        if out.failed:
            raise MemoryError
        return (<char *> out.data)[:out.used]
    finally:
        free(out.data)
        out.data = NULL
