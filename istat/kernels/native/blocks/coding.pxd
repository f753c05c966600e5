# Blocks of coded runs; the head writes through BlockWriter without going through Python.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.blocks.streams cimport Coder

cdef struct Entry:          # one run in the directory of a block
    uint32_t id
    uint32_t rows
    int flags
    int64_t time            # of the first row
    int64_t last            # time of the last row; only while writing
    size_t offset
    size_t length

cdef struct Finished:       # a block that take() has not made a Python object of
    uint32_t first_id
    uint32_t last_id
    int64_t rows
    int64_t first_time
    int64_t last_time
    uint8_t *data
    size_t length

cdef class BlockWriter:
    cdef Coder coder
    cdef Entry *entries
    cdef Py_ssize_t runs, entries_room
    cdef Finished *finished
    cdef Py_ssize_t finished_count, finished_room
    cdef Py_ssize_t max_values, values
    cdef int64_t unit, last_id
    # Codes the rows of one counter: ids ascending, times ascending and unique. rows is not changed.
    cdef int put_run(self, uint32_t id, bint event, Columns rows) except -1 nogil
    cdef int _put_part(self, uint32_t id, bint event, Columns rows, Py_ssize_t first, Py_ssize_t n,
                       Py_ssize_t values) noexcept nogil
    cdef int _close(self) noexcept nogil
    cdef bint _sound(self, Columns rows) noexcept nogil

cdef class BlockReader:
    cdef uint8_t *data
    cdef Entry *entries
    cdef Py_ssize_t count
    cdef int64_t unit
    cdef int _parse(self, const uint8_t *data, size_t length, int64_t interval) noexcept nogil
    cdef int decode(self, Py_ssize_t index, Columns into) noexcept nogil    # 0, NO_MEMORY, MALFORMED
    cdef Py_ssize_t find(self, uint32_t id) noexcept nogil                  # first entry with an id >= id
