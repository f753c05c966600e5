# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""LRU of all sizes at once: the fast build of istat/kernels/python/replay/stack.py. The same numbers.

Each page of the stack holds a place, later ones were used later; a tree of sums (Fenwick's) counts the held places up to
one. When the places run out, the held ones are moved together. So the tree is of the size of the stack, not of the log.
"""
from array import array
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset

from istat.kernels.native.replay.caches cimport check

cdef enum:
    FIRST_PLACES = 256          # a power of two

cdef struct Stack:
    int32_t *place              # of a page, from 1 on; 0: not in the stack
    int32_t *holder             # of a place: the page, or -1
    int32_t *tree
    int64_t places, last, held


cdef int depths_of(Stack *stack, const int32_t *references, int64_t n, int32_t *found) noexcept nogil:
    cdef int64_t i
    cdef int32_t page
    for i in range(n):
        page = references[i]
        found[i] = 0
        if stack.last == stack.places and move_together(stack):
            return -1
        if stack.place[page]:
            found[i] = <int32_t>(stack.held - below(stack, stack.place[page]) + 1)
            add(stack, stack.place[page], -1)
            stack.holder[stack.place[page]] = -1
        else:
            stack.held += 1
        stack.last += 1
        stack.place[page] = <int32_t>stack.last
        stack.holder[stack.last] = page
        add(stack, stack.last, 1)
    return 0


cdef inline int64_t below(Stack *stack, int64_t place) noexcept nogil:
    """Held places up to this one."""
    cdef int64_t found = 0
    while place > 0:
        found += stack.tree[place]
        place &= place - 1
    return found


cdef inline void add(Stack *stack, int64_t place, int32_t what) noexcept nogil:
    while place <= stack.places:
        stack.tree[place] += what
        place += place & -place


cdef int move_together(Stack *stack) noexcept nogil:
    """The held places become the first ones; there are at least twice as many places then."""
    cdef int64_t places = max(FIRST_PLACES, stack.places), place, to = 0
    cdef int32_t *holder
    while places < 2 * stack.held:
        places *= 2
    holder = <int32_t *>malloc((places + 1) * sizeof(int32_t))
    if holder == NULL:
        return -1
    for place in range(1, stack.last + 1):
        if stack.holder[place] >= 0:
            to += 1
            holder[to] = stack.holder[place]
            stack.place[holder[to]] = <int32_t>to
    free(stack.holder)
    stack.holder = holder
    if places > stack.places:
        free(stack.tree)
        stack.tree = <int32_t *>malloc((places + 1) * sizeof(int32_t))
        if stack.tree == NULL:
            return -1
    stack.places, stack.last = places, to
    memset(stack.tree, 0, (places + 1) * sizeof(int32_t))
    for place in range(1, to + 1):
        add(stack, place, 1)
    return 0


def depths(const int32_t[::1] references not None, const int64_t[::1] bounds not None, int64_t pages):
    """Of each reference (32-bit numbers): 1 when its page was the last one used, 0 when it comes for the first time. A
    new stack begins at each of the bounds but the last, which is the number of references. ValueError as of `check`."""
    check(references, bounds, pages)
    found = array("i", bytes(4 * references.shape[0]))
    if references.shape[0] == 0:
        return found
    cdef int32_t[::1] out = found
    cdef Stack stack
    cdef int64_t cache, i
    cdef int failed = 0
    memset(&stack, 0, sizeof(Stack))
    stack.place = <int32_t *>malloc((pages + 1) * sizeof(int32_t))
    if stack.place == NULL:
        raise MemoryError
    memset(stack.place, 0, (pages + 1) * sizeof(int32_t))
    with nogil:
        for cache in range(bounds.shape[0] - 1):
            if bounds[cache] == bounds[cache + 1]:
                continue
            failed = depths_of(&stack, &references[bounds[cache]], bounds[cache + 1] - bounds[cache],
                               &out[bounds[cache]])
            if failed:
                break
            for i in range(bounds[cache], bounds[cache + 1]):
                stack.place[references[i]] = 0
            stack.places = stack.last = stack.held = 0      # the next one begins anew, and small
    free(stack.place)
    free(stack.holder)
    free(stack.tree)
    if failed:
        raise MemoryError
    return found
