# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Columns of a batch, read as 8 bytes a row: ints, floats or hashes. Knows no keys and no cells.

A column has one value a row, and is one of

    a buffer            of int32, uint32, int64, uint64 or float64; or of fixed-width bytes (`S5`: NULs at the end are
                        taken off) or text (`U5`: slow)
    list or tuple       of single values
    (offsets, bytes)    Arrow's layout: row i is bytes[offsets[i]:offsets[i + 1]], as bytes
    (codes, values)     row i is values[codes[i]]; `codes` is a buffer or a list of ints, `values` a list or tuple
    a single value      None, int, float, str or bytes: the same in each row

All is read before anything is done with it. The specification is `batches` of the Python twin.
"""
from cpython.buffer cimport PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_STRIDED_RO, PyBuffer_Release, PyObject_CheckBuffer, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_AsDouble, PyFloat_CheckExact
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from libc.stdlib cimport calloc, free, malloc

from istat.kernels.native.cubes.hashing cimport Hashes, hash_object, hashes_of
from istat.kernels.native.cubes.keys cimport whole
from istat.kernels.native.cubes.shapes cimport Values, hist_value, values_of

cdef extern from "Python.h":
    object PyUnicode_DecodeUTF32(const char *text, Py_ssize_t size, const char *errors, int *order)

KINDS = ("a column is a buffer of 32- or 64-bit ints, of float64 or of fixed-width bytes, a list or tuple of values, "
         "a pair (offsets, bytes) or (codes, values), or one value for all rows")

cdef Py_ssize_t MOST_ROWS = 1 << 40     # a buffer whose step is 0 bytes may have any number: sizes of memory stay within 64 bits

ctypedef int (*convert_t)(object value, const void *how, uint64_t *out) except -1


cdef class Column:
    def __dealloc__(self):
        if self.viewed:
            PyBuffer_Release(&self.view)


cdef class Items:
    def __dealloc__(self):
        free(self.made)


cdef bint is_single(object column):
    """Whether it is one value for all rows: no sequence and no buffer. Numbers of numpy are single ones."""
    if column is None or isinstance(column, (str, bytes, int, float)):
        return True
    return not isinstance(column, (list, tuple)) and hasattr(column, "__index__") and not getattr(column, "shape", ())


cdef bint is_pair(object column):
    """Whether its first part is offsets or codes, so that it is a pair and no column of two values."""
    if not isinstance(column, tuple) or len(column) != 2:
        return False
    first = column[0]
    return isinstance(first, (list, tuple)) or (not is_single(first) and PyObject_CheckBuffer(first))


cdef int check_row(PyObject *row) except -1:
    if row == NULL:
        raise RuntimeError("a list of a batch became shorter while it was read")
    return 0


cdef Column column_of(object values):
    cdef Column column = Column.__new__(Column)
    column.source = values
    if is_single(values):
        column.kind = SINGLE
        column.rows = -1
        column.values = (values,)
    elif is_pair(values):
        read_pair(column, values[0], values[1])
    elif isinstance(values, (list, tuple)):
        column.kind = SEQUENCE
        column.values = values
        column.rows = len(column.values)
    else:
        read_buffer(column, values)
    return column


cdef int read_pair(Column column, object first, object second) except -1:
    cdef Column places = column_of(first)
    cdef Py_ssize_t i
    cdef Py_ssize_t n = places.rows
    cdef const int64_t *at
    column.places = own_items(whole_items(places, n))
    column.rows = n
    at = <const int64_t *> column.places.items
    if isinstance(second, (list, tuple)):
        column.kind = CODES
        column.values = tuple(second)
        for i in range(n):
            if not 0 <= at[i] < PyTuple_GET_SIZE(column.values):
                raise ValueError(f"codes are from 0 to {len(second) - 1}, the places in the list of values")
        return 0
    if not PyObject_CheckBuffer(second):
        raise TypeError(KINDS)
    PyObject_GetBuffer(second, &column.view, PyBUF_SIMPLE)
    column.viewed = True
    column.kind = ARROW
    column.base = <const char *> column.view.buf
    column.rows = n - 1
    if n < 1 or at[0] < 0 or at[n - 1] > column.view.len:
        n = 0
    for i in range(1, n):
        if at[i] < at[i - 1]:
            n = 0
            break
    if n == 0:
        raise ValueError(f"offsets rise from 0 to {column.view.len}, and there is one more than there are rows")
    return 0


cdef int read_buffer(Column column, object values) except -1:
    cdef bytes code
    if not PyObject_CheckBuffer(values):
        raise TypeError(f"{KINDS}; not {type(values).__name__}")
    PyObject_GetBuffer(values, &column.view, PyBUF_FORMAT | PyBUF_STRIDED_RO)
    column.viewed = True
    if column.view.ndim != 1:
        raise ValueError(f"a column has one dimension, not {column.view.ndim}")
    column.base = <const char *> column.view.buf
    column.rows = column.view.shape[0]
    if column.rows > MOST_ROWS:
        raise MemoryError(f"no memory for a batch of {column.rows} rows")
    column.stride = column.view.strides[0]
    column.width = column.view.itemsize
    code = column.view.format.lstrip(b"@=<") if column.view.format != NULL else b"B"
    if code in (b"i", b"l", b"q"):
        column.kind = WHOLES if column.width == 8 else HALVES
    elif code in (b"I", b"L", b"Q"):
        column.kind = UNSIGNED if column.width == 8 else UNSIGNED_HALVES
    elif code == b"d":
        column.kind = REALS
    elif code.endswith(b"s"):
        column.kind = FIXED
    elif code.endswith(b"w"):
        column.kind = SEQUENCE
        column.values = tuple([text_at(column, i) for i in range(column.rows)])
    else:
        raise TypeError(f"{KINDS}; not a buffer of format {column.view.format.decode()!r}: convert it, as by NumPy's "
                        "astype")
    return 0


cdef object text_at(Column column, Py_ssize_t i):
    """Row i of a buffer of UTF-32."""
    cdef int little = -1
    return PyUnicode_DecodeUTF32(column.base + i * column.stride, column.width, NULL, &little).rstrip("\0")


cdef Py_ssize_t rows_in(list columns) except -1:
    cdef Py_ssize_t rows = -1
    cdef Column column
    for column in columns:
        if column.rows < 0:
            continue
        if rows >= 0 and column.rows != rows:
            raise ValueError(f"the columns of a batch have one length, not {rows} and {column.rows}")
        rows = column.rows
    return rows if rows >= 0 else 1


cdef object value_at(Column column, Py_ssize_t i):
    """Row i as a value of Python's."""
    cdef const char *base = column.base + i * column.stride
    if column.kind == SINGLE:
        return column.values[0]
    if column.kind == SEQUENCE:
        return column.values[i]
    if column.kind == CODES:
        return column.values[<Py_ssize_t> (<const int64_t *> column.places.items)[i]]
    if column.kind == ARROW:
        base = column.base + (<const int64_t *> column.places.items)[i]
        return PyBytes_FromStringAndSize(base, (<const int64_t *> column.places.items)[i + 1]
                                         - (<const int64_t *> column.places.items)[i])
    if column.kind == FIXED:
        return PyBytes_FromStringAndSize(base, stripped(base, column.width))
    if column.kind == REALS:
        return real_at(base)
    if column.kind == UNSIGNED:
        return <uint64_t> whole_at(base, UNSIGNED)
    return whole_at(base, column.kind)


