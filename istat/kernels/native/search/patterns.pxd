# A compiled pattern, run over names without the GIL.
from libc.stdint cimport uint8_t, uint16_t

cdef class Pattern:
    cdef uint8_t classes[256]
    cdef uint16_t *moves
    cdef uint8_t *accepts
    cdef Py_ssize_t width
    cdef readonly bytes prefix
    cdef readonly tuple literals
    cdef bint run(self, const char *name, Py_ssize_t size) noexcept nogil      # whether the whole name fits
