# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Hashes of bytes, numbers and items of a sketch. Knows no sketches and no keys. The specification is the Python twin.

Words are read as the machine has them: like all of the kernels this is for little-endian ones.
"""
from cpython.buffer cimport (PyBUF_FORMAT, PyBUF_STRIDED_RO, PyBuffer_IsContiguous, PyBuffer_Release,
                             PyBuffer_ToContiguous, PyObject_GetBuffer)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

import operator

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1

cdef enum:
    INDEX_BITS = 26             # of a coupon
    MOST_ZEROS = 62             # a coupon tells of no more leading zeros: rank 63 is what six bits hold

cdef Py_ssize_t MOST_ITEMS = 1 << 40            # of a batch: a buffer whose step is 0 bytes may have any number
cdef uint64_t P1 = 0x9E3779B185EBCA87u          # XXH64's primes
cdef uint64_t P2 = 0xC2B2AE3D27D4EB4Fu
cdef uint64_t P3 = 0x165667B19E3779F9u
cdef uint64_t P4 = 0x85EBCA77C2B2AE63u
cdef uint64_t P5 = 0x27D4EB2F165667C5u
cdef uint64_t C1 = 0x87C37B91114253D5u          # MurmurHash3's multipliers
cdef uint64_t C2 = 0x4CF5AD432745937Fu
cdef uint64_t SEED = 9001                       # of DataSketches, in all of its sketches

HASHES = {"xxh64": XXH64, "datasketches": DATASKETCHES}


cdef inline uint64_t word_at(const uint8_t *data) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, data, 8)
    return word


cdef inline uint64_t part_at(const uint8_t *data, size_t size) noexcept nogil:
    """Up to eight bytes, as a word with zeros behind them."""
    cdef uint64_t word = 0
    memcpy(&word, data, size)
    return word


cdef inline uint64_t round_of(uint64_t lane, uint64_t word) noexcept nogil:
    return istat_rotated(lane + word * P2, 31) * P1


cdef inline uint64_t lane_in(uint64_t state, uint64_t lane) noexcept nogil:
    return (state ^ round_of(0, lane)) * P1 + P4


cdef const uint8_t *stripes(const uint8_t *data, const uint8_t *end, uint64_t *state) noexcept nogil:
    """The state after all whole stripes of 32 bytes, and where they end."""
    cdef uint64_t a = P1 + P2
    cdef uint64_t b = P2
    cdef uint64_t c = 0
    cdef uint64_t d = 0 - P1
    while end - data >= 32:
        a = round_of(a, word_at(data))
        b = round_of(b, word_at(data + 8))
        c = round_of(c, word_at(data + 16))
        d = round_of(d, word_at(data + 24))
        data += 32
    state[0] = istat_rotated(a, 1) + istat_rotated(b, 7) + istat_rotated(c, 12) + istat_rotated(d, 18)
    state[0] = lane_in(lane_in(lane_in(lane_in(state[0], a), b), c), d)
    return data


cdef uint64_t xxh64(const uint8_t *data, size_t size) noexcept nogil:
    cdef const uint8_t *end = data + size
    cdef uint64_t state = P5
    if size >= 32:
        data = stripes(data, end, &state)
    state += size
    while end - data >= 8:
        state = istat_rotated(state ^ round_of(0, word_at(data)), 27) * P1 + P4
        data += 8
    if end - data >= 4:
        state = istat_rotated(state ^ part_at(data, 4) * P1, 23) * P2 + P3
        data += 4
    while data < end:
        state = istat_rotated(state ^ data[0] * P5, 11) * P1
        data += 1
    state = (state ^ state >> 33) * P2
    state = (state ^ state >> 29) * P3
    return state ^ state >> 32


cdef inline uint64_t mixed(uint64_t word, uint64_t first, int bits, uint64_t second) noexcept nogil:
    return istat_rotated(word * first, bits) * second


cdef inline uint64_t finished(uint64_t word) noexcept nogil:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCDu
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53u
    return word ^ word >> 33


cdef void murmur(const uint8_t *data, size_t size, uint64_t *out) noexcept nogil:
    """MurmurHash3 x64-128: its two words."""
    cdef size_t left = size
    cdef uint64_t a = SEED
    cdef uint64_t b = SEED
    while left >= 16:
        a = (istat_rotated(a ^ mixed(word_at(data), C1, 31, C2), 27) + b) * 5 + 0x52DCE729u
        b = (istat_rotated(b ^ mixed(word_at(data + 8), C2, 33, C1), 31) + a) * 5 + 0x38495AB5u
        data += 16
        left -= 16
    if left > 8:
        b ^= mixed(part_at(data + 8, left - 8), C2, 33, C1)
        left = 8
    a ^= mixed(part_at(data, left), C1, 31, C2)
    a ^= size
    b ^= size
    a += b
    b += a
    a = finished(a)
    b = finished(b)
    a += b
    out[0] = a
    out[1] = a + b


cdef uint64_t coupon(const uint8_t *data, size_t size) noexcept nogil:
    cdef uint64_t words[2]
    cdef uint64_t rank = 1
    if size == 0:
        return 0
    murmur(data, size, words)
    while rank <= MOST_ZEROS and words[1] >> (64 - rank) == 0:
        rank += 1
    return rank << INDEX_BITS | (words[0] & ((1 << INDEX_BITS) - 1))


cdef uint64_t coupon_word(uint64_t word) noexcept nogil:
    return coupon(<const uint8_t *> &word, 8)


cdef int hash_id(object name) except -1:
    if name not in HASHES:
        raise ValueError(f"a hash is one of {', '.join(HASHES)}, not {name!r}")
    return HASHES[name]


cdef inline uint64_t hash_bytes(const uint8_t *data, size_t size, int hash) noexcept nogil:
    return coupon(data, size) if hash == DATASKETCHES else xxh64(data, size)


cdef inline uint64_t hash_word(uint64_t word, int hash) noexcept nogil:
    return coupon_word(word) if hash == DATASKETCHES else xxh64_word(word)


cdef uint64_t word_of(object item) except? 0:
    """The eight bytes of an int, or of what can be used as one."""
    cdef int overflow = 0
    cdef long long word
    try:
        number = operator.index(item)
    except TypeError:
        raise TypeError(f"an item is a str, bytes or int, not {type(item).__name__}") from None
    word = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow == 0:
        return <uint64_t> word
    if overflow < 0 or number >= 2**64:
        raise OverflowError("an int as an item is from -2**63 to 2**64 - 1")
    return <uint64_t> number


cdef int hash_object(object item, int hash, uint64_t *out) except -1:
    cdef Py_ssize_t size
    cdef int overflow = 0
    cdef long long word
    cdef const char *text
    if isinstance(item, str):
        text = PyUnicode_AsUTF8AndSize(item, &size)
        out[0] = hash_bytes(<const uint8_t *> text, size, hash)
    elif isinstance(item, bytes):
        out[0] = hash_bytes(<const uint8_t *> PyBytes_AS_STRING(item), PyBytes_GET_SIZE(item), hash)
    else:
        if type(item) is int:
            word = PyLong_AsLongLongAndOverflow(item, &overflow)
            if overflow == 0:
                out[0] = hash_word(<uint64_t> word, hash)
                return 0
        out[0] = hash_word(word_of(item), hash)
    return 0


cdef class Hashes:
    def __cinit__(self, Py_ssize_t n):
        if n <= MOST_ITEMS:
            self.items = <uint64_t *> malloc(n * sizeof(uint64_t) + 1)
        if self.items == NULL:
            raise MemoryError("no memory for the hashes of a batch")
        self.n = n

    def __dealloc__(self):
        free(self.items)


cdef Hashes hashes_of(object items, int hash):
    cdef Py_buffer view
    if isinstance(items, (str, bytes)):
        raise TypeError(f"a batch of items is a sequence or a buffer, not one {type(items).__name__}")
    if isinstance(items, (list, tuple, range)):
        return hashes_of_list(items, hash)
    try:
        PyObject_GetBuffer(items, &view, PyBUF_FORMAT | PyBUF_STRIDED_RO)
    except (TypeError, BufferError):
        raise TypeError(f"a batch of items is a list, a tuple or a buffer, not {type(items).__name__}") from None
    try:
        if view.ndim != 1:
            raise TypeError(f"a batch of items has one dimension, not {view.ndim}")
        return hashes_of_buffer(items, &view, hash)
    finally:
        PyBuffer_Release(&view)


cdef Hashes hashes_of_list(object items, int hash):
    cdef Hashes made
    cdef Py_ssize_t i
    items = tuple(items)        # nobody can shorten it meanwhile
    made = Hashes(len(items))
    for i in range(made.n):
        hash_object((<tuple> items)[i], hash, &made.items[i])
    return made


cdef Hashes hashes_of_buffer(object items, Py_buffer *view, int hash):
    cdef bytes code = view.format.lstrip(b"@=<") if view.format != NULL else b"B"
    cdef Py_ssize_t n = view.shape[0]
    cdef Py_ssize_t size = view.itemsize
    cdef int is_signed = code in (b"i", b"l", b"q")
    cdef int is_text = code.endswith(b"s")
    cdef Hashes made
    cdef const uint8_t *data = <const uint8_t *> view.buf
    cdef void *copied = NULL
    if code == b"O" or code.endswith(b"w"):         # numpy's arrays of objects and of str
        return hashes_of_list(items.tolist(), hash)
    if not (is_signed or is_text or code in (b"I", b"L", b"Q")):
        raise TypeError("a buffer of items holds int32, int64, uint32, uint64 or S<n>, "
                        f"not {(view.format or b'B').decode()!r}")
    made = Hashes(n)
    try:
        if not PyBuffer_IsContiguous(view, b"C"):
            copied = malloc(view.len + 1)
            if copied == NULL:
                raise MemoryError("no memory for a copy of a batch")
            PyBuffer_ToContiguous(copied, view, view.len, b"C")
            data = <const uint8_t *> copied
        with nogil:
            if is_text:
                hash_texts(data, n, size, hash, made.items)
            else:
                hash_words(data, n, size, is_signed, hash, made.items)
    finally:
        free(copied)
    return made


cdef void hash_texts(const uint8_t *data, Py_ssize_t n, Py_ssize_t size, int hash, uint64_t *out) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t used
    for i in range(n):
        used = size
        while used > 0 and data[used - 1] == 0:
            used -= 1
        out[i] = hash_bytes(data, used, hash)
        data += size


cdef void hash_words(const uint8_t *data, Py_ssize_t n, Py_ssize_t size, int is_signed, int hash,
                     uint64_t *out) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint32_t half
    if size == 8 and hash == XXH64:         # the usual case, by itself so that it is a tight loop
        for i in range(n):
            out[i] = xxh64_word(word_at(data + 8 * i))
        return
    for i in range(n):
        if size == 8:
            out[i] = hash_word(word_at(data + 8 * i), hash)
        else:
            half = <uint32_t> part_at(data + 4 * i, 4)
            out[i] = hash_word(<uint64_t> <int64_t> <int32_t> half if is_signed else half, hash)


# --- for Python --------------------------------------------------------------------------------------

def hash_item(item):
    """XXH64 of an item. TypeError, OverflowError."""
    cdef uint64_t hash = 0
    hash_object(item, XXH64, &hash)
    return hash


def hashed(item, int hash):
    """XXH64 of an item, or its coupon, by the number of the hash. TypeError, OverflowError."""
    cdef uint64_t out = 0
    hash_object(item, hash, &out)
    return out


def xxh64_digest(const uint8_t[::1] data not None):
    """XXH64 of bytes, with seed 0. The room has it as `xxh64`, a name that is the kernels' own here."""
    cdef size_t size = data.shape[0]
    cdef uint64_t hash
    with nogil:
        hash = xxh64(&data[0] if size else NULL, size)
    return hash
