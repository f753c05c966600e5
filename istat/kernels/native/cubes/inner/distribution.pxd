# A histogram as an object of Python. The specification is the Python twin of histogram.
from istat.kernels.native.cubes.histogram cimport hist_t
from istat.kernels.native.cubes.shapes cimport Shape

cdef class Histogram:
    cdef readonly Shape shape
    cdef hist_t *histogram
    cdef bint busy              # a batch is being recorded without the GIL

    cdef int enter(self) except -1
    cdef list ascending(self, list qs, int point)
    cdef object raw_sum(self)
    cdef object raw_squares(self)

cdef Histogram hist_object(const hist_t *histogram, Shape shape)                # a copy; MemoryError
