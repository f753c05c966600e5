# What all policies have in common: lists of pages that take no memory of their own, and a cache that replays.
from libc.stdint cimport int32_t, int64_t, uint8_t

cdef enum:
    LISTS = 6           # of one set: a page is in one of them at most

# Circles of pages: `after` and `before` have a place for each page and one for the head of each list. `where`: of each
# page its list + 1, or 0.
cdef struct Lists:
    int32_t *after
    int32_t *before
    uint8_t *where
    int64_t size[LISTS]
    int32_t pages

cdef int make_lists(Lists *lists, int64_t pages) except -1
cdef void free_lists(Lists *lists) noexcept
cdef void empty_lists(Lists *lists) noexcept nogil      # all pages must have been forgotten: where is 0

cdef inline bint is_in(Lists *lists, int number, int32_t page) noexcept nogil:
    return lists.where[page] == number + 1

cdef inline void unlink(Lists *lists, int32_t page) noexcept nogil:
    cdef int32_t after = lists.after[page], before = lists.before[page]
    lists.after[before] = after
    lists.before[after] = before
    lists.size[lists.where[page] - 1] -= 1
    lists.where[page] = 0

cdef inline void append(Lists *lists, int number, int32_t page) noexcept nogil:
    cdef int32_t head = lists.pages + number, newest = lists.before[head]
    lists.after[newest] = page
    lists.before[page] = newest
    lists.after[page] = head
    lists.before[head] = page
    lists.size[number] += 1
    lists.where[page] = <uint8_t>(number + 1)

# The page that is in the list for longest; there must be one.
cdef inline int32_t oldest(Lists *lists, int number) noexcept nogil:
    return lists.after[lists.pages + number]

cdef inline int32_t take_oldest(Lists *lists, int number) noexcept nogil:
    cdef int32_t page = oldest(lists, number)
    unlink(lists, page)
    return page

cdef inline void move_to(Lists *lists, int number, int32_t page) noexcept nogil:
    unlink(lists, page)
    append(lists, number, page)

# ValueError as of the twin's check().
cdef int check(const int32_t[::1] references, const int64_t[::1] bounds, int64_t pages) except -1

cdef class Cache:
    cdef readonly int64_t pages, frames
    cdef Lists lists
    cdef bint busy
    cdef int begin(self, const int32_t *references, int64_t n) noexcept nogil      # -1 without memory
    cdef bint refer(self, int32_t page) noexcept nogil
    cdef void forget(self, int32_t page) noexcept nogil
