# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The engine of a store: what lines are fed to, what records are replayed into, and what is dumped as records.

It is built in floors, each a class that knows only those below it: Ladders (heads and limits of time), Registry
(counters, routes and what happens to them), Feed (lines to buckets), and this, which reads records back.
docs/formats/journal.md describes them. The specification is the Python twin.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from istat.kernels.native.ingest.feed cimport Feed
from istat.kernels.native.ingest.records cimport (
    DELETE, ESCAPE, FORM_NAMES, GONE, MARK, MOST_IDS, MOST_RUN, POLICY, POSITION, RENAME, STORE_BYTES, TOMBSTONE,
    UNDELETE, UNLEARNT, Buffer, Record, put_change, put_counter, put_mark, put_position, put_route, read_record, reserve)
from istat.kernels.native.ingest.registry cimport POLICY_SHIFT, is_deleted, is_event, is_gone, ladder_of
from istat.kernels.native.ingest.routes cimport ids_of
from istat.kernels.native.names cimport EXISTS, ref_at, ref_size, ref_text
from istat.kernels.native.varints cimport get_varint

from istat.kernels.unknown import UnknownRecord

cdef enum:
    FORESEEN = 12              # name records whose slots are fetched ahead of their turn
    MOST_LOST = 16384          # name records that one stretch of damage can have held


cdef int append(Buffer *buffer, const uint8_t *record, size_t size) except -1:
    """A record as it is."""
    if reserve(buffer, size) < 0:
        raise MemoryError()
    memcpy(buffer.data + buffer.size, record, size)
    buffer.size += size
    return 0


