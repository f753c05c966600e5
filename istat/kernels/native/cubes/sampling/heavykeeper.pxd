# Top-K: the cells with the largest counts, and a HeavyKeeper sketch of the keys that have none.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.sampling.residents cimport Sampler

cdef enum:
    COUNT_BITS = 48             # a bucket: fingerprint << COUNT_BITS | count; a count of 0 is an empty one

cdef class HeavyKeeper:
    cdef uint64_t *buckets          # row by row
    cdef readonly uint32_t width    # buckets a row
    cdef readonly uint32_t depth    # rows
    cdef readonly double base
    cdef readonly uint64_t seed
    cdef readonly uint64_t weight   # of what came, in all
    cdef readonly uint64_t updates
    cdef readonly bint used         # whether a bucket may be in use
    cdef uint64_t *constants        # of the rows
    cdef uint64_t state             # of the random numbers
    cdef bytes tables               # hold what the next two point to
    cdef const uint64_t *thresholds
    cdef const double *failures
    cdef int64_t most_units         # how many there are of each
    cdef int64_t add_update(self, uint64_t hash, int64_t weight, int64_t most) noexcept nogil
    cdef int64_t take_all(self, uint64_t hash) noexcept nogil
    cdef void put_count(self, uint64_t hash, int64_t count) noexcept nogil
    cdef bint agrees_with(self, HeavyKeeper other) noexcept nogil
    cdef void combine_with(self, HeavyKeeper other) noexcept nogil
    cdef void add_weights(self, uint64_t weight, uint64_t updates) noexcept nogil
    cdef void clip_to(self, int64_t most) noexcept nogil
    cdef void empty(self) noexcept nogil
    cdef int64_t _find(self, uint64_t hash, uint64_t most) noexcept nogil
    cdef void _decay(self, uint64_t *bucket, uint64_t fingerprint, int64_t weight) noexcept nogil
    cdef int64_t _next_success(self, int64_t units, int64_t trials) noexcept nogil
    cdef uint64_t _random(self) noexcept nogil
    cdef int64_t _unit(self) noexcept nogil

cdef class TopK(Sampler):
    cdef readonly HeavyKeeper sketch
    cdef int64_t *parts             # by slot: what of the count came from the sketch
    cdef HeavyKeeper theirs         # in a merge: a copy of the other's sketch, if the two agree
    cdef void _clip(self) noexcept nogil
