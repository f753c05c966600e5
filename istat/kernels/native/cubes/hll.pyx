# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""HyperLogLog: how many distinct items, from their hashes. Knows no keys, cells or files.

A sketch is empty, sparse (a sorted list, nearly exact) or dense (a byte for each register). Which form and which bytes
it has depends on its items alone, never on the order in which they came or were merged. The specification is the twin.
"""
from libc.math cimport INFINITY, ldexp, log, log1p, sqrt
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

from istat.kernels.native.cubes.hashing cimport DATASKETCHES

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    /* Registers to the larger of two each; whether one rose. Plain loops, which compilers make vectors of. */
    static int istat_larger(uint8_t *restrict to, const uint8_t *restrict of, size_t n) {
        uint8_t differs = 0;
        for (size_t i = 0; i < n; i++) {
            uint8_t larger = of[i] > to[i] ? of[i] : to[i];
            differs |= (uint8_t) (larger ^ to[i]);
            to[i] = larger;
        }
        return differs != 0;
    }
    """
    int istat_larger(uint8_t *to, const uint8_t *of, size_t n) noexcept nogil

cdef enum:
    FIRST_ROOM = 6              # entries: 24 bytes are what the smallest block of malloc holds

cdef int hll_layout(int precision, int hash) except -1:
    if not MIN_PRECISION <= precision <= MAX_PRECISION:
        raise ValueError(f"a precision is from {MIN_PRECISION} to {MAX_PRECISION}, not {precision}")
    return precision | (COUPONS if hash == DATASKETCHES else 0)


# --- adding ------------------------------------------------------------------------------------------

cdef int make_dense(hll_t *sketch, int layout) noexcept nogil:
    cdef uint32_t *entries = <uint32_t *> sketch.data
    cdef uint8_t *registers
    cdef int i
    if sketch.form == HLL_DENSE:
        return 0
    registers = <uint8_t *> calloc(registers_of(layout), 1)
    if registers == NULL:
        return -1
    for i in range(sketch.count):
        raise_register(registers, layout, entries[i])
    free(sketch.data)
    sketch.data = registers
    sketch.count = 0
    sketch.room = 0
    sketch.form = HLL_DENSE
    return 0


cdef inline uint32_t place_of(const uint32_t *entries, uint32_t n, uint32_t entry) noexcept nogil:
    """How many entries have a smaller index. Without branches: they could not be foreseen."""
    cdef const uint32_t *base = entries
    cdef uint32_t wanted = entry & ~<uint32_t> RANK_MASK
    cdef uint32_t half
    if n == 0:
        return 0
    while n > 1:
        half = n >> 1
        base += half & (0 - <uint32_t> (base[half - 1] < wanted))
        n -= half
    return <uint32_t> (base - entries) + (base[0] < wanted)


cdef int make_room(hll_t *sketch, uint32_t wanted, uint32_t limit) noexcept nogil:
    """Room for so many entries of the list, and for some more; 0 or -1."""
    cdef uint32_t room = sketch.room + (sketch.room >> 1)
    cdef void *grown
    if wanted <= sketch.room:
        return 0
    if room < wanted:
        room = wanted
    room = ((room + 1) & ~3u) + 2 if room > FIRST_ROOM else FIRST_ROOM      # blocks of malloc are 16 n + 8 bytes
    if room > limit:
        room = limit
    grown = realloc(sketch.data, room * sizeof(uint32_t))
    if grown == NULL:
        return -1
    sketch.data = grown
    sketch.room = <uint16_t> room
    sketch.form = HLL_SPARSE
    return 0


cdef int add_sparse(hll_t *sketch, int layout, uint32_t entry) noexcept nogil:
    cdef uint32_t *entries = <uint32_t *> sketch.data
    cdef uint32_t limit = sparse_limit(layout)
    cdef uint32_t at = place_of(entries, sketch.count, entry)
    if at < sketch.count and entries[at] >> 6 == entry >> 6:
        if entry <= entries[at]:
            return 0
        entries[at] = entry
        return 1
    if sketch.count == limit:
        if make_dense(sketch, layout) < 0:
            return -1
        return raise_register(<uint8_t *> sketch.data, layout, entry)
    if make_room(sketch, <uint32_t> sketch.count + 1, limit) < 0:
        return -1
    entries = <uint32_t *> sketch.data
    memmove(entries + at + 1, entries + at, (sketch.count - at) * sizeof(uint32_t))
    entries[at] = entry
    sketch.count += 1
    return 1


