"""Lines to buckets: routes, kinds, heads and the journal buffer. Knows no sockets, files or clock.

This module is the specification; `native/engine.pyx` is the fast build of it and the same tests run on both.
A wire name found in the route table leads straight to the counters it feeds. What cannot be settled here (new
names, metadata, bad lines) is left over as (code, line). Journal records: docs/formats/journal.md.
"""
from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence

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
from istat.kernels.python.names import NameTable

TALLY = ("samples", "lines", "bad_fields", "bad_number", "not_finite", "reserved", "metadata", "unknown",
         "from_future", "from_past", "rejected", "journalled")
MOST_LOST = 16384       # name records that one stretch of damage can have held
BAD_KEPT = 32           # bad lines kept with their text between two calls of take_leftovers; the rest is counted
BAD_ROOM = 200          # [bytes] of a bad line kept
SLACK = 0.0001          # how far a pre-aggregated mean may leave [min, max], as a share (spec: gauge validity)
FORM_SAME, FORM_TIME, FORM_WIDE, FORM_NAMES = range(4)
_TALLY_OF = {BAD_FIELDS: "bad_fields", BAD_NUMBER: "bad_number", NOT_FINITE: "not_finite",
             RESERVED: "reserved", META: "metadata", UNKNOWN: "unknown"}

Fields = tuple[int, int, float, float, float, float]      # time, count, sum, m2, min, max


class Engine:
    """Counters, routes, heads and the journal buffer of one store. Levels finest first."""

    def __init__(self, intervals: Sequence[int], key: int = 0) -> None:
        if not 1 <= len(intervals) <= 8:
            raise ValueError(f"an engine has 1 to 8 levels, not {len(intervals)}")
        self.counters = NameTable(key)
        self.routes = NameTable(key)
        self.heads = [Head(interval) for interval in intervals]
        self._targets: list[tuple[int, ...]] = []
        self._events: list[bool] = []
        self._oldest = [0] * len(intervals)
        self._now = self._newest_gauge = self._newest_event = 0
        self._journal = bytearray()
        self._journal_time = 0
        self._names_log = bytearray()
        self._tally = dict.fromkeys(TALLY, 0)
        self._leftovers: list[tuple[int, bytes]] = []
        self._bad_kept = 0

    def set_limits(self, now: int, newest_gauge: int, newest_event: int, oldest: Sequence[int]) -> None:
        """The time of samples without one, and the times accepted: `oldest` per level, finest first [s]."""
        self._now, self._newest_gauge, self._newest_event = now, newest_gauge, newest_event
        self._oldest = [max(time, 0) for time in oldest]

    def tally(self) -> dict[str, int]:
        """Totals since the start by kind."""
        return dict(self._tally)

    def journal_size(self) -> int:
        """Bytes of journal records not taken yet."""
        return len(self._journal)

    def memory(self) -> int:
        """Bytes held by names, routes and rows."""
        return self.counters.memory() + self.routes.memory() + sum(head.bytes() for head in self.heads)

    # -- names

    def is_event(self, id: int) -> bool:
        """Whether a counter is an event counter."""
        return self._events[id]

    def add_counter(self, name: bytes, event: bool) -> int:
        """The id of a new counter; the journal gets its record. ValueError when it exists."""
        id = self._make_counter(name, event)
        self._put_names(_name_record(0, event, id, (), name))
        return id

    def _make_counter(self, name: bytes, event: bool) -> int:
        if self.counters.find(name) >= 0:
            raise ValueError(f"counter {name!r} exists")
        self._events.append(bool(event))
        return self.counters.add(name)

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
        self._targets.append(ids)
        return self.routes.add(wire)

    def route(self, wire: bytes) -> tuple[int, ...] | None:
        """The counter ids a wire name leads to, or None."""
        route = self.routes.find(wire)
        return None if route < 0 else self._targets[route]

    def dump_names(self, first_counter: int = 0, first_route: int = 0) -> bytes:
        """Name records of all counters and routes from these ids on: what `replay` reads back."""
        out = bytearray()
        for id in range(first_counter, len(self.counters)):
            out += _name_record(0, self._events[id], id, (), self.counters.name(id))
        for route in range(first_route, len(self.routes)):
            out += _name_record(1, False, route, self._targets[route], self.routes.name(route))
        return bytes(out)

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
        event = self._events[id]
        if time > (self._newest_event if event else self._newest_gauge):
            self._tally["from_future"] += 1
            return False
        level = next((k for k, oldest in enumerate(self._oldest) if time >= oldest), None)
        if level is None:
            self._tally["from_past"] += 1
            return False
        if event:
            count, m2, low, high = 1, 0.0, total, total
        elif not _valid(count, total, low, high):
            self._tally["rejected"] += 1
            return False
        self.heads[level].add(id, event, time, count, total, m2, low, high)
        self._tally["samples"] += 1
        return True

    def _take_sample(self, route: int, fields: Fields) -> None:
        """Apply and, if any counter took it, journal."""
        taken = [self._apply_one(id, fields) for id in self._targets[route]]
        if any(taken):
            self._put_sample(route, fields)

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
        self._take_sample(route, (self._now if time is None else time, count, total, m2, low, high))
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
        if route < 0:
            raise ValueError(f"{wire!r} has no route")
        self._take_sample(route, (self._now if time is None else time, 1, value, 0.0, value, value))

    # -- cut, replay, answers

    def freeze(self) -> list[Frozen | None]:
        """[Frozen head or None] per level; the heads are empty afterwards."""
        return [head.freeze() for head in self.heads]

    def collect(self, ids: Iterable[int], level: int, start: int, end: int) -> list[Columns]:
        """[Columns] per id: partial rows in memory with start <= time < end, in order of arrival."""
        found = []
        for id in ids:
            rows = Columns()
            self.heads[level].collect(id, start, end, rows)
            found.append(rows)
        return found

    def replay(self, payload: bytes | bytearray | memoryview, saved: bool = False) -> int:
        """Take the records of a frame or of `dump_names` again; nothing is journalled. Returns how many.

        `saved` tells that these names are in a names file, so that `take_names` need not give them again.
        ValueError says where malformed records begin; those before it have been taken.
        """
        data, at, time, records = bytes(payload), 0, 0, 0
        while at < len(data):
            try:
                end, time = self._replay_one(data, at, time)
            except (IndexError, struct.error, ValueError) as error:
                raise ValueError(f"malformed record at byte {at} of {len(data)}") from error
            if data[at] & 3 == FORM_NAMES and not saved:
                self._names_log += data[at:end]
            at = end
            records += 1
        return records

    def _replay_one(self, data: bytes, at: int, time: int) -> tuple[int, int]:
        tag, at = _get_varint(data, at)
        if tag & 3 == FORM_NAMES:
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
        for id in self._targets[tag >> 2] if tag >> 2 < len(self._targets) else ():
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
        if tag >> 2 & 1:
            self._place_route(name, tuple(ids))
        else:
            self._make_counter(name, bool(tag >> 3 & 1))
        return at + size


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


def _name_record(type: int, event: bool, number: int, ids: tuple[int, ...], name: bytes) -> bytes:
    """A counter (type 0) or a route (type 1) as a journal record."""
    numbers = [number << 4 | type << 2 | int(event) << 3 | FORM_NAMES]
    if type == 1:
        numbers += [len(ids), *ids]
    return b"".join(map(_varint, [*numbers, len(name)])) + name
