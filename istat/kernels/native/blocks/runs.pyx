# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# distutils: extra_compile_args = -O3 -ffp-contract=off
"""The coding of one run, the rows of one counter in one block, as a stream of bits: the fast build.

istat/kernels/python/blocks/runs.py is the specification and says how; docs/formats/statfile.md says why.
Decoding trusts nothing: it reads at most PADDING bytes behind what it was given, writes n rows, and says
MALFORMED where the bits cannot have come from the encoder.
"""
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.blocks.doubles cimport NO_SCALE, get_doubles, put_doubles, short_mantissa
from istat.kernels.native.blocks.fitting cimport put_joint
from istat.kernels.native.blocks.joint cimport get_joint
from istat.kernels.native.blocks.streams cimport (
    MALFORMED, NO_MEMORY, Coder, Source, flush, get_integers, make_room, pattern, put_integers)



cdef bint is_single(Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil:
    """Whether every row is what one sample gives."""
    cdef Py_ssize_t i
    cdef uint64_t bits
    for i in range(first, first + n):
        bits = pattern(rows.sum[i])
        if (rows.count[i] != 1 or pattern(rows.m2[i]) != 0 or pattern(rows.min[i]) != bits
                or pattern(rows.max[i]) != bits):
            return False
    return True


cdef bint is_regular(Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first + 1, first + n):
        if rows.time[i] - rows.time[i - 1] != unit:
            return False
    return True


cdef int encode_run(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit,
                    int flags) noexcept nogil:
    cdef Py_ssize_t i
    cdef int scale, other, joint
    if make_room(coder, n):
        return NO_MEMORY
    if is_regular(rows, first, n, unit):
        flags |= REGULAR
    else:
        for i in range(1, n):
            coder.integers[i - 1] = (rows.time[first + i] - rows.time[first + i - 1]) // unit - 1
        put_integers(coder, coder.integers, n - 1)
    if flags & SINGLE or is_single(rows, first, n):
        put_doubles(coder, rows.sum + first, n, NO_SCALE)
        flush(coder)
        return flags | SINGLE
    joint = put_joint(coder, rows, first, n)
    if joint:
        flush(coder)
        return NO_MEMORY if joint == NO_MEMORY else flags | JOINT
    scale = put_doubles(coder, rows.min + first, n, NO_SCALE)
    other = put_doubles(coder, rows.max + first, n, scale)
    if scale == NO_SCALE or other != NO_SCALE and other > scale:
        scale = other
    put_doubles(coder, rows.sum + first, n, scale)
    for i in range(n):
        coder.squares[i] = short_mantissa(rows.m2[first + i])
    put_doubles(coder, coder.squares, n, NO_SCALE)
    memcpy(coder.integers, rows.count + first, n * 8)
    put_integers(coder, coder.integers, n)
    flush(coder)
    return flags


cdef int get_times(Source *source, int64_t *times, int flags, Py_ssize_t n, int64_t time,
                   int64_t unit) noexcept nogil:
    """Read the times of n rows; none lies beyond LAST_TIME."""
    cdef Py_ssize_t i
    cdef int64_t gap
    if not 0 <= time <= LAST_TIME or unit < 1:
        return MALFORMED
    times[0] = time
    if flags & REGULAR:
        if (LAST_TIME - time) // unit < n:
            return MALFORMED
        for i in range(1, n):
            times[i] = time + i * unit
        return 0
    if n < 2 or get_integers(source, times + 1, n - 1):
        return MALFORMED
    for i in range(1, n):
        gap = times[i]
        if gap < 0 or gap >= (LAST_TIME - time) // unit:
            return MALFORMED
        time += (gap + 1) * unit
        times[i] = time
    return 0


cdef int decode_run(const uint8_t *data, size_t length, int flags, Py_ssize_t n, int64_t time, int64_t unit,
                    Columns into) noexcept nogil:
    """Append n >= 1 rows to into; unless it gives 0, into is as it was."""
    cdef Source source
    cdef Py_ssize_t at = into.n, i
    cdef int64_t *scratch
    if into.reserve(at + n):
        return NO_MEMORY
    scratch = into.count + at                   # counts are read last
    source.data = data
    source.at = 0
    source.end = <uint64_t>length * 8
    if get_times(&source, into.time + at, flags, n, time, unit):
        return MALFORMED
    if flags & SINGLE:
        if get_doubles(&source, into.sum + at, scratch, n):
            return MALFORMED
        memcpy(into.min + at, into.sum + at, n * 8)
        memcpy(into.max + at, into.sum + at, n * 8)
        for i in range(at, at + n):
            into.count[i] = 1
            into.m2[i] = 0.0
        into.n = at + n
        return 0
    if flags & JOINT:
        if get_joint(&source, into, at, n):
            return MALFORMED
        into.n = at + n
        return 0
    if get_doubles(&source, into.min + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.max + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.sum + at, scratch, n):
        return MALFORMED
    if get_doubles(&source, into.m2 + at, scratch, n):
        return MALFORMED
    if get_integers(&source, into.count + at, n):
        return MALFORMED
    for i in range(at, at + n):
        if into.count[i] < 1:
            return MALFORMED
    into.n = at + n
    return 0
