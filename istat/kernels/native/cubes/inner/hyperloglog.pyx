# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A HyperLogLog sketch as an object of Python, and sketches as bytes. How they count, hll.pyx says.

The specification is the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from istat.kernels.native.cubes.hashing cimport DATASKETCHES, XXH64, Hashes, hash_id, hash_object, hashes_of
from istat.kernels.native.cubes.hll cimport (
    COUPONS, HLL_DENSE, HLL_EMPTY, INDEX_BITS, MIN_PRECISION, PRECISION, RANK_MASK, hll_add, hll_add_hashes, hll_bytes,
    hll_clear, hll_copy, hll_estimate, hll_fold, hll_layout, hll_merge, hll_registers, make_dense, make_room, most_rank,
    registers_of, sparse_limit)

from array import array

from istat.errors import ConcurrentUse, SchemaMismatch

NO_SKETCH = "that is no sketch of this precision and hash"
FORMS = ("empty", "sparse", "dense")
HASH_NAMES = {XXH64: "xxh64", DATASKETCHES: "datasketches"}


cdef void pack(const uint8_t *registers, size_t n, uint8_t *out) noexcept nogil:
    """Four registers to three bytes."""
    cdef uint32_t word
    cdef size_t i
    for i in range(n >> 2):
        word = registers[0] | registers[1] << 6 | registers[2] << 12 | registers[3] << 18
        out[0] = <uint8_t> word
        out[1] = <uint8_t> (word >> 8)
        out[2] = <uint8_t> (word >> 16)
        registers += 4
        out += 3


cdef int hll_pack(const hll_t *sketch, int layout, uint8_t *out) noexcept nogil:
    cdef uint8_t *registers
    if sketch.form == HLL_DENSE:
        pack(<const uint8_t *> sketch.data, registers_of(layout), out)
        return 0
    registers = <uint8_t *> malloc(registers_of(layout))
    if registers == NULL:
        return -1
    hll_registers(sketch, layout, registers)
    pack(registers, registers_of(layout), out)
    free(registers)
    return 0


cdef int hll_unpack(hll_t *to, int layout, const uint8_t *packed) noexcept nogil:
    cdef size_t i
    cdef int shift
    cdef uint32_t word = 0
    cdef uint8_t most = 0
    cdef uint8_t *registers
    if make_dense(to, layout) < 0:
        return -1
    registers = <uint8_t *> to.data
    for i in range(registers_of(layout)):
        shift = 6 * (i & 3)
        if shift == 0:
            word = packed[0] | packed[1] << 8 | packed[2] << 16
            packed += 3
        registers[i] = word >> shift & RANK_MASK
        if registers[i] > most:
            most = registers[i]
    if most <= most_rank(layout, layout & PRECISION):
        return 0
    hll_clear(to)
    return -2


cdef int hll_from_entries(hll_t *to, int layout, const uint32_t *entries, size_t n) noexcept nogil:
    cdef size_t i
    cdef uint32_t rank
    if n > sparse_limit(layout):
        return -2
    for i in range(n):
        rank = entries[i] & RANK_MASK
        if rank == 0 or <int> rank > most_rank(layout, INDEX_BITS) or i and entries[i] >> 6 <= entries[i - 1] >> 6:
            return -2
    if n == 0:
        return 0
    if make_room(to, <uint32_t> n, sparse_limit(layout)) < 0:
        return -1
    memcpy(to.data, entries, n * sizeof(uint32_t))
    to.count = <uint16_t> n
    return 0


cdef HyperLogLog hll_object(const hll_t *sketch, int layout):
    cdef HyperLogLog made = HyperLogLog.__new__(HyperLogLog)
    made.layout = layout
    if hll_copy(&made.sketch, sketch, layout) < 0:
        raise MemoryError("no memory for a copy of a sketch")
    return made


