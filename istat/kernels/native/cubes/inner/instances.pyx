# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""All cores of an instance at once: a call for each would cost more than what there is to do. The specification is `core`
of the Python twin."""
from istat.kernels.native.cubes.admission cimport pairs_t
from istat.kernels.native.cubes.core cimport Core, check_pairs


def any_updates(list cores not None):
    """Whether one of them had updates since its last reset."""
    cdef Core core
    for core in cores:
        if core.updated():
            return True
    return False


def merge_alike(list cores not None, list others not None):
    """Add to each core the one at the same place of the others, which has the same metrics in the same order."""
    cdef Core mine
    cdef Core other
    cdef pairs_t columns
    cdef Py_ssize_t i
    if len(cores) != len(others):
        raise ValueError(f"{len(others)} cubes cannot be added to {len(cores)}")
    for i in range(len(cores)):
        other = others[i]
        if not other.updated():
            continue
        mine = cores[i]
        check_pairs(mine, other, list(zip(mine.metrics, other.metrics, strict=True)))
        columns.mine, columns.theirs, columns.n = mine.itself.mine, other.itself.mine, mine.itself.n
        mine.add_core(other, &columns)


def reset_all(list cores not None, bint keep_cells=False):
    """Reset all of them."""
    cdef Core core
    for core in cores:
        if core.updated() or core.cells.residents():
            core.reset(keep_cells)
