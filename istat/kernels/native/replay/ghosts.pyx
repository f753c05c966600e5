# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Policies that remember pages which they evicted: 2Q, ARC, S3-FIFO. The fast build of
istat/kernels/python/replay/ghosts.py, which says where they are from. The same bytes."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from istat.kernels.native.replay.caches cimport Cache, append, is_in, move_to, take_oldest, unlink

from istat.kernels.python.replay.ghosts import MOST_COUNT as TWINS_MOST_COUNT

cdef enum:
    IN = 0              # 2Q: in the cache for the first time; out: remembered; main: came back
    OUT = 1
    MAIN = 2
    ONCE = 0            # ARC: used once, used more often, and those that are remembered of both
    OFTEN = 1
    ONCE_GONE = 2
    OFTEN_GONE = 3
    SMALL = 0           # S3-FIFO; MAIN as above
    GONE = 1
    MOST_COUNT = 3

assert MOST_COUNT == TWINS_MOST_COUNT


cdef class TwoQueues(Cache):
    """2Q: pages come into a FIFO of a quarter of the frames; those that return after they left it go to an LRU."""

    cdef int64_t most_in, most_out

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        self.most_in, self.most_out = max(1, self.frames // 4), max(1, self.frames // 2)
        return 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef bint returned
        if is_in(&self.lists, MAIN, page):
            move_to(&self.lists, MAIN, page)
            return False
        if is_in(&self.lists, IN, page):
            return False
        returned = is_in(&self.lists, OUT, page)
        if self.lists.size[IN] + self.lists.size[MAIN] == self.frames:
            self.evict()
        if returned:
            if is_in(&self.lists, OUT, page):       # else it was forgotten just now
                unlink(&self.lists, page)
            append(&self.lists, MAIN, page)
        else:
            append(&self.lists, IN, page)
        return True

    cdef void evict(self) noexcept nogil:
        if self.lists.size[IN] > self.most_in or self.lists.size[MAIN] == 0:
            append(&self.lists, OUT, take_oldest(&self.lists, IN))
            if self.lists.size[OUT] > self.most_out:
                take_oldest(&self.lists, OUT)
        else:
            take_oldest(&self.lists, MAIN)


cdef class Arc(Cache):
    """ARC: pages used once and pages used more often share the frames; the shares move with what would have hit."""

    cdef int64_t target

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        self.target = 0
        return 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef int64_t *size = self.lists.size
        if is_in(&self.lists, ONCE, page) or is_in(&self.lists, OFTEN, page):
            move_to(&self.lists, OFTEN, page)
            return False
        if is_in(&self.lists, ONCE_GONE, page):
            self.target = min(self.frames, self.target + max(1, size[OFTEN_GONE] // size[ONCE_GONE]))
            self.replace(False)
            move_to(&self.lists, OFTEN, page)
        elif is_in(&self.lists, OFTEN_GONE, page):
            self.target = max(0, self.target - max(1, size[ONCE_GONE] // size[OFTEN_GONE]))
            self.replace(True)
            move_to(&self.lists, OFTEN, page)
        else:
            self.make_room()
            append(&self.lists, ONCE, page)
        return True

    cdef void make_room(self) noexcept nogil:
        cdef int64_t *size = self.lists.size
        cdef int64_t once = size[ONCE] + size[ONCE_GONE], total = once + size[OFTEN] + size[OFTEN_GONE]
        if once == self.frames:
            if size[ONCE] < self.frames:
                take_oldest(&self.lists, ONCE_GONE)
                self.replace(False)
            else:
                take_oldest(&self.lists, ONCE)
        elif total >= self.frames:
            if total == 2 * self.frames:
                take_oldest(&self.lists, OFTEN_GONE)
            self.replace(False)

    cdef void replace(self, bint often_returned) noexcept nogil:
        cdef int64_t once = self.lists.size[ONCE]
        if once + self.lists.size[OFTEN] < self.frames:
            return
        if once and (once > self.target or (often_returned and once == self.target) or self.lists.size[OFTEN] == 0):
            append(&self.lists, ONCE_GONE, take_oldest(&self.lists, ONCE))
        else:
            append(&self.lists, OFTEN_GONE, take_oldest(&self.lists, OFTEN))


cdef class S3Fifo(Cache):
    """S3-FIFO: pages come into a FIFO of a tenth of the frames, and get from there into the main one when they were
    used more than once, or when they come back while they are remembered."""

    cdef uint8_t *uses
    cdef int64_t most_small, most_main

    def __cinit__(self, pages, frames):
        self.uses = <uint8_t *>calloc(self.pages + 1, 1)
        if self.uses == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.uses)

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        self.most_small = max(1, self.frames // 10)
        self.most_main = self.frames - self.most_small
        return 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef bint returned
        if is_in(&self.lists, SMALL, page) or is_in(&self.lists, MAIN, page):
            if self.uses[page] < MOST_COUNT:
                self.uses[page] += 1
            return False
        returned = is_in(&self.lists, GONE, page)
        if returned:
            unlink(&self.lists, page)
        while self.lists.size[SMALL] + self.lists.size[MAIN] >= self.frames:
            if self.lists.size[SMALL] >= self.most_small or self.lists.size[MAIN] == 0:
                self.evict_small()
            else:
                self.evict_main()
        append(&self.lists, MAIN if returned else SMALL, page)
        self.uses[page] = 0
        return True

    cdef void evict_small(self) noexcept nogil:
        cdef int32_t page
        while self.lists.size[SMALL]:
            page = take_oldest(&self.lists, SMALL)
            if self.uses[page] <= 1:
                append(&self.lists, GONE, page)
                if self.lists.size[GONE] > self.frames:
                    take_oldest(&self.lists, GONE)
                return
            append(&self.lists, MAIN, page)
            self.uses[page] = 0
            if self.lists.size[MAIN] > self.most_main:
                self.evict_main()
                return

    cdef void evict_main(self) noexcept nogil:
        cdef int32_t page
        while True:
            page = take_oldest(&self.lists, MAIN)
            if not self.uses[page]:
                return
            self.uses[page] -= 1
            append(&self.lists, MAIN, page)
