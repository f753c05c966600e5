# A sketch as an object of Python, and as bytes. The specification is the Python twin.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.hll cimport hll_t

# Registers at 6 bits each, register i at bits 6 i.., lowest bit first: 2**precision * 3 / 4 bytes. 0, or -1: no memory.
cdef int hll_pack(const hll_t *sketch, int layout, uint8_t *out) noexcept nogil
# A sketch from what was read; `to` is empty. 0, -1: no memory, -2: that is no such sketch.
cdef int hll_unpack(hll_t *to, int layout, const uint8_t *packed) noexcept nogil
cdef int hll_from_entries(hll_t *to, int layout, const uint32_t *entries, size_t n) noexcept nogil

cdef class HyperLogLog:
    cdef hll_t sketch
    cdef int layout
    cdef bint busy              # a batch is being added without the GIL

    cdef int enter(self) except -1
    cdef int shrink(self, int precision) except -1
    cdef bint put(self, uint64_t hash) except -1

cdef HyperLogLog hll_object(const hll_t *sketch, int layout)                    # a copy; MemoryError
