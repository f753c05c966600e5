# Wire names and the counters that each feeds; the feed follows them without the GIL.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from istat.kernels.native.names cimport NameTable

cdef enum:
    NOWHERE = 0xFFFFFFFFu      # a target less 1 of a route that leads nowhere
    MANY = 0x80000000u         # a target with this bit is an index into `many`

cdef class Routes(NameTable):
    cdef NameTable counters
    cdef uint32_t *target      # of a route: 1 + (counter id, or MANY | index into many); 0: it leads nowhere
    cdef uint32_t *follow      # of a route: the route seen after it last time
    cdef uint32_t target_room
    cdef uint32_t *many        # count, then that many ids
    cdef uint32_t many_size
    cdef uint32_t many_room
    cdef uint64_t given_back_bytes         # of target and follow
    cdef uint32_t *make_ready(self, uint64_t count) except NULL
    cdef int64_t place(self, const char *wire, Py_ssize_t size, uint32_t count) except? -1
    cdef int place_unlearnt(self) except -1
    cdef int grow(self) except -1
    cdef void unlearn(self, uint32_t route) noexcept nogil
    cdef tuple targets(self, uint32_t route)
    cdef uint64_t give_back(self) noexcept nogil
    cdef uint64_t target_bytes(self) noexcept nogil

cdef inline const uint32_t *ids_of(Routes routes, const uint32_t *target, uint32_t *n) noexcept nogil:
    """The counters of a target (less 1), and how many; the pointer is good until the next route comes."""
    cdef const uint32_t *many
    if target[0] < MANY:
        n[0] = 1
        return target
    if target[0] == NOWHERE:
        n[0] = 0
        return target
    many = routes.many + (target[0] & ~<uint32_t> MANY)
    n[0] = many[0]
    return many + 1
