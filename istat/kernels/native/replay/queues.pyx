# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Policies of one queue: LRU, FIFO, CLOCK. The fast build of istat/kernels/python/replay/queues.py. The same bytes."""
from libc.stdint cimport int32_t, uint8_t
from libc.stdlib cimport calloc, free

from istat.kernels.native.replay.caches cimport Cache, append, is_in, move_to, take_oldest


cdef class Lru(Cache):
    """The page that was not used for longest goes."""

    cdef bint refer(self, int32_t page) noexcept nogil:
        if is_in(&self.lists, 0, page):
            move_to(&self.lists, 0, page)
            return False
        if self.lists.size[0] == self.frames:
            take_oldest(&self.lists, 0)
        append(&self.lists, 0, page)
        return True


cdef class Fifo(Cache):
    """The page that came first goes."""

    cdef bint refer(self, int32_t page) noexcept nogil:
        if is_in(&self.lists, 0, page):
            return False
        if self.lists.size[0] == self.frames:
            take_oldest(&self.lists, 0)
        append(&self.lists, 0, page)
        return True


cdef class Clock(Cache):
    """The page that came first goes, unless it was used since: then it comes once more. One bit a page."""

    cdef uint8_t *used

    def __cinit__(self, pages, frames):
        self.used = <uint8_t *>calloc(self.pages + 1, 1)
        if self.used == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.used)

    cdef bint refer(self, int32_t page) noexcept nogil:
        if is_in(&self.lists, 0, page):
            self.used[page] = 1
            return False
        if self.lists.size[0] == self.frames:
            self.evict()
        append(&self.lists, 0, page)
        self.used[page] = 0
        return True

    cdef void evict(self) noexcept nogil:
        cdef int32_t page
        while True:
            page = take_oldest(&self.lists, 0)
            if not self.used[page]:
                return
            self.used[page] = 0
            append(&self.lists, 0, page)
