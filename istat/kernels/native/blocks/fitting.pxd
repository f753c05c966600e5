# What rows of many samples are predicted from, and their writing.
from istat.kernels.native.blocks.streams cimport Coder
from istat.kernels.native.columns cimport Columns

# Appends the rows, without their times: 1; 0: they are not of this kind, nothing was appended; or NO_MEMORY.
cdef int put_joint(Coder *coder, Columns rows, Py_ssize_t first, Py_ssize_t n) noexcept nogil
