# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""How many items registers stand for. Knows no keys, no buckets. The specification is the Python twin."""
from libc.math cimport exp, log

cdef enum:
    RANKS = 32                      # that `expected` looks at: enough for 64 * 2**32 items in a bucket


cdef double estimated(uint32_t registers, double inverse, uint32_t zeros) noexcept nogil:
    """Distinct items, of the sum of 2**-rank over so many registers, and how many of them are zero."""
    cdef double m = registers
    cdef double alpha = 0.673 if registers == 16 else 0.697 if registers == 32 else 0.709
    cdef double raw
    if registers > 64:
        alpha = 0.7213 / (1 + 1.079 / m)
    raw = alpha * m * m / inverse
    if raw <= 2.5 * m and zeros > 0:
        return m * log(m / zeros)
    return raw


cdef double expected(double items, const double *contents, uint32_t depth,
                     uint32_t registers) noexcept nogil:
    """The sum of 2**-rank over the least registers of rows with so much in each, if so many items are of one key."""
    cdef double others[8]
    cdef double own = exp(-items / registers * inverse_of(RANKS - 1))
    cdef double weight = inverse_of(RANKS)
    cdef double total = weight
    cdef double all_above, foreign
    cdef uint32_t row
    cdef int rank
    for row in range(depth):
        foreign = contents[row] - items if contents[row] > items else 0.0
        others[row] = exp(-foreign / registers * inverse_of(RANKS - 1))
    for rank in range(RANKS):
        all_above = 1.0
        for row in range(depth):
            all_above *= 1.0 - others[row]
            others[row] *= others[row]
        total += own * (1.0 - all_above) * weight
        own *= own
        weight *= 2.0
    return registers * total


cdef double sum_of(const uint8_t *registers, size_t n, uint32_t *zeros) noexcept nogil:
    """The sum of 2**-rank, and how many are zero."""
    cdef double inverse = 0
    cdef size_t at
    zeros[0] = 0
    for at in range(n):
        inverse += inverse_of(registers[at])
        zeros[0] += registers[at] == 0
    return inverse


cdef void raise_all(uint8_t *to, const uint8_t *of, size_t n) noexcept nogil:
    cdef size_t at
    for at in range(n):
        to[at] = of[at] if of[at] > to[at] else to[at]
