# The coding of one run (the rows of one counter in one block) as a stream of bits.
from libc.stdint cimport int64_t, uint8_t
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.blocks.streams cimport Coder

cdef extern from *:
    """
    #define ISTAT_LAST_TIME ((int64_t)1 << 62)
    """
    const int64_t LAST_TIME "ISTAT_LAST_TIME"

cdef enum:
    EVENT = 1           # the counter counts events
    SINGLE = 2          # every row holds one sample: one value column is all there is
    REGULAR = 4         # every row follows the one before by one unit of time
    JOINT = 8           # rows of many samples, coded jointly; in blocks of version 2

cdef bint is_single(Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil
cdef int encode_run(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit,
                    int flags) noexcept nogil                       # flags used, or NO_MEMORY
cdef int decode_run(const uint8_t *data, size_t length, int flags, Py_ssize_t n, int64_t time, int64_t unit,
                    Columns into) noexcept nogil                    # 0, NO_MEMORY, MALFORMED
