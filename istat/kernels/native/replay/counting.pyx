# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What was replayed, counted by group: the fast build of istat/kernels/python/replay/counting.py. The same numbers."""
from array import array
from libc.stdint cimport int32_t, int64_t, uint8_t

from istat.kernels.python.replay.counting import GROUPS as TWINS_GROUPS
from istat.kernels.python.replay.counting import MOST_DEPTH

cdef enum:
    GROUPS = 8

assert GROUPS == TWINS_GROUPS


cdef int check_groups(int64_t references, const uint8_t[::1] groups) except -1:
    cdef int64_t i
    cdef bint fine = True
    if references != groups.shape[0]:
        raise ValueError("there is not one group for each reference")
    with nogil:
        for i in range(references):
            if groups[i] >= GROUPS:
                fine = False
                break
    if not fine:
        raise ValueError(f"groups are numbers below {GROUPS}")
    return 0


def counts(const uint8_t[::1] missed not None, const uint8_t[::1] groups not None):
    """How many references of each group missed: 8 numbers. ValueError when there are not as many groups as flags, or a
    group is none."""
    cdef int64_t i
    cdef int64_t found[GROUPS]
    check_groups(missed.shape[0], groups)
    with nogil:
        for i in range(GROUPS):
            found[i] = 0
        for i in range(missed.shape[0]):
            found[groups[i]] += missed[i] != 0
    return [found[i] for i in range(GROUPS)]


def histogram(const int32_t[::1] depths not None, const uint8_t[::1] groups not None, int64_t most):
    """How many references of each group have each depth from 0 to `most`: a row of most + 1 64-bit numbers for each of
    8 groups, one after the other. Deeper ones count as `most`. ValueError when `most` is negative or large, a depth is
    negative, a group is none, or there are not as many groups as depths."""
    check_groups(depths.shape[0], groups)
    if not 0 <= most <= MOST_DEPTH:
        raise ValueError(f"depths are counted up to {MOST_DEPTH}")
    found = array("q", bytes(8 * GROUPS * (most + 1)))
    cdef int64_t[::1] out = found
    cdef int64_t i
    cdef bint fine = True
    with nogil:
        for i in range(depths.shape[0]):
            if depths[i] < 0:
                fine = False
                break
            out[groups[i] * (most + 1) + (depths[i] if depths[i] < most else most)] += 1
    if not fine:
        raise ValueError("a depth is 0 or more")
    return found
