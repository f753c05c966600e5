# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Sorting of ids by their first names: quicksort by seven bytes at a time, which lie beside the ids.

Only the fast build has it; the twin sorts with `sorted`.
"""
from istat.kernels.native.names cimport istat_prefetch

cdef extern from *:
    """
    #include <stdint.h>
    /* Seven bytes as a number in the order of the text, and below them how many of these there are; 8: and more. */
    static inline uint64_t istat_key(const char *text, uint64_t size) {
        uint64_t key = 0, i, here = size < 7 ? size : 7;
        for (i = 0; i < here; i++) key |= (uint64_t) (unsigned char) text[i] << (56 - 8 * i);
        return key | (size > 7 ? 8 : size);
    }
    """
    uint64_t istat_key(const char *text, uint64_t size) noexcept nogil

cdef enum:
    SMALL_SORT = 12


cdef inline void set_keys(NameTable table, Item *items, Py_ssize_t n, Py_ssize_t depth) noexcept nogil:
    cdef Py_ssize_t i
    cdef uint64_t ref
    for i in range(n):
        if i + 8 < n:
            istat_prefetch(&table.pages[items[i + 8].id >> 12][items[i + 8].id & 0xFFF])
        ref = first_ref(table, items[i].id)
        items[i].key = istat_key(ref_text(table.arena.chunks, ref) + depth, <uint64_t> (ref_size(ref) - depth))


cdef void sort_small(NameTable table, Item *items, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    cdef Py_ssize_t k
    cdef Item one
    for i in range(1, n):
        one = items[i]
        k = i
        while k > 0 and (one.key < items[k - 1].key or (
                one.key == items[k - 1].key and compare_ids(table, one.id, items[k - 1].id) < 0)):
            items[k] = items[k - 1]
            k -= 1
        items[k] = one


cdef void sort_items(NameTable table, Item *items, Py_ssize_t n, Py_ssize_t depth, uint64_t *chance) noexcept nogil:
    """Sort by the text from `depth` on; the keys are set. The pivot is by chance: no names can make this slow."""
    cdef Py_ssize_t low
    cdef Py_ssize_t high
    cdef Py_ssize_t at
    cdef uint64_t pivot
    cdef Item kept
    while n > SMALL_SORT:
        chance[0] = chance[0] * 6364136223846793005u + 1442695040888963407u
        pivot = items[(chance[0] >> 33) % <uint64_t> n].key
        low = 0
        at = 0
        high = n
        while at < high:
            kept = items[at]
            if kept.key < pivot:
                items[at] = items[low]
                items[low] = kept
                low += 1
                at += 1
            elif kept.key > pivot:
                high -= 1
                items[at] = items[high]
                items[high] = kept
            else:
                at += 1
        if pivot & 15 == 8 and high - low > 1:
            set_keys(table, items + low, high - low, depth + 7)
            sort_items(table, items + low, high - low, depth + 7, chance)
        if low < n - high:
            sort_items(table, items, low, depth, chance)
            items += high
            n -= high
        else:
            sort_items(table, items + high, n - high, depth, chance)
            n = low
    sort_small(table, items, n)


cdef void sort_ids(NameTable table, Item *items, Py_ssize_t n, uint64_t chance) noexcept nogil:
    set_keys(table, items, n, 0)
    sort_items(table, items, n, 0, &chance)
