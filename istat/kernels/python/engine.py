"""Lines to buckets: routes, kinds, heads and the journal buffer. Knows no sockets, files or clock.

This module is the specification; `native/engine.pyx` is the fast build of it and the same tests run on both.
A wire name found in the route table leads straight to the counters it feeds. What cannot be settled here (new
names, metadata, bad lines) is left over as (code, line). Journal records: docs/formats/journal.md.
"""
from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence, Set

from istat.kernels.python.columns import Columns
from istat.kernels.python.head import Frozen, Head
from istat.kernels.python.lines import (
    BAD_FIELDS,
    BAD_NUMBER,
    EMPTY,
    META,
    NOT_FINITE,
    RESERVED,
    SAMPLE,
    UNKNOWN,
    parse,
)
from istat.kernels.python.names import NAME_ROOM, NameTable

TALLY = ("samples", "lines", "bad_fields", "bad_number", "not_finite", "reserved", "metadata", "unknown",
         "from_future", "from_past", "rejected", "journalled")
MOST_IDS = 0xFFFFFFFE
MOST_RUN = 65536        # ids that one record can say to be gone: bounds what damaged bytes can make of a few
MOST_LOST = 16384       # name records that one stretch of damage can have held
MOST_LEVELS = 16        # of one ladder
MOST_POLICIES = 64      # ladders with heads at one time
BAD_KEPT = 32           # bad lines kept with their text between two calls of take_leftovers; the rest is counted
BAD_ROOM = 200          # [bytes] of a bad line kept
SLACK = 0.0001          # how far a pre-aggregated mean may leave [min, max], as a share (spec: gauge validity)
FORM_SAME, FORM_TIME, FORM_WIDE, FORM_NAMES = range(4)
CHANGE = 3              # of a name record: what happened to a counter, not a name
DELETE, UNDELETE, RENAME, POLICY, GONE, BURIED, DEAD = range(1, 8)     # what happened; docs/formats/journal.md
_TALLY_OF = {BAD_FIELDS: "bad_fields", BAD_NUMBER: "bad_number", NOT_FINITE: "not_finite",
             RESERVED: "reserved", META: "metadata", UNKNOWN: "unknown"}

Fields = tuple[int, int, float, float, float, float]      # time, count, sum, m2, min, max


class _Policy:
    """One ladder: its heads and the times that its levels take."""

    def __init__(self, number: int, intervals: Sequence[int]) -> None:
        self.number = number
        self.heads = [Head(interval) for interval in intervals]
        self.oldest = [0] * len(intervals)
        self.newest_event = 0


