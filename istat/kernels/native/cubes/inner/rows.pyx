# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keys of a batch of rows, and the slots of their cells. Knows no metrics.

Keys lie back to back in one piece of memory, so that a batch is read from front to end. The loop over rows runs without
the GIL unless a column is a list. The specification is the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdlib cimport calloc, free, malloc, realloc

from istat.errors import KeyTooLong

from istat.kernels.native.cubes.inner.table cimport NOT_FOUND, foresee
from istat.kernels.native.cubes.hashing cimport xxh64
from istat.kernels.native.cubes.inner.columns cimport (ARROW, CODES, FIXED, REALS, SEQUENCE, SINGLE, UNSIGNED, Column, check_row,
                                                       istat_foresee_row, istat_row, real_at, stripped, whole_at)
from istat.kernels.native.cubes.keys cimport (KEY_ROOM, MOST_DIMENSIONS, TAG_BYTES, TAG_FLOAT, TAG_INT, TAG_NONE, TAG_STR,
                                              encode_value, float_bits, put_text, put_word, whole)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef enum:                      # why there are no keys
    LONG_KEY = -1               # as put_text and put_word tell it
    NOT_A_NUMBER = -2
    BEYOND_64 = -3
    WITHOUT_MEMORY = -4
    FEW_CELLS = 2000            # of these, all is in the cache
    FIRST_ROOM = 16             # [bytes a row] for keys at the beginning

cdef struct piece_t:            # a value on its way into keys
    uint64_t word               # of str and bytes: where they lie
    Py_ssize_t size
    int tag

cdef struct source_t:           # a column as the loop over rows reads it
    int kind
    PyObject *listed            # a list or tuple; the column holds it
    const piece_t *pieces
    const int64_t *places       # offsets or codes
    const char *base
    Py_ssize_t stride
    Py_ssize_t width


cdef class Pieces:
    """The values of a column that has Python's."""
    cdef piece_t *items

    def __dealloc__(self):
        free(self.items)


cdef int take_apart(object value, piece_t *piece) except -1:
    if isinstance(value, str):
        piece.tag = TAG_STR
        piece.word = <uint64_t> PyUnicode_AsUTF8AndSize(value, &piece.size)
    elif value is None:
        piece.tag = TAG_NONE
    elif isinstance(value, float):
        if value != value:
            raise ValueError("NaN is no value of a dimension: it equals nothing, itself neither")
        piece.tag = TAG_FLOAT
        piece.word = float_bits(value)
    elif isinstance(value, bytes):
        piece.tag = TAG_BYTES
        piece.word = <uint64_t> PyBytes_AS_STRING(value)
        piece.size = PyBytes_GET_SIZE(value)
    else:
        piece.tag = TAG_INT
        piece.word = <uint64_t> whole(value)
    return 0


cdef Pieces pieces_of(Column column):
    """Of codes, only the values that one stands for: nobody asked for the others."""
    cdef Pieces made = Pieces.__new__(Pieces)
    cdef tuple values = column.values
    cdef Py_ssize_t n = len(values)
    cdef Py_ssize_t i
    made.items = <piece_t *> calloc(n + 1, sizeof(piece_t))
    if made.items == NULL:
        raise MemoryError("no memory for a batch")
    if column.kind == CODES:
        for i in range(column.rows):
            made.items[column.places.items[i]].tag = 1
    for i in range(n):
        if column.kind != CODES or made.items[i].tag:
            take_apart(<object> PyTuple_GET_ITEM(values, i), &made.items[i])
    return made


cdef inline Py_ssize_t put_piece(const piece_t *piece, uint8_t *to, Py_ssize_t room) noexcept nogil:
    if piece.tag >= TAG_STR:
        return put_text(piece.tag, <const char *> piece.word, piece.size, to, room)
    if piece.tag != TAG_NONE:
        return put_word(piece.tag, piece.word, to, room)
    to[0] = TAG_NONE
    return 1 if room else LONG_KEY


