# Policies with their ladders: the heads of each level, and what times its samples may have.
from libc.stdint cimport int64_t, uint16_t, uint64_t

from istat.kernels.native.ingest.head cimport HeadState

cdef enum:
    MOST_LEVELS = 16           # of one ladder
    MOST_POLICIES = 64         # with heads at one time

cdef struct Ladder:
    int64_t newest_event
    int64_t oldest[MOST_LEVELS]
    int64_t interval[MOST_LEVELS]
    HeadState *head[MOST_LEVELS]
    int levels
    uint64_t policy

cdef class Ladders:
    cdef readonly list heads           # of all policies, in the order in which these were added
    cdef Ladder ladders[MOST_POLICIES]
    cdef int ladders_n
    cdef dict slots                    # number of a policy -> index in ladders
    cdef int64_t now
    cdef int64_t newest_gauge
    cdef uint16_t today                # the day of `now`, since 1970
