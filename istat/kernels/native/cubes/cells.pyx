# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What metrics, samplers and the core share: the guard, handles of cells, who finds the cell of an update. Knows no metrics.

Keys to slots is inner.table. The specification is the Python twin.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.pythread cimport PyThread_get_thread_ident

from istat.errors import ConcurrentUse

from istat.kernels.native.cubes.hashing cimport xxh64
from istat.kernels.native.cubes.keys cimport decode_key, encode_key


cdef str SECOND_WRITER = ("another call is at work in this instance: an instance has one writer. "
                          "Give each thread its own one, or write through istat.cube.Easy")

# For Python: these names are the kernels' own here, so that they cannot be imported.
globals().update(Cells=Cells, LATE=LATE, MOST_PROBES=MOST_PROBES, NOT_FOUND=NOT_FOUND, OVERFLOW=OVERFLOW, REFUSED=REFUSED,
                 TOUCHED=TOUCHED)


cdef class Guard:
    """One an instance, shared by its cores: who is in has the instance for himself.

    `with guard:` raises ConcurrentUse when somebody is in already, the same thread as well. `tick` [ns since 1970] and
    `origin` (of the instance) are the stamp of gauges that are set now.
    """

    def __init__(self, uint64_t origin=0, int64_t tick=0):
        self.origin = origin
        self.tick = tick

    def __enter__(self):
        self.enter()
        return self

    def __exit__(self, *_):
        self.leave()

    cdef int enter(self) except -1:
        if istat_take(&self.busy):
            raise ConcurrentUse(SECOND_WRITER)
        self.owner = PyThread_get_thread_ident()
        return 0

    cdef int look(self) except -1:
        if self.busy and self.owner != PyThread_get_thread_ident():
            raise ConcurrentUse(SECOND_WRITER)
        return 0

    cdef void leave(self) noexcept nogil:
        istat_give(&self.busy)


cdef class CoreBase:
    def __cinit__(self):
        self.cells = Cells()

    cdef int enter_for(self, object target, aim_t *aim, uint8_t *key) except -1:
        self.take_aim(target, aim, key)
        self.guard.enter()
        self.locate(target, aim)
        return 0

    cdef int take_aim(self, object target, aim_t *aim, uint8_t *key) except -1:
        cdef Cell cell
        if type(target) is Cell:
            cell = <Cell> target
            if cell.core is not self:
                raise ValueError(f"{cell!r} is a cell of another cube")
            aim.key = cell.place
            aim.size = cell.size
            aim.hash = cell.hash
            return 0
        aim.size = <uint32_t> self.encode(target, key)
        aim.key = key
        aim.hash = xxh64(key, aim.size)
        return 0

    cdef void locate(self, object target, aim_t *aim) noexcept:
        if type(target) is Cell:
            self.find_cell(<Cell> target)
            aim.slot = (<Cell> target).slot
        else:
            aim.slot = self.cells.find_key(aim.key, aim.size, aim.hash)

    cdef void find_cell(self, Cell cell) noexcept nogil:
        """See to it that the cell's slot is its own now, or NOT_FOUND."""
        if 0 <= cell.slot < self.cells.count and self.cells.generations[cell.slot] == cell.generation:
            return
        cell.slot = self.cells.find_key(cell.place, cell.size, cell.hash)
        if cell.slot >= 0:
            cell.generation = self.cells.generations[cell.slot]

    cdef Py_ssize_t encode(self, object values, uint8_t *to) except -1:
        if not isinstance(values, (tuple, list)):
            raise TypeError(f"a cell is named by a tuple of values or a Cell, not by {type(values).__name__}: {values!r}")
        if len(values) != self.dimensions:
            raise ValueError(f"a cell of this cube has {self.dimensions} values ({', '.join(self.names)}), "
                             f"not {len(values)}: {values!r}")
        return encode_key(values, self.dimensions, to)

    cdef int64_t slot_for(self, const aim_t *aim) noexcept nogil:
        return REFUSED

    cdef int64_t rank_up(self, const aim_t *aim, int64_t amount, uint64_t item) noexcept nogil:
        return REFUSED


cdef class Cell:
    """Handle of a cell, for many updates of one key. It makes no cell; the first update does. It finds its cell again
    by itself after evictions and resets."""

    def __init__(self, CoreBase core not None, bytes encoded not None):
        self.core = core
        self.encoded = encoded
        self.place = <const uint8_t *> PyBytes_AS_STRING(encoded)
        self.size = <uint32_t> PyBytes_GET_SIZE(encoded)
        self.key = decode_key(self.place, self.size, core.dimensions)
        self.hash = xxh64(self.place, self.size)
        self.slot = NOT_FOUND

    @property
    def resident(self):
        """Whether the cube has the cell now."""
        self.core.guard.look()
        self.core.find_cell(self)
        return self.slot >= 0

    def __repr__(self):
        return f"Cell({', '.join(map(repr, self.key))})"
