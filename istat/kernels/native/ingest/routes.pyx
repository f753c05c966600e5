# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Wire names and the counters that each feeds: a name table with targets.

Knows no samples, kinds or records. The specification is the Python twin.
"""
from libc.stdlib cimport free, realloc

from istat.kernels.native.names cimport NO_MEMORY, PAGE_BITS, istat_give_back, ref_at


cdef class Routes(NameTable):
    """Routes by number, in the order in which they were learnt. They share the text of `counters`."""

    def __cinit__(self, uint64_t key, NameTable counters):
        self.counters = counters
        self.make_ready(0)              # the first entry of `many` is an empty one, for routes that lead nowhere
        self.many[0] = 0
        self.many_size = 1

    def __dealloc__(self):
        free(self.target)
        free(self.follow)
        free(self.many)

    cdef uint32_t *make_ready(self, uint64_t count) except NULL:
        """Where the ids of the next route are to be put, so many of them, before `place`."""
        cdef uint64_t wanted = self.many_size + count + 1
        cdef void *grown
        if wanted >= MANY - (1 << 20):      # beyond, an index would be taken for something else
            raise MemoryError("no room for another name that feeds several counters")
        if wanted > self.many_room:
            grown = realloc(self.many, (wanted + wanted // 2) * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError()
            self.many = <uint32_t *> grown
            self.many_room = <uint32_t> (wanted + wanted // 2)
        return self.many + self.many_size + 1

    cdef int64_t place(self, const char *wire, Py_ssize_t size, uint32_t count) except? -1:
        """The number of a new route, or EXISTS, TOO_LONG. Its `count` ids were made ready; they stay there when they are
        several."""
        cdef uint64_t ref = 0
        cdef uint32_t i
        cdef int64_t route
        for i in range(count):
            if ref == 0:
                ref = self.ref_of(ref_at(self.counters.pages, self.many[self.many_size + 1 + i]), wire, size)
        route = self.insert(wire, size, ref, False)
        if route < 0:
            if route == NO_MEMORY:
                raise MemoryError()
            return route
        self.grow()
        if count == 1:
            self.target[route] = self.many[self.many_size + 1] + 1
        elif count > 1:
            self.target[route] = (self.many_size | MANY) + 1
            self.many[self.many_size] = count
            self.many_size += count + 1
        return route

    cdef int place_unlearnt(self) except -1:
        """The next route, which leads nowhere and has no name."""
        if self.insert_unlisted(NULL, 0) < 0:
            raise MemoryError()
        return self.grow()

    cdef int grow(self) except -1:
        """Room for the last route, which leads nowhere as yet."""
        cdef uint32_t room
        cdef void *grown
        if self.n > self.target_room:
            room = self.target_room + self.target_room // 2 + 1024
            grown = realloc(self.target, <size_t> room * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError()
            self.target = <uint32_t *> grown
            grown = realloc(self.follow, <size_t> room * sizeof(uint32_t))
            if grown == NULL:
                raise MemoryError()
            self.follow = <uint32_t *> grown
            self.target_room = room
        self.target[self.n - 1] = 0
        self.follow[self.n - 1] = self.n
        return 0

    cdef void unlearn(self, uint32_t route) noexcept nogil:
        """Forget a route: its number leads nowhere from now on."""
        self.unlist_id(route)
        self.forget(route)
        self.target[route] = 0

    cdef tuple targets(self, uint32_t route):
        cdef uint32_t target = self.target[route] - 1
        cdef uint32_t n = 0
        cdef const uint32_t *ids = ids_of(self, &target, &n)
        return tuple([ids[i] for i in range(n)])

    cdef uint64_t give_back(self) noexcept nogil:
        """Give the memory of routes that lead nowhere back to the system; bytes given back so far."""
        cdef uint64_t page
        cdef uint64_t first = 0
        cdef uint64_t pages = self.n >> PAGE_BITS
        self.given_back_bytes = 0
        for page in range(pages + 1):
            if page < pages and self.page_gone(page):
                continue
            if page > first:
                self.given_back_bytes += istat_give_back(self.target, first * 4 << PAGE_BITS, page * 4 << PAGE_BITS)
                self.given_back_bytes += istat_give_back(self.follow, first * 4 << PAGE_BITS, page * 4 << PAGE_BITS)
            first = page + 1
        return self.given_back_bytes

    cdef uint64_t target_bytes(self) noexcept nogil:
        """Bytes held by what `memory`, of the names, does not count."""
        return 8 * <uint64_t> self.target_room + 4 * <uint64_t> self.many_room - self.given_back_bytes