cdef inline Py_ssize_t put_row(const source_t *source, Py_ssize_t i, uint8_t *to, Py_ssize_t room) noexcept nogil:
    """The part of a column in the key of a row: its bytes, or why there are none."""
    cdef const char *base
    cdef int64_t value
    cdef double number
    if source.kind == SINGLE:
        return put_piece(source.pieces, to, room)
    if source.kind == CODES:
        return put_piece(&source.pieces[source.places[i]], to, room)
    if source.kind == ARROW:
        return put_text(TAG_BYTES, source.base + source.places[i], source.places[i + 1] - source.places[i], to, room)
    base = source.base + i * source.stride
    if source.kind == FIXED:
        return put_text(TAG_BYTES, base, stripped(base, source.width), to, room)
    if source.kind == REALS:
        number = real_at(base)
        return put_word(TAG_FLOAT, float_bits(number), to, room) if number == number else NOT_A_NUMBER
    value = whole_at(base, source.kind)
    if value < 0 and source.kind == UNSIGNED:
        return BEYOND_64
    return put_word(TAG_INT, <uint64_t> value, to, room)


cdef inline int room_for_key(KeyBatch batch, uint64_t at) noexcept nogil:
    cdef void *grown
    if batch.room - at >= KEY_ROOM:
        return 0
    batch.room += batch.room // 2 + KEY_ROOM
    grown = realloc(batch.data, batch.room)
    if grown == NULL:
        return WITHOUT_MEMORY
    batch.data = <uint8_t *> grown
    return 0


cdef Py_ssize_t put_rows(KeyBatch batch, const source_t *sources, Py_ssize_t columns) noexcept nogil:
    """All keys and their hashes, where no column is a list. 0, or why there are none."""
    cdef uint64_t at = 0
    cdef uint64_t begin
    cdef Py_ssize_t i, k, step
    for i in range(batch.n):
        if room_for_key(batch, at) < 0:
            return WITHOUT_MEMORY
        begin = at
        batch.ends[i] = begin
        for k in range(columns):
            step = put_row(&sources[k], i, batch.data + at, <Py_ssize_t> (begin + KEY_ROOM - at))
            if step < 0:
                return step
            at += <uint64_t> step
        batch.hashes[i] = xxh64(batch.data + begin, at - begin)
    batch.ends[batch.n] = at
    return 0


cdef int put_listed_rows(KeyBatch batch, const source_t *sources, list read) except -1:
    """All keys and their hashes: values of lists are looked at once, on their way into the key."""
    cdef uint64_t at = 0
    cdef uint64_t begin
    cdef Py_ssize_t i, k, step
    cdef Py_ssize_t columns = len(read)
    for i in range(batch.n):
        if room_for_key(batch, at) < 0:
            refuse_keys(WITHOUT_MEMORY)
        begin = at
        batch.ends[i] = begin
        for k in range(columns):
            if sources[k].kind == SEQUENCE:
                step = put_listed(<object> sources[k].listed, i, batch.data + at, <Py_ssize_t> (begin + KEY_ROOM - at))
            else:
                step = put_row(&sources[k], i, batch.data + at, <Py_ssize_t> (begin + KEY_ROOM - at))
            if step < 0:
                refuse_keys(step)
            at += <uint64_t> step
        batch.hashes[i] = xxh64(batch.data + begin, at - begin)
    batch.ends[batch.n] = at
    return 0


cdef inline Py_ssize_t put_listed(object rows, Py_ssize_t i, uint8_t *to, Py_ssize_t room) except? -1:
    cdef PyObject *row = istat_row(rows, i)
    cdef Py_ssize_t size = 0
    cdef const char *text
    istat_foresee_row(rows, i + 12)         # the objects lie anywhere
    check_row(row)
    if PyUnicode_CheckExact(<object> row):
        text = PyUnicode_AsUTF8AndSize(<object> row, &size)
        return put_text(TAG_STR, text, size, to, room)
    return encode_value(<object> row, to, room)