cdef Items made_items(Column column, Py_ssize_t rows):
    """Room for so many, or for a single one."""
    cdef Items items = Items.__new__(Items)
    if column.rows >= 0 and column.rows != rows:
        raise ValueError(f"a column has {column.rows} values, and the batch {rows} rows")
    items.step = column.rows >= 0
    items.n = rows if items.step else 1
    items.made = <uint64_t *> malloc(items.n * sizeof(uint64_t) + 1)
    if items.made == NULL:
        raise MemoryError("no memory for a batch")
    items.items = items.made
    return items


cdef Items converted(Column column, Py_ssize_t rows, convert_t convert, const void *how):
    """Row by row, through Python's values; those that codes stand for once each."""
    cdef Items items = made_items(column, rows)
    cdef Items known
    cdef Py_ssize_t i
    cdef PyObject *row
    cdef const int64_t *codes
    if column.kind == CODES:
        codes = <const int64_t *> column.places.items
        known = converted_values(column, convert, how)
        for i in range(items.n):
            items.made[i] = known.items[codes[i]]
    elif column.kind <= SEQUENCE:
        for i in range(items.n):
            istat_foresee_row(column.values, i + 8)
            row = istat_row(column.values, i)
            check_row(row)
            convert(<object> row, how, &items.made[i])
    else:
        for i in range(items.n):
            convert(value_at(column, i), how, &items.made[i])
    return items


cdef Items converted_values(Column column, convert_t convert, const void *how):
    """Of the values that codes stand for, those that one does."""
    cdef Items known = Items.__new__(Items)
    cdef Py_ssize_t n = PyTuple_GET_SIZE(column.values)
    cdef const int64_t *codes = <const int64_t *> column.places.items
    cdef Py_ssize_t i
    known.made = <uint64_t *> calloc(n + 1, sizeof(uint64_t))
    if known.made == NULL:
        raise MemoryError("no memory for a batch")
    known.items = known.made
    for i in range(column.rows):
        known.made[codes[i]] = 1
    for i in range(n):
        if known.made[i]:
            convert(<object> PyTuple_GET_ITEM(column.values, i), how, &known.made[i])
    return known


cdef int to_whole(object value, const void *how, uint64_t *out) except -1:
    out[0] = <uint64_t> whole(value)
    return 0


