# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The sketch of a cube that keeps the top cells as bytes, and back.

Whoever calls holds the guard. A sketch is read into one of the same parameters, after its cells. The specification is the
Python twin.
"""
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from istat.kernels.native.cubes.core cimport Core
from istat.kernels.native.cubes.sampling.heavykeeper cimport COUNT_BITS, HeavyKeeper, TopK
from istat.kernels.native.cubes.sampling.spread cimport BUCKET_PRECISION, REGISTERS, SEEN, SpreadSketch, TopCardinality
from istat.kernels.native.cubes.wire.reading cimport (
    EMPTY_BUCKET, FINE, OTHER_SKETCH, PAST_END, TOO_LARGE, finish, out_t, put_bytes, put_number, put_u8, read_bytes,
    read_f64, read_u8, read_u64, read_varint, reader_of, reader_t, refuse, taken)

cdef enum:
    MOST_LEVEL = 65             # of a bucket
    MOST_RANK = 59              # of registers, of those of coupons, and of those of pairs
    MOST_COUPON = 63
    MOST_SEEN = 55

cdef uint64_t LARGEST = (1ULL << COUNT_BITS) - 1
cdef uint64_t MOST_WEIGHT = (1ULL << 62) - 1        # sums of weights and of updates are halved before they get there
cdef uint64_t MOST_COUNT = (1ULL << 63) - 1
cdef uint64_t ANY = 0xFFFFFFFFFFFFFFFFULL


def sketch_options(Core core not None):
    """The parameters of a cube's sketch, by the names that `Core.sample` has for them; none if it has no sketch."""
    if core.sampler is None:
        return {}
    sketch = core.sampler.sketch
    base = {"base": sketch.base} if isinstance(sketch, HeavyKeeper) else {}
    return base | {"depth": sketch.depth, "seed": sketch.seed, "width": sketch.width}


def put_sketch(Core core not None):
    """The payload of TOPK or SPREAD."""
    cdef out_t out
    cdef HeavyKeeper counts = (<TopK> core.sampler).sketch if isinstance(core.sampler, TopK) else None
    cdef SpreadSketch spread = None if counts is not None else (<TopCardinality?> core.sampler).sketch
    memset(&out, 0, sizeof(out))
    with nogil:
        put_number(&out, core.sampler.skipped)
        if counts is not None:
            put_counts(&out, counts)
        else:
            put_spread(&out, spread)
    return taken(&out)


def get_sketch(Core core not None, const uint8_t[::1] payload not None, size_t base, uint64_t budget):
    """Read a sketch; the budget that is left. FormatError, with `base` added to its offset."""
    cdef reader_t r = reader_of(&payload[0] if payload.shape[0] else NULL, payload.shape[0], budget)
    cdef HeavyKeeper counts = (<TopK> core.sampler).sketch if isinstance(core.sampler, TopK) else None
    cdef SpreadSketch spread = None if counts is not None else (<TopCardinality?> core.sampler).sketch
    with nogil:
        core.sampler.skipped = read_varint(&r, MOST_COUNT)
        if counts is not None:
            get_counts(&r, counts)
        else:
            get_spread(&r, spread)
    finish(&r, base)
    return r.budget


cdef bint next_place(reader_t *r, uint64_t *at, uint64_t size) noexcept nogil:
    """Whether a bucket follows: its place in `at`, that of the one before before."""
    cdef size_t where = r.at
    cdef uint64_t empty
    if r.at == r.size:
        return False
    empty = read_varint(r, ANY)
    if r.why == FINE and empty >= size - at[0]:
        refuse(r, PAST_END, where)
    at[0] += empty
    return r.why == FINE


cdef void put_counts(out_t *out, HeavyKeeper sketch) noexcept nogil:
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


