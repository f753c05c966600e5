# HyperLogLog sketches as 16 bytes each, so that a column of cells is an array of them. Zero bytes are an empty one.
#
# `layout` is what all sketches of a column share: the precision, plus COUPONS where items are hashed as DataSketches
# does it. The `hash` of an item is that of hashing.pxd for this layout. The specification is the Python twin.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define istat_leading_zeros(word) __builtin_clzll(word)     /* word is not 0 */
    """
    int istat_leading_zeros(uint64_t word) noexcept nogil

cdef enum:
    HLL_EMPTY = 0               # the three forms
    HLL_SPARSE = 1              # a sorted list of index << 6 | rank, at 26 bits of index
    HLL_DENSE = 2               # a byte for each register
    COUPONS = 64                # flag of a layout
    PRECISION = 63              # mask of a layout
    MIN_PRECISION = 4
    MAX_PRECISION = 18
    INDEX_BITS = 26             # of an entry of the sparse list; six bits of rank follow
    INDEX_MASK = 0x3FFFFFF
    RANK_MASK = 63

cdef struct hll_t:
    void *data
    uint16_t count              # entries of the sparse list,
    uint16_t room               # and how many its memory holds
    uint8_t form

cdef inline uint32_t sparse_limit(int layout) noexcept nogil:
    """Most entries of the sparse list: it takes no more than half of what the registers do. None below 2**8."""
    cdef int precision = layout & PRECISION
    return 1u << (precision - 3) if precision >= 8 else 0


cdef inline size_t registers_of(int layout) noexcept nogil:
    return <size_t> 1 << (layout & PRECISION)


cdef inline int most_rank(int layout, int bits) noexcept nogil:
    """The largest rank beside an index of so many bits."""
    return 63 if layout & COUPONS else 65 - bits


cdef inline uint32_t entry_of(int layout, uint64_t hash) noexcept nogil:
    """index << 6 | rank at 26 bits of index. A rank of 0 stands for no item."""
    cdef uint64_t rest
    if layout & COUPONS:
        return <uint32_t> ((hash & INDEX_MASK) << 6 | (hash >> INDEX_BITS & RANK_MASK))
    rest = hash << INDEX_BITS | 1u << (INDEX_BITS - 1)
    return <uint32_t> (hash >> (64 - INDEX_BITS) << 6 | <uint64_t> (istat_leading_zeros(rest) + 1))


cdef inline uint32_t folded(int layout, uint32_t entry) noexcept nogil:
    """An entry at the layout's precision: register << 6 | rank."""
    cdef int bits = INDEX_BITS - (layout & PRECISION)
    cdef uint32_t index = entry >> 6
    cdef uint32_t low = index & ((1u << bits) - 1)
    if layout & COUPONS:
        return (index & ((1u << (layout & PRECISION)) - 1)) << 6 | (entry & RANK_MASK)
    if low:
        return index >> bits << 6 | <uint32_t> (istat_leading_zeros(low) - 64 + bits + 1)
    return index >> bits << 6 | (bits + (entry & RANK_MASK))


cdef inline int raise_register(uint8_t *registers, int layout, uint32_t entry) noexcept nogil:
    cdef uint32_t at = folded(layout, entry)
    if (at & RANK_MASK) <= registers[at >> 6]:
        return 0
    registers[at >> 6] = at & RANK_MASK
    return 1


cdef inline int add_dense(uint8_t *registers, int layout, uint64_t hash, uint8_t *before, uint8_t *now) noexcept nogil:
    cdef int precision = layout & PRECISION
    cdef uint8_t rank
    cdef uint8_t *place
    if layout & COUPONS:
        place = registers + (hash & ((1u << precision) - 1))
        rank = <uint8_t> (hash >> INDEX_BITS & RANK_MASK)
    else:
        place = registers + (hash >> (64 - precision))
        rank = <uint8_t> (istat_leading_zeros(hash << precision | 1u << (precision - 1)) + 1)
    before[0] = place[0]
    now[0] = place[0]
    if rank <= place[0]:
        return 0
    place[0] = rank
    now[0] = rank
    return 1


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
# Of a dense one's registers: the sum of 2**-rank, and how many are zero.
cdef void hll_sums(const hll_t *sketch, int layout, double *sum, uint32_t *zeros) noexcept nogil

# How many of a batch made something rise, or -1: no memory (those before are in).
cdef int64_t hll_add_hashes(hll_t *sketch, int layout, const uint64_t *hashes, Py_ssize_t n) noexcept nogil

# For readers of sketches: 0, or -1: no memory.
cdef int make_dense(hll_t *sketch, int layout) noexcept nogil
cdef int make_room(hll_t *sketch, uint32_t wanted, uint32_t limit) noexcept nogil       # of the sparse list