cdef KeyBatch key_batch(CoreBase core, list columns, Py_ssize_t rows):
    cdef KeyBatch batch = KeyBatch.__new__(KeyBatch)
    cdef source_t sources[MOST_DIMENSIONS]
    cdef Column column
    cdef Py_ssize_t done
    cdef Py_ssize_t i
    cdef bint listed = False
    cdef list kept = []
    batch.core = core
    batch.n = rows
    batch.room = rows * FIRST_ROOM + KEY_ROOM
    batch.data = <uint8_t *> malloc(batch.room)
    batch.ends = <uint64_t *> malloc((rows + 1) * sizeof(uint64_t))
    batch.hashes = <uint64_t *> malloc(rows * sizeof(uint64_t) + 1)
    batch.slots = <int64_t *> malloc(rows * sizeof(int64_t) + 1)
    if batch.data == NULL or batch.ends == NULL or batch.hashes == NULL or batch.slots == NULL:
        raise MemoryError("no memory for a batch")
    for i in range(rows):
        batch.slots[i] = NOT_FOUND
    for i in range(len(columns)):
        column = columns[i]
        if column.rows >= 0 and column.rows != rows:
            raise ValueError(f"a column has {column.rows} values, and the batch {rows} rows")
        kept.append(read_source(column, &sources[i]))
        listed = listed or column.kind == SEQUENCE
    i = len(columns)
    if listed:
        put_listed_rows(batch, sources, columns)
        return batch
    with nogil:
        done = put_rows(batch, sources, i)
    if done < 0:
        refuse_keys(done)
    return batch


cdef Pieces read_source(Column column, source_t *source):
    """A column as the loop reads it. What comes back has its values, and must live for as long."""
    cdef Pieces pieces = None
    source.kind = column.kind
    source.base = column.base
    source.stride = column.stride
    source.width = column.width
    if column.places is not None:
        source.places = <const int64_t *> column.places.items
    if column.kind == SEQUENCE:
        source.listed = <PyObject *> column.values
    elif column.kind <= CODES:
        pieces = pieces_of(column)
        source.pieces = pieces.items
    return pieces


cdef int refuse_keys(Py_ssize_t why) except -1:
    if why == NOT_A_NUMBER:
        raise ValueError("NaN is no value of a dimension: it equals nothing, itself neither")
    if why == BEYOND_64:
        raise OverflowError("an int of a column does not fit into 64 bits with a sign")
    if why == WITHOUT_MEMORY:
        raise MemoryError("no memory for the keys of a batch")
    raise KeyTooLong(f"the values of a cell take more than the {KEY_ROOM} bytes that a key has at most: shorten them")


cdef class KeyBatch:
    """The keys of a batch of rows, for several metrics of one cube; good for as long as the cube is."""

    def __dealloc__(self):
        free(self.data)
        free(self.ends)
        free(self.hashes)
        free(self.slots)

    def __len__(self):
        return self.n

    def __repr__(self):
        return f"KeyBatch({self.n} rows)"

    cdef void begin(self) noexcept nogil:
        cdef Py_ssize_t i
        self.ahead = self.core.cells.count >= FEW_CELLS
        if self.changes == self.core.cells.changes:
            return
        self.changes = self.core.cells.changes
        for i in range(self.n):
            self.slots[i] = NOT_FOUND

    cdef void aim_at(self, Py_ssize_t i, aim_t *aim) noexcept nogil:
        """A slot found before is good until some slot changes its owner; one not found may be there by now."""
        aim.key = self.data + self.ends[i]
        aim.size = <uint32_t> (self.ends[i + 1] - self.ends[i])
        aim.hash = self.hashes[i]
        aim.slot = self.slots[i]
        if self.ahead:
            foresee(self.core.cells, self.hashes, i, self.n)
        if aim.slot < 0 or self.changes != self.core.cells.changes:
            aim.slot = self.core.cells.find_key(aim.key, aim.size, aim.hash)
