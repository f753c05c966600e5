# How many items registers stand for.
from libc.stdint cimport uint8_t, uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline double istat_inverse(int rank) {              /* 2**-rank */
        uint64_t bits = (uint64_t) (1023 - rank) << 52;
        double made;
        memcpy(&made, &bits, 8);
        return made;
    }
    """
    double inverse_of "istat_inverse"(int rank) noexcept nogil

cdef double estimated(uint32_t registers, double inverse, uint32_t zeros) noexcept nogil
cdef double expected(double items, const double *contents, uint32_t depth, uint32_t registers) noexcept nogil
cdef double sum_of(const uint8_t *registers, size_t n, uint32_t *zeros) noexcept nogil
cdef void raise_all(uint8_t *to, const uint8_t *of, size_t n) noexcept nogil
