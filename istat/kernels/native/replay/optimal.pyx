# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""OPT, which knows what comes. The fast build of istat/kernels/python/replay/optimal.py. The same bytes.

A heap of the pages in the cache, the one whose next use is farthest on top: a use moves its page up.
"""
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

from istat.kernels.native.replay.caches cimport Cache

cdef enum:
    NEVER = 0x7FFFFFFF      # beyond all positions


cdef class Opt(Cache):
    """The page whose next use is farthest goes. `lists.where` says which pages are in the cache; `lists.after` has the
    latest position of each while next uses are looked for, and `lists.before` its place in the heap."""

    cdef int32_t *uses
    cdef int32_t *heap
    cdef int32_t *keys
    cdef int64_t size, position

    def __cinit__(self, pages, frames):
        self.heap = <int32_t *>malloc((self.pages + 1) * sizeof(int32_t))
        self.keys = <int32_t *>malloc((self.pages + 1) * sizeof(int32_t))
        if self.heap == NULL or self.keys == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.uses)
        free(self.heap)
        free(self.keys)

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        cdef int64_t i
        free(self.uses)
        self.uses = <int32_t *>malloc(n * sizeof(int32_t))
        if self.uses == NULL:
            return -1
        for i in range(n):
            self.lists.after[references[i]] = NEVER
        for i in range(n - 1, -1, -1):
            self.uses[i] = self.lists.after[references[i]]
            self.lists.after[references[i]] = <int32_t>i
        self.size = self.position = 0
        return 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef bint missed = self.lists.where[page] == 0
        cdef int32_t next_use = self.uses[self.position]
        self.position += 1
        self.keys[page] = next_use
        if not missed:
            self.up(self.lists.before[page], page)
        elif self.size == self.frames:
            self.lists.where[self.heap[0]] = 0
            self.lists.where[page] = 1
            self.down(page)
        else:
            self.size += 1
            self.lists.where[page] = 1
            self.up(self.size - 1, page)
        return missed

    cdef inline void put(self, int64_t place, int32_t page) noexcept nogil:
        self.heap[place] = page
        self.lists.before[page] = <int32_t>place

    cdef void up(self, int64_t place, int32_t page) noexcept nogil:
        cdef int64_t above
        while place > 0:
            above = (place - 1) >> 1
            if self.keys[self.heap[above]] >= self.keys[page]:
                break
            self.put(place, self.heap[above])
            place = above
        self.put(place, page)

    cdef void down(self, int32_t page) noexcept nogil:
        """Into the place of the top, from there to where it belongs."""
        cdef int64_t place = 0, below = 1
        while below < self.size:
            if below + 1 < self.size and self.keys[self.heap[below + 1]] > self.keys[self.heap[below]]:
                below += 1
            if self.keys[self.heap[below]] <= self.keys[page]:
                break
            self.put(place, self.heap[below])
            place, below = below, 2 * below + 1
        self.put(place, page)
