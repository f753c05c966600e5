# Open and closed partial buckets of one level; the engine feeds it through head_add without the GIL.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc

cdef struct Open:              # the bucket a counter is in now: one cache line
    double sum
    double m2
    double min
    double max
    int64_t count
    uint32_t slot              # time / interval
    uint32_t id
    uint32_t last              # newest closed row of this counter + 1, or 0
    uint32_t event
    uint64_t unused

cdef struct Closed:            # a partial bucket left behind
    double value               # the sum, where count is 1
    uint32_t id
    uint32_t previous          # the closed row before it of the same counter + 1, or 0
    uint32_t slot
    uint32_t wide              # 0: one sample; else index + 1 of the rest of its fields

cdef struct Wide:
    int64_t count
    double sum
    double m2
    double min
    double max

cdef struct HeadState:
    uint32_t *place            # id -> index in open + 1, or 0: only counters heard since the last cut have a place
    Open *open
    Closed *closed
    Wide *wide
    uint32_t places            # room of place
    uint32_t opens
    uint32_t opens_room
    uint32_t closeds
    uint32_t closeds_room
    uint32_t wides
    uint32_t wides_room
    int64_t interval

cdef int head_open(HeadState *head, uint32_t id, bint event, uint32_t slot) noexcept nogil
cdef int head_close(HeadState *head, Open *bucket) noexcept nogil
cdef int head_places(HeadState *head, uint32_t ids) noexcept nogil

cdef extern from *:
    """
    static const double istat_max_double = 1.7976931348623157e308;
    """
    const double MAX_DOUBLE "istat_max_double"

cdef enum:
    MAX_COUNT = 0x7FFFFFFFFFFFFFFF

cdef inline double bounded(double value) noexcept nogil:
    """Sums that would overflow stop at the largest double."""
    return MAX_DOUBLE if value > MAX_DOUBLE else -MAX_DOUBLE if value < -MAX_DOUBLE else value

cdef inline int head_add(HeadState *head, uint32_t id, bint event, uint32_t slot, int64_t count,
                         double sum, double m2, double min, double max) noexcept nogil:
    """Add one sample (or partial bucket) to its bucket. 0, or -1: no memory. `id` is below head.places."""
    cdef Open *bucket
    cdef double gap
    cdef double n
    cdef double k
    cdef uint32_t place = head.place[id]
    if place == 0:
        if head_open(head, id, event, slot) < 0:
            return -1
        bucket = &head.open[head.opens - 1]
    else:
        bucket = &head.open[place - 1]
        if bucket.slot == slot:
            if event:
                bucket.sum = bounded(bucket.sum + sum)
                bucket.min = bucket.sum
                bucket.max = bucket.sum
                return 0
            n = <double> bucket.count
            k = <double> count
            gap = sum / k - bucket.sum / n
            bucket.m2 = bucket.m2 + m2 + gap * gap * n * k / (n + k)
            if not bucket.m2 <= MAX_DOUBLE:
                bucket.m2 = MAX_DOUBLE
            bucket.sum = bounded(bucket.sum + sum)
            bucket.count = bucket.count + count if bucket.count <= MAX_COUNT - count else MAX_COUNT
            if min < bucket.min:
                bucket.min = min
            if max > bucket.max:
                bucket.max = max
            if bucket.min == bucket.max:
                bucket.m2 = 0.0
            return 0
        if head_close(head, bucket) < 0:
            return -1
        bucket.slot = slot
    bucket.sum = sum
    bucket.m2 = m2
    bucket.min = min
    bucket.max = max
    bucket.count = count
    return 0

cdef class Frozen:
    cdef HeadState state
    cdef public int64_t first_time
    cdef public int64_t last_time

cdef class Head:
    cdef HeadState state