cdef int hll_add(hll_t *sketch, int layout, uint64_t hash) noexcept nogil:
    cdef uint8_t before
    cdef uint8_t now
    cdef uint32_t entry
    if sketch.form == HLL_DENSE:
        return add_dense(<uint8_t *> sketch.data, layout, hash, &before, &now)
    entry = entry_of(layout, hash)
    return add_sparse(sketch, layout, entry) if entry & RANK_MASK else 0


cdef int hll_add_ranks(hll_t *sketch, int layout, uint64_t hash, uint8_t *before, uint8_t *now) noexcept nogil:
    if sketch.form == HLL_DENSE:
        return add_dense(<uint8_t *> sketch.data, layout, hash, before, now)
    return hll_add(sketch, layout, hash)


cdef int64_t hll_add_hashes(hll_t *sketch, int layout, const uint64_t *hashes, Py_ssize_t n) noexcept nogil:
    cdef int64_t risen = 0
    cdef Py_ssize_t i
    cdef uint8_t before
    cdef uint8_t now
    cdef int done
    for i in range(n):
        if sketch.form == HLL_DENSE:
            break
        done = hll_add(sketch, layout, hashes[i])
        if done < 0:
            return -1
        risen += done
    else:
        return risen
    for i in range(i, n):
        risen += add_dense(<uint8_t *> sketch.data, layout, hashes[i], &before, &now)
    return risen


# --- merging -----------------------------------------------------------------------------------------

cdef uint32_t union_size(const hll_t *a, const hll_t *b) noexcept nogil:
    """How many entries the lists of both have together."""
    cdef const uint32_t *left = <const uint32_t *> a.data
    cdef const uint32_t *right = <const uint32_t *> b.data
    cdef uint32_t i = 0
    cdef uint32_t j = 0
    cdef uint32_t both = 0
    while i < a.count and j < b.count:
        both += left[i] >> 6 == right[j] >> 6
        if left[i] >> 6 <= right[j] >> 6:
            i += 1
            j += left[i - 1] >> 6 == right[j] >> 6
        else:
            j += 1
    return <uint32_t> a.count + b.count - both


cdef int merge_lists(hll_t *to, const hll_t *of, uint32_t n) noexcept nogil:
    """The list of both in the place of the first, which has room for its n entries: from the end, so that nothing is
    overwritten before it is read. Whether something rose."""
    cdef uint32_t *entries = <uint32_t *> to.data
    cdef const uint32_t *others = <const uint32_t *> of.data
    cdef int risen = n > to.count
    cdef int64_t i = <int64_t> to.count - 1
    cdef int64_t j = <int64_t> of.count - 1
    to.count = <uint16_t> n
    while j >= 0:
        n -= 1
        if i >= 0 and entries[i] >> 6 > others[j] >> 6:
            entries[n] = entries[i]
            i -= 1
            continue
        if i >= 0 and entries[i] >> 6 == others[j] >> 6:
            risen |= others[j] > entries[i]
            entries[n] = others[j] if others[j] > entries[i] else entries[i]
            i -= 1
        else:
            entries[n] = others[j]
        j -= 1
    return risen


cdef int merge_dense(uint8_t *to, int layout, const uint8_t *of, int layout_of) noexcept nogil:
    """Registers of the same or a larger precision into others. Whether one rose."""
    cdef int bits = (layout_of & PRECISION) - (layout & PRECISION)
    cdef size_t mask = registers_of(layout) - 1
    cdef size_t low_mask = (<size_t> 1 << bits) - 1
    cdef size_t place
    cdef size_t i
    cdef uint8_t rank
    cdef int risen = 0
    if bits == 0:
        return istat_larger(to, of, mask + 1)
    for i in range(registers_of(layout_of)):
        rank = of[i]
        if rank == 0:
            continue
        if layout & COUPONS:
            place = i & mask
        else:
            place = i >> bits
            rank = <uint8_t> (istat_leading_zeros(i & low_mask) - 64 + bits + 1 if i & low_mask else bits + rank)
        if rank > to[place]:
            to[place] = rank
            risen = 1
    return risen


cdef int hll_merge(hll_t *to, int layout, const hll_t *of, int layout_of) noexcept nogil:
    cdef const uint32_t *entries = <const uint32_t *> of.data
    cdef uint32_t n
    cdef uint32_t limit = sparse_limit(layout)
    cdef int risen = 0
    cdef int i
    if of.form == HLL_EMPTY or to == of:
        return 0
    if of.form == HLL_SPARSE and to.form != HLL_DENSE:
        n = union_size(to, of)
        if n <= limit:
            return -1 if make_room(to, n, limit) < 0 else merge_lists(to, of, n)
    if make_dense(to, layout) < 0:
        return -1
    if of.form == HLL_DENSE:
        return merge_dense(<uint8_t *> to.data, layout, <const uint8_t *> of.data, layout_of)
    for i in range(of.count):
        risen |= raise_register(<uint8_t *> to.data, layout, entries[i])
    return risen


