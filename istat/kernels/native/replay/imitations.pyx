# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Imitations of what Linux does under pressure: the fast build of istat/kernels/python/replay/imitations.py. The same
bytes."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from istat.kernels.native.replay.caches cimport Cache, append, is_in, move_to, take_oldest, unlink

from istat.kernels.python.replay.imitations import GENERATIONS as TWINS_GENERATIONS

cdef enum:
    INACTIVE = 0
    ACTIVE = 1
    GENERATIONS = 4

assert GENERATIONS == TWINS_GENERATIONS


cdef class TwoLists(Cache):
    """`linux2`: an inactive and an active list, and refault distances."""

    cdef uint8_t *used
    cdef int64_t *evicted_at        # 1 more than the age, 0: not
    cdef int64_t age

    def __cinit__(self, pages, frames):
        self.used = <uint8_t *>calloc(self.pages + 1, 1)
        self.evicted_at = <int64_t *>calloc(self.pages + 1, sizeof(int64_t))
        if self.used == NULL or self.evicted_at == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.used)
        free(self.evicted_at)

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        self.age = 0
        return 0

    cdef void forget(self, int32_t page) noexcept nogil:
        self.lists.where[page] = 0
        self.evicted_at[page] = 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        cdef int64_t evicted_at
        if is_in(&self.lists, ACTIVE, page):
            self.used[page] = 1
            return False
        if is_in(&self.lists, INACTIVE, page):
            if self.used[page]:
                unlink(&self.lists, page)
                self.activate(page)
            else:
                self.used[page] = 1
            return False
        if self.lists.size[INACTIVE] + self.lists.size[ACTIVE] == self.frames:
            self.evict()
        evicted_at = self.evicted_at[page]
        self.evicted_at[page] = 0
        if evicted_at and self.age - (evicted_at - 1) <= self.lists.size[INACTIVE] + self.lists.size[ACTIVE]:
            self.activate(page)
        else:
            append(&self.lists, INACTIVE, page)
            self.used[page] = 1
        return True

    cdef void activate(self, int32_t page) noexcept nogil:
        append(&self.lists, ACTIVE, page)
        self.used[page] = 0
        self.age += 1

    cdef void evict(self) noexcept nogil:
        cdef int32_t page
        while self.lists.size[INACTIVE] < self.lists.size[ACTIVE] or self.lists.size[INACTIVE] == 0:
            page = take_oldest(&self.lists, ACTIVE)
            append(&self.lists, ACTIVE if self.used[page] else INACTIVE, page)
            self.used[page] = 0
        page = take_oldest(&self.lists, INACTIVE)
        self.evicted_at[page] = self.age + 1
        self.age += 1


cdef class Generations(Cache):
    """`mglru`: four generations; list `oldest` of `lists` is the oldest one, the youngest lies before it."""

    cdef uint8_t *used
    cdef int oldest
    cdef int64_t used_pages, resident

    def __cinit__(self, pages, frames):
        self.used = <uint8_t *>calloc(self.pages + 1, 1)
        if self.used == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.used)

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        self.oldest = 0
        self.used_pages = self.resident = 0
        return 0

    cdef void forget(self, int32_t page) noexcept nogil:
        self.lists.where[page] = 0
        self.used[page] = 0

    cdef inline int youngest(self) noexcept nogil:
        return (self.oldest + GENERATIONS - 1) % GENERATIONS

    cdef bint refer(self, int32_t page) noexcept nogil:
        if self.lists.where[page]:
            self.used_pages += not self.used[page]
            self.used[page] = 1
            return False
        if self.resident == self.frames:
            self.evict()
        append(&self.lists, self.youngest(), page)
        self.resident += 1
        return True

    cdef void evict(self) noexcept nogil:
        cdef int32_t page
        while True:
            while self.lists.size[self.oldest] == 0:
                self.oldest = (self.oldest + 1) % GENERATIONS
                self.begin_generation()
            page = take_oldest(&self.lists, self.oldest)
            if not self.used[page]:
                self.resident -= 1
                return
            self.used[page] = 0
            self.used_pages -= 1
            append(&self.lists, self.youngest(), page)

    cdef void begin_generation(self) noexcept nogil:
        cdef int step, generation
        cdef int32_t page, after, head
        if self.used_pages == 0:
            return
        for step in range(GENERATIONS - 1):
            generation = (self.oldest + step) % GENERATIONS
            head = self.lists.pages + generation
            page = self.lists.after[head]
            while page != head:
                after = self.lists.after[page]
                if self.used[page]:
                    self.used[page] = 0
                    move_to(&self.lists, self.youngest(), page)
                page = after
        self.used_pages = 0
