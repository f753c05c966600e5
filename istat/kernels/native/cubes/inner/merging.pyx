# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Cells of another cube are added to those of this one. The specification is `admission` of the Python twin."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, qsort
from libc.string cimport memcmp

from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.inner.table cimport NO_MEMORY, NOT_FOUND, REFUSED
from istat.kernels.native.cubes.metrics cimport CounterMetric
from istat.kernels.native.cubes.sketched cimport HllMetric

cdef struct stranger_t:         # a cell that the other cube alone has
    int64_t rank
    int64_t known               # what this cube's sketch held for its key
    const uint8_t *key
    uint32_t size
    uint32_t of


cdef inline int64_t joined(bint counts, int64_t one, int64_t other) noexcept nogil:
    """What two sides know of a key together: counts add up, of two floors the larger one stays."""
    cdef int64_t most = <int64_t> 0x7FFFFFFFFFFFFFFFu
    if not counts:
        return max(one, other)
    return one + other if one <= most - other else most


cdef int merge_cell(Admission mine, uint32_t slot, Admission other, uint32_t of, pairs_t *pairs) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(pairs.n):
        if (<Metric> pairs.mine[i]).merge_slot(slot, <Metric> pairs.theirs[i], of) < 0:
            return NO_MEMORY
    mine.cells.marks[slot] = mine.cells.marks[slot] | other.cells.marks[of]
    return 0


cdef int64_t find_in(Admission mine, Admission other, uint32_t of) noexcept nogil:
    """The slot here of a key there, or NOT_FOUND."""
    return mine.cells.find_key(other.cells.key_at(of), other.cells.key_size(of), other.cells.hashes[of])


cdef int merge_cells(Admission mine, Admission other, pairs_t *pairs) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t *slots = other.ordered(NULL, False, False, &count)
    cdef uint32_t i
    cdef int64_t slot = 0
    if slots == NULL:
        return NO_MEMORY
    for i in range(count):
        slot = find_in(mine, other, slots[i])
        if slot == NOT_FOUND:
            slot = mine.made(other.cells.key_at(slots[i]), other.cells.key_size(slots[i]), other.cells.hashes[slots[i]])
        if slot >= 0:
            slot = merge_cell(mine, <uint32_t> slot, other, slots[i], pairs)
        elif slot == REFUSED:
            mine.refuse(other.cells.hashes[slots[i]])
            slot = mine.to_overflow(pairs, slots[i])
        if slot < 0:
            break
    free(slots)
    return NO_MEMORY if slot < 0 else 0


cdef int by_rank(const void *one, const void *other) noexcept nogil:
    """The highest first; equal ones by key."""
    cdef const stranger_t *a = <const stranger_t *> one
    cdef const stranger_t *b = <const stranger_t *> other
    cdef int keys
    if a.rank != b.rank:
        return (a.rank < b.rank) - (a.rank > b.rank)
    keys = memcmp(a.key, b.key, min(a.size, b.size))
    return keys if keys else (a.size > b.size) - (a.size < b.size)


cdef int merge_common(Admission mine, Admission other, pairs_t *pairs, int64_t *begun, uint8_t *common) noexcept nogil:
    """The cells of this side: what the other side's cell, or its sketch, has comes on top. `begun` by slot, `common` by slot
    of the other side."""
    cdef uint32_t *slots = mine.cells.listed()
    cdef uint32_t i, slot
    cdef int64_t of
    cdef int64_t known
    cdef int done = 0
    if slots == NULL:
        return NO_MEMORY
    for i in range(mine.cells.residents()):
        slot = slots[i]
        of = find_in(other, mine, slot)
        if of >= 0 and common[of] == 1:
            common[of] = 2
            done = merge_cell(mine, slot, other, <uint32_t> of, pairs)
            known = other.sampler.inherited(<uint32_t> of)
        else:
            known = mine.sampler.known_there(mine.cells.hashes[slot])
            if known and mine.counts:
                done = (<Metric> mine.first).raise_by(slot, known, 0, NULL, NULL)
        if done < 0:
            break
        begun[slot] = joined(mine.counts, mine.sampler.inherited(slot), known)
    free(slots)
    return done