cdef class HyperLogLog:
    """How many distinct items there were, in 2**precision bytes at most. One writer at a time.

    The error is 1.04 / 2**(precision / 2), one standard deviation: 1.6 % at 12. Items are hashed by "xxh64", or by
    "datasketches", as that library does it.
    """

    def __cinit__(self, *args, **kwargs):
        self.layout = MIN_PRECISION

    def __init__(self, int precision=12, hash="xxh64"):
        """ValueError when there is no such precision (4 to 18) or hash."""
        self.enter()
        hll_clear(&self.sketch)
        self.layout = hll_layout(precision, hash_id(hash))

    def __dealloc__(self):
        hll_clear(&self.sketch)

    cdef int enter(self) except -1:
        """Nobody is at work in it without the GIL."""
        if self.busy:
            raise ConcurrentUse("another thread is adding to this sketch; give each thread its own and merge them")
        return 0

    def add(self, item):
        """A str, bytes or int. Whether that changed anything. TypeError, OverflowError."""
        cdef uint64_t hash
        hash_object(item, DATASKETCHES if self.layout & COUPONS else XXH64, &hash)
        return self.put(hash)

    def add_hash(self, uint64_t hash):
        """An item by its hash, or its coupon. Whether that changed anything."""
        return self.put(hash)

    cdef bint put(self, uint64_t hash) except -1:
        cdef int done
        self.enter()
        done = hll_add(&self.sketch, self.layout, hash)
        if done < 0:
            raise MemoryError("no memory for a sketch")
        return done

    def add_many(self, items):
        """A batch: a buffer of whole numbers or of fixed-width bytes, or a sequence of str, bytes and int; all or, when
        one is wrong, nothing. How many of them changed anything. TypeError, OverflowError."""
        cdef Hashes hashes = hashes_of(items, DATASKETCHES if self.layout & COUPONS else XXH64)
        cdef int64_t risen
        self.enter()
        self.busy = True
        with nogil:
            risen = hll_add_hashes(&self.sketch, self.layout, hashes.items, hashes.n)
        self.busy = False
        if risen < 0:
            raise MemoryError("no memory for a sketch")
        return risen

    def merge(self, HyperLogLog other not None, bint allow_precision_loss=False):
        """Add the items of another. SchemaMismatch when it has another hash, or a smaller precision and that is not
        allowed: then this one takes the smaller precision."""
        cdef int precision = other.layout & PRECISION
        self.enter()
        other.enter()
        if (self.layout ^ other.layout) & COUPONS:
            raise SchemaMismatch(f"a sketch hashed by {other.hash} cannot be merged into one hashed by {self.hash}")
        if precision < self.layout & PRECISION:
            if not allow_precision_loss:
                raise SchemaMismatch(f"a sketch of precision {precision} would make one of {self.precision} less "
                                     "precise; allow that with allow_precision_loss=True")
            self.shrink(precision)
        if hll_merge(&self.sketch, self.layout, &other.sketch, other.layout) < 0:
            raise MemoryError("no memory for a sketch")

    def fold(self, int precision):
        """Another one with the same items and a smaller precision, as if it had been that from the start. ValueError
        when it is larger or none."""
        cdef HyperLogLog made = self.copy()
        made.shrink(precision)
        return made

    cdef int shrink(self, int precision) except -1:
        cdef int layout = hll_layout(precision, DATASKETCHES if self.layout & COUPONS else XXH64)
        if layout > self.layout:
            raise ValueError(f"a sketch of precision {self.precision} cannot be brought to {precision}")
        if hll_fold(&self.sketch, self.layout, precision) < 0:
            raise MemoryError("no memory for a sketch")
        self.layout = layout
        return 0

    def estimate(self):
        """How many distinct items, about."""
        self.enter()
        return hll_estimate(&self.sketch, self.layout)

    def copy(self):
        """Another one with the same items."""
        self.enter()
        return hll_object(&self.sketch, self.layout)

    def clear(self):
        """Forget all items."""
        self.enter()
        hll_clear(&self.sketch)

    def entries(self):
        """The sparse list, ascending: index << 6 | rank at 26 bits of index. ValueError when it is dense."""
        self.enter()
        if self.sketch.form == HLL_DENSE:
            raise ValueError("a dense sketch has registers, and no list of entries")
        return [(<uint32_t *> self.sketch.data)[i] for i in range(self.sketch.count)]

    def registers(self):
        """A byte for each register, whatever the form."""
        cdef bytes made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> registers_of(self.layout))
        self.enter()
        hll_registers(&self.sketch, self.layout, <uint8_t *> PyBytes_AS_STRING(made))
        return made

    def packed(self):
        """The registers at six bits each, register i at bits 6 i.., the lowest bit first, whatever the form."""
        cdef bytes made = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> (registers_of(self.layout) // 4 * 3))
        self.enter()
        if hll_pack(&self.sketch, self.layout, <uint8_t *> PyBytes_AS_STRING(made)) < 0:
            raise MemoryError("no memory for the registers of a sketch")
        return made

    def memory(self):
        """Bytes it takes, without those of the Python object around it."""
        return sizeof(hll_t) + hll_bytes(&self.sketch, self.layout)

    @property
    def precision(self):
        """Bits of the register's index: there are 2**precision registers."""
        return self.layout & PRECISION

    @property
    def hash(self):
        """How items are hashed: "xxh64" or "datasketches"."""
        return "datasketches" if self.layout & COUPONS else "xxh64"

    @property
    def form(self):
        """"empty", "sparse" or "dense"."""
        return FORMS[self.sketch.form]

    @property
    def is_empty(self):
        """Whether no item was added."""
        return self.sketch.form == HLL_EMPTY

    def __repr__(self):
        return (f"HyperLogLog(precision={self.precision}, hash={self.hash!r}): {self.form}, "
                f"about {self.estimate():.0f} items")

    def __reduce__(self):
        if self.sketch.form == HLL_DENSE:
            return from_packed, (self.packed(), self.precision, self.hash)
        return from_entries, (self.entries(), self.precision, self.hash)


def from_packed(const uint8_t[::1] packed not None, int precision=12, hash="xxh64"):
    """A sketch from its registers at six bits each. ValueError when these are none of a sketch like that."""
    cdef HyperLogLog made = HyperLogLog(precision, hash)
    cdef int done = -2
    if <size_t> packed.shape[0] == registers_of(made.layout) // 4 * 3:
        done = hll_unpack(&made.sketch, made.layout, &packed[0])
    return checked(made, done)


def from_entries(entries, int precision=12, hash="xxh64"):
    """A sketch from its sparse list. ValueError when it is none of a sketch like that."""
    cdef HyperLogLog made = HyperLogLog(precision, hash)
    cdef const uint32_t[::1] listed
    try:
        listed = array("I", entries)
    except OverflowError:
        raise ValueError(NO_SKETCH) from None
    return checked(made, hll_from_entries(&made.sketch, made.layout, &listed[0], listed.shape[0])
                   if listed.shape[0] else 0)


cdef HyperLogLog checked(HyperLogLog made, int done):
    if done == -1:
        raise MemoryError("no memory for a sketch")
    if done < 0:
        raise ValueError(NO_SKETCH)
    return made
