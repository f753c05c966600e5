# Number grammar and line splitting, inlined into the kernels that parse (spec: docs/formats/lines.md).
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy
from libc.stdlib cimport strtod

cdef enum LineCode:
    EMPTY = 0          # nothing on the line
    SAMPLE = 1
    META = 2           # '#': metadata, handled in Python
    RESERVED = 3       # first byte is one of @ $ % & ; :
    BAD_FIELDS = 4     # not 2, 3 or 7 and more tokens
    BAD_NUMBER = 5     # a token that is no number
    NOT_FINITE = 6     # infinity, or a NaN other than istatd's four spellings (or any, where these are refused)
    UNKNOWN = 7        # a good line whose name has no route yet
    FROM_FUTURE = 8    # from here on: good lines whose sample a counter refused
    FROM_PAST = 9
    REJECTED = 10
    TOO_COARSE = 11
    LINE_CODES = 12

# So many as LINE_CODES, which Cython 0.29 does not take for a length; lines.pyx compares them.
ctypedef uint64_t ByCode[12]

cdef struct Sample:
    const char *name
    Py_ssize_t name_size
    int fields                 # 2, 3 or 7
    int64_t time               # set when fields > 2
    int64_t count
    double sum
    double sumsq               # set when fields == 7
    double min
    double max

cdef inline bint is_space(char c) noexcept nogil:
    return c == 32 or (9 <= c <= 13 and c != 10)

cdef inline bint is_digit(char c) noexcept nogil:
    return 48 <= c <= 57

cdef int parse_number(const char *text, Py_ssize_t size, bint refuse_nan, double *out) noexcept nogil
cdef int parse_integer(const char *text, Py_ssize_t size, int64_t *out) noexcept nogil
cdef int parse_time(const char *text, Py_ssize_t size, int64_t *out) noexcept nogil
cdef int parse_line(const char *line, Py_ssize_t size, bint refuse_nan, Sample *out) noexcept nogil
