# Counters and routes, and what happens to them; the feed reads what it needs of them without the GIL.
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from istat.kernels.native.ingest.ladders cimport Ladder, Ladders
from istat.kernels.native.ingest.records cimport Buffer
from istat.kernels.native.ingest.routes cimport Routes
from istat.kernels.native.names cimport Arena, NameTable

cdef enum:
    K_EVENT = 1                # bits of a counter's kind: an event counter,
    K_DELETED = 2              # deleted or gone: whoever sends to it must learn its route anew,
    K_GONE = 4                 # gone,
    K_MOVED = 8                # renamed, and routes that fed it are about to be unlearnt;
    POLICY_SHIFT = 4           # above lies the slot of its policy

cdef class Registry(Ladders):
    cdef readonly NameTable counters
    cdef readonly Routes routes
    cdef Arena arena                   # of both
    cdef uint16_t *kind                # of a counter: bits K_, and from POLICY_SHIFT up the slot of its policy
    cdef readonly dict deleted         # id -> number of its delete; until it is gone
    cdef bint moved                    # whether any kind has K_MOVED
    cdef uint16_t *heard_              # of a counter: the day it was last heard, since 1970
    cdef uint32_t kind_room
    cdef uint64_t given_back           # [bytes] of kind and heard_
    cdef Buffer names_log              # records of names and changes since the last take_names
    cdef Buffer journal                # records since the last take_journal
    cdef int64_t make_counter(self, const char *name, Py_ssize_t size, bint event, int slot) except? -1
    cdef int make_unlisted(self, bytes name, bint event) except -1
    cdef int grow_kinds(self) except -1
    cdef int place_policy(self, uint32_t id, int slot) except -1
    cdef bint mark_deleted(self, uint32_t id, uint64_t number) except? False
    cdef int mark_undeleted(self, uint32_t id) except -1
    cdef int move(self, uint32_t id, bytes name) except -1
    cdef int forget(self, uint32_t first, uint32_t count) except -1
    cdef uint32_t unlearn_range(self, uint64_t first, uint64_t stop, uint8_t bits) noexcept nogil
    cdef int put_change(self, int what, uint64_t number, tuple values, bytes name) except -1
    cdef int journal_since(self, size_t before) except -1

cdef inline bint is_gone(Registry registry, uint64_t id) noexcept nogil:
    # The kind of a forgotten one may have been given back: it reads as 0.
    return registry.kind[id] & K_GONE != 0 or registry.counters.is_forgotten(id)


cdef inline bint is_event(Registry registry, uint32_t id) noexcept nogil:
    return registry.kind[id] & K_EVENT != 0


cdef inline bint is_deleted(Registry registry, uint32_t id) noexcept nogil:
    """Whether it is deleted or gone."""
    return registry.kind[id] & K_DELETED != 0


cdef inline Ladder *ladder_of(Registry registry, uint32_t id) noexcept nogil:
    return &registry.ladders[registry.kind[id] >> POLICY_SHIFT]


cdef inline void note_heard(Registry registry, uint32_t id) noexcept nogil:
    if registry.heard_[id] < registry.today:
        registry.heard_[id] = registry.today
