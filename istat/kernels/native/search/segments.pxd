# Names in order, with signatures that tell which of them need not be looked at.
from libc.stdint cimport uint32_t, uint64_t

from istat.kernels.native.names cimport NameTable

cdef extern from *:
    """
    #define istat_lowest(word) ((unsigned) __builtin_ctzll(word))
    """
    uint32_t istat_lowest(uint64_t word) noexcept nogil

cdef enum:
    BLOCK = 64                  # names that share a signature
    MOST_ROWS = 64              # rows and-ed for one question: more tell little

cdef struct Rows:               # the rows that tell of some literals
    uint32_t hash[MOST_ROWS]
    int count

cdef class Segment:
    cdef uint32_t *ids
    cdef uint64_t *rows         # a row for each bit of a signature, of `words` words: bit b of row r: block b has three
    cdef Py_ssize_t n           # bytes with the hash r
    cdef Py_ssize_t words
    cdef readonly uint32_t first
    cdef readonly uint32_t stop
    cdef void sign(self, NameTable table) noexcept nogil
    cdef Py_ssize_t lower(self, NameTable table, const char *key, Py_ssize_t size, Py_ssize_t low,
                          Py_ssize_t high) noexcept nogil
    cdef Py_ssize_t behind(self, NameTable table, const char *key, Py_ssize_t size, Py_ssize_t low, Py_ssize_t high,
                           Py_ssize_t guess) noexcept nogil
    cdef void range_of(self, NameTable table, const char *prefix, Py_ssize_t size, Py_ssize_t *low,
                       Py_ssize_t *high) noexcept nogil
    cdef uint64_t *blocks_of(self, Rows *rows, Py_ssize_t low, Py_ssize_t high, Py_ssize_t *names) noexcept nogil

cdef Rows rows_of(literals) except *