cdef int hll_fold(hll_t *sketch, int layout, int precision) noexcept nogil:
    cdef hll_t made
    cdef int smaller = precision | (layout & COUPONS)
    if smaller == layout or sketch.form == HLL_EMPTY:
        return 0
    memset(&made, 0, sizeof(made))
    if hll_merge(&made, smaller, sketch, layout) < 0:
        hll_clear(&made)
        return -1
    hll_clear(sketch)
    sketch[0] = made
    return 0


cdef int hll_copy(hll_t *to, const hll_t *of, int layout) noexcept nogil:
    cdef size_t size = hll_bytes(of, layout)
    to[0] = of[0]
    if of.data == NULL:
        return 0
    to.data = malloc(size)
    if to.data == NULL:
        memset(to, 0, sizeof(hll_t))
        return -1
    memcpy(to.data, of.data, size)
    return 0


cdef void hll_clear(hll_t *sketch) noexcept nogil:
    free(sketch.data)
    memset(sketch, 0, sizeof(hll_t))


cdef size_t hll_bytes(const hll_t *sketch, int layout) noexcept nogil:
    if sketch.form == HLL_DENSE:
        return registers_of(layout)
    return sketch.room * sizeof(uint32_t)


# --- reading -----------------------------------------------------------------------------------------

cdef double sigma(double x) noexcept nogil:
    """x + sum of x**(2**k) * 2**(k - 1): what the zero registers add. Ertl, "New cardinality estimation algorithms"."""
    cdef double y = 1.0
    cdef double z = x
    cdef double last = -1.0
    if x == 1.0:
        return INFINITY
    while z != last:
        last = z
        x *= x
        z += x * y
        y += y
    return z


cdef double tau(double x) noexcept nogil:
    """(1 - x - sum of (1 - x**(2**-k))**2 * 2**-k) / 3: what the full registers take away."""
    cdef double y = 1.0
    cdef double z = 1.0 - x
    cdef double last = -1.0
    if x == 0.0 or x == 1.0:
        return 0.0
    while z != last:
        last = z
        x = sqrt(x)
        y *= 0.5
        z -= (1.0 - x) * (1.0 - x) * y
    return z / 3.0


cdef void count_ranks(const uint8_t *registers, size_t n, uint32_t *counts) noexcept nogil:
    """Into four tables in turn: neighbours often have the same rank, and would wait for each other."""
    cdef uint32_t tables[4][64]
    cdef size_t i
    memset(tables, 0, sizeof(tables))
    for i in range(0, n, 4):
        tables[0][registers[i]] += 1
        tables[1][registers[i + 1]] += 1
        tables[2][registers[i + 2]] += 1
        tables[3][registers[i + 3]] += 1
    for i in range(64):
        counts[i] = tables[0][i] + tables[1][i] + tables[2][i] + tables[3][i]


cdef double hll_estimate(const hll_t *sketch, int layout) noexcept nogil:
    cdef uint32_t counts[64]
    cdef double m = <double> registers_of(layout)
    cdef int full = most_rank(layout, layout & PRECISION)
    cdef int k
    cdef double z
    if sketch.form != HLL_DENSE:
        return -67108864.0 * log1p(-<double> sketch.count / 67108864.0)         # linear counting in 2**26
    count_ranks(<const uint8_t *> sketch.data, registers_of(layout), counts)
    z = m * tau(1.0 - counts[full] / m)
    for k in range(full - 1, 0, -1):
        z = 0.5 * (z + counts[k])
    z += m * sigma(counts[0] / m)
    return m * m / (2.0 * log(2.0) * z)


cdef void hll_registers(const hll_t *sketch, int layout, uint8_t *out) noexcept nogil:
    cdef int i
    if sketch.form == HLL_DENSE:
        memcpy(out, sketch.data, registers_of(layout))
        return
    memset(out, 0, registers_of(layout))
    for i in range(sketch.count):
        raise_register(out, layout, (<const uint32_t *> sketch.data)[i])


cdef void hll_sums(const hll_t *sketch, int layout, double *sum, uint32_t *zeros) noexcept nogil:
    cdef uint32_t counts[64]
    cdef int k
    count_ranks(<const uint8_t *> sketch.data, registers_of(layout), counts)
    sum[0] = 0.0
    for k in range(63, -1, -1):
        sum[0] += ldexp(counts[k], -k)
    zeros[0] = counts[0]
