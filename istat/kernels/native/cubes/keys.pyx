# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Values of a cell's dimensions as canonical bytes, and back. Knows nothing of cells, hashes or columns.

A key is, in the order of the dimensions, one value after another: a tag, then its body. 0 None; 1 int, 8 bytes
little-endian; 2 float, 8 bytes IEEE little-endian; 3 str and 4 bytes, a varint length and the bytes. Cubes that agree
on their dimensions give the same bytes for the same cell on every machine. The specification is the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.string cimport memcpy

from operator import index

from istat.errors import KeyTooLong

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    int64_t PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1

TYPES = "a dimension takes str, bytes, int, float and None, a counter int, and float with dtype=float"
Value = None | int | float | str | bytes
# For Python: these names are the kernels' own here, so that they cannot be imported.
globals().update(KEY_ROOM=KEY_ROOM, MOST_DIMENSIONS=MOST_DIMENSIONS)


cdef int too_long() except -1:
    raise KeyTooLong(f"the values of a cell take more than the {KEY_ROOM} bytes that a key has at most: shorten them")


cdef int64_t whole(object value) except? -1:
    """An int, or what stands for one, such as numpy's."""
    cdef int over = 0
    cdef int64_t number
    if not isinstance(value, int):
        try:
            value = index(value)
        except TypeError:
            raise TypeError(f"{type(value).__name__} is no type of a value here: {value!r}; {TYPES}") from None
    number = PyLong_AsLongLongAndOverflow(value, &over)
    if over:
        raise OverflowError(f"{value} does not fit into 64 bits with a sign")
    return number


cdef Py_ssize_t encode_value(object value, uint8_t *to, Py_ssize_t room) except -1:
    cdef const char *text
    cdef double real
    cdef Py_ssize_t size = 0
    if isinstance(value, str):
        text = PyUnicode_AsUTF8AndSize(value, &size)
        size = put_text(TAG_STR, text, size, to, room)
    elif isinstance(value, int):
        size = put_word(TAG_INT, <uint64_t> whole(value), to, room)
    elif value is None:
        if room < 1:
            too_long()
        to[0] = TAG_NONE
        return 1
    elif isinstance(value, bytes):
        size = put_text(TAG_BYTES, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value), to, room)
    elif isinstance(value, float):
        real = <double> value
        if real != real:
            raise ValueError("NaN is no value of a dimension: it equals nothing")
        size = put_word(TAG_FLOAT, float_bits(real), to, room)
    else:
        size = put_word(TAG_INT, <uint64_t> whole(value), to, room)
    if size < 0:
        too_long()
    return size


cdef Py_ssize_t encode_key(object values, Py_ssize_t dimensions, uint8_t *to) except -1:
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t i
    if isinstance(values, list):
        values = tuple(values)      # of our own: what stands for an int may run a program's code, which shortens the list
    if not isinstance(values, tuple):
        raise TypeError(f"a key is a Cell or a tuple of {dimensions} values, not {type(values).__name__}")
    if PyTuple_GET_SIZE(values) != dimensions:
        raise ValueError(f"this cube has {dimensions} dimensions, the key {len(values)} values")
    for i in range(dimensions):
        used += encode_value(<object> PyTuple_GET_ITEM(values, i), to + used, KEY_ROOM - used)
    return used


cdef bint is_utf8(const uint8_t *text, Py_ssize_t size) noexcept nogil:
    """As RFC 3629 has it: no surrogates, no overlong forms, nothing beyond U+10FFFF."""
    cdef Py_ssize_t at = 0
    cdef int more, i
    cdef uint32_t code
    while at < size:
        code = text[at]
        at += 1
        if code < 0x80:
            continue
        if code < 0xC2 or code > 0xF4:
            return False
        more = 1 if code < 0xE0 else 2 if code < 0xF0 else 3
        if more > size - at:
            return False
        code &= <uint32_t> (0x3F >> more)
        for i in range(more):
            if text[at + i] & 0xC0 != 0x80:
                return False
            code = code << 6 | <uint32_t> (text[at + i] & 0x3F)
        at += more
        if (more == 2 and (code < 0x800 or code >> 11 == 0x1B)) or (more == 3 and (code < 0x10000 or code > 0x10FFFF)):
            return False
    return True


cdef Py_ssize_t read_field(const uint8_t *key, Py_ssize_t size, field_t *field) noexcept nogil:
    cdef Py_ssize_t head = 2
    if size < 1:
        return MALFORMED
    field.tag = key[0]
    if field.tag == TAG_NONE:
        return 1
    if field.tag == TAG_INT or field.tag == TAG_FLOAT:
        if size < 9:
            return MALFORMED
        memcpy(&field.whole, key + 1, 8)
        memcpy(&field.real, key + 1, 8)
        # There is one way to write 0.0, and no NaN.
        if field.tag == TAG_FLOAT and (field.real != field.real or (field.real == 0.0 and field.whole != 0)):
            return MALFORMED
        return 9
    if field.tag > TAG_BYTES or size < 2:
        return MALFORMED
    field.size = key[1]
    if field.size >= 0x80:
        if size < 3 or key[2] == 0 or key[2] >= 0x80:      # overlong, or longer than any key
            return MALFORMED
        field.size = field.size & 0x7F | <Py_ssize_t> key[2] << 7
        head = 3
    if field.size > size - head:
        return MALFORMED
    field.text = key + head
    if field.tag == TAG_STR and not is_utf8(field.text, field.size):
        return MALFORMED
    return head + field.size


cdef bint well_formed(const uint8_t *key, Py_ssize_t size, Py_ssize_t dimensions) noexcept nogil:
    """Whether these bytes, all of them, are a key of so many dimensions."""
    cdef field_t field
    cdef Py_ssize_t used = 0
    cdef Py_ssize_t step
    if size > KEY_ROOM:
        return False
    for _ in range(dimensions):
        step = read_field(key + used, size - used, &field)
        if step < 0:
            return False
        used += step
    return used == size


cdef object field_value(const field_t *field):
    if field.tag == TAG_NONE:
        return None
    if field.tag == TAG_INT:
        return field.whole
    if field.tag == TAG_FLOAT:
        return field.real
    if field.tag == TAG_STR:
        return PyUnicode_DecodeUTF8(<const char *> field.text, field.size, NULL)
    return PyBytes_FromStringAndSize(<const char *> field.text, field.size)


cdef tuple decode_key(const uint8_t *key, Py_ssize_t size, Py_ssize_t dimensions):
    cdef field_t field
    cdef Py_ssize_t used = 0
    cdef list values = []
    if not well_formed(key, size, dimensions):
        raise ValueError(f"these bytes are no key of {dimensions} dimensions")
    for _ in range(dimensions):
        used += read_field(key + used, size - used, &field)
        values.append(field_value(&field))
    return tuple(values)


def encoded(values):
    """The key of a cell with these values, one a dimension.

    TypeError for a value of another type, ValueError for NaN, OverflowError for an int beyond 64 bits, KeyTooLong beyond
    4096 bytes.
    """
    cdef uint8_t key[KEY_ROOM]
    cdef tuple all_values = tuple(values)
    cdef Py_ssize_t size = encode_key(all_values, len(all_values), key)
    return PyBytes_FromStringAndSize(<char *> key, size)


def decoded(bytes key not None, Py_ssize_t dimensions):
    """The values of a key, one a dimension. ValueError when the bytes are no such key."""
    return decode_key(<const uint8_t *> PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), dimensions)
