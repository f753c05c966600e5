# Cells of another cube.
from istat.kernels.native.cubes.admission cimport Admission, pairs_t

# Add another cube's cells, by insertion as far as there is room. 0 or NO_MEMORY.
cdef int merge_cells(Admission mine, Admission other, pairs_t *pairs) noexcept nogil
# The same with its sketch, where a metric ranks cells. MemoryError.
cdef int merge_ranked(Admission mine, Admission other, pairs_t *pairs) except -1
