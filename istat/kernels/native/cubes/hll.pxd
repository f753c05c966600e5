# HyperLogLog sketches as 16 bytes each, so that a column of cells is an array of them. Zero bytes are an empty one.
#
# `layout` is what all sketches of a column share: the precision, plus COUPONS where items are hashed as DataSketches
# does it. The `hash` of an item is that of hashing.pxd for this layout. The specification is the Python twin.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    HLL_EMPTY = 0               # the three forms
    HLL_SPARSE = 1              # a sorted list of index << 6 | rank, at 26 bits of index
    HLL_DENSE = 2               # a byte for each register
    COUPONS = 64                # flag of a layout
    PRECISION = 63              # mask of a layout
    MIN_PRECISION = 4
    MAX_PRECISION = 18

cdef struct hll_t:
    void *data
    uint16_t count              # entries of the sparse list,
    uint16_t room               # and how many its memory holds
    uint8_t form

cdef inline uint32_t sparse_limit(int layout) noexcept nogil:
    """Most entries of the sparse list: it takes no more than half of what the registers do. None below 2**8."""
    cdef int precision = layout & PRECISION
    return 1u << (precision - 3) if precision >= 8 else 0

# The layout of a precision and a hash (of hashing.pxd); ValueError.
cdef int hll_layout(int precision, int hash) except -1

# 1: a register rose, 0: none did, -1: no memory (all stays as it was).
cdef int hll_add(hll_t *sketch, int layout, uint64_t hash) noexcept nogil
# As hll_add; where the sketch was dense before, also the rank that the register had and has.
cdef int hll_add_ranks(hll_t *sketch, int layout, uint64_t hash, uint8_t *before, uint8_t *now) noexcept nogil
# As hll_add. `of` has the same hash and the same or a larger precision; it is folded on the way.
cdef int hll_merge(hll_t *to, int layout, const hll_t *of, int layout_of) noexcept nogil
# To a smaller precision, or the same; 0, or -1: no memory. From then on its layout is the smaller one.
cdef int hll_fold(hll_t *sketch, int layout, int precision) noexcept nogil
cdef int hll_copy(hll_t *to, const hll_t *of, int layout) noexcept nogil        # `to` is empty; 0 or -1
cdef void hll_clear(hll_t *sketch) noexcept nogil                               # empty, its memory given back
cdef double hll_estimate(const hll_t *sketch, int layout) noexcept nogil
cdef size_t hll_bytes(const hll_t *sketch, int layout) noexcept nogil           # [bytes] beside the 16
# The 2**precision registers, whatever the form.
cdef void hll_registers(const hll_t *sketch, int layout, uint8_t *out) noexcept nogil
# Of the registers: the sum of 2**-rank, and how many are zero.
cdef void hll_sums(const hll_t *sketch, int layout, double *sum, uint32_t *zeros) noexcept nogil

# Registers at 6 bits each, register i at bits 6 i.., lowest bit first: 2**precision * 3 / 4 bytes.
cdef void hll_pack(const hll_t *sketch, int layout, uint8_t *out) noexcept nogil
# A sketch from what was read; `to` is empty. 0, -1: no memory, -2: that is no such sketch.
cdef int hll_unpack(hll_t *to, int layout, const uint8_t *packed) noexcept nogil
cdef int hll_from_entries(hll_t *to, int layout, const uint32_t *entries, size_t n) noexcept nogil

cdef class HyperLogLog:
    cdef hll_t sketch
    cdef int layout

cdef HyperLogLog hll_object(const hll_t *sketch, int layout)                    # a copy; MemoryError
