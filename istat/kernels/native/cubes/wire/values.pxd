# One histogram, one HyperLogLog as bytes, and back. The specification is the Python twin.
from istat.kernels.native.cubes.histogram cimport hist_shape, hist_t
from istat.kernels.native.cubes.hll cimport hll_t
from istat.kernels.native.cubes.wire.reading cimport out_t, reader_t

cdef void put_histogram(out_t *out, const hist_t *histogram) noexcept nogil
cdef void get_histogram(reader_t *r, hist_t **place, const hist_shape *shape) noexcept nogil    # `place` is NULL before
cdef void put_hll(out_t *out, const hll_t *sketch, int layout) noexcept nogil
cdef void get_hll(reader_t *r, hll_t *sketch, int layout) noexcept nogil                        # `sketch` is empty before