cdef class Engine(Feed):
    """Counters, routes, heads and the journal buffer of one store. Levels finest first.

    `intervals` and `policy` are those of the default ladder, the one of counters that no change record gives another;
    counters of other policies have heads of their own.
    """

    cdef bint following                # what is replayed is another store's
    cdef list followed                 # see take_followed

    def __cinit__(self, *args, **kwargs):
        self.followed = []

    # -- dump ------------------------------------------------------------------------------------------------------

    def dump_names(self, uint32_t first_counter=0, uint32_t first_route=0, uint32_t counters=0xFFFFFFFF,
                   uint32_t routes=0xFFFFFFFF):
        """Records of all counters and routes from these ids on, at most so many: what `replay` reads back."""
        cdef size_t before = self.names_log.size
        cdef uint64_t id = first_counter
        cdef uint64_t stop = min(<uint64_t> first_counter + counters, <uint64_t> self.counters.n)
        while id < stop:
            id += self.dump_counter(<uint32_t> id, stop)
        id = first_route
        stop = min(<uint64_t> first_route + routes, <uint64_t> self.routes.n)
        while id < stop:
            id += self.dump_route(<uint32_t> id, stop)
        records = (<char *> self.names_log.data)[before:self.names_log.size]
        self.names_log.size = before
        return records

    cdef uint64_t dump_counter(self, uint32_t id, uint64_t stop) except 0:
        """A counter, or a run of some that are gone, to the log of names; how many ids that is."""
        cdef uint64_t run = id
        cdef uint64_t ref
        while run < stop and run - id < MOST_RUN and is_gone(self, run):
            run += 1
        if run > id:
            put_change(&self.names_log, GONE, id, (run - id,), None)
            return run - id
        if is_deleted(self, id):
            put_change(&self.names_log, TOMBSTONE, id, (is_event(self, id), self.deleted[id]), self.counters.name(id))
        else:
            ref = ref_at(self.counters.pages, id)
            put_counter(&self.names_log, id, is_event(self, id), ref_text(self.arena.chunks, ref), ref_size(ref))
        if self.kind[id] >> POLICY_SHIFT:
            put_change(&self.names_log, POLICY, id, (ladder_of(self, id).policy,), None)
        return 1

    cdef uint64_t dump_route(self, uint32_t route, uint64_t stop) except 0:
        """The same for a route, or a run of some that were unlearnt."""
        cdef uint64_t run = route
        cdef uint64_t ref = ref_at(self.routes.pages, route)
        cdef uint32_t target = self.routes.target[route] - 1
        cdef uint32_t n = 0
        cdef const uint32_t *ids
        while run < stop and run - route < MOST_RUN and self.routes.is_unlisted(run):
            run += 1
        if run > route:
            put_change(&self.names_log, UNLEARNT, route, (run - route,), None)
            return run - route
        ids = ids_of(self.routes, &target, &n)
        put_route(&self.names_log, route, ids, n, ref_text(self.arena.chunks, ref), ref_size(ref))
        return 1

    # -- replay ----------------------------------------------------------------------------------------------------

    def replay(self, const unsigned char[::1] payload, bint saved=False, bint journal=False, bint follow=False):
        """Take the records of a frame or of `dump_names` again. Returns how many.

        `saved` tells that these names are in a names file, so that `take_names` need not give them again. `journal`:
        what is taken goes to the journal too, as if it had come by itself; else nothing does. `follow`, which wants
        `journal`: the records are another store's, whose ids these are. Its positions are not ours, and a deleted
        counter that is gone there stays deleted here, as there may be rows of it in our files yet (`take_followed`).
        ValueError says where malformed records begin, UnknownRecord where those that a newer istatd wrote; those
        before them have been taken, but for `follow`, which takes all that can be read or nothing.
        """
        cdef const uint8_t *begin
        cdef const uint8_t *at
        cdef const uint8_t *end
        cdef const uint8_t *next
        cdef Record record
        cdef Py_ssize_t records = 0
        if payload.shape[0] == 0:
            return 0
        begin = <const uint8_t *> &payload[0]
        at = begin
        end = begin + payload.shape[0]
        record.time = 0
        record.unknown = False
        while follow and at < end:
            next = read_record(at, end, &record)
            if next == NULL:
                self.refuse(&record, at - begin, payload.shape[0])
            at = next
        at = begin
        record.time = 0
        self.following = follow
        try:
            records = self.replay_all(&at, end, &record, saved, journal, payload.shape[0])
        finally:
            self.following = False
        self.end_rows()
        self.unlearn_moved()
        if at < end:
            self.refuse(&record, at - begin, payload.shape[0])
        return records

    def replay_names(self, const unsigned char[::1] payload, Py_ssize_t at, Py_ssize_t most):
        """The same as `replay(payload, saved=True)`, at most so many records from a place on: the place behind them.
        To be called until that is the end."""
        cdef const uint8_t *begin
        cdef const uint8_t *place
        cdef const uint8_t *end
        cdef Record record
        cdef Py_ssize_t taken
        if not 0 <= at < payload.shape[0]:
            return payload.shape[0]
        begin = <const uint8_t *> &payload[0]
        place = begin + at
        end = begin + payload.shape[0]
        record.time = 0
        record.unknown = False
        taken = self.replay_all(&place, end, &record, True, False, most)
        if taken < most and place < end:
            self.refuse(&record, place - begin, payload.shape[0])
        if place == end:
            self.end_rows()
            self.unlearn_moved()
        return place - begin

    cdef Py_ssize_t replay_all(self, const uint8_t **place, const uint8_t *end, Record *record, bint saved,
                               bint journal, Py_ssize_t most) except -1:
        """Take records up to the end, or so many, or to one that cannot be: `place` is there then. How many."""
        cdef const uint8_t *at = place[0]
        cdef const uint8_t *next
        cdef const uint8_t *ahead = NULL
        cdef Py_ssize_t records = 0
        while at < end and records < most:
            place[0] = at
            next = read_record(at, end, record)
            if next == NULL:
                return records
            if record.form == FORM_NAMES and record.what == ESCAPE:
                self.replay_escape(record, journal)
            elif record.form == FORM_NAMES and record.what == GONE and self.following:
                if not self.follow_gone(record.number, record.value):
                    return records
            elif record.form == FORM_NAMES:
                for _ in range(1 if ahead > at else FORESEEN):
                    ahead = self.foresee(ahead if ahead > at else at, end)
                if not (self.replay_change(record) if record.what else self.replay_name(record)):
                    return records
                if not saved:
                    append(&self.names_log, at, next - at)
                if journal:
                    append(&self.journal, at, next - at)
            # A route whose record was in a damaged frame: whose samples these are is not known.
            elif record.number < self.routes.n and self.replay_sample(record, journal) == -1:
                raise MemoryError()
            at = next
            records += 1
        place[0] = at
        return records

    cdef int refuse(self, Record *record, Py_ssize_t at, Py_ssize_t size) except -1:
        """UnknownRecord or ValueError for the record at a place."""
        if record.unknown:
            what = f"escape {record.value}" if record.what == ESCAPE else f"change {record.what}"
            raise UnknownRecord(f"{what} at byte {at} of {size}")
        raise ValueError(f"malformed record at byte {at} of {size}")

    cdef inline int replay_sample(self, Record *record, bint journal) noexcept nogil:
        """As `apply` or, with `journal`, as `put_row`."""
        if journal:
            return self.put_row(<uint32_t> record.number, record.time, record.count, record.sum, record.m2, record.min,
                                record.max)
        return self.apply(<uint32_t> record.number, record.time, record.count, record.sum, record.m2, record.min,
                          record.max)

    cdef int replay_escape(self, Record *record, bint journal) except -1:
        """An interval, a mark or a position."""
        cdef bytes sender
        if record.value == MARK:
            sender = record.name[:record.name_size]
            self.marks.append((sender, record.epoch, record.sequence))
            if journal:
                put_mark(&self.journal, sender, len(sender), record.epoch, record.sequence)
        elif record.value == POSITION:
            if not self.following:
                self.position = (record.name[:STORE_BYTES], record.epoch, record.segment, record.offset, record.salt)
                if journal:
                    put_position(&self.journal, record.name, record.epoch, record.segment, record.offset, record.salt)
        else:
            self.row_interval = record.interval
        return 0

    cdef bint follow_gone(self, uint64_t first, uint64_t count) except -1:
        """Ids that are gone where they were given: of them, those that are deleted here stay so."""
        cdef uint64_t stop
        if not self.fill_lost_counters(first):
            return False
        deleted = [id for id in range(first, first + count) if id in self.deleted]
        if deleted:
            self.note_followed(TOMBSTONE, max(deleted), max([self.deleted[id] for id in deleted]))
        for stop in [*deleted, first + count]:
            if stop > first:
                self.replay_gone(first, stop - first)
                self.put_change(GONE, first, (stop - first,), None)
                self.note_followed(GONE, first, stop - first)
            first = stop + 1
        return True

    cdef int note_followed(self, int what, uint64_t id, uint64_t value) except -1:
        if self.following:
            self.followed.append((what, id, value))
        return 0

    def take_followed(self):
        """(what, id, value) of what happened to counters by `follow` since the last call, in order: DELETE, and
        UNDELETE of it, with its number; GONE, how many ids from this one on; TOMBSTONE: deletes up to this number are
        final there, as this counter is gone there that is deleted here."""
        followed = self.followed
        self.followed = []
        return followed

    cdef const uint8_t *foresee(self, const uint8_t *at, const uint8_t *end) noexcept nogil:
        """Fetch the slots of the name record at `at`: the byte after it, or `end` when there is none."""
        cdef Record record
        record.time = 0         # a sample's record adds to it
        at = read_record(at, end, &record)
        if at == NULL or record.form != FORM_NAMES or record.what:
            return end
        if record.is_route:
            self.routes.foresee(record.name, record.name_size)
        else:
            self.counters.foresee(record.name, record.name_size)
        return at

    cdef bint fill_lost_counters(self, uint64_t until) except -1:
        """Give the ids below `until` whose records are lost a name of ours, so that no later id is another's.

        False when more are missing than damage can explain, or such a name is taken.
        """
        cdef bytes name
        if until > self.counters.n + <uint64_t> MOST_LOST:
            return False
        while self.counters.n < until:
            name = b"istatd.lost.counter.%d" % self.counters.n
            if self.make_counter(name, len(name), False, 0) < 0:
                return False
        return True

    cdef bint fill_lost_routes(self, uint64_t until) except -1:
        """The same for routes: a lost one leads nowhere."""
        cdef bytes name
        if until > self.routes.n + <uint64_t> MOST_LOST:
            return False
        while self.routes.n < until:
            name = b"#lost.%d" % self.routes.n
            if self.routes.place(name, len(name), 0) < 0:
                return False
        return True

    cdef bint replay_name(self, Record *record) except -1:
        """A counter or a route; False when it cannot be."""
        # Where a name is taken, the record that freed it is lost, or was of a route and never written.
        cdef int64_t made
        if record.is_route:
            return self.replay_route(record)
        if record.number != self.counters.n and (
                not self.fill_lost_counters(record.number) or record.number != self.counters.n):
            return False
        made = self.make_counter(record.name, record.name_size, record.is_event, 0)
        if made == EXISTS:
            made = self.counters.find_text(record.name, record.name_size)
            self.mark_deleted(<uint32_t> made, 0)
            self.note_followed(DELETE, <uint64_t> made, 0)
            made = self.make_counter(record.name, record.name_size, record.is_event, 0)
        return made >= 0

    cdef bint replay_route(self, Record *record) except -1:
        cdef const uint8_t *at = record.ids
        cdef const uint8_t *end = <const uint8_t *> record.name
        cdef uint32_t *ready = self.routes.make_ready(record.targets)
        cdef uint64_t id = 0
        cdef uint64_t i
        cdef int64_t made
        for i in range(record.targets):
            at = get_varint(at, end, &id)
            if id >= self.counters.n and (id >= MOST_IDS or not self.fill_lost_counters(id + 1)):
                return False
            ready[i] = <uint32_t> id
        if record.number != self.routes.n and (
                not self.fill_lost_routes(record.number) or record.number != self.routes.n):
            return False
        made = self.routes.place(record.name, record.name_size, <uint32_t> record.targets)
        if made == EXISTS:
            self.routes.unlearn(<uint32_t> self.routes.find_text(record.name, record.name_size))
            made = self.routes.place(record.name, record.name_size, <uint32_t> record.targets)
        return made >= 0

    cdef bint replay_change(self, Record *record) except -1:
        """What happened to a counter (or a route); False when it cannot be. What cannot be done because records are
        lost is left."""
        cdef bytes name
        cdef uint32_t id = <uint32_t> record.number
        if record.what == GONE:
            return self.replay_gone(record.number, record.value)
        if record.what == UNLEARNT:
            return self.replay_unlearnt(record.number, record.value)
        if record.what == TOMBSTONE:
            return self.replay_tombstone(record)
        if not self.fill_lost_counters(record.number + 1):
            return False
        if record.what == DELETE:
            if self.mark_deleted(id, record.value):
                self.note_followed(DELETE, id, record.value)
        elif record.what == UNDELETE:
            if id in self.deleted and self.counters.find(self.counters.name(id)) < 0:
                self.note_followed(UNDELETE, id, self.deleted[id])
                self.mark_undeleted(id)
        elif record.what == POLICY:         # one that this engine does not have is the default
            self.place_policy(id, self.slots.get(record.value, 0))
        elif not self.counters.is_unlisted(id) and self.counters.find_text(record.name, record.name_size) < 0:
            name = record.name[:record.name_size]
            self.move(id, name)
        return True

    cdef bint replay_tombstone(self, Record *record) except -1:
        """A counter that is deleted already, whoever has its name now."""
        cdef bytes name = record.name[:record.name_size]
        if not self.fill_lost_counters(record.number) or record.number != self.counters.n:
            return False
        self.make_unlisted(name, record.is_event)
        self.deleted[record.number] = record.value
        self.note_followed(DELETE, record.number, record.value)
        return True

    cdef bint replay_gone(self, uint64_t first, uint64_t count) except -1:
        """Ids that are gone; those not known yet are so from the start."""
        if not self.fill_lost_counters(first):
            return False
        while self.counters.n < first + count:
            self.make_unlisted(b"", False)
        self.forget(<uint32_t> first, <uint32_t> count)
        return True

    cdef bint replay_unlearnt(self, uint64_t first, uint64_t count) except -1:
        """Routes that lead nowhere; those not known yet do so from the start."""
        cdef uint64_t route
        if not self.fill_lost_routes(first):
            return False
        while self.routes.n < first + count:
            self.routes.place_unlearnt()
        for route in range(first, first + count):
            self.routes.unlearn(<uint32_t> route)
        return True
