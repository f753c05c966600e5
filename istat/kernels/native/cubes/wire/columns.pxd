# A metric's values of all cells as bytes, and back. The specification is the Python twin.
from libc.stdint cimport uint32_t

from istat.kernels.native.cubes.inner.metric cimport Metric
from istat.kernels.native.cubes.wire.reading cimport out_t, reader_t

# Of the cells in these slots; of the overflow cell too, where `overflow` is its slot (below 0: there is none).
cdef int put_column(out_t *out, Metric metric, const uint32_t *slots, uint32_t n, long overflow) except -1
cdef int get_column(reader_t *r, Metric metric, const uint32_t *slots, uint32_t n, long overflow) except -1
cdef double get_real(reader_t *r) noexcept nogil
