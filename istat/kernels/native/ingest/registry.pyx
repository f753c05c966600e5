# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Counters and routes, and what happens to them: new ones, policies, deletes, renames, the days they were heard.

All of it goes to the journal as records, and to a log of names. A counter is live, deleted (a tombstone names it, and
it may come back) or gone (no row of it is anywhere, and its id is never used again). Knows no lines, and of samples
only which heads those of a counter go to. The specification is the Python twin.
"""
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from istat.kernels.native.ingest.head cimport head_places
from istat.kernels.native.ingest.records cimport (
    DELETE, GONE, MOST_RUN, POLICY, RENAME, UNDELETE, put_change, put_counter, put_route, reserve, take)
from istat.kernels.native.ingest.routes cimport ids_of
from istat.kernels.native.names cimport EXISTS, NAME_ROOM, NO_MEMORY, PAGE_BITS, istat_give_back


cdef object refusal(str what, bytes name, int64_t code):
    """The error for a name that was not taken."""
    return ValueError(f"{what} {name!r} exists" if code == EXISTS else f"a name has at most {NAME_ROOM} bytes")


cdef class Registry(Ladders):
    """Counters and routes of one store."""

    def __cinit__(self, intervals, uint64_t key=0, uint64_t policy=0):
        self.counters = NameTable(key)
        self.routes = Routes(key ^ 0x5851F42D4C957F2D, self.counters)
        self.arena = self.counters.arena
        self.deleted = {}

    def __dealloc__(self):
        free(self.kind)
        free(self.heard_)
        free(self.names_log.data)
        free(self.journal.data)

    # -- counters --------------------------------------------------------------------------------------------------

    def is_event(self, uint32_t id):
        """Whether a counter is an event counter."""
        if id >= self.counters.n:
            raise IndexError(f"no counter has the id {id}")
        return is_event(self, id)

    def add_counter(self, bytes name not None, bint event, policy=None):
        """The id of a new counter; the journal gets its record. ValueError when it exists, or is too long, KeyError
        when there is no such policy."""
        cdef size_t before = self.names_log.size
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef int64_t id = self.make_counter(name, len(name), event, slot)
        if id < 0:
            raise refusal("counter", name, id)
        put_counter(&self.names_log, <uint64_t> id, event, name, len(name))
        if slot:
            put_change(&self.names_log, POLICY, <uint64_t> id, (policy,), None)
        self.journal_since(before)
        return id

    cdef int64_t make_counter(self, const char *name, Py_ssize_t size, bint event, int slot) except? -1:
        """The id of a new counter, or EXISTS, TOO_LONG. The text of an event's has a `*` before it, as its route's."""
        cdef int64_t id = self.counters.insert(name, size, 0, event)
        if id < 0:
            if id == NO_MEMORY:
                raise MemoryError()
            return id
        if <uint64_t> id >= self.kind_room:
            self.grow_kinds()
        self.kind[id] = K_EVENT if event else 0
        self.heard_[id] = self.today
        self.place_policy(<uint32_t> id, slot)
        return id

    cdef int make_unlisted(self, bytes name, bint event) except -1:
        """The next id, of a counter that is deleted from the start."""
        cdef int64_t id = self.counters.insert_unlisted(name, len(name))
        if id < 0:
            raise MemoryError()
        if <uint64_t> id >= self.kind_room:
            self.grow_kinds()
        self.kind[id] = K_DELETED | (K_EVENT if event else 0)
        self.heard_[id] = self.today
        return self.place_policy(<uint32_t> id, 0)

    cdef int grow_kinds(self) except -1:
        cdef uint32_t room = self.kind_room + self.kind_room // 2 + 1024
        cdef void *grown = realloc(self.kind, <size_t> room * sizeof(uint16_t))
        if grown == NULL:
            raise MemoryError()
        self.kind = <uint16_t *> grown
        grown = realloc(self.heard_, <size_t> room * sizeof(uint16_t))
        if grown == NULL:
            raise MemoryError()
        self.heard_ = <uint16_t *> grown
        self.kind_room = room
        return 0

    def policy(self, uint32_t id):
        """The number of a counter's policy. IndexError when there is no such counter."""
        if id >= self.counters.n:
            raise IndexError(f"no counter has the id {id}")
        return ladder_of(self, id).policy

    def set_policy(self, uint32_t id, uint64_t number):
        """Give a counter another policy; the journal gets its record. What its old policy's heads hold of it
        stays there. IndexError or KeyError when there is no such counter or policy."""
        self.policy(id)
        self.place_policy(id, self.slots[number])
        self.put_change(POLICY, id, (number,), None)

    cdef int place_policy(self, uint32_t id, int slot) except -1:
        """The counter's samples go to this policy's heads from now on."""
        if head_places(self.ladders[slot].head[0], id + 1) < 0:
            raise MemoryError()
        self.kind[id] = <uint16_t> (self.kind[id] & ((1 << POLICY_SHIFT) - 1) | slot << POLICY_SHIFT)
        return 0

    # -- routes ----------------------------------------------------------------------------------------------------

    def add_route(self, bytes wire not None, ids):
        """Lead a wire name to the counters it feeds; the journal gets its record. ValueError when it exists."""
        cdef size_t before = self.names_log.size
        cdef uint32_t one
        cdef uint32_t *ready
        cdef uint32_t n
        cdef uint32_t i = 0
        cdef int64_t route
        ids = tuple(ids)
        if not ids or max(ids) >= self.counters.n or min(ids) < 0:
            raise ValueError(f"a route leads to one known counter or more, not {ids!r}")
        n = <uint32_t> len(ids)
        ready = self.routes.make_ready(n)
        for one in ids:
            ready[i] = one
            i += 1
        route = self.routes.place(wire, len(wire), n)
        if route < 0:
            raise refusal("route", wire, route)
        put_route(&self.names_log, <uint64_t> route, ready, n, wire, len(wire))
        self.journal_since(before)
        return route

    def route(self, bytes wire not None):
        """The counter ids a wire name leads to, or None."""
        cdef int64_t route = self.routes.find_text(wire, len(wire))
        return None if route < 0 else self.routes.targets(<uint32_t> route)

    def unlearn_moved(self):
        """Forget the routes that led to counters renamed since the last call; how many."""
        cdef uint32_t id
        if not self.moved:
            return 0
        found = self.unlearn_range(0, self.routes.n, K_MOVED)
        for id in range(self.counters.n):
            self.kind[id] &= <uint16_t> ~K_MOVED
        self.moved = False
        return found

    def sweep_routes(self, uint32_t first, uint32_t count):
        """Forget those of these routes that lead to a counter which is gone; how many."""
        return self.unlearn_range(first, min(<uint64_t> first + count, <uint64_t> self.routes.n), K_GONE)

    cdef uint32_t unlearn_range(self, uint64_t first, uint64_t stop, uint8_t bits) noexcept nogil:
        """Forget routes first..stop-1 that lead to a counter which is K_MOVED or K_GONE; how many."""
        cdef uint32_t found = 0
        cdef const uint32_t *ids
        cdef uint32_t target
        cdef uint32_t n = 0
        cdef uint32_t i
        cdef uint64_t route
        for route in range(first, stop):
            target = self.routes.target[route] - 1
            ids = ids_of(self.routes, &target, &n)
            for i in range(n):
                if self.kind[ids[i]] & bits or bits == K_GONE and is_gone(self, ids[i]):
                    self.routes.unlearn(<uint32_t> route)
                    found += 1
                    break
        return found

    # -- deletes and renames ---------------------------------------------------------------------------------------

    def delete(self, uint32_t id, uint64_t number):
        """Delete a live counter; the journal gets the record. `number` orders deletes. ValueError when it is not
        live."""
        if not self.mark_deleted(id, number):
            raise ValueError(f"the id {id} has no name here")
        self.put_change(DELETE, id, (number,), None)

    cdef bint mark_deleted(self, uint32_t id, uint64_t number) except? False:
        if self.counters.unlist_id(id) < 0:
            return False
        self.kind[id] |= K_DELETED
        self.deleted[id] = number
        return True

    def undelete(self, uint32_t id):
        """Make a deleted counter live again. ValueError when it is not deleted, or gone, or its name is another's now."""
        if id not in self.deleted:
            raise ValueError(f"the counter {id} is not deleted, or gone")
        self.mark_undeleted(id)
        self.put_change(UNDELETE, id, (), None)

    cdef int mark_undeleted(self, uint32_t id) except -1:
        self.counters.relist(id, self.counters.name(id))
        del self.deleted[id]
        self.kind[id] &= <uint16_t> ~K_DELETED
        return 0

    def rename(self, uint32_t id, bytes name not None):
        """Give a counter another name; `unlearn_moved` is to follow. ValueError when the name is taken, or the counter
        not live."""
        self.move(id, name)
        self.put_change(RENAME, id, (), name)

    cdef int move(self, uint32_t id, bytes name) except -1:
        if not 0 < len(name) <= NAME_ROOM or self.counters.find_text(name, len(name)) >= 0:
            raise ValueError(f"the counter {id} cannot be called {name!r}")
        self.counters.unlist(id)
        self.counters.relist(id, name)
        self.kind[id] |= K_MOVED
        self.moved = True
        return 0

    def gone(self, uint32_t first, uint32_t count):
        """No data of these counters (at most 65536) is anywhere any more: forget them. ValueError for others."""
        if not 0 < count <= MOST_RUN or <uint64_t> first + count > self.counters.n:
            raise ValueError(f"there are no {count} counters from the id {first} on")
        self.forget(first, count)
        self.put_change(GONE, first, (count,), None)

    cdef int forget(self, uint32_t first, uint32_t count) except -1:
        cdef uint64_t id
        for id in range(first, <uint64_t> first + count):
            self.counters.unlist_id(<uint32_t> id)
            if self.kind[id] & K_DELETED:
                self.deleted.pop(id, None)
            self.counters.mark_gone(<uint32_t> id)
            self.kind[id] |= K_DELETED | K_GONE
        return 0

    def is_gone(self, uint32_t id):
        """Whether a counter is gone."""
        return id < self.counters.n and is_gone(self, id)

    def give_back(self):
        """Give the memory of counters and routes that are gone back to the system; bytes given back so far.

        To be called when no route leads to a counter that is gone: `sweep_routes`.
        """
        cdef uint64_t page
        cdef uint64_t first = 0
        cdef uint64_t pages = self.counters.n >> PAGE_BITS
        self.given_back = 0
        for page in range(pages + 1):
            if page < pages and self.counters.page_gone(page):
                continue
            if page > first:
                self.given_back += istat_give_back(self.kind, first * 2 << PAGE_BITS, page * 2 << PAGE_BITS)
                self.given_back += istat_give_back(self.heard_, first * 2 << PAGE_BITS, page * 2 << PAGE_BITS)
            first = page + 1
        return self.given_back + self.routes.give_back()

    # -- when counters were last heard -----------------------------------------------------------------------------

    def heard(self, uint32_t first, uint32_t count):
        """The days (since 1970) on which these counters were last heard, 2 bytes each, little-endian."""
        cdef uint64_t stop = min(<uint64_t> first + count, <uint64_t> self.counters.n)
        return (<char *> (self.heard_ + first))[:(stop - first) * 2] if first < stop else b""

    def set_heard(self, uint32_t first, const unsigned char[::1] days):
        """Say so. ValueError when there are not so many counters."""
        if <uint64_t> days.shape[0] & 1 or first + <uint64_t> days.shape[0] // 2 > self.counters.n:
            raise ValueError(f"there are not so many counters from the id {first} on")
        if days.shape[0]:
            memcpy(self.heard_ + first, &days[0], days.shape[0])

    def touch(self, uint32_t id):
        """A counter got data otherwise than by samples. IndexError when there is none."""
        self.policy(id)
        note_heard(self, id)

    def idle(self, uint64_t policy, int before, uint32_t first, uint32_t count):
        """The ids of a policy's live counters that were last heard before a day, of the `count` ids from `first` on."""
        cdef uint64_t stop = min(<uint64_t> first + count, <uint64_t> self.counters.n)
        cdef uint64_t id
        cdef int slot = self.slots[policy]
        found = []
        for id in range(first, stop):
            if (self.heard_[id] < before and self.kind[id] >> POLICY_SHIFT == slot
                    and not self.counters.is_unlisted(id)):
                found.append(id)
        return found

    # -- records ---------------------------------------------------------------------------------------------------

    cdef int put_change(self, int what, uint64_t number, tuple values, bytes name) except -1:
        cdef size_t before = self.names_log.size
        put_change(&self.names_log, what, number, values, name)
        return self.journal_since(before)

    cdef int journal_since(self, size_t before) except -1:
        """The records that the log of names got since it had `before` bytes go to the journal too."""
        cdef size_t size = self.names_log.size - before
        if reserve(&self.journal, size) < 0:
            raise MemoryError()
        memcpy(self.journal.data + self.journal.size, self.names_log.data + before, size)
        self.journal.size += size
        return 0

    def take_names(self):
        """The records of the counters and routes that came since the last call, and of changes."""
        return take(&self.names_log)

    def memory(self):
        """Bytes held by names, routes and rows."""
        return (Ladders.memory(self) + self.counters.memory() + self.routes.memory() + self.routes.target_bytes()
                + 4 * <uint64_t> self.kind_room - self.given_back)
