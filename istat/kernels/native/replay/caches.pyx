# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What all policies have in common: the fast build of istat/kernels/python/replay/caches.py. The same bytes."""
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc

from istat.kernels.python.replay.caches import MOST_FRAMES, MOST_PAGES, MOST_REFERENCES


cdef int make_lists(Lists *lists, int64_t pages) except -1:
    lists.pages = <int32_t>pages
    lists.after = <int32_t *>malloc((pages + LISTS) * sizeof(int32_t))
    lists.before = <int32_t *>malloc((pages + LISTS) * sizeof(int32_t))
    lists.where = <uint8_t *>calloc(pages + 1, 1)
    if lists.after == NULL or lists.before == NULL or lists.where == NULL:
        raise MemoryError       # __dealloc__ frees what there is
    empty_lists(lists)
    return 0


cdef void free_lists(Lists *lists) noexcept:
    free(lists.after)
    free(lists.before)
    free(lists.where)
    lists.after = lists.before = NULL
    lists.where = NULL


cdef void empty_lists(Lists *lists) noexcept nogil:
    cdef int number
    for number in range(LISTS):
        lists.after[lists.pages + number] = lists.before[lists.pages + number] = lists.pages + number
        lists.size[number] = 0


cdef int check(const int32_t[::1] references, const int64_t[::1] bounds, int64_t pages) except -1:
    """ValueError when a page is none of `pages`, or the bounds do not ascend from 0 to the number of references."""
    cdef int64_t n = references.shape[0], i
    cdef bint fine = True
    if not 0 <= pages <= MOST_PAGES or n > MOST_REFERENCES:
        raise ValueError(f"at most {MOST_PAGES} pages and {MOST_REFERENCES} references can be replayed")
    if bounds.shape[0] == 0 or bounds[0] != 0 or bounds[bounds.shape[0] - 1] != n:
        raise ValueError("the bounds do not ascend from 0 to the number of references")
    for i in range(bounds.shape[0] - 1):
        if bounds[i] > bounds[i + 1]:
            raise ValueError("the bounds do not ascend from 0 to the number of references")
    with nogil:
        for i in range(n):
            if references[i] < 0 or references[i] >= pages:
                fine = False
                break
    if not fine:
        raise ValueError(f"a page is none of the {pages}")
    return 0


cdef class Cache:
    """Frames for pages. A policy says in `refer` what becomes of them, and in `begin` how an empty cache looks."""

    def __cinit__(self, pages, frames):
        if not 0 <= pages <= MOST_PAGES or not 1 <= frames <= MOST_FRAMES:
            raise ValueError(f"a cache has 1 to {MOST_FRAMES} frames and at most {MOST_PAGES} pages")
        self.pages, self.frames = pages, frames
        make_lists(&self.lists, self.pages)

    def __dealloc__(self):
        free_lists(&self.lists)

    def replay(self, const int32_t[::1] references not None, const int64_t[::1] bounds not None):
        """A byte for each reference: 1 where it missed. A new cache begins at each of the bounds but the last, which is
        the number of references."""
        check(references, bounds, self.pages)
        if self.busy:
            raise ValueError("it is at work in another thread")
        cdef bytearray missed = bytearray(references.shape[0])
        if references.shape[0] == 0:
            return missed
        cdef uint8_t[::1] flags = missed
        cdef int64_t cache, i
        cdef int failed = 0
        self.busy = True
        with nogil:
            for cache in range(bounds.shape[0] - 1):
                if bounds[cache] == bounds[cache + 1]:
                    continue
                empty_lists(&self.lists)
                failed = self.begin(&references[bounds[cache]], bounds[cache + 1] - bounds[cache])
                if failed:
                    break
                for i in range(bounds[cache], bounds[cache + 1]):
                    flags[i] = self.refer(references[i])
                for i in range(bounds[cache], bounds[cache + 1]):
                    self.forget(references[i])
        self.busy = False
        if failed:
            raise MemoryError
        return missed

    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil:
        return 0

    cdef bint refer(self, int32_t page) noexcept nogil:
        return True

    cdef void forget(self, int32_t page) noexcept nogil:
        self.lists.where[page] = 0