cdef double real(object value, object name) except? -1:
    """A number as float."""
    cdef double number
    if PyFloat_CheckExact(value):
        number = PyFloat_AS_DOUBLE(value)
    elif isinstance(value, (str, bytes)) or not (hasattr(value, "__float__") or hasattr(value, "__index__")):
        raise TypeError(f"{name} takes numbers, not {type(value).__name__}: {value!r}")
    else:
        number = PyFloat_AsDouble(value)
    if number != number:
        raise ValueError(f"{name} takes no NaN")
    return number


cdef int to_real(object value, const void *how, uint64_t *out) except -1:
    cdef double number = real(value, <object> <PyObject *> how)
    memcpy(out, &number, 8)
    return 0


cdef int to_hash(object value, const void *how, uint64_t *out) except -1:
    return hash_object(value, (<const int *> how)[0], out)


cdef int to_value(object value, const void *how, uint64_t *out) except -1:
    return hist_value(value, (<const double *> how)[0], <int64_t *> out)


cdef Items in_place(Column column, Py_ssize_t rows):
    """A buffer of 8 bytes a row as it is, or None when it has to be copied."""
    cdef Items items
    if column.stride != 8 or <size_t> column.base & 7 or column.rows != rows:
        return None
    items = Items.__new__(Items)
    items.items = <const uint64_t *> column.base
    items.step = 1
    items.n = rows
    items.owner = column
    return items


cdef Items own_items(Items items):
    """Places that are looked at and then gone to: in memory that no program's code can write meanwhile."""
    cdef Items made
    if items.made != NULL:
        return items
    made = Items.__new__(Items)
    made.made = <uint64_t *> malloc(items.n * sizeof(uint64_t) + 1)
    if made.made == NULL:
        raise MemoryError("no memory for a batch")
    memcpy(made.made, items.items, items.n * sizeof(uint64_t))
    made.items = made.made
    made.n = items.n
    made.step = items.step
    return made


cdef Items whole_items(Column column, Py_ssize_t rows):
    cdef Items items
    cdef Py_ssize_t i
    if column.kind < WHOLES:
        return converted(column, rows, to_whole, NULL)
    items = in_place(column, rows) if column.kind == WHOLES else None
    if items is not None:
        return items
    items = made_items(column, rows)
    for i in range(rows):
        items.made[i] = <uint64_t> whole_at(column.base + i * column.stride, column.kind)
        if column.kind == UNSIGNED and <int64_t> items.made[i] < 0:
            raise OverflowError(f"{items.made[i]} does not fit into 64 bits with a sign")
    return items


cdef Items real_items(Column column, Py_ssize_t rows, object name):
    cdef Items items
    cdef Py_ssize_t i
    cdef double value
    if column.kind < REALS:
        return converted(column, rows, to_real, <PyObject *> name)
    items = made_items(column, rows)
    for i in range(rows):
        if column.kind == REALS:
            value = real_at(column.base + i * column.stride)
        elif column.kind == UNSIGNED:
            value = <double> <uint64_t> whole_at(column.base + i * column.stride, UNSIGNED)
        else:
            value = <double> whole_at(column.base + i * column.stride, column.kind)
        if value != value:
            raise ValueError(f"{name} takes no NaN")
        memcpy(&items.made[i], &value, 8)
    return items


cdef Items held(Column column, Py_ssize_t rows, object owner, const uint64_t *items):
    """Items that another object has."""
    cdef Items made = Items.__new__(Items)
    made.items = items
    made.step = 1
    made.n = rows
    made.owner = owner
    return made


cdef int check_length(Py_ssize_t n, Py_ssize_t rows) except -1:
    if n != rows:
        raise ValueError(f"a buffer that had {rows} values has {n} when it is read again")
    return 0


cdef int check_rows(Column column, Py_ssize_t rows) except -1:
    if column.rows >= 0 and column.rows != rows:
        raise ValueError(f"a column has {column.rows} values, and the batch {rows} rows")
    return 0


cdef Items hash_items(Column column, Py_ssize_t rows, int hash):
    cdef Hashes hashes
    check_rows(column, rows)
    if column.kind == FIXED or column.kind >= WHOLES:
        hashes = hashes_of(column.source, hash)
        check_length(hashes.n, rows)
        return held(column, rows, hashes, hashes.items)
    return converted(column, rows, to_hash, &hash)


cdef Items value_items(Column column, Py_ssize_t rows, double scale):
    cdef Values values
    check_rows(column, rows)
    if column.kind >= REALS:
        values = values_of(column.source, scale)
        check_length(values.n, rows)
        return held(column, rows, values, <const uint64_t *> values.items)
    return converted(column, rows, to_value, &scale)


cdef Items times_items(Column column, Py_ssize_t rows):
    cdef Items items = whole_items(column, rows)
    cdef Py_ssize_t i
    for i in range(items.n):
        if whole_of(items, i) < 0:
            raise ValueError(f"a value is recorded 0 times or more, not {whole_of(items, i)}")
    return items
