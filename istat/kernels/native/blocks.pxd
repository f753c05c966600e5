# Blocks of coded runs; the head writes through BlockWriter without going through Python.
from libc.stdint cimport uint32_t
from istat.kernels.native.columns cimport Columns

cdef class BlockWriter:
    cdef int put_run(self, uint32_t id, bint event, Columns rows) except -1 nogil
