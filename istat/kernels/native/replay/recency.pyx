# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""LIRS: the fast build of istat/kernels/python/replay/recency.py, which says where it is from. The same bytes."""
from libc.stdint cimport int32_t, int64_t

from istat.kernels.native.replay.caches cimport (
    Cache, Lists, append, empty_lists, free_lists, is_in, make_lists, move_to, oldest, take_oldest, unlink,
)

from istat.kernels.python.replay.recency import SHARE as TWINS_SHARE

cdef enum:
    QUEUE = 0           # list of `lists`: pages in the cache that are not LIR
    STACK = 0           # list of `stack`: LIR pages, which are in no queue, and others used since the least of them
    SHARE = 100
    LOW = 255           # beyond all lists

assert SHARE == TWINS_SHARE


cdef class Lirs(Cache):
    """The stack has LIR pages, and others used since the least of them, in the cache or not. A page is LIR when
    `lists.where` says LOW."""

    cdef Lists stack
    cdef int64_t most_low, low

    def __cinit__(self, pages, frames):
        make_lists(&self.stack, self.pages)

    def __dealloc__(self):
        free_lists(&self.stack)

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        empty_lists(&self.stack)
        self.most_low = self.frames - max(1, self.frames // SHARE)
        self.low = 0
        return 0

    cdef void forget(self, int32_t page) noexcept nogil:
        self.lists.where[page] = 0
        self.stack.where[page] = 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef bint missed
        if self.is_low(page):
            move_to(&self.stack, STACK, page)
            self.prune()
            return False
        missed = not is_in(&self.lists, QUEUE, page)
        if missed:
            if self.low + self.lists.size[QUEUE] == self.frames:
                take_oldest(&self.lists, QUEUE)
        else:
            unlink(&self.lists, page)
        if (missed and self.low < self.most_low) or is_in(&self.stack, STACK, page):
            self.make_low(page)
        else:
            append(&self.stack, STACK, page)
            append(&self.lists, QUEUE, page)
        return missed

    cdef inline bint is_low(self, int32_t page) noexcept nogil:
        return self.lists.where[page] == LOW

    cdef void make_low(self, int32_t page) noexcept nogil:
        cdef int32_t least
        if is_in(&self.stack, STACK, page):
            unlink(&self.stack, page)
        append(&self.stack, STACK, page)
        self.lists.where[page] = LOW
        self.low += 1
        if self.low > self.most_low:
            self.prune()
            least = take_oldest(&self.stack, STACK)
            self.lists.where[least] = 0
            append(&self.lists, QUEUE, least)
            self.low -= 1
        self.prune()

    cdef void prune(self) noexcept nogil:
        while self.stack.size[STACK] and not self.is_low(oldest(&self.stack, STACK)):
            take_oldest(&self.stack, STACK)
