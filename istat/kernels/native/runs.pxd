# The coding of one run (the rows of one counter in one block) as a stream of bits.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from istat.kernels.native.columns cimport Columns

cdef enum:
    EVENT = 1           # the counter counts events
    SINGLE = 2          # every row holds one sample: one value column is all there is
    REGULAR = 4         # every row follows the one before by one unit of time
    NO_MEMORY = -1
    MALFORMED = -2
    PADDING = 2048      # readable bytes that must follow the bytes that are decoded

cdef struct Coder:
    uint8_t *data       # bytes coded so far
    size_t used
    size_t room
    uint64_t bits       # up to 7 bits that make no byte yet
    int filled
    int64_t *integers   # scratch, one value a row each
    int64_t *others
    int64_t *corrections
    double *squares
    Py_ssize_t rows_room

cdef void free_coder(Coder *coder) noexcept nogil
cdef bint is_single(Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil
cdef int encode_run(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n, int64_t unit,
                    int flags) noexcept nogil                       # flags used, or NO_MEMORY
cdef int decode_run(const uint8_t *data, size_t length, int flags, Py_ssize_t n, int64_t time, int64_t unit,
                    Columns into) noexcept nogil                    # 0, NO_MEMORY, MALFORMED
