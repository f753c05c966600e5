"""The engine of a store: what lines are fed to, what records are replayed into, and what is dumped as records.

It is built in floors, each a class that knows only those below it: Ladders (heads and limits of time), Registry
(counters, routes and what happens to them), Feed (lines to buckets), and this, which reads records back. What a
record does is specification, and so is that records of ids that are gone are dumped as runs. The native build of the
same name does the same.
"""
from __future__ import annotations

from collections.abc import Sequence, Set

from istat.kernels.python.ingest.feed import Feed
from istat.kernels.python.ingest.records import (
    DELETE,
    GONE,
    MOST_IDS,
    MOST_RUN,
    POLICY,
    RENAME,
    TOMBSTONE,
    UNDELETE,
    UNLEARNT,
    Change,
    Counter,
    Interval,
    Mark,
    Position,
    Record,
    Route,
    Sample,
    put_change,
    put_counter,
    put_route,
    read,
)
from istat.kernels.unknown import UnknownRecord

MOST_LOST = 16384       # name records that one stretch of damage can have held


class Engine(Feed):
    """Counters, routes, heads and the journal buffer of one store. Levels finest first.

    `intervals` and `policy` are those of the default ladder, the one of counters that no change record gives another;
    counters of other policies have heads of their own.
    """

    def __init__(self, intervals: Sequence[int], key: int = 0, policy: int = 0) -> None:
        super().__init__(intervals, key, policy)
        self._following = False         # what is replayed is another store's
        self._followed: list[tuple[int, int, int]] = []     # see take_followed

    # -- dump

    def dump_names(self, first_counter: int = 0, first_route: int = 0, counters: int = MOST_IDS,
                   routes: int = MOST_IDS) -> bytes:
        """Records of all counters and routes from these ids on, at most so many: what `replay` reads back."""
        out = bytearray()
        id, stop = first_counter, min(first_counter + counters, len(self.counters))
        while id < stop:
            run = min(_run(id, self._gone), stop - id)
            out += put_change(GONE, id, run) if run else self._dump_counter(id)
            id += run or 1
        route, stop = first_route, min(first_route + routes, len(self.routes))
        unlearnt = {route for route in range(first_route, stop) if not self.routes.has(route)}
        while route < stop:
            run = _run(route, unlearnt)
            out += put_change(UNLEARNT, route, run) if run else put_route(
                route, self.routes.targets(route), self.routes.name(route))
            route += run or 1
        return bytes(out)

    def _dump_counter(self, id: int) -> bytes:
        name, event = self.counters.name(id), self._events[id]
        if id in self.deleted:
            record = put_change(TOMBSTONE, id, event, self.deleted[id], name=name)
        else:
            record = put_counter(id, event, name)
        return record + put_change(POLICY, id, self.policy(id)) if self._slot_of[id] else record

    # -- replay

    def replay(self, payload: bytes | bytearray | memoryview, saved: bool = False, journal: bool = False,
               follow: bool = False) -> int:
        """Take the records of a frame or of `dump_names` again. Returns how many.

        `saved` tells that these names are in a names file, so that `take_names` need not give them again. `journal`:
        what is taken goes to the journal too, as if it had come by itself; else nothing does. `follow`, which wants
        `journal`: the records are another store's, whose ids these are. Its positions are not ours, and a deleted
        counter that is gone there stays deleted here, as there may be rows of it in our files yet (`take_followed`).
        ValueError says where malformed records begin, UnknownRecord where those that a newer istatd wrote; those
        before them have been taken, but for `follow`, which takes all that can be read or nothing.
        """
        data, at, time, records = bytes(payload), 0, 0, 0
        self._following = follow
        try:
            while follow and at < len(data):
                _record, at = read(data, at, time)
            at = 0
            while at < len(data):
                record, end = read(data, at, time)
                if isinstance(record, Sample):
                    time = record.fields[0]
                self._replay_one(record, journal)
                if isinstance(record, Counter | Route | Change) and not self._is_followed_gone(record):
                    if not saved:
                        self._names_log += data[at:end]
                    if journal:
                        self._journal += data[at:end]
                at = end
                records += 1
        except UnknownRecord as error:
            raise UnknownRecord(f"{error} at byte {at} of {len(data)}") from error
        except ValueError as error:
            raise ValueError(f"malformed record at byte {at} of {len(data)}") from error
        finally:
            self._following = False
            self._end_rows()
            self.unlearn_moved()
        return records

    def replay_names(self, payload: bytes | bytearray | memoryview, at: int, most: int) -> int:
        """The same as `replay(payload, saved=True)`, at most so many records from a place on: the place behind them.
        To be called until that is the end."""
        data, time = bytes(payload), 0
        if not 0 <= at < len(data):
            return len(data)
        try:
            for _ in range(most):
                if at >= len(data):
                    break
                record, end = read(data, at, time)
                if isinstance(record, Sample):
                    time = record.fields[0]
                self._replay_one(record, False)
                at = end
        except UnknownRecord as error:
            raise UnknownRecord(f"{error} at byte {at} of {len(data)}") from error
        except ValueError as error:
            raise ValueError(f"malformed record at byte {at} of {len(data)}") from error
        if at >= len(data):
            self._end_rows()
            self.unlearn_moved()
        return at

    def _replay_one(self, record: Record, journal: bool) -> None:
        """ValueError when that cannot be."""
        match record:
            case Sample():
                # A route whose record was in a damaged frame: whose samples these are is not known.
                if record.route < len(self.routes) and self._apply(record.route, record.fields) and journal:
                    self._put_sample(record.route, record.fields)
            case Interval():
                self._row_interval = record.seconds
            case Mark():
                self._marks.append((record.sender, record.epoch, record.sequence))
                if journal:
                    self.put_mark(*record)
            case Position():
                self._replay_position(record, journal)
            case Counter():
                self._replay_counter(record)
            case Route():
                self._replay_route(record)
            case Change() if self._is_followed_gone(record):
                self._follow_gone(record.number, record.value)
            case Change(what=what) if what == GONE:
                self._replay_gone(record.number, record.value)
            case Change(what=what) if what == UNLEARNT:
                self._replay_unlearnt(record.number, record.value)
            case Change(what=what) if what == TOMBSTONE:
                self._replay_tombstone(record)
            case Change():
                self._replay_change(record)

    def _replay_position(self, position: Position, journal: bool) -> None:
        if self._following:
            return
        self._position = position
        if journal:
            self.put_position(*position)

    def _is_followed_gone(self, record: Record) -> bool:
        """Whether this is put down otherwise than it came."""
        return self._following and isinstance(record, Change) and record.what == GONE

    def _follow_gone(self, first: int, count: int) -> None:
        """Ids that are gone where they were given: of them, those that are deleted here stay so."""
        self._fill_lost_counters(first)
        deleted = [id for id in range(first, first + count) if id in self.deleted]
        if deleted:
            self._note_followed(TOMBSTONE, max(deleted), max(self.deleted[id] for id in deleted))
        for stop in [*deleted, first + count]:
            if stop > first:
                self._replay_gone(first, stop - first)
                self._put(put_change(GONE, first, stop - first))
                self._note_followed(GONE, first, stop - first)
            first = stop + 1

    def _note_followed(self, what: int, id: int, value: int) -> None:
        if self._following:
            self._followed.append((what, id, value))

    def take_followed(self) -> list[tuple[int, int, int]]:
        """(what, id, value) of what happened to counters by `follow` since the last call, in order: DELETE, and
        UNDELETE of it, with its number; GONE, how many ids from this one on; TOMBSTONE: deletes up to this number are
        final there, as this counter is gone there that is deleted here."""
        followed, self._followed = self._followed, []
        return followed

    def _fill_lost_counters(self, until: int) -> None:
        """Give the ids below `until` whose records are lost a name of ours, so that no later id is another's.

        ValueError when more are missing than damage can explain.
        """
        if until > len(self.counters) + MOST_LOST:
            raise ValueError("too many names are missing")
        while len(self.counters) < until:
            self._make_counter(b"istatd.lost.counter.%d" % len(self.counters), False)

    def _fill_lost_routes(self, until: int) -> None:
        """The same for routes: a lost one leads nowhere."""
        if until > len(self.routes) + MOST_LOST:
            raise ValueError("too many names are missing")
        while len(self.routes) < until:
            self.routes.place(b"#lost.%d" % len(self.routes), ())

    def _replay_counter(self, record: Counter) -> None:
        self._fill_lost_counters(record.id)
        if record.id != len(self.counters):
            raise ValueError("this id has a name")
        taken = self.counters.find(record.name)
        if taken >= 0:          # the record that freed it is lost
            self._mark_deleted(taken, 0)
            self._note_followed(DELETE, taken, 0)
        self._make_counter(record.name, record.event)

    def _replay_route(self, record: Route) -> None:
        for id in record.targets:
            self._fill_lost_counters(id + 1)
        self._fill_lost_routes(record.number)
        if record.number != len(self.routes):
            raise ValueError("this number has a name")
        taken = self.routes.find(record.name)
        if taken >= 0:          # what freed it was never written
            self.routes.unlearn(taken)
        self.routes.place(record.name, record.targets)

    def _replay_change(self, record: Change) -> None:
        """What happened to a counter. What cannot be done because records are lost is left."""
        id, name = record.number, record.name
        self._fill_lost_counters(id + 1)
        live = self.counters.has(id)
        if record.what == DELETE and live:
            self._mark_deleted(id, record.value)
            self._note_followed(DELETE, id, record.value)
        elif record.what == POLICY:         # one that this engine does not have is the default
            self._slot_of[id] = self._slots.get(record.value, 0)
        elif record.what == RENAME and live and self.counters.find(name) < 0:
            self._move(id, name)
        elif record.what == UNDELETE and id in self.deleted and self.counters.find(self.counters.name(id)) < 0:
            self._note_followed(UNDELETE, id, self.deleted[id])
            self._mark_undeleted(id)

    def _replay_tombstone(self, record: Change) -> None:
        """A counter that is deleted already, whoever has its name now."""
        self._fill_lost_counters(record.number)
        if record.number != len(self.counters):
            raise ValueError("this id has a name")
        self._make_unlisted(record.name, record.event)
        self.deleted[record.number] = record.value
        self._note_followed(DELETE, record.number, record.value)

    def _replay_gone(self, first: int, count: int) -> None:
        """Ids that are gone; those not known yet are so from the start."""
        self._fill_lost_counters(first)
        while len(self.counters) < first + count:
            self._make_unlisted(b"", False)
        self._forget(first, count)

    def _replay_unlearnt(self, first: int, count: int) -> None:
        """Routes that lead nowhere; those not known yet do so from the start."""
        self._fill_lost_routes(first)
        while len(self.routes) < first + count:
            self.routes.place_unlearnt()
        for route in range(first, first + count):
            self.routes.unlearn(route)


def _run(first: int, ids: Set[int]) -> int:
    """How many ids from `first` on are in a set, without a gap; at most what one record may say."""
    last = first
    while last in ids and last - first < MOST_RUN:
        last += 1
    return last - first
