# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Lines to buckets: routes, kinds, heads and the journal buffer. Knows no sockets, files or clock.

A wire name found in the route table leads straight to the counters it feeds. What the loop cannot settle (new
names, metadata, bad lines) is left over for Python as (code, line). Journal records are described in
docs/formats/journal.md. The specification is the Python twin.
"""
from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memchr, memcmp, memcpy, memset

from istat.kernels.native.columns cimport Columns
from istat.kernels.native.head cimport Frozen, Head, HeadState, head_add, head_places
from istat.kernels.native.lines cimport (
    BAD_FIELDS, BAD_NUMBER, EMPTY, META, NOT_FINITE, RESERVED, SAMPLE, UNKNOWN, Sample, is_digit, is_space, parse_line)
from istat.kernels.native.names cimport (
    EXISTS, PAGE_BITS, istat_give_back, NAME_ROOM, NO_MEMORY, Arena, NameTable, ref_at, ref_size, ref_text)

cdef extern from *:
    """
    #include <string.h>
    static void *istat_last_lf(const char *text, size_t size) {
        while (size) if (text[--size] == 10) return (void *) (text + size);
        return 0;
    }
    /* 10**0 .. 10**18 are exact doubles; a mantissa up to 2**53 divided by one is correctly rounded (Clinger 1990). */
    static const double istat_pow10[19] = {1e0,1e1,1e2,1e3,1e4,1e5,1e6,1e7,1e8,1e9,1e10,1e11,1e12,1e13,1e14,
        1e15,1e16,1e17,1e18};
    """
    const double istat_pow10[19]
    void *istat_last_lf(const char *text, size_t size) noexcept nogil

cdef enum:
    MAX_LEVELS = 16            # of one ladder
    MAX_POLICIES = 64          # ladders with heads at one time
    NOWHERE = 0xFFFFFFFFu      # a target less 1 of a route that leads nowhere
    MANY = 0x80000000u         # a target with this bit is an index into `many`
    MOST_IDS = 0xFFFFFFFEu      # ids are less
    FORESEEN = 12              # name records whose slots are fetched ahead of their turn
    MOST_RUN = 65536           # ids that one record can say to be gone: bounds what damaged bytes can make of a few
    MOST_LOST = 16384          # name records that one stretch of damage can have held
    RECORD_ROOM = 96           # [bytes] more than any sample record takes
    FORM_SAME = 0              # record forms: value at the record time before,
    FORM_TIME = 1              # value at a new time,
    FORM_WIDE = 2              # pre-aggregated at a new time,
    FORM_NAMES = 3             # a counter, a route or a change
    DELETE = 1                 # changes: docs/formats/journal.md
    UNDELETE = 2
    RENAME = 3
    POLICY = 4
    GONE = 5
    BURIED = 6
    DEAD = 7
    K_EVENT = 1                # bits of a counter's kind: an event counter,
    K_AWAY = 2                 # deleted or gone: whoever sends to it must learn its route anew,
    K_GONE = 4                 # gone for good,
    K_MOVED = 8                # renamed, and routes that fed it are about to be unlearnt;
    POLICY_SHIFT = 4           # above lies the index of its policy
    STALE = -2                 # what `apply` says of a route that leads to a counter which is away, or nowhere

# Refusals and totals, in the order of `tally`.
TALLY = ("samples", "lines", "bad_fields", "bad_number", "not_finite", "reserved", "metadata", "unknown",
         "from_future", "from_past", "rejected", "journalled")

cdef enum:
    T_SAMPLES
    T_LINES
    T_BAD_FIELDS
    T_BAD_NUMBER
    T_NOT_FINITE
    T_RESERVED
    T_META
    T_UNKNOWN
    T_FUTURE
    T_PAST
    T_REJECTED
    T_JOURNALLED
    T_COUNT

# Bad lines kept with their text between two calls of take_leftovers; the rest is only counted.
cdef enum:
    BAD_KEPT = 32


cdef inline uint8_t *put_varint(uint8_t *to, uint64_t value) noexcept nogil:
    while value >= 128:
        to[0] = <uint8_t> (value | 128)
        to += 1
        value >>= 7
    to[0] = <uint8_t> value
    return to + 1


cdef inline const uint8_t *get_varint(const uint8_t *at, const uint8_t *end, uint64_t *out) noexcept nogil:
    """The byte after the number, or NULL when it is cut off or too long."""
    cdef uint64_t value = 0
    cdef int shift = 0
    while at < end and shift < 64:
        value |= <uint64_t> (at[0] & 127) << shift
        if at[0] < 128:
            out[0] = value
            return at + 1
        at += 1
        shift += 7
    return NULL


cdef inline uint64_t zigzag(int64_t value) noexcept nogil:
    return (<uint64_t> value << 1) ^ <uint64_t> (value >> 63)


cdef inline int64_t unzigzag(uint64_t value) noexcept nogil:
    return <int64_t> (value >> 1) ^ -<int64_t> (value & 1)


cdef inline const char *fast_number(const char *at, double *out, bint *whole) noexcept nogil:
    """A plain decimal of at most 15 digits: the byte after it, or NULL for the slow path.

    `whole` tells that it had no point. The text ends with white space or LF at the latest.
    """
    cdef bint negative = at[0] == 45
    cdef uint64_t mantissa = 0
    cdef const char *first
    cdef const char *point = NULL
    cdef Py_ssize_t digits
    cdef double value
    if negative:
        at += 1
    first = at
    while is_digit(at[0]):
        mantissa = mantissa * 10 + <uint64_t> (at[0] - 48)
        at += 1
    digits = at - first
    whole[0] = True
    value = 1.0
    if at[0] == 46:
        whole[0] = False
        at += 1
        point = at
        while is_digit(at[0]):
            mantissa = mantissa * 10 + <uint64_t> (at[0] - 48)
            at += 1
        digits += at - point
    if digits == 0 or digits > 15 or not (is_space(at[0]) or at[0] == 10):
        return NULL
    value = <double> <int64_t> mantissa
    if point != NULL:
        value /= istat_pow10[at - point]
    out[0] = -value + 0.0 if negative else value
    return at


cdef object refusal(str what, bytes name, int64_t code):
    """The error for a name that was not taken."""
    return ValueError(f"{what} {name!r} exists" if code == EXISTS else f"a name has at most {NAME_ROOM} bytes")
cdef struct Policy:            # one ladder: its heads and the times that its levels take
    int64_t newest_event
    int64_t oldest[MAX_LEVELS]
    int64_t interval[MAX_LEVELS]
    HeadState *head[MAX_LEVELS]
    int levels
    uint64_t number


cdef class Engine:
    """Counters, routes, heads and the journal buffer of one store. Levels finest first.

    `intervals` and `policy` are those of the default ladder, the one of counters that no change record gives another;
    counters of other policies have heads of their own.
    """

    cdef readonly NameTable counters
    cdef readonly NameTable routes
    cdef Arena arena                   # of both
    cdef readonly list heads           # of all policies, in the order in which these were added
    cdef Policy policies[MAX_POLICIES]
    cdef int policies_n
    cdef dict slots                    # number of a policy -> index in policies
    cdef int64_t now
    cdef int64_t newest_gauge
    cdef uint16_t *kind                # of a counter: bits K_, and from POLICY_SHIFT up the index of its policy
    cdef readonly dict deleted         # id -> number of its delete; until it is gone
    cdef bint moved                    # whether any kind has K_MOVED
    cdef uint16_t *heard_              # of a counter: the day it was last heard, since 1970
    cdef uint16_t today
    cdef uint64_t given_back           # [bytes] of these arrays
    cdef uint32_t kind_room
    cdef uint32_t *target              # of a route: 1 + (counter id, or MANY | index into many); 0: it leads nowhere
    cdef uint32_t *follow              # of a route: the route seen after it last time
    cdef uint32_t target_room
    cdef uint32_t *many                # count, then that many ids
    cdef uint32_t many_size
    cdef uint32_t many_room
    cdef uint32_t last_route
    cdef uint8_t *journal
    cdef size_t journal_size_
    cdef size_t journal_room
    cdef int64_t journal_time
    cdef uint64_t tally_[16]
    cdef uint8_t *names_log            # name records since the last take_names
    cdef size_t names_size
    cdef size_t names_room
    cdef list leftovers
    cdef int bad_kept

    def __cinit__(self, intervals, uint64_t key=0, uint64_t policy=0):
        self.counters = NameTable(key)
        self.routes = NameTable(key ^ 0x5851F42D4C957F2D, self.counters)
        self.arena = self.counters.arena
        self.heads = []
        self.slots = {}
        self.leftovers = []
        self.add_policy(policy, intervals)
        self.deleted = {}
        self.many_reserve(1)            # the first entry of `many` is an empty one, for routes that lead nowhere
        self.many[0] = 0
        self.many_size = 1

    def __dealloc__(self):
        free(self.kind)
        free(self.heard_)
        free(self.target)
        free(self.follow)
        free(self.many)
        free(self.journal)
        free(self.names_log)

    # -- policies --------------------------------------------------------------------------------------------------

    def add_policy(self, uint64_t number, intervals):
        """A ladder that counters may be given. ValueError when there are too many levels or ladders, or the
        number is taken."""
        cdef Policy *policy
        if not 1 <= len(intervals) <= MAX_LEVELS:
            raise ValueError(f"an engine has 1 to {MAX_LEVELS} levels, not {len(intervals)}")
        if number in self.slots or self.policies_n == MAX_POLICIES:
            raise ValueError(f"there is no room for a policy {number}")
        heads = [Head(interval) for interval in intervals]
        policy = &self.policies[self.policies_n]
        policy.number = number
        policy.levels = len(intervals)
        for i in range(policy.levels):
            policy.head[i] = &(<Head> heads[i]).state
            policy.interval[i] = intervals[i]
        self.heads += heads
        self.slots[number] = self.policies_n
        self.policies_n += 1

    def alias_policy(self, uint64_t number, uint64_t heir):
        """Counters recorded with policy `number` are of policy `heir`, which exists. ValueError when `number` is
        taken."""
        if number in self.slots:
            raise ValueError(f"there is a policy {number}")
        self.slots[number] = self.slots[heir]

    def policy(self, uint32_t id):
        """The number of a counter's policy. IndexError when there is no such counter."""
        if id >= self.counters.n:
            raise IndexError(f"no counter has the id {id}")
        return self.policies[self.kind[id] >> POLICY_SHIFT].number

    def set_policy(self, uint32_t id, uint64_t number):
        """Give a counter another policy; the journal gets its record. What its old policy's heads hold of it
        stays there. IndexError or KeyError when there is no such counter or policy."""
        self.policy(id)
        self.place_policy(id, self.slots[number])
        self.put_change(id, POLICY, (number,), b"")

    cdef int place_policy(self, uint32_t id, int slot) except -1:
        """The counter's samples go to this policy's heads from now on."""
        if head_places(self.policies[slot].head[0], id + 1) < 0:
            raise MemoryError()
        self.kind[id] = <uint16_t> (self.kind[id] & ((1 << POLICY_SHIFT) - 1) | slot << POLICY_SHIFT)
        return 0

    def set_limits(self, int64_t now, int64_t newest_gauge, int64_t newest_event, oldest, policy=None):
        """The time of samples without one, and the times accepted: `oldest` per level, finest first [s].

        `newest_event` and `oldest` are of one policy (None: the default).
        """
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef Policy *ladder = &self.policies[slot]
        self.now = now
        self.today = <uint16_t> min(max(now // 86400, 0), 0xFFFF)
        self.newest_gauge = newest_gauge
        ladder.newest_event = newest_event
        for i in range(ladder.levels):
            ladder.oldest[i] = max(<int64_t> oldest[i], 0)

    def tally(self):
        """Totals since the start by kind."""
        return {name: self.tally_[i] for i, name in enumerate(TALLY)}

    def journal_size(self):
        """Bytes of journal records not taken yet."""
        return self.journal_size_

    def memory(self):
        """Bytes held by names, routes and rows."""
        return (self.counters.memory() + self.routes.memory() + 4 * <uint64_t> self.kind_room
                + 8 * <uint64_t> self.target_room - self.given_back
                + 4 * <uint64_t> self.many_room + sum(head.memory() for head in self.heads))

    # -- names -----------------------------------------------------------------------------------------------------

    def is_event(self, uint32_t id):
        """Whether a counter is an event counter."""
        if id >= self.counters.n:
            raise IndexError(f"no counter has the id {id}")
        return self.kind[id] & K_EVENT != 0

    def add_counter(self, bytes name not None, bint event, policy=None):
        """The id of a new counter; the journal gets its record. ValueError when it exists, or is too long, KeyError
        when there is no such policy."""
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef int64_t id = self.make_counter(name, len(name), event, slot)
        if id < 0:
            raise refusal("counter", name, id)
        self.put_names(0, event, <uint64_t> id, (), name)
        if slot:
            self.put_change(<uint32_t> id, POLICY, (policy,), b"")
        return id

    cdef int64_t make_counter(self, const char *name, Py_ssize_t size, bint event, int slot) except? NO_MEMORY:
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

    def add_route(self, bytes wire not None, ids):
        """Lead a wire name to the counters it feeds; the journal gets its record. ValueError when it exists."""
        cdef uint32_t one
        cdef uint32_t at
        cdef int64_t route
        ids = tuple(ids)
        if not ids or max(ids) >= self.counters.n or min(ids) < 0:
            raise ValueError(f"a route leads to one known counter or more, not {ids!r}")
        self.many_reserve(len(ids) + 1)
        at = self.many_size
        for one in ids:
            at += 1
            self.many[at] = one
        route = self.place_route(wire, len(wire), <uint32_t> len(ids))
        if route < 0:
            raise refusal("route", wire, route)
        self.put_names(1, 0, <uint64_t> route, ids, wire)
        return route

    cdef int64_t place_route(self, const char *wire, Py_ssize_t size, uint32_t count) except? NO_MEMORY:
        """The number of a new route, or EXISTS, TOO_LONG. Its `count` ids lie ready in `many`, one place behind its
        end; they stay there when they are several."""
        cdef uint64_t ref = 0
        cdef uint32_t i
        cdef int64_t route
        for i in range(count):
            if ref == 0:
                ref = self.routes.ref_of(ref_at(self.counters.pages, self.many[self.many_size + 1 + i]), wire, size)
        route = self.routes.insert(wire, size, ref, False)
        if route < 0:
            if route == NO_MEMORY:
                raise MemoryError()
            return route
        if <uint64_t> route >= self.target_room:
            self.grow_targets()
        self.follow[route] = <uint32_t> route + 1
        if count == 0:
            self.target[route] = 0
        elif count == 1:
            self.target[route] = self.many[self.many_size + 1] + 1
        else:
            self.target[route] = (self.many_size | MANY) + 1
            self.many[self.many_size] = count
            self.many_size += count + 1
        return route

    cdef int grow_targets(self) except -1:
        cdef uint32_t room = self.target_room + self.target_room // 2 + 1024
        cdef void *grown = realloc(self.target, <size_t> room * 4)
        if grown == NULL:
            raise MemoryError()
        self.target = <uint32_t *> grown
        grown = realloc(self.follow, <size_t> room * 4)
        if grown == NULL:
            raise MemoryError()
        self.follow = <uint32_t *> grown
        self.target_room = room
        return 0

    cdef int many_reserve(self, uint64_t count) except -1:
        """Room for so many more numbers in `many`."""
        cdef uint64_t wanted = self.many_size + count
        cdef void *grown
        if wanted >= MANY - (1 << 20):      # beyond, an index would be taken for something else
            raise MemoryError("no room for another name that feeds several counters")
        if wanted > self.many_room:
            grown = realloc(self.many, (wanted + wanted // 2) * 4)
            if grown == NULL:
                raise MemoryError()
            self.many = <uint32_t *> grown
            self.many_room = <uint32_t> (wanted + wanted // 2)
        return 0

    def route(self, bytes wire not None):
        """The counter ids a wire name leads to, or None."""
        cdef int64_t route = self.routes.find_text(wire, len(wire))
        return None if route < 0 else self.targets(<uint32_t> route)

    cdef tuple targets(self, uint32_t route):
        cdef uint32_t target = self.target[route] - 1
        cdef uint32_t at
        if target == NOWHERE:
            return ()
        if target < MANY:
            return (target,)
        at = target & ~<uint32_t> MANY
        return tuple([self.many[at + 1 + i] for i in range(self.many[at])])

    def dump_names(self, uint32_t first_counter=0, uint32_t first_route=0, uint32_t counters=0xFFFFFFFF,
                   uint32_t routes=0xFFFFFFFF):
        """Records of all counters and routes from these ids on, at most so many: what `replay` reads back."""
        cdef size_t before = self.names_size
        cdef uint32_t id = first_counter
        cdef uint32_t run
        cdef uint64_t stop = min(<uint64_t> first_counter + counters, <uint64_t> self.counters.n)
        while id < stop:
            run = id
            while run < stop and run - id < MOST_RUN and self.is_gone_(run):
                run += 1
            if run > id:
                self.log_change(id, GONE, (run - id,), b"")
                id = run
                continue
            name = self.counters.name(id)
            if self.kind[id] & K_AWAY:
                self.log_change(id, BURIED, (self.kind[id] & K_EVENT, self.deleted[id], len(name)), name)
            else:
                self.log_name(0, self.kind[id] & K_EVENT, id, (), name)
            if self.kind[id] >> POLICY_SHIFT:
                self.log_change(id, POLICY, (self.policies[self.kind[id] >> POLICY_SHIFT].number,), b"")
            id += 1
        id = first_route
        stop = min(<uint64_t> first_route + routes, <uint64_t> self.routes.n)
        while id < stop:
            run = id
            while run < stop and run - id < MOST_RUN and self.routes.is_away(run):
                run += 1
            if run > id:
                self.log_change(id, DEAD, (run - id,), b"")
                id = run
                continue
            self.log_name(1, 0, id, self.targets(id), self.routes.name(id))
            id += 1
        records = (<char *> self.names_log)[before:self.names_size]
        self.names_size = before
        return records

    # -- changes ---------------------------------------------------------------------------------------------------

    def delete(self, uint32_t id, uint64_t number):
        """Hide a counter; the journal gets the record. `number` orders deletes. ValueError when it is not there."""
        if not self.hide(id, number):
            raise ValueError(f"the id {id} has no name here")
        self.put_change(id, DELETE, (number,), b"")

    cdef bint hide(self, uint32_t id, uint64_t number) except? False:
        if self.counters.take_away(id) < 0:
            return False
        self.kind[id] |= K_AWAY
        self.deleted[id] = number
        return True

    def undelete(self, uint32_t id):
        """Show a deleted counter again. ValueError when it is not deleted or gone, or its name is another's now."""
        if id not in self.deleted:
            raise ValueError(f"the counter {id} is not deleted, or gone")
        self.show(id)
        self.put_change(id, UNDELETE, (), b"")

    cdef int show(self, uint32_t id) except -1:
        self.counters.put_back(id, self.counters.name(id))
        del self.deleted[id]
        self.kind[id] &= <uint16_t> ~K_AWAY
        return 0

    def rename(self, uint32_t id, bytes name not None):
        """Give a counter another name; `unlearn_moved` is to follow. ValueError when the name is taken, or the counter
        not there."""
        self.move(id, name)
        self.put_change(id, RENAME, (len(name),), name)

    cdef int move(self, uint32_t id, bytes name) except -1:
        if not 0 < len(name) <= NAME_ROOM or self.counters.find_text(name, len(name)) >= 0:
            raise ValueError(f"the counter {id} cannot be called {name!r}")
        self.counters.remove(id)
        self.counters.put_back(id, name)
        self.kind[id] |= K_MOVED
        self.moved = True
        return 0

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
        """Forget those of these routes that lead to a counter which is gone for good; how many."""
        return self.unlearn_range(first, min(<uint64_t> first + count, <uint64_t> self.routes.n), 0)

    cdef bint marked(self, uint32_t id, uint8_t bits) noexcept nogil:
        """Whether a counter has one of these bits; 0: whether it is gone for good."""
        if bits == 0:
            return self.is_gone_(id)
        return self.kind[id] & bits != 0

    cdef uint32_t unlearn_range(self, uint64_t first, uint64_t stop, uint8_t bits) noexcept nogil:
        """Forget routes first..stop-1 that lead to a counter with one of these bits (0: one that is gone); how many."""
        cdef uint32_t found = 0
        cdef uint32_t *ids
        cdef uint32_t target
        cdef uint32_t i
        cdef uint64_t route
        for route in range(first, stop):
            target = self.target[route] - 1
            if target == NOWHERE:
                continue
            if target < MANY:
                if self.marked(target, bits):
                    self.unlearn(<uint32_t> route)
                    found += 1
                continue
            ids = self.many + (target & ~<uint32_t> MANY)
            for i in range(1, ids[0] + 1):
                if self.marked(ids[i], bits):
                    self.unlearn(<uint32_t> route)
                    found += 1
                    break
        return found

    cdef void unlearn(self, uint32_t route) noexcept nogil:
        """Forget a route: its number leads nowhere from now on."""
        self.routes.take_away(route)
        self.routes.forget(route)
        self.target[route] = 0

    def gone(self, uint32_t first, uint32_t count):
        """No data of these counters (at most 65536) is anywhere any more: forget them. ValueError for others."""
        if not 0 < count <= MOST_RUN or <uint64_t> first + count > self.counters.n:
            raise ValueError(f"there are no {count} counters from the id {first} on")
        self.forget(first, count)
        self.put_change(first, GONE, (count,), b"")

    cdef int forget(self, uint32_t first, uint32_t count) except -1:
        cdef uint64_t id
        for id in range(first, <uint64_t> first + count):
            self.counters.take_away(<uint32_t> id)
            if self.kind[id] & K_AWAY:
                self.deleted.pop(id, None)
            self.counters.mark_gone(<uint32_t> id)
            self.kind[id] |= K_AWAY | K_GONE
        return 0

    cdef bint is_gone_(self, uint64_t id) noexcept nogil:
        # The kind of a forgotten one may have been given back: it reads as 0.
        return self.kind[id] & K_GONE != 0 or self.counters.is_forgotten(id)

    def is_gone(self, uint32_t id):
        """Whether a counter is gone for good."""
        return id < self.counters.n and self.is_gone_(id)

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
        first = 0
        pages = self.routes.n >> PAGE_BITS
        for page in range(pages + 1):
            if page < pages and self.routes.page_gone(page):
                continue
            if page > first:
                self.given_back += istat_give_back(self.target, first * 4 << PAGE_BITS, page * 4 << PAGE_BITS)
                self.given_back += istat_give_back(self.follow, first * 4 << PAGE_BITS, page * 4 << PAGE_BITS)
            first = page + 1
        return self.given_back

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
        self.heard_[id] = max(self.heard_[id], self.today)

    def idle(self, uint64_t policy, int before, uint32_t first, uint32_t count):
        """The ids of a policy's counters that were last heard before a day, of the `count` ids from `first` on."""
        cdef uint64_t stop = min(<uint64_t> first + count, <uint64_t> self.counters.n)
        cdef uint64_t id
        cdef int slot = self.slots[policy]
        found = []
        for id in range(first, stop):
            if self.heard_[id] < before and self.kind[id] >> POLICY_SHIFT == slot and not self.counters.is_away(id):
                found.append(id)
        return found

    cdef int put_change(self, uint64_t number, int what, tuple fields, bytes name) except -1:
        cdef size_t before = self.names_size
        self.log_change(number, what, fields, name)
        return self.copy_to_journal(before)

    cdef int log_change(self, uint64_t number, int what, tuple fields, bytes name) except -1:
        """Append what happened to a counter (or a route) to the log of names, as a journal record."""
        cdef uint8_t *to
        self.names_reserve(10 * (2 + <size_t> len(fields)) + <size_t> len(name))
        to = put_varint(self.names_log + self.names_size, number << 4 | 3 << 2 | FORM_NAMES)
        to = put_varint(to, <uint64_t> what)
        for field in fields:
            to = put_varint(to, <uint64_t> field)
        memcpy(to, <const char *> name, len(name))
        self.names_size = <size_t> (to - self.names_log) + <size_t> len(name)
        return 0

    # -- journal buffer --------------------------------------------------------------------------------------------

    cdef int journal_reserve(self, size_t size) noexcept nogil:
        cdef size_t room
        cdef void *grown
        if self.journal_size_ + size <= self.journal_room:
            return 0
        room = (self.journal_size_ + size) * 2
        grown = realloc(self.journal, room)
        if grown == NULL:
            return -1
        self.journal = <uint8_t *> grown
        self.journal_room = room
        return 0

    cdef int put_names(self, int type, bint event, uint64_t number, tuple ids, bytes name) except -1:
        cdef size_t before = self.names_size
        self.log_name(type, event, number, ids, name)
        return self.copy_to_journal(before)

    cdef int copy_to_journal(self, size_t before) except -1:
        """The records that the log of names got since it had `before` bytes go to the journal too."""
        if self.journal_reserve(self.names_size - before) < 0:
            raise MemoryError()
        memcpy(self.journal + self.journal_size_, self.names_log + before, self.names_size - before)
        self.journal_size_ += self.names_size - before
        return 0

    cdef int names_reserve(self, size_t size) except -1:
        cdef size_t room = (self.names_size + size) * 2
        cdef void *grown
        if self.names_size + size > self.names_room:
            grown = realloc(self.names_log, room)
            if grown == NULL:
                raise MemoryError()
            self.names_log = <uint8_t *> grown
            self.names_room = room
        return 0

    cdef int log_name(self, int type, bint event, uint64_t number, tuple ids, bytes name) except -1:
        """Append a counter (type 0) or a route (type 1) to the log of names, as a journal record."""
        cdef uint8_t *to
        self.names_reserve(10 * (3 + <size_t> len(ids)) + <size_t> len(name))
        to = put_varint(self.names_log + self.names_size, number << 4 | <uint64_t> (type << 2 | event << 3 | FORM_NAMES))
        if type == 1:
            to = put_varint(to, <uint64_t> len(ids))
            for id in ids:
                to = put_varint(to, <uint64_t> id)
        to = put_varint(to, <uint64_t> len(name))
        memcpy(to, <const char *> name, len(name))
        self.names_size = <size_t> (to - self.names_log) + <size_t> len(name)
        return 0

    def take_names(self):
        """The records of the counters and routes that came since the last call."""
        records = (<char *> self.names_log)[:self.names_size] if self.names_size else b""
        self.names_size = 0
        return records

    cdef int put_sample(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                        double min, double max) noexcept nogil:
        cdef uint8_t *to
        cdef int form = FORM_SAME
        if self.journal_reserve(RECORD_ROOM) < 0:
            return -1
        to = self.journal + self.journal_size_
        if count != 1 or m2 != 0.0 or min != sum or max != sum:
            form = FORM_WIDE
        elif time != self.journal_time:
            form = FORM_TIME
        to = put_varint(to, <uint64_t> route << 2 | form)
        if form != FORM_SAME:
            to = put_varint(to, zigzag(time - self.journal_time))
            self.journal_time = time
        memcpy(to, &sum, 8)
        to += 8
        if form == FORM_WIDE:
            to = put_varint(to, <uint64_t> count)
            memcpy(to, &m2, 8)
            memcpy(to + 8, &min, 8)
            memcpy(to + 16, &max, 8)
            to += 24
        self.journal_size_ = to - self.journal
        self.tally_[T_JOURNALLED] += 1
        return 0

    def take_journal(self):
        """The records since the last call, as one frame's payload; times in it start from 0 again."""
        payload = (<char *> self.journal)[:self.journal_size_] if self.journal_size_ else b""
        self.journal_size_ = 0
        self.journal_time = 0
        return payload

    # -- samples ---------------------------------------------------------------------------------------------------

    cdef int apply_one(self, uint32_t id, int64_t time, int64_t count, double sum, double m2,
                       double min, double max) noexcept nogil:
        """One sample to one counter: 1 applied, 0 refused, -1 no memory, STALE."""
        cdef int level = 0
        cdef uint32_t kind = self.kind[id]
        cdef bint event = kind & K_EVENT
        cdef Policy *policy = &self.policies[kind >> POLICY_SHIFT]
        cdef double mean
        if kind & K_AWAY:
            return STALE
        if time > (policy.newest_event if event else self.newest_gauge):
            self.tally_[T_FUTURE] += 1
            return 0
        while time < policy.oldest[level]:
            level += 1
            if level == policy.levels:
                self.tally_[T_PAST] += 1
                return 0
        if event:
            count = 1
            m2 = 0.0
            min = sum
            max = sum
        elif count != 1 or min != sum or max != sum:
            if count == 0:
                self.tally_[T_REJECTED] += 1
                return 0
            mean = sum / <double> count
            if (min > max + fabs(max) * 0.0001 or mean + fabs(mean) * 0.0001 < min
                    or mean > max + fabs(max) * 0.0001):
                self.tally_[T_REJECTED] += 1
                return 0
        if level and head_places(policy.head[level], self.counters.n) < 0:
            return -1
        # Once between two cuts is enough.
        if policy.head[level].place[id] == 0 and self.heard_[id] < self.today:
            self.heard_[id] = self.today
        if head_add(policy.head[level], id, event, <uint32_t> (time // policy.interval[level]), count, sum, m2,
                    min, max) < 0:
            return -1
        self.tally_[T_SAMPLES] += 1
        return 1

    cdef int apply(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                   double min, double max) noexcept nogil:
        """One sample to all counters of a route: how many took it, or -1: no memory, or STALE: nothing was done."""
        cdef uint32_t target = self.target[route] - 1
        cdef uint32_t *ids
        cdef uint32_t i
        cdef int taken = 0
        cdef int one
        if target < MANY:
            return self.apply_one(target, time, count, sum, m2, min, max)
        if target == NOWHERE:
            return STALE
        ids = self.many + (target & ~<uint32_t> MANY)
        for i in range(1, ids[0] + 1):
            if self.kind[ids[i]] & K_AWAY:
                return STALE
        for i in range(1, ids[0] + 1):
            one = self.apply_one(ids[i], time, count, sum, m2, min, max)
            if one < 0:
                return -1
            taken += one
        return taken

    cdef int take_sample(self, uint32_t route, int64_t time, int64_t count, double sum, double m2,
                         double min, double max) noexcept nogil:
        """Apply and, if any counter took it, journal."""
        cdef int taken = self.apply(route, time, count, sum, m2, min, max)
        if taken <= 0:
            return taken
        return self.put_sample(route, time, count, sum, m2, min, max)

    cdef int64_t find_route(self, const char *name, Py_ssize_t size) noexcept nogil:
        """The route of a wire name, or -1. Senders repeat their order, so the route that came next after the
        last one is compared first, without hashing."""
        cdef uint32_t guess
        cdef uint64_t ref
        cdef int64_t route
        if self.routes.n == 0:
            return -1
        guess = self.follow[self.last_route]
        if guess < self.routes.n:
            ref = ref_at(self.routes.pages, guess)
            if ref_size(ref) == size and memcmp(ref_text(self.arena.chunks, ref), name, size) == 0:
                self.last_route = guess
                return guess
        route = self.routes.find_text(name, size)
        if route >= 0:
            self.follow[self.last_route] = <uint32_t> route
            self.last_route = <uint32_t> route
        return route

    cdef const char *fast_line(self, const char *line, const char *stop) noexcept nogil:
        """Take a plain `name value` or `name time value` line: the byte after its LF, or NULL for the slow path.

        The byte before `stop` is a LF and ends every loop here.
        """
        cdef const char *at = line
        cdef const char *name
        cdef Py_ssize_t size
        cdef double value
        cdef double first
        cdef bint whole
        cdef int64_t time = self.now
        cdef int64_t route
        cdef uint32_t guess
        cdef uint64_t ref
        name = at
        if self.routes.n == 0:
            return NULL
        guess = self.follow[self.last_route]
        if guess >= self.routes.n:
            guess = 0
        ref = ref_at(self.routes.pages, guess)
        size = ref_size(ref)
        if (size < stop - name and (name[size] == 32 or name[size] == 9)
                and memcmp(ref_text(self.arena.chunks, ref), name, size) == 0):
            route = guess
            at = name + size
        else:
            while not is_space(at[0]) and at[0] != 10:
                at += 1
            size = at - name
            if at[0] == 10 or size == 0 or name[0] == 35:
                return NULL
            route = self.routes.find_text(name, size)
            if route < 0:
                return NULL
            self.follow[self.last_route] = <uint32_t> route
        while is_space(at[0]):
            at += 1
        at = fast_number(at, &first, &whole)
        if at == NULL:
            return NULL
        while is_space(at[0]):
            at += 1
        value = first
        if at[0] != 10:
            if not whole:
                return NULL
            time = <int64_t> first
            at = fast_number(at, &value, &whole)
            if at == NULL:
                return NULL
            while is_space(at[0]):
                at += 1
            if at[0] != 10:
                return NULL
        if self.take_sample(<uint32_t> route, time, 1, value, 0.0, value, value) < 0:
            return NULL
        self.last_route = <uint32_t> route
        self.tally_[T_LINES] += 1
        return at + 1

    cdef int slow_line(self, const char *line, Py_ssize_t size) noexcept nogil:
        """Any line without its LF: a LineCode, or -1: no memory."""
        cdef Sample sample
        cdef int64_t route
        cdef double m2 = 0.0
        cdef uint32_t before = self.last_route
        cdef int taken
        cdef int code = parse_line(line, size, &sample)
        if code != SAMPLE:
            return code
        route = self.find_route(sample.name, sample.name_size)
        if route < 0:
            return UNKNOWN
        if sample.fields == 2:
            sample.time = self.now
        elif sample.fields == 7 and sample.count > 1:
            m2 = sample.sumsq - sample.sum * sample.sum / <double> sample.count
            if m2 < 0.0 or sample.min == sample.max:
                m2 = 0.0
            if not isfinite(m2):
                return NOT_FINITE
        taken = self.take_sample(<uint32_t> route, sample.time, sample.count, sample.sum, m2, sample.min, sample.max)
        if taken == STALE:              # it may have been the guess: a route of that name from before
            self.unlearn(<uint32_t> route)
            route = self.routes.find_text(sample.name, sample.name_size)
            if route < 0:
                return UNKNOWN
            self.follow[before] = <uint32_t> route
            self.last_route = <uint32_t> route
            taken = self.take_sample(<uint32_t> route, sample.time, sample.count, sample.sum, m2, sample.min,
                                     sample.max)
            if taken == STALE:
                self.unlearn(<uint32_t> route)
                return UNKNOWN
        if taken < 0:
            return -1
        self.tally_[T_LINES] += 1
        return SAMPLE

    def feed(self, const unsigned char[::1] data, Py_ssize_t start, Py_ssize_t end):
        """Take the whole lines of data[start:end]; returns how many bytes they are (up to the last LF)."""
        cdef const char *at
        cdef const char *stop
        cdef const char *next
        cdef const char *line_end
        cdef const char *last
        cdef Py_ssize_t longest
        cdef int code
        if not 0 <= start <= end <= data.shape[0]:
            raise ValueError(f"{start}..{end} is not inside {data.shape[0]} bytes")
        if start == end:
            return 0
        at = <const char *> &data[0] + start
        last = <const char *> istat_last_lf(at, end - start)
        if last == NULL:
            return 0
        stop = last + 1
        with nogil:
            while at < stop:
                next = self.fast_line(at, stop)
                if next != NULL:
                    at = next
                    continue
                line_end = <const char *> memchr(at, 10, stop - at)
                code = self.slow_line(at, line_end - at)
                if code != SAMPLE and code != EMPTY:
                    with gil:
                        self.leave_over(code, at, line_end - at)
                at = line_end + 1
        return stop - (<const char *> &data[0] + start)

    cdef int leave_over(self, int code, const char *line, Py_ssize_t size) except -1:
        if code < 0:
            raise MemoryError("no memory for another row")
        if code == UNKNOWN or code == META:
            self.leftovers.append((code, line[:size]))
        elif self.bad_kept < BAD_KEPT:
            self.bad_kept += 1
            self.leftovers.append((code, line[:min(size, 200)]))
        if code == BAD_FIELDS:
            self.tally_[T_BAD_FIELDS] += 1
        elif code == BAD_NUMBER:
            self.tally_[T_BAD_NUMBER] += 1
        elif code == NOT_FINITE:
            self.tally_[T_NOT_FINITE] += 1
        elif code == RESERVED:
            self.tally_[T_RESERVED] += 1
        elif code == META:
            self.tally_[T_META] += 1
        else:
            self.tally_[T_UNKNOWN] += 1
        return 0

    def take_leftovers(self):
        """[(code, line)] that Python has to settle, in order, since the last call; at most 32 of them bad lines,
        which are cut at 200 bytes."""
        if not self.leftovers:
            return ()
        left = self.leftovers
        self.leftovers = []
        self.bad_kept = 0
        return left

    def sample(self, bytes wire not None, time, double value):
        """One sample of the daemon itself by its wire name, which must have a route; `time` None is now."""
        cdef int64_t route = self.routes.find_text(wire, len(wire))
        cdef int taken = STALE
        if route >= 0:
            taken = self.take_sample(<uint32_t> route, self.now if time is None else time, 1, value, 0.0, value, value)
            if taken == STALE:
                self.unlearn(<uint32_t> route)
        if taken == STALE:
            raise ValueError(f"{wire!r} has no route")
        if taken < 0:
            raise MemoryError()

    # -- cut, replay, answers --------------------------------------------------------------------------------------

    def freeze(self):
        """By the number of a policy: [Frozen head or None] per level; the heads are empty afterwards."""
        heads = iter(self.heads)
        return {self.policies[i].number: [next(heads).freeze() for _ in range(self.policies[i].levels)]
                for i in range(self.policies_n)}

    def collect(self, ids, int level, int64_t start, int64_t end, policy=None):
        """[Columns] per id: partial rows in a policy's memory with start <= time < end, in order of arrival."""
        cdef int slot = 0 if policy is None else self.slots[policy]
        cdef Head head
        if not 0 <= level < self.policies[slot].levels:
            raise IndexError(f"policy {policy} has no level {level}")
        for i in range(slot):
            level += self.policies[i].levels
        head = self.heads[level]
        found = []
        for id in ids:
            rows = Columns()
            head.collect(id, start, end, rows)
            found.append(rows)
        return found

    def replay(self, const unsigned char[::1] payload, bint saved=False):
        """Take the records of a frame or of `dump_names` again; nothing is journalled. Returns how many.

        `saved` tells that these names are in a names file, so that `take_names` need not give them again.
        ValueError says where malformed records begin; those before it have been taken.
        """
        cdef const uint8_t *begin
        cdef const uint8_t *at
        cdef const uint8_t *end
        cdef const uint8_t *next
        cdef uint64_t tag
        cdef uint64_t moved
        cdef uint64_t count
        cdef int64_t time = 0
        cdef double sum
        cdef double rest[3]
        cdef Py_ssize_t records = 0
        cdef Py_ssize_t used
        cdef const uint8_t *ahead = NULL
        if payload.shape[0] == 0:
            return 0
        begin = <const uint8_t *> &payload[0]
        at = begin
        end = begin + payload.shape[0]
        while at < end:
            next = get_varint(at, end, &tag)
            if next == NULL:
                break
            if tag & 3 == FORM_NAMES:
                for _ in range(1 if ahead > at else FORESEEN):
                    ahead = self.foresee(ahead if ahead > at else at, end)
                if tag >> 2 & 3 == 3:
                    used = self.replay_change(tag >> 4, next, end)
                else:
                    used = self.replay_name(<int> (tag >> 2 & 1), <int> (tag >> 3 & 1), tag >> 4, next, end)
                if used < 0:
                    break
                if not saved:
                    self.names_reserve(next + used - at)
                    memcpy(self.names_log + self.names_size, at, next + used - at)
                    self.names_size += next + used - at
                at = next + used
                records += 1
                continue
            if tag & 3 != FORM_SAME:
                next = get_varint(next, end, &moved)
                if next == NULL:
                    break
                time += unzigzag(moved)
            if end - next < 8:
                break
            memcpy(&sum, next, 8)
            next += 8
            count = 1
            rest[0] = 0.0
            rest[1] = sum
            rest[2] = sum
            if tag & 3 == FORM_WIDE:
                next = get_varint(next, end, &count)
                if next == NULL or end - next < 24:
                    break
                memcpy(rest, next, 24)
                next += 24
            if not (isfinite(sum) and isfinite(rest[0]) and isfinite(rest[1]) and isfinite(rest[2])):
                break
            if count >> 62:
                break
            # A route whose record was in a damaged frame: whose samples these are is not known.
            if tag >> 2 < self.routes.n and self.apply(
                    <uint32_t> (tag >> 2), time, <int64_t> count, sum, rest[0], rest[1], rest[2]) == -1:
                raise MemoryError()
            at = next
            records += 1
        self.unlearn_moved()
        if at < end:
            raise ValueError(f"malformed record at byte {at - begin} of {payload.shape[0]}")
        return records

    cdef const uint8_t *foresee(self, const uint8_t *at, const uint8_t *end) noexcept nogil:
        """Fetch the slots of the name record at `at`: the byte after it, or `end` when there is none."""
        cdef uint64_t tag
        cdef uint64_t n = 0
        cdef uint64_t size
        at = get_varint(at, end, &tag)
        if at == NULL or tag & 3 != FORM_NAMES or tag >> 2 & 3 == 3:
            return end
        if tag >> 2 & 1:
            at = get_varint(at, end, &n)
            while at != NULL and n != 0:
                at = get_varint(at, end, &size)
                n -= 1
            if at == NULL:
                return end
        at = get_varint(at, end, &size)
        if at == NULL or size > <uint64_t> (end - at):
            return end
        if tag >> 2 & 1:
            self.routes.foresee(<const char *> at, <Py_ssize_t> size)
        else:
            self.counters.foresee(<const char *> at, <Py_ssize_t> size)
        return at + size

    cdef bint fill_lost(self, int type, uint64_t until) except -1:
        """Give the ids below `until` whose records are lost a name of ours, so that no later id is another's.

        False when more are missing than damage can explain, or such a name is taken. A lost route leads nowhere.
        """
        cdef NameTable table = self.routes if type else self.counters
        cdef bytes name
        if until > table.n + <uint64_t> MOST_LOST:
            return False
        while table.n < until:
            if type == 0:
                name = b"istatd.lost.counter.%d" % table.n
                if self.make_counter(name, len(name), False, 0) < 0:
                    return False
            else:
                name = b"#lost.%d" % table.n
                if self.place_route(name, len(name), 0) < 0:
                    return False
        return True

    cdef Py_ssize_t replay_name(self, int type, bint event, uint64_t number, const uint8_t *at,
                                const uint8_t *end) except? -1:
        """One name record: bytes used after its tag, or -1 when it is malformed."""
        cdef const uint8_t *begin = at
        cdef uint64_t n = 0
        cdef uint64_t i
        cdef uint64_t id
        cdef uint64_t size
        cdef int64_t made
        if type == 1:
            at = get_varint(at, end, &n)
            if at == NULL or n > <uint64_t> (end - at):
                return -1
            self.many_reserve(n + 1)
            for i in range(n):
                at = get_varint(at, end, &id)
                if at == NULL or id >= MOST_IDS or not self.fill_lost(0, id + 1):
                    return -1
                self.many[self.many_size + 1 + i] = <uint32_t> id
        at = get_varint(at, end, &size)
        if at == NULL or size > <uint64_t> (end - at):
            return -1
        if not self.fill_lost(type, number) or number != (self.routes.n if type else self.counters.n):
            return -1
        # Where a name is taken, the record that freed it is lost, or was of a route and never written.
        if type == 0:
            made = self.make_counter(<const char *> at, <Py_ssize_t> size, event, 0)
            if made == EXISTS:
                self.hide(<uint32_t> self.counters.find_text(<const char *> at, <Py_ssize_t> size), 0)
                made = self.make_counter(<const char *> at, <Py_ssize_t> size, event, 0)
        else:
            made = self.place_route(<const char *> at, <Py_ssize_t> size, <uint32_t> n)
            if made == EXISTS:
                self.unlearn(<uint32_t> self.routes.find_text(<const char *> at, <Py_ssize_t> size))
                made = self.place_route(<const char *> at, <Py_ssize_t> size, <uint32_t> n)
        return at + size - begin if made >= 0 else -1

    cdef Py_ssize_t replay_change(self, uint64_t number, const uint8_t *at, const uint8_t *end) except? -1:
        """One change of the counter (or route) `number`: bytes used, or -1 when it is malformed. What cannot be done
        because records are lost is left."""
        cdef const uint8_t *begin = at
        cdef uint64_t fields[3]
        cdef uint64_t wanted = 0
        cdef uint64_t i
        cdef int what
        cdef bytes name = b""
        if at == end:
            return -1
        what = at[0]
        at += 1
        wanted = 1 if what in (DELETE, RENAME, POLICY, GONE, DEAD) else 3 if what == BURIED else 0
        for i in range(wanted):
            at = get_varint(at, end, &fields[i])
            if at == NULL:
                return -1
        if what == RENAME or what == BURIED:
            i = fields[wanted - 1]
            if not 0 < i <= NAME_ROOM or i > <uint64_t> (end - at):
                return -1
            name = (<const char *> at)[:i]
            at += i
        if what == GONE or what == DEAD:
            if not 0 < fields[0] <= MOST_RUN or number > MOST_IDS - fields[0] or not self.replay_run(
                    what, number, fields[0]):
                return -1
            return at - begin
        if what == BURIED:
            if not self.fill_lost(0, number) or number != self.counters.n:
                return -1
            self.add_nameless(name, fields[0] != 0)
            self.deleted[number] = fields[1]
            return at - begin
        if not DELETE <= what <= POLICY or not self.fill_lost(0, number + 1):
            return -1
        if what == DELETE:
            self.hide(<uint32_t> number, fields[0])
        elif what == UNDELETE:
            if number in self.deleted and self.counters.find(self.counters.name(<uint32_t> number)) < 0:
                self.show(<uint32_t> number)
        elif what == POLICY:            # one that this engine does not have is the default
            self.place_policy(<uint32_t> number, self.slots.get(fields[0], 0))
        elif not self.counters.is_away(number) and self.counters.find_text(name, len(name)) < 0:
            self.move(<uint32_t> number, name)
        return at - begin

    cdef bint replay_run(self, int what, uint64_t first, uint64_t count) except? False:
        """Ids that are gone, or routes that lead nowhere; those not known yet are so from the start."""
        cdef uint64_t route
        if not self.fill_lost(0 if what == GONE else 1, first):
            return False
        if what == GONE:
            while self.counters.n < first + count:
                self.add_nameless(b"", False)
            self.forget(<uint32_t> first, <uint32_t> count)
            return True
        while self.routes.n < first + count:
            if self.routes.insert_nameless(NULL, 0) < 0:
                raise MemoryError()
            if self.routes.n > self.target_room:
                self.grow_targets()
            self.target[self.routes.n - 1] = 0
            self.follow[self.routes.n - 1] = self.routes.n
        for route in range(first, first + count):
            self.unlearn(<uint32_t> route)
        return True

    cdef int add_nameless(self, bytes name, bint event) except -1:
        """The next id, of a counter that is away from the start."""
        cdef int64_t id = self.counters.insert_nameless(name, len(name))
        if id < 0:
            raise MemoryError()
        if <uint64_t> id >= self.kind_room:
            self.grow_kinds()
        self.kind[id] = K_AWAY | (K_EVENT if event else 0)
        self.heard_[id] = self.today
        return self.place_policy(<uint32_t> id, 0)
