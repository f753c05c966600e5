# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The sketch of a cube that keeps the top cells as bytes, and back.

Whoever calls holds the guard. A sketch is read into one of the same parameters, after its cells. The specification is the
Python twin.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from istat.kernels.native.cubes.core cimport Core
from istat.kernels.native.cubes.sampling.heavykeeper cimport COUNT_BITS, HeavyKeeper, TopK
from istat.kernels.native.cubes.wire.reading cimport (
    EMPTY_BUCKET, FINE, OTHER_SKETCH, PAST_END, finish, out_t, put_bytes, put_number, read_f64, read_u64, read_varint,
    reader_of, reader_t, refuse, taken)

cdef uint64_t LARGEST = (1ULL << COUNT_BITS) - 1
cdef uint64_t MOST_WEIGHT = (1ULL << 62) - 1        # sums of weights and of updates are halved before they get there
cdef uint64_t ANY = 0xFFFFFFFFFFFFFFFFULL


def sketch_options(Core core not None):
    """The parameters of a cube's sketch, by the names that `Core.sample` has for them; none where there is no sketch."""
    cdef HeavyKeeper sketch
    if isinstance(core.sampler, TopK):
        sketch = (<TopK> core.sampler).sketch
        return {"depth": sketch.depth, "width": sketch.width, "base": sketch.base, "seed": sketch.seed}
    return {}


def put_sketch(Core core not None):
    """The payload of TOPK or SPREAD."""
    cdef out_t out
    cdef HeavyKeeper sketch = (<TopK?> core.sampler).sketch
    memset(&out, 0, sizeof(out))
    with nogil:
        put_buckets(&out, sketch)
    return taken(&out)


def get_sketch(Core core not None, const uint8_t[::1] payload not None, size_t base, uint64_t budget):
    """Read a sketch; the budget that is left. FormatError, with `base` added to its offset."""
    cdef reader_t r = reader_of(&payload[0] if payload.shape[0] else NULL, payload.shape[0], budget)
    cdef HeavyKeeper sketch = (<TopK?> core.sampler).sketch
    with nogil:
        get_buckets(&r, sketch)
    finish(&r, base)
    return r.budget


cdef void put_buckets(out_t *out, HeavyKeeper sketch) noexcept nogil:
    cdef uint64_t i, empty = 0
    put_number(out, sketch.depth)
    put_number(out, sketch.width)
    put_bytes(out, &sketch.base, 8)
    put_bytes(out, &sketch.seed, 8)
    put_number(out, sketch.weight)
    put_number(out, sketch.updates)
    for i in range(<uint64_t> sketch.depth * sketch.width):
        if sketch.buckets[i] == 0:
            empty += 1
            continue
        put_number(out, empty)
        put_bytes(out, &sketch.buckets[i], 8)
        empty = 0


cdef void get_buckets(reader_t *r, HeavyKeeper sketch) noexcept nogil:
    cdef uint64_t size = <uint64_t> sketch.depth * sketch.width, at = 0, empty, weight, updates
    cdef size_t where
    cdef bint same = read_varint(r, ANY) == sketch.depth
    same &= read_varint(r, ANY) == sketch.width
    same &= read_f64(r) == sketch.base
    same &= read_u64(r) == sketch.seed
    if not same:
        refuse(r, OTHER_SKETCH, 0)      # which stays out where a number was refused already
    weight = read_varint(r, MOST_WEIGHT)
    updates = read_varint(r, MOST_WEIGHT)
    if r.why != FINE:
        return
    memset(sketch.buckets, 0, size * 8)
    while r.at < r.size:
        where = r.at
        empty = read_varint(r, ANY)
        if r.why == FINE and empty >= size - at:
            refuse(r, PAST_END, where)
        where = r.at
        if r.why != FINE:
            return
        at += empty
        sketch.buckets[at] = read_u64(r)
        if r.why == FINE and sketch.buckets[at] & LARGEST == 0:
            refuse(r, EMPTY_BUCKET, where)
        at += 1
    sketch.weight = weight
    sketch.updates = updates
    sketch.used = at > 0
