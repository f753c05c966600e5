# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A cube's cells as bytes, and back: keys, marks, and the columns of its metrics.

Whoever calls holds the guard. Cells are read into a core that has none; where anything is wrong, whoever made that core throws it away. The
specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from istat.kernels.native.cubes.core cimport Core
from istat.kernels.native.cubes.hashing cimport xxh64
from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.inner.table cimport LATE, NO_MEMORY, TOUCHED, Cells
from istat.kernels.native.cubes.keys cimport KEY_ROOM, well_formed
from istat.kernels.native.cubes.metrics cimport CounterMetric
from istat.kernels.native.cubes.sampling.residents cimport Sampler
from istat.kernels.native.cubes.wire.columns cimport get_column, put_column
from istat.kernels.native.cubes.wire.reading cimport (
    CUT_OFF, FINE, INCONSISTENT, MALFORMED_KEY, NO_PLACE, SHORT_OF_MEMORY, TWICE, finish, out_t, plan, put_bytes, put_number, put_u8,
    read_bytes, read_u8, read_varint, reader_of, reader_t, refuse, taken)

cdef enum:
    CELL_COST = 48              # [bytes] planned for a cell besides its key,
    VALUE_COST = 24             # and for its value of each metric without what that points to

cdef uint64_t MOST_COUNT = (1ULL << 63) - 1
cdef uint64_t MOST_FLOOR = (1ULL << 32) - 1     # samplers have 32 bits for it


def put_cells(Core core not None):
    """The payload of CELLS: cells by insertion."""
    cdef out_t out
    cdef uint32_t n = core.cells.residents()
    cdef uint32_t *slots = core.cells.listed()
    cdef Metric metric
    if slots == NULL:
        raise MemoryError
    memset(&out, 0, sizeof(out))
    try:
        with nogil:
            put_keys(&out, core.cells, core.sampler, slots, n)
        for metric in core.metrics:
            put_column(&out, metric, slots, n, core.cells.overflow)
    finally:
        free(slots)
        made = taken(&out)
    return made


cdef void put_keys(out_t *out, Cells cells, Sampler sampler, const uint32_t *slots, uint32_t n) noexcept nogil:
    """How many cells there are, their keys, marks, and what they were admitted with."""
    cdef uint32_t i
    put_number(out, n)
    for i in range(n):
        put_number(out, cells.key_size(slots[i]))
    for i in range(n):
        put_bytes(out, cells.key_at(slots[i]), cells.key_size(slots[i]))
    for i in range(n):
        put_u8(out, cells.marks[slots[i]])
    if sampler is not None:
        for i in range(n):
            put_number(out, <uint64_t> sampler.inherited(slots[i]))


def get_cells(Core core not None, const uint8_t[::1] payload not None, size_t base, uint64_t budget):
    """Read cells into a core that has none; the budget that is left. FormatError, with `base` added to its offset."""
    cdef reader_t r = reader_of(&payload[0] if payload.shape[0] else NULL, payload.shape[0], budget)
    cdef uint32_t *slots = NULL
    cdef uint64_t *begun = NULL
    cdef uint32_t n, i
    cdef Metric metric
    cdef CounterMetric counts = core.primary if isinstance(core.primary, CounterMetric) else None
    try:
        n = count_cells(&r, core.cells, len(core.metrics))
        slots = <uint32_t *> malloc((n + 1) * sizeof(uint32_t))
        begun = <uint64_t *> malloc((n + 1) * sizeof(uint64_t))
        if slots == NULL or begun == NULL or core.reserve(core.cells.count + n) < 0:
            raise MemoryError
        with nogil:
            get_keys(&r, core.cells, core.dimensions, slots, n)
            if core.sampler is not None:
                for i in range(n):
                    begun[i] = read_varint(&r, MOST_COUNT if counts is not None else MOST_FLOOR)
        for metric in core.metrics:
            if r.why == FINE:
                get_column(&r, metric, slots, n, core.cells.overflow)
        finish(&r, base)
        if counts is not None:
            check_counts(&r, counts, slots, begun, n)
            finish(&r, base)
        if core.sampler is not None:
            for i in range(n):
                core.sampler.entered(slots[i], <int64_t> begun[i])
    finally:
        free(slots)
        free(begun)
    return r.budget


cdef void check_counts(reader_t *r, CounterMetric counts, const uint32_t *slots, const uint64_t *begun,
                       uint32_t n) noexcept nogil:
    """No cell has less than what it was admitted with, nor one below 0 any of it."""
    cdef uint32_t i
    for i in range(n):
        if max(counts.values[slots[i]], 0) < <int64_t> begun[i]:
            refuse(r, INCONSISTENT, 0)


cdef uint32_t count_cells(reader_t *r, Cells cells, size_t metrics) noexcept nogil:
    """How many cells there are to be read: no more than there are bytes, and planned."""
    cdef uint32_t n = <uint32_t> read_varint(r, cells.most)
    if n > r.size - r.at and r.why == FINE:
        refuse(r, CUT_OFF, 0)
    plan(r, n * (CELL_COST + VALUE_COST * <uint64_t> metrics), 0)
    return n if r.why == FINE else 0


cdef void get_keys(reader_t *r, Cells cells, Py_ssize_t dimensions, uint32_t *slots, uint32_t n) noexcept nogil:
    """Read keys and marks, and make the cells. Their sizes are read twice, as nothing keeps them."""
    cdef reader_t sizes = r[0]
    cdef uint64_t total = 0
    cdef const uint8_t *key
    cdef uint32_t i, size
    cdef uint8_t marks
    for i in range(n):
        total += read_varint(r, KEY_ROOM)
    plan(r, total, r.at)
    key = read_bytes(r, total)
    for i in range(n):
        size = <uint32_t> read_varint(&sizes, KEY_ROOM)
        marks = read_u8(r, LATE | TOUCHED)
        if r.why != FINE:
            return
        slots[i] = make_cell(r, cells, key, size, dimensions)
        if r.why != FINE:
            return
        cells.marks[slots[i]] = marks
        key += size


cdef uint32_t make_cell(reader_t *r, Cells cells, const uint8_t *key, uint32_t size, Py_ssize_t dimensions) noexcept nogil:
    """The slot of a cell that is made now."""
    cdef uint64_t hash
    cdef int64_t slot
    if not well_formed(key, size, dimensions):
        refuse(r, MALFORMED_KEY, key - r.data)
        return 0
    hash = xxh64(key, size)
    if cells.find_key(key, size, hash) >= 0:
        refuse(r, TWICE, key - r.data)
        return 0
    slot = cells.add_key(key, size, hash)
    if slot < 0:
        refuse(r, SHORT_OF_MEMORY if slot == NO_MEMORY else NO_PLACE, key - r.data)
        return 0
    return <uint32_t> slot
