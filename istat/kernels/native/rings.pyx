# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""The slots of istatd's ring files as rows: the fast build of istat/kernels/python/rings.py. The same bits."""
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.string cimport memcpy
from istat.kernels.native.columns cimport FOLD_GAUGES, Columns

from istat.kernels.python.rings import FLOAT_MAX, MOST, MOST_INTERVAL, SLOT_BYTES, to_float

cdef int64_t LAST = <int64_t>1 << 60
cdef double LARGEST = 3.4028234663852886e38


cdef struct Slot:
    int64_t time
    double sum
    float min
    float max
    int32_t count
    float sumsq


cdef inline int64_t floored(int64_t value, int64_t by) noexcept nogil:
    cdef int64_t whole = value // by
    return whole - 1 if value % by < 0 else whole


cdef inline int64_t lap(int64_t index, int64_t capacity) noexcept nogil:
    cdef int64_t rest = index % capacity
    return rest + capacity if rest < 0 else rest


cdef inline double shortened(double value) noexcept nogil:
    if value > LARGEST:
        return LARGEST
    if value < -LARGEST:
        return -LARGEST
    return <double>(<float>value)


cdef int push_slot(Columns made, Slot *slot, int64_t time, int64_t count) noexcept nogil:
    cdef double low = slot.min, high = slot.max, m2
    if low == high:
        if count == 1 and shortened(slot.sum) == low:
            low = high = slot.sum
        return made.push(time, count, slot.sum, 0.0, low, high)
    m2 = <double>slot.sumsq - slot.sum * slot.sum / <double>count
    return made.push(time, count, slot.sum, m2 if m2 > 0.0 else 0.0, low, high)


def rows(const uint8_t[::1] slots not None, int64_t interval, int64_t created, int64_t last_bucket, int64_t ahead,
         int64_t parts):
    """The buckets of a ring, by time; those of one time merged as gauges are.

    ahead: buckets newer than last_bucket count where they begin before this time. parts: the count of all buckets, 0
    where each has its own. Buckets with numbers that are not finite are left out. ValueError for impossible numbers.
    """
    cdef Columns made = Columns()
    cdef int64_t capacity = slots.shape[0] // SLOT_BYTES, number, index
    cdef Slot slot
    cdef int failed = 0
    if slots.shape[0] % SLOT_BYTES or not 1 <= interval < MOST_INTERVAL or not 0 <= parts < MOST_INTERVAL:
        raise ValueError("no ring")
    if not (-LAST <= created <= LAST and -LAST <= last_bucket <= LAST and -LAST <= ahead <= LAST):
        raise ValueError("no ring")
    with nogil:
        for number in range(capacity):
            memcpy(&slot, &slots[number * 32], 32)
            if not 0 < slot.time <= LAST or slot.count <= 0:
                continue
            index = floored(slot.time - created, interval)
            if lap(index, capacity) != number and not (index < 0 and lap(index + 1, capacity) == number):
                continue
            if index > last_bucket:
                if slot.time >= ahead:
                    continue
            elif index <= last_bucket - capacity:
                continue
            if not (isfinite(slot.sum) and isfinite(slot.min) and isfinite(slot.max) and isfinite(slot.sumsq)):
                continue
            if push_slot(made, &slot, created + index * interval, parts if parts > 0 else slot.count):
                failed = -1
                break
        if not failed:
            failed = made.fold_rows(FOLD_GAUGES)
    if failed:
        raise MemoryError
    return made
