# Columns of a batch, read as 8 bytes a row: ints, floats or hashes. inner.rows makes keys of them.
from cpython.buffer cimport Py_buffer
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy

cdef enum:                      # kinds of a column
    SINGLE = 0
    SEQUENCE = 1
    CODES = 2
    ARROW = 3
    FIXED = 4
    REALS = 5
    WHOLES = 6                  # and behind it, the other buffers of integers
    UNSIGNED = 7
    HALVES = 8
    UNSIGNED_HALVES = 9

cdef extern from *:
    """
    /* A row of a list or tuple; NULL when the list became shorter meanwhile. */
    static inline PyObject *istat_row(PyObject *rows, Py_ssize_t i) {
        return i < PySequence_Fast_GET_SIZE(rows) ? PySequence_Fast_GET_ITEM(rows, i) : NULL;
    }
    static inline void istat_foresee_row(PyObject *rows, Py_ssize_t i) {
        if (i < PySequence_Fast_GET_SIZE(rows)) __builtin_prefetch(PySequence_Fast_GET_ITEM(rows, i));
    }
    """
    PyObject *istat_row(object rows, Py_ssize_t i)
    void istat_foresee_row(object rows, Py_ssize_t i)

cdef class Column:
    cdef int kind
    cdef Py_ssize_t rows            # -1: one value for all rows
    cdef object source              # as it was given
    cdef object values              # where it has Python's: a list or tuple as it was given, the single one, those of codes
    cdef Items places               # of a pair: offsets or codes
    cdef Py_buffer view
    cdef bint viewed
    cdef const char *base           # of a buffer
    cdef Py_ssize_t stride
    cdef Py_ssize_t width

cdef class Items:
    """8 bytes a row, or once for all rows."""
    cdef const uint64_t *items
    cdef Py_ssize_t step            # 1, or 0: one for all rows
    cdef Py_ssize_t n
    cdef uint64_t *made
    cdef object owner               # whose memory `items` is, if it is not `made`

cdef inline int64_t whole_of(Items items, Py_ssize_t i) noexcept nogil:
    return <int64_t> items.items[i * items.step]

cdef inline double real_of(Items items, Py_ssize_t i) noexcept nogil:
    return (<const double *> items.items)[i * items.step]

cdef int check_row(PyObject *row) except -1                             # RuntimeError: the list became shorter
cdef Column column_of(object values)                                    # TypeError, ValueError
cdef Py_ssize_t rows_in(list columns) except -1                         # of Column; 1 when all are single values
cdef Items whole_items(Column column, Py_ssize_t rows)
cdef Items real_items(Column column, Py_ssize_t rows, object name)      # NaN refused
cdef Items hash_items(Column column, Py_ssize_t rows, int hash)
cdef double real(object value, object name) except? -1                  # TypeError for what is no number, ValueError for NaN
cdef Items value_items(Column column, Py_ssize_t rows, double scale)    # as a histogram of that scale records them
cdef Items times_items(Column column, Py_ssize_t rows)                  # how often, 0 or more; ValueError

cdef inline double real_at(const char *place) noexcept nogil:
    cdef double value
    memcpy(&value, place, 8)
    return value

cdef inline int64_t whole_at(const char *place, int kind) noexcept nogil:
    """The integer there, of a buffer of this kind."""
    cdef int64_t value = 0
    cdef int32_t half
    if kind <= UNSIGNED:
        memcpy(&value, place, 8)
    elif kind == HALVES:
        memcpy(&half, place, 4)
        value = half
    else:
        memcpy(&value, place, 4)
    return value

cdef inline Py_ssize_t stripped(const char *text, Py_ssize_t size) noexcept nogil:
    """The size without the NULs at the end."""
    while size > 0 and text[size - 1] == 0:
        size -= 1
    return size