cdef void get_counts(reader_t *r, HeavyKeeper sketch) noexcept nogil:
    cdef uint64_t size = <uint64_t> sketch.depth * sketch.width, at = 0, weight, updates
    cdef size_t where, start = r.at
    cdef bint same = read_varint(r, ANY) == sketch.depth
    same &= read_varint(r, ANY) == sketch.width
    same &= read_f64(r) == sketch.base
    same &= read_u64(r) == sketch.seed
    if not same:
        refuse(r, OTHER_SKETCH, start)      # which stays out where a number was refused already
    weight = read_varint(r, MOST_WEIGHT)
    updates = read_varint(r, MOST_WEIGHT)
    if r.why != FINE:
        return
    memset(sketch.buckets, 0, size * 8)
    while next_place(r, &at, size):
        where = r.at
        sketch.buckets[at] = read_u64(r)
        if r.why == FINE and sketch.buckets[at] & LARGEST == 0:
            refuse(r, EMPTY_BUCKET, where)
        at += 1
    sketch.weight = weight
    sketch.updates = updates
    sketch.used = at > 0


cdef void put_spread(out_t *out, SpreadSketch sketch) noexcept nogil:
    cdef uint64_t i, empty = 0
    put_number(out, sketch.depth)
    put_number(out, sketch.width)
    put_u8(out, BUCKET_PRECISION)
    put_bytes(out, &sketch.seed, 8)
    put_registers(out, sketch.seen, SEEN)
    for i in range(<uint64_t> sketch.depth * sketch.width):
        if sketch.levels[i] == 0 and is_zero(sketch.registers + i * REGISTERS):
            empty += 1
            continue
        put_number(out, empty)
        put_u8(out, sketch.levels[i])
        put_bytes(out, &sketch.candidates[i], 8)
        put_registers(out, sketch.registers + i * REGISTERS, REGISTERS)
        empty = 0


cdef void get_spread(reader_t *r, SpreadSketch sketch) noexcept nogil:
    cdef uint64_t size = <uint64_t> sketch.depth * sketch.width, at = 0
    cdef size_t where, start = r.at
    cdef bint same = read_varint(r, ANY) == sketch.depth
    same &= read_varint(r, ANY) == sketch.width
    same &= read_u8(r, 255) == BUCKET_PRECISION
    same &= read_u64(r) == sketch.seed
    if not same:
        refuse(r, OTHER_SKETCH, start)      # which stays out where a number was refused already
    get_registers(r, sketch.seen, SEEN, MOST_SEEN)
    while next_place(r, &at, size):
        where = r.at
        sketch.levels[at] = read_u8(r, MOST_LEVEL)
        sketch.candidates[at] = read_u64(r)
        get_registers(r, sketch.registers + at * REGISTERS, REGISTERS, MOST_COUPON if sketch.coupons else MOST_RANK)
        if r.why == FINE and sketch.levels[at] == 0 and (
                sketch.candidates[at] != 0 or is_zero(sketch.registers + at * REGISTERS)):
            refuse(r, EMPTY_BUCKET, where)
        at += 1
    sketch._sum_seen()


cdef bint is_zero(const uint8_t *registers) noexcept nogil:
    """Whether a bucket has no item."""
    cdef int i
    for i in range(REGISTERS):
        if registers[i]:
            return False
    return True


cdef void put_registers(out_t *out, const uint8_t *registers, size_t n) noexcept nogil:
    """At six bits each, as those of a HyperLogLog."""
    cdef size_t i
    cdef uint32_t word
    for i in range(0, n, 4):
        word = (registers[i] | <uint32_t> registers[i + 1] << 6 | <uint32_t> registers[i + 2] << 12
                | <uint32_t> registers[i + 3] << 18)
        put_bytes(out, &word, 3)


cdef void get_registers(reader_t *r, uint8_t *registers, size_t n, uint8_t most) noexcept nogil:
    """So many registers, none above `most`."""
    cdef size_t i, where = r.at
    cdef const uint8_t *packed = read_bytes(r, n // 4 * 3)
    if packed == NULL:
        return
    for i in range(n):
        registers[i] = (packed[i // 4 * 3] | <uint32_t> packed[i // 4 * 3 + 1] << 8
                        | <uint32_t> packed[i // 4 * 3 + 2] << 16) >> 6 * (i & 3) & 63
        if registers[i] > most:
            refuse(r, TOO_LARGE, where)
