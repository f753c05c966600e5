# What metrics, samplers and the core share: the guard, handles of cells, who finds the cell of an update. Keys to slots is
# inner/table.pxd, the seam for sampling is sampling/residents.pxd.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from istat.kernels.native.cubes.inner.table cimport (LATE, MOST_PROBES, NO_MEMORY, NOT_FOUND, OVERFLOW, REFUSED, TOUCHED, Cells,
                                                     grow, roomier)
from istat.kernels.native.cubes.sampling.residents cimport Sampler

cdef extern from *:
    """
    /* Callers hold the GIL: a plain flag is enough where there is one. */
    #ifdef Py_GIL_DISABLED
    #define istat_take(flag) __atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE)
    #define istat_give(flag) __atomic_store_n(flag, 0, __ATOMIC_RELEASE)
    #else
    static inline int istat_take(int *flag) { int was = *flag; *flag = 1; return was; }
    #define istat_give(flag) (*(volatile int *) (flag) = 0)
    #endif
    """
    int istat_take(int *flag) noexcept nogil
    void istat_give(int *flag) noexcept nogil

cdef class Guard:
    """One an instance, shared by its cores: busy flag, and the stamp of gauges that are set now."""
    cdef int busy
    cdef public int64_t tick                # [ns since 1970] set by the owner at interval edges
    cdef public uint64_t origin             # of the instance: breaks ties between gauges' stamps
    cdef unsigned long owner                # the thread that is in, if one is
    cdef int enter(self) except -1          # ConcurrentUse when somebody is in already
    cdef int look(self) except -1           # ConcurrentUse when another thread is in: what it moves cannot be read
    cdef void leave(self) noexcept nogil

cdef struct aim_t:              # whose cell an update is for
    const uint8_t *key
    uint64_t hash
    int64_t slot                # of the key's cell, or NOT_FOUND
    uint32_t size

cdef class CoreBase:
    """What a metric knows of the cube's data that it is a column of."""
    cdef readonly Cells cells
    cdef readonly Guard guard
    cdef readonly Sampler sampler           # None in comprehensive mode
    cdef readonly object primary            # the metric that ranks cells, or None
    cdef readonly tuple names               # of the dimensions
    cdef readonly Py_ssize_t dimensions
    cdef readonly bint saturated
    cdef readonly uint64_t refused          # updates whose cell got no room
    cdef readonly uint64_t evicted          # cells that others took the place of
    # An update of a tuple's or Cell's cell: take aim, take the guard, find the slot. `key` has KEY_ROOM.
    cdef int enter_for(self, object target, aim_t *aim, uint8_t *key) except -1
    cdef int take_aim(self, object target, aim_t *aim, uint8_t *key) except -1      # all but the slot
    cdef void locate(self, object target, aim_t *aim) noexcept                      # in the guard
    cdef void find_cell(self, Cell cell) noexcept nogil     # see to it that its slot is its own now, or NOT_FOUND
    cdef Py_ssize_t encode(self, object values, uint8_t *to) except -1              # `to` has KEY_ROOM; bytes written
    # The slot for an update of a metric that does not rank: the key's cell, made when there is room; REFUSED, NO_MEMORY.
    cdef int64_t slot_for(self, const aim_t *aim) noexcept nogil
    # The slot for an update of the primary metric, with its value raised; REFUSED, NO_MEMORY.
    cdef int64_t rank_up(self, const aim_t *aim, int64_t amount, uint64_t item) noexcept nogil

cdef class Cell:
    """Handle of a cell: finds it again by itself when it became stale."""
    cdef CoreBase core
    cdef readonly tuple key
    cdef readonly bytes encoded
    cdef const uint8_t *place   # of its bytes
    cdef uint32_t size
    cdef uint64_t hash
    cdef int64_t slot
    cdef uint32_t generation