cdef int merge_stranger(Admission mine, Admission other, const stranger_t *cell, pairs_t *pairs) noexcept nogil:
    """It gets a cell here where there is room or a lower one, or else goes into the sketch."""
    cdef uint64_t hash = other.cells.hashes[cell.of]
    cdef int64_t slot = REFUSED
    cdef int done
    if not mine.cells.is_full():
        slot = mine.made(cell.key, cell.size, hash)
    else:
        slot = mine.cells.prepare(cell.size, hash)
        if slot == 0:
            slot = REFUSED
            if cell.rank > mine.sampler.rank(mine.sampler.lowest()):
                slot = mine.evict(cell.key, cell.size, hash)
    if slot == NO_MEMORY:
        return NO_MEMORY
    if slot == REFUSED:
        mine.evicted += 1
        if mine.counts:
            mine.sampler.put_in(hash, &cell.rank)
        else:
            mine.sampler.put_in(hash, &(<HllMetric> other.first).values[cell.of])
        return mine.to_overflow(pairs, cell.of)
    done = merge_cell(mine, <uint32_t> slot, other, cell.of, pairs)
    if mine.counts and cell.known:
        (<Metric> mine.first).raise_by(<uint32_t> slot, cell.known, 0, NULL, NULL)
    mine.sampler.entered(<uint32_t> slot, joined(mine.counts, other.sampler.inherited(cell.of), cell.known))
    return done                 # without memory, too, the cell is ranked as all are


cdef int merge_strangers(Admission mine, Admission other, pairs_t *pairs, const uint8_t *common) noexcept nogil:
    """The cells that the other side alone has, the highest first."""
    cdef uint32_t count = 0
    cdef uint32_t used = 0
    cdef uint32_t *slots = other.ordered(NULL, False, False, &count)
    cdef stranger_t *cells = <stranger_t *> malloc((count + 1) * sizeof(stranger_t))
    cdef uint32_t i
    cdef int done = 0
    if slots == NULL or cells == NULL:
        free(slots)
        free(cells)
        return NO_MEMORY
    for i in range(count):
        if common[slots[i]] == 2:
            continue
        cells[used].of = slots[i]
        cells[used].key = other.cells.key_at(slots[i])
        cells[used].size = other.cells.key_size(slots[i])
        cells[used].known = mine.sampler.taken(other.cells.hashes[slots[i]])
        cells[used].rank = joined(mine.counts, other.sampler.rank(slots[i]), cells[used].known)
        used += 1
    mine.sampler.combine()
    qsort(cells, used, sizeof(stranger_t), by_rank)
    for i in range(used):
        done = merge_stranger(mine, other, &cells[i], pairs)
        if done < 0:
            break
    free(slots)
    free(cells)
    return done


cdef int merge_ranked(Admission mine, Admission other, pairs_t *pairs) except -1:
    """See sampling/residents for the order."""
    cdef int64_t *begun = <int64_t *> calloc(mine.cells.count + 1, sizeof(int64_t))
    cdef uint8_t *common = <uint8_t *> calloc(other.cells.count + 1, 1)
    cdef uint32_t i
    cdef int done = NO_MEMORY
    try:
        if begun == NULL or common == NULL:
            raise MemoryError("no memory to merge cubes")
        for i in range(other.cells.count):      # those to be merged: no cells kept by a reset
            common[i] = other.cells.marks[i] & 2 != 0 and i != other.cells.overflow
        mine.sampler.meet(other.sampler)
        with nogil:
            done = merge_common(mine, other, pairs, begun, common)
        if done == 0:
            mine.enter_all(begun)
            with nogil:
                done = merge_strangers(mine, other, pairs, common)
        mine.sampler.part()
        if done < 0:
            raise MemoryError("no memory to merge cubes")
    finally:
        free(begun)
        free(common)
    return 0
