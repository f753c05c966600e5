# Rows of many samples coded jointly, each column from those before it.
from istat.kernels.native.columns cimport Columns
from istat.kernels.native.streams cimport Coder, Source

# Appends the rows, without their times: 1; 0: they are not of this kind, nothing was appended; or NO_MEMORY.
cdef int put_joint(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil
# Reads n rows into the places from `at` on, which exist: 0 or MALFORMED.
cdef int get_joint(Source *source, Columns into, Py_ssize_t at, Py_ssize_t n) noexcept nogil