class Engine:
    """Counters, routes, heads and the journal buffer of one store. Levels finest first.

    `intervals` and `policy` are those of the default ladder, the one of counters that no change record gives another;
    counters of other policies have heads of their own.
    """

    def __init__(self, intervals: Sequence[int], key: int = 0, policy: int = 0) -> None:
        self.counters = NameTable(key)
        self.routes = NameTable(key, self.counters)
        self.heads: list[Head] = []             # of all policies, in the order in which these were added
        self._policies: list[_Policy] = []
        self._slots: dict[int, int] = {}        # number of a policy -> index in _policies
        self.add_policy(policy, intervals)
        self._targets: list[tuple[int, ...]] = []
        self._events: list[bool] = []
        self.deleted: dict[int, int] = {}       # id -> number of its delete; until it is gone
        self._gone: set[int] = set()
        self._heard: list[int] = []             # of a counter: the day it was last heard, since 1970
        self._today = 0
        self._moved: set[int] = set()           # renamed since the last `unlearn_moved`
        self._policy_of: list[int] = []         # of a counter: index in _policies
        self._now = self._newest_gauge = 0
        self._journal = bytearray()
        self._journal_time = 0
        self._names_log = bytearray()
        self._tally = dict.fromkeys(TALLY, 0)
        self._leftovers: list[tuple[int, bytes]] = []
        self._bad_kept = 0

    # -- policies

    def add_policy(self, number: int, intervals: Sequence[int]) -> None:
        """A ladder that counters may be given. ValueError when there are too many levels or ladders, or the
        number is taken."""
        if not 1 <= len(intervals) <= MOST_LEVELS:
            raise ValueError(f"an engine has 1 to {MOST_LEVELS} levels, not {len(intervals)}")
        if number in self._slots or len(self._policies) == MOST_POLICIES:
            raise ValueError(f"there is no room for a policy {number}")
        self._slots[number] = len(self._policies)
        self._policies.append(_Policy(number, intervals))
        self.heads += self._policies[-1].heads

    def alias_policy(self, number: int, heir: int) -> None:
        """Counters recorded with policy `number` are of policy `heir`, which exists. ValueError when `number` is
        taken."""
        if number in self._slots:
            raise ValueError(f"there is a policy {number}")
        self._slots[number] = self._slots[heir]

    def policy(self, id: int) -> int:
        """The number of a counter's policy. IndexError when there is no such counter."""
        if not 0 <= id < len(self._policy_of):
            raise IndexError(f"no counter has the id {id}")
        return self._policies[self._policy_of[id]].number

    def set_policy(self, id: int, number: int) -> None:
        """Give a counter another policy; the journal gets its record. What its old policy's heads hold of it
        stays there. IndexError or KeyError when there is no such counter or policy."""
        self.policy(id)
        self._policy_of[id] = self._slots[number]
        self._put_names(_change(id, POLICY, number))

    def set_limits(self, now: int, newest_gauge: int, newest_event: int, oldest: Sequence[int],
                   policy: int | None = None) -> None:
        """The time of samples without one, and the times accepted: `oldest` per level, finest first [s].

        `newest_event` and `oldest` are of one policy (None: the default).
        """
        self._now, self._newest_gauge = now, newest_gauge
        self._today = min(max(now // 86400, 0), 0xFFFF)
        ladder = self._policies[0 if policy is None else self._slots[policy]]
        ladder.newest_event = newest_event
        ladder.oldest = [max(time, 0) for time in oldest]

    def tally(self) -> dict[str, int]:
        """Totals since the start by kind."""
        return dict(self._tally)

    def journal_size(self) -> int:
        """Bytes of journal records not taken yet."""
        return len(self._journal)

    def memory(self) -> int:
        """Bytes held by names, routes and rows."""
        return self.counters.memory() + self.routes.memory() + sum(head.memory() for head in self.heads)

    # -- names

    def is_event(self, id: int) -> bool:
        """Whether a counter is an event counter."""
        return self._events[id]

    def add_counter(self, name: bytes, event: bool, policy: int | None = None) -> int:
        """The id of a new counter; the journal gets its record. ValueError when it exists, KeyError when there
        is no such policy."""
        slot = 0 if policy is None else self._slots[policy]
        id = self._make_counter(name, event)
        self._put_names(_name_record(0, event, id, (), name))
        if slot:
            self._policy_of[id] = slot
            self._put_names(_change(id, POLICY, self.policy(id)))
        return id

    def _make_counter(self, name: bytes, event: bool) -> int:
        if self.counters.find(name) >= 0:
            raise ValueError(f"counter {name!r} exists")
        id = self.counters.add(name)
        self._events.append(bool(event))
        self._policy_of.append(0)
        self._heard.append(self._today)
        return id

    def add_route(self, wire: bytes, ids: Iterable[int]) -> int:
        """Lead a wire name to the counters it feeds; the journal gets its record. ValueError when it exists."""
        targets = tuple(ids)
        route = self._make_route(wire, targets)
        self._put_names(_name_record(1, False, route, targets, wire))
        return route

    def _make_route(self, wire: bytes, ids: tuple[int, ...]) -> int:
        if not ids or max(ids) >= len(self.counters) or min(ids) < 0:
            raise ValueError(f"a route leads to one known counter or more, not {ids!r}")
        return self._place_route(wire, ids)

    def _place_route(self, wire: bytes, ids: tuple[int, ...]) -> int:
        if self.routes.find(wire) >= 0:
            raise ValueError(f"route {wire!r} exists")
        route = self.routes.add(wire)
        self._targets.append(ids)
        return route

    def route(self, wire: bytes) -> tuple[int, ...] | None:
        """The counter ids a wire name leads to, or None."""
        route = self.routes.find(wire)
        return None if route < 0 else self._targets[route]

    def dump_names(self, first_counter: int = 0, first_route: int = 0, counters: int = MOST_IDS,
                   routes: int = MOST_IDS) -> bytes:
        """Records of all counters and routes from these ids on, at most so many: what `replay` reads back."""
        out = bytearray()
        id = first_counter
        stop = min(first_counter + counters, len(self.counters))
        while id < stop:
            run = min(_run(id, self._gone), stop - id)
            name = self.counters.name(id)
            if run:
                out += _change(id, GONE, run)
            elif id in self.deleted:
                out += _change(id, BURIED, self._events[id], self.deleted[id], len(name)) + name
            else:
                out += _name_record(0, self._events[id], id, (), name)
            if self._policy_of[id] and not run:
                out += _change(id, POLICY, self.policy(id))
            id += run or 1
        route = first_route
        stop = min(first_route + routes, len(self.routes))
        dead = {route for route in range(first_route, stop) if not self.routes.has(route)}
        while route < stop:
            run = _run(route, dead)
            if run:
                out += _change(route, DEAD, run)
            else:
                out += _name_record(1, False, route, self._targets[route], self.routes.name(route))
            route += run or 1
        return bytes(out)

    # -- changes

    def delete(self, id: int, number: int) -> None:
        """Hide a counter; the journal gets the record. `number` orders deletes. ValueError when it is not there."""
        self._hide(id, number)
        self._put_names(_change(id, DELETE, number))

    def _hide(self, id: int, number: int) -> None:
        self.counters.remove(id)
        self.deleted[id] = number

    def undelete(self, id: int) -> None:
        """Show a deleted counter again. ValueError when it is not deleted or gone, or its name is another's now."""
        self._show(id)
        self._put_names(_change(id, UNDELETE))

    def _show(self, id: int) -> None:
        if id not in self.deleted:
            raise ValueError(f"the counter {id} is not deleted, or gone")
        self.counters.put_back(id, self.counters.name(id))
        del self.deleted[id]

    def rename(self, id: int, name: bytes) -> None:
        """Give a counter another name; `unlearn_moved` is to follow. ValueError when the name is taken, or the counter
        not there."""
        self._move(id, name)
        self._put_names(_change(id, RENAME, len(name)) + name)

    def _move(self, id: int, name: bytes) -> None:
        if not 0 < len(name) <= NAME_ROOM or self.counters.find(name) >= 0:
            raise ValueError(f"the counter {id} cannot be called {name!r}")
        self.counters.remove(id)
        self.counters.put_back(id, name)
        self._moved.add(id)

    def unlearn_moved(self) -> int:
        """Forget the routes that led to counters renamed since the last call; how many."""
        moved, self._moved = self._moved, set()
        return self._unlearn(range(len(self.routes)), moved)

    def sweep_routes(self, first: int, count: int) -> int:
        """Forget those of these routes that lead to a counter which is gone for good; how many."""
        return self._unlearn(range(first, min(first + count, len(self.routes))), self._gone)

    def _unlearn(self, routes: Iterable[int], ids: Set[int]) -> int:
        found = [route for route in routes if self.routes.has(route) and not ids.isdisjoint(self._targets[route])]
        for route in found:
            self._unlearn_one(route)
        return len(found)

    def _unlearn_one(self, route: int) -> None:
        self.routes.remove(route)
        self._targets[route] = ()

    def gone(self, first: int, count: int) -> None:
        """No data of these counters (at most 65536) is anywhere any more: forget them. ValueError for others."""
        if not 0 < count <= MOST_RUN or first + count > len(self.counters):
            raise ValueError(f"there are no {count} counters from the id {first} on")
        self._forget(first, count)
        self._put_names(_change(first, GONE, count))

    def _forget(self, first: int, count: int) -> None:
        for id in range(first, first + count):
            if self.counters.has(id):
                self.counters.remove(id)
            self.deleted.pop(id, None)
            self.counters.set_gone(id)
            self._gone.add(id)

    def is_gone(self, id: int) -> bool:
        """Whether a counter is gone for good."""
        return id in self._gone

    def give_back(self) -> int:
        """Give the memory of counters and routes that are gone back to the system; bytes given back so far.

        To be called when no route leads to a counter that is gone: `sweep_routes`.
        """
        return 0

    # -- when counters were last heard

    def heard(self, first: int, count: int) -> bytes:
        """The days (since 1970) on which these counters were last heard, 2 bytes each, little-endian."""
        days = self._heard[first:first + count]
        return struct.pack(f"<{len(days)}H", *days)

    def set_heard(self, first: int, days: bytes) -> None:
        """Say so. ValueError when there are not so many counters."""
        if len(days) & 1 or first + len(days) // 2 > len(self._heard):
            raise ValueError(f"there are not so many counters from the id {first} on")
        self._heard[first:first + len(days) // 2] = struct.unpack(f"<{len(days) // 2}H", days)

    def touch(self, id: int) -> None:
        """A counter got data otherwise than by samples. IndexError when there is none."""
        self.policy(id)
        self._heard[id] = max(self._heard[id], self._today)

    def idle(self, policy: int, before: int, first: int, count: int) -> list[int]:
        """The ids of a policy's counters that were last heard before a day, of the `count` ids from `first` on."""
        slot = self._slots[policy]
        return [id for id in range(first, min(first + count, len(self.counters)))
                if self._heard[id] < before and self._policy_of[id] == slot and self.counters.has(id)]

    # -- journal buffer

    def _put_names(self, record: bytes) -> None:
        self._journal += record
        self._names_log += record

    def take_names(self) -> bytes:
        """The records of the counters and routes that came since the last call."""
        records = bytes(self._names_log)
        self._names_log.clear()
        return records

    def _put_sample(self, route: int, fields: Fields) -> None:
        time, count, total, m2, low, high = fields
        form = FORM_SAME
        if count != 1 or m2 != 0.0 or low != total or high != total:
            form = FORM_WIDE
        elif time != self._journal_time:
            form = FORM_TIME
        self._journal += _varint(route << 2 | form)
        if form != FORM_SAME:
            self._journal += _varint(_zigzag(time - self._journal_time))
            self._journal_time = time
        self._journal += struct.pack("<d", total)
        if form == FORM_WIDE:
            self._journal += _varint(count) + struct.pack("<3d", m2, low, high)
        self._tally["journalled"] += 1

    def take_journal(self) -> bytes:
        """The records since the last call, as one frame's payload; times in it start from 0 again."""
        payload = bytes(self._journal)
        self._journal.clear()
        self._journal_time = 0
        return payload

    # -- samples

    def _apply_one(self, id: int, fields: Fields) -> bool:
        time, count, total, m2, low, high = fields
        event, policy = self._events[id], self._policies[self._policy_of[id]]
        if time > (policy.newest_event if event else self._newest_gauge):
            self._tally["from_future"] += 1
            return False
        level = next((k for k, oldest in enumerate(policy.oldest) if time >= oldest), None)
        if level is None:
            self._tally["from_past"] += 1
            return False
        if event:
            count, m2, low, high = 1, 0.0, total, total
        elif not _valid(count, total, low, high):
            self._tally["rejected"] += 1
            return False
        if not policy.heads[level].has(id):      # once between two cuts is enough
            self._heard[id] = max(self._heard[id], self._today)
        policy.heads[level].add(id, event, time, count, total, m2, low, high)
        self._tally["samples"] += 1
        return True

    def _stale(self, route: int) -> bool:
        """Whether a route leads nowhere, or to a counter that is deleted: the name must be learnt anew."""
        targets = self._targets[route]
        return not targets or not all(map(self.counters.has, targets))

    def _take_sample(self, route: int, fields: Fields) -> bool:
        """Apply and, if any counter took it, journal. False: the route is unlearnt, nothing was done."""
        if self._stale(route):
            self._unlearn_one(route)
            return False
        taken = [self._apply_one(id, fields) for id in self._targets[route]]
        if any(taken):
            self._put_sample(route, fields)
        return True

    def _line(self, line: bytes) -> int:
        parsed = parse(line)
        if parsed[0] != SAMPLE:
            return parsed[0]
        _, name, fields, time, total, sumsq, low, high, count = parsed  # type: ignore[misc]
        route = self.routes.find(name)
        if route < 0:
            return UNKNOWN
        m2 = 0.0
        if fields == 7 and count > 1:
            m2 = sumsq - total * total / count
            if m2 < 0.0 or low == high:
                m2 = 0.0
            if not math.isfinite(m2):
                return NOT_FINITE
        if not self._take_sample(route, (self._now if time is None else time, count, total, m2, low, high)):
            return UNKNOWN
        self._tally["lines"] += 1
        return SAMPLE

    def feed(self, data: bytes | bytearray | memoryview, start: int, end: int) -> int:
        """Take the whole lines of data[start:end]; returns how many bytes they are (up to the last LF)."""
        if not 0 <= start <= end <= len(data):
            raise ValueError(f"{start}..{end} is not inside {len(data)} bytes")
        text = bytes(data[start:end])
        used = text.rfind(b"\n") + 1
        for line in text[:used].split(b"\n")[:-1]:
            code = self._line(line)
            if code not in (SAMPLE, EMPTY):
                self._leave_over(code, line)
        return used

    def _leave_over(self, code: int, line: bytes) -> None:
        if code in (UNKNOWN, META):
            self._leftovers.append((code, line))
        elif self._bad_kept < BAD_KEPT:
            self._bad_kept += 1
            self._leftovers.append((code, line[:BAD_ROOM]))
        self._tally[_TALLY_OF[code]] += 1

    def take_leftovers(self) -> Sequence[tuple[int, bytes]]:
        """[(code, line)] that Python has to settle, in order, since the last call; at most 32 of them bad lines,
        which are cut at 200 bytes."""
        left, self._leftovers, self._bad_kept = self._leftovers, [], 0
        return left

    def sample(self, wire: bytes, time: int | None, value: float) -> None:
        """One sample of the daemon itself by its wire name, which must have a route; `time` None is now."""
        route = self.routes.find(wire)
        fields = (self._now if time is None else time, 1, value, 0.0, value, value)
        if route < 0 or not self._take_sample(route, fields):
            raise ValueError(f"{wire!r} has no route")

    # -- cut, replay, answers

    def freeze(self) -> dict[int, list[Frozen | None]]:
        """By the number of a policy: [Frozen head or None] per level; the heads are empty afterwards."""
        return {policy.number: [head.freeze() for head in policy.heads] for policy in self._policies}

    def collect(self, ids: Iterable[int], level: int, start: int, end: int, policy: int | None = None) -> list[Columns]:
        """[Columns] per id: partial rows in a policy's memory with start <= time < end, in order of arrival."""
        heads = self._policies[0 if policy is None else self._slots[policy]].heads
        if not 0 <= level < len(heads):
            raise IndexError(f"policy {policy} has no level {level}")
        head = heads[level]
        found = []
        for id in ids:
            rows = Columns()
            head.collect(id, start, end, rows)
            found.append(rows)
        return found

    def replay(self, payload: bytes | bytearray | memoryview, saved: bool = False) -> int:
        """Take the records of a frame or of `dump_names` again; nothing is journalled. Returns how many.

        `saved` tells that these names are in a names file, so that `take_names` need not give them again.
        ValueError says where malformed records begin; those before it have been taken.
        """
        data, at, time, records = bytes(payload), 0, 0, 0
        try:
            while at < len(data):
                end, time = self._replay_one(data, at, time)
                if data[at] & 3 == FORM_NAMES and not saved:
                    self._names_log += data[at:end]
                at = end
                records += 1
        except (IndexError, struct.error, ValueError) as error:
            raise ValueError(f"malformed record at byte {at} of {len(data)}") from error
        finally:
            self.unlearn_moved()
        return records

    def _replay_one(self, data: bytes, at: int, time: int) -> tuple[int, int]:
        tag, at = _get_varint(data, at)
        if tag & 3 == FORM_NAMES:
            if tag >> 2 & CHANGE == CHANGE:
                return self._replay_change(data, at, tag >> 4), time
            return self._replay_name(data, at, tag), time
        if tag & 3 != FORM_SAME:
            moved, at = _get_varint(data, at)
            time += _unzigzag(moved)
        (total,) = struct.unpack_from("<d", data, at)
        at += 8
        count, m2, low, high = 1, 0.0, total, total
        if tag & 3 == FORM_WIDE:
            count, at = _get_varint(data, at)
            m2, low, high = struct.unpack_from("<3d", data, at)
            at += 24
        if not all(map(math.isfinite, (total, m2, low, high))) or count >> 62:
            raise ValueError("not finite")
        # A route whose record was in a damaged frame has no targets here: whose samples these are is not known.
        if tag >> 2 < len(self._targets) and not self._stale(tag >> 2):
            for id in self._targets[tag >> 2]:
                self._apply_one(id, (time, count, total, m2, low, high))
        return at, time

    def _fill_lost(self, type: int, until: int) -> None:
        """Give the ids below `until` whose records are lost a name of ours, so that no later id is another's.

        ValueError when more are missing than damage can explain. A lost route leads nowhere.
        """
        table = self.routes if type else self.counters
        if until > len(table) + MOST_LOST:
            raise ValueError("too many names are missing")
        while len(table) < until:
            if type == 0:
                self._make_counter(b"istatd.lost.counter.%d" % len(table), False)
            else:
                self._place_route(b"#lost.%d" % len(table), ())

    def _replay_name(self, data: bytes, at: int, tag: int) -> int:
        ids = []
        if tag >> 2 & 1:
            n, at = _get_varint(data, at)
            if n > len(data) - at:
                raise ValueError("ids cut off")
            for _ in range(n):
                id, at = _get_varint(data, at)
                self._fill_lost(0, id + 1)
                ids.append(id)
        size, at = _get_varint(data, at)
        if size > len(data) - at:
            raise ValueError("name cut off")
        name = data[at:at + size]
        self._fill_lost(tag >> 2 & 1, tag >> 4)
        if tag >> 4 != len(self.routes if tag >> 2 & 1 else self.counters):
            raise ValueError("this id has a name")
        # Where a name is taken, the record that freed it is lost, or was of a route and never written.
        if tag >> 2 & 1:
            if self.routes.find(name) >= 0:
                self._unlearn_one(self.routes.find(name))
            self._place_route(name, tuple(ids))
        else:
            if self.counters.find(name) >= 0:
                self._hide(self.counters.find(name), 0)
            self._make_counter(name, bool(tag >> 3 & 1))
        return at + size

    def _replay_change(self, data: bytes, at: int, number: int) -> int:
        """One change of the counter (or route) `number`. What cannot be done because records are lost is left."""
        what, at = data[at], at + 1
        if what in (GONE, DEAD):
            count, at = _get_varint(data, at)
            if not 0 < count <= MOST_RUN or number + count > MOST_IDS:
                raise ValueError("too many ids")
            self._replay_run(what, number, count)
            return at
        if what == BURIED:
            return self._replay_buried(data, at, number)
        batch, name = 0, b""
        if what == DELETE:
            batch, at = _get_varint(data, at)
        elif what == RENAME:
            name, at = _get_name(data, at)
        elif what == POLICY:
            batch, at = _get_varint(data, at)
        elif what != UNDELETE:
            raise ValueError(f"no change is called {what}")
        self._fill_lost(0, number + 1)
        if what == DELETE and self.counters.has(number):
            self._hide(number, batch)
        elif what == POLICY:            # one that this engine does not have is the default
            self._policy_of[number] = self._slots.get(batch, 0)
        elif what == RENAME and self.counters.has(number) and self.counters.find(name) < 0:
            self._move(number, name)
        elif what == UNDELETE and number in self.deleted and self.counters.find(self.counters.name(number)) < 0:
            self._show(number)
        return at

    def _replay_run(self, what: int, first: int, count: int) -> None:
        """Ids that are gone, or routes that lead nowhere; those not known yet are so from the start."""
        table = self.counters if what == GONE else self.routes
        self._fill_lost(0 if what == GONE else 1, first)
        while len(table) < first + count:
            table.add_nameless()
            if what == GONE:
                self._events.append(False)
                self._policy_of.append(0)
                self._heard.append(self._today)
            else:
                self._targets.append(())
        if what == GONE:
            self._forget(first, count)
            return
        for route in range(first, first + count):
            if self.routes.has(route):
                self._unlearn_one(route)

    def _replay_buried(self, data: bytes, at: int, number: int) -> int:
        """A counter that is deleted already, whoever has its name now."""
        event, at = _get_varint(data, at)
        batch, at = _get_varint(data, at)
        name, at = _get_name(data, at)
        self._fill_lost(0, number)
        if number != len(self.counters):
            raise ValueError("this id has a name")
        self.counters.add_nameless(name)
        self._events.append(bool(event))
        self._policy_of.append(0)
        self._heard.append(self._today)
        self.deleted[number] = batch
        return at


def _valid(count: int, total: float, low: float, high: float) -> bool:
    """The gauge validity check of the behaviour specification (3.3)."""
    if count == 0:
        return False
    if count == 1 and low == total == high:
        return True
    mean = total / count
    top = high + abs(high) * SLACK
    return not (low > top or mean + abs(mean) * SLACK < low or mean > top)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def _get_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("varint too long")


def _zigzag(value: int) -> int:
    return (value << 1) ^ (value >> 63)


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


def _get_name(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _get_varint(data, at)
    if not 0 < size <= min(NAME_ROOM, len(data) - at):
        raise ValueError("name cut off")
    return data[at:at + size], at + size


def _run(first: int, ids: Set[int]) -> int:
    """How many ids from `first` on are in a set, without a gap; at most what one record may say."""
    last = first
    while last in ids and last - first < MOST_RUN:
        last += 1
    return last - first


def _change(number: int, what: int, *fields: int) -> bytes:
    """What happened to a counter (or route), as a journal record."""
    return b"".join(map(_varint, [number << 4 | CHANGE << 2 | FORM_NAMES, what, *fields]))


def _name_record(type: int, event: bool, number: int, ids: tuple[int, ...], name: bytes) -> bytes:
    """A counter (type 0) or a route (type 1) as a journal record."""
    numbers = [number << 4 | type << 2 | int(event) << 3 | FORM_NAMES]
    if type == 1:
        numbers += [len(ids), *ids]
    return b"".join(map(_varint, [*numbers, len(name)])) + name
