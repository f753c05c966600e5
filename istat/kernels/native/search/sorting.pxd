# The order of names that segments have: by the name that an id had first, which stays when it gets another.
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from istat.kernels.native.names cimport MOVED, NameTable, ref_at, ref_size, ref_text

cdef extern from *:
    """
    #define istat_chunks(table_chunks) __atomic_load_n(table_chunks, __ATOMIC_ACQUIRE)
    """
    char **istat_chunks(char ***place) noexcept nogil

cdef inline uint64_t first_ref(NameTable table, uint64_t id) noexcept nogil:
    """The reference to the first name of an id, which is its place in the order of segments."""
    cdef uint64_t ref = ref_at(table.pages, id)
    if ref & MOVED:
        memcpy(&ref, ref_text(istat_chunks(&table.arena.chunks), ref) - sizeof(ref), sizeof(ref))
    return ref


cdef inline int compare(const char *a, Py_ssize_t a_size, const char *b, Py_ssize_t b_size) noexcept nogil:
    cdef int sign = memcmp(a, b, <size_t> min(a_size, b_size))
    if sign != 0:
        return sign
    if a_size < b_size:
        return -1
    return 1 if a_size > b_size else 0


cdef inline int compare_ids(NameTable table, uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t x = first_ref(table, a)
    cdef uint64_t y = first_ref(table, b)
    return compare(ref_text(table.arena.chunks, x), ref_size(x), ref_text(table.arena.chunks, y), ref_size(y))


cdef struct Item:
    uint64_t key
    uint32_t id

# Sorts ids by their first names. `chance` is what the choice of pivots begins from.
cdef void sort_ids(NameTable table, Item *items, Py_ssize_t n, uint64_t chance) noexcept nogil
