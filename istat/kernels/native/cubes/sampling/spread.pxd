# Top-cardinality: the cells with the most distinct items, and a SpreadSketch of the keys that have none.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.sampling.residents cimport Sampler

cdef enum:
    BUCKET_PRECISION = 6
    REGISTERS = 64              # of a bucket
    SEEN_PRECISION = 10
    SEEN = 1024                 # registers for all pairs

cdef class SpreadSketch:
    cdef uint8_t *levels            # row by row; 0: empty
    cdef uint64_t *candidates       # hashes of keys
    cdef uint8_t *registers         # REGISTERS for each bucket
    cdef uint8_t *seen
    cdef readonly uint32_t width    # buckets a row
    cdef readonly uint32_t depth    # rows
    cdef readonly uint64_t seed
    cdef readonly bint coupons      # items are hashed as DataSketches does it
    cdef int layout                 # of a bucket's registers, as hll.pxd has it
    cdef uint64_t constants[8]      # of the rows
    cdef double inverse             # of `seen`: the sum of 2**-rank,
    cdef uint32_t zeros             # and how many are zero
    cdef bint add_item(self, uint64_t hash, uint64_t item) noexcept nogil
    cdef int64_t estimate_of(self, uint64_t hash, int64_t above) noexcept nogil
    cdef int64_t candidate_estimate(self, uint64_t hash) noexcept nogil
    cdef void withdraw_key(self, uint64_t hash) noexcept nogil
    cdef bint has_candidate(self, uint64_t hash) noexcept nogil
    cdef void put_registers(self, uint64_t hash, const uint8_t *registers) noexcept nogil
    cdef bint agrees_with(self, SpreadSketch other) noexcept nogil
    cdef void combine_with(self, SpreadSketch other) noexcept nogil
    cdef void empty(self) noexcept nogil
    cdef void _see(self, uint64_t pair) noexcept nogil
    cdef void _sum_seen(self) noexcept nogil
    cdef uint32_t _place(self, uint64_t hash, uint32_t row) noexcept nogil
    cdef double _noise(self) noexcept nogil

cdef class TopCardinality(Sampler):
    cdef readonly SpreadSketch sketch
    cdef uint32_t *floors           # by slot, [items]
    cdef double *inverses           # by slot, of a sketch in dense form: the sum of 2**-rank,
    cdef uint32_t *zeros            # and how many registers are zero; UNKNOWN: of another form
    cdef SpreadSketch theirs        # in a merge: a copy of the other's sketch, if the two agree
    cdef void _rank(self, uint32_t slot, const hll_t *own) noexcept nogil
