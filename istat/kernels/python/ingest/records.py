"""Journal records, written and read: the specification. docs/formats/journal.md has the bytes.

What `read` takes is specification: it refuses what no engine can have written, and tells that apart from what a newer
one wrote. Of the three forms of a sample our encoder takes the shortest that has all of it; a longer one would be read
as well. Whether a record can be, after those before it, is the engine's business. The native build of the same name
gives the same bytes.
"""
from __future__ import annotations

import functools
import math
import struct
from typing import NamedTuple

from istat.kernels.python.names import NAME_ROOM
from istat.kernels.python.varints import get_varint, put_varint, unzigzag, zigzag
from istat.kernels.unknown import UnknownRecord

FORM_SAME, FORM_TIME, FORM_WIDE, FORM_NAMES = range(4)
CHANGE = 3              # of the last form, what is no name: something happened to a counter (or a route)
DELETE, UNDELETE, RENAME, POLICY, GONE, TOMBSTONE, UNLEARNT = range(1, 8)       # what happened
ESCAPE = 8              # in place of what happened: a kind, a length and so many bytes follow
INTERVAL, MARK, POSITION = 1, 2, 3      # kinds of escapes
MOST_IDS = 0xFFFFFFFE   # ids are less
MOST_RUN = 65536        # ids that one record can say to be gone: bounds what damaged bytes can make of a few
MOST_COUNT = 1 << 62    # counts are less
MOST_INTERVAL = 1 << 31     # [s] intervals are less
MOST_SENDER = 255       # [bytes] of a sender's name in a mark
MOST_MARK = 1 << 63     # epochs and sequences are less; so are those of positions, their segments and offsets
MOST_SALT = 1 << 32     # salts of segments are less
STORE_BYTES = 16        # of a store's UUID

Fields = tuple[int, int, float, float, float, float]      # time, count, sum, m2, min, max


class Sample(NamedTuple):
    """What came by a route. `wide`: pre-aggregated."""

    route: int
    fields: Fields
    wide: bool


class Counter(NamedTuple):
    """A counter that is new."""

    id: int
    event: bool
    name: bytes


class Route(NamedTuple):
    """A route that is new: the wire name leads to these counters."""

    number: int
    targets: tuple[int, ...]
    name: bytes


class Change(NamedTuple):
    """What happened to a counter; or, GONE and UNLEARNT, to `value` counters or routes from a number on.

    `value` is the number of the delete (DELETE, TOMBSTONE) or of the policy (POLICY). A TOMBSTONE stands for a counter
    that was deleted before it was written down.
    """

    what: int
    number: int
    value: int = 0
    event: bool = False
    name: bytes = b""


class Interval(NamedTuple):
    """The samples that follow in this frame are rows of this interval [s]; 0: plain samples again."""

    seconds: int


class Mark(NamedTuple):
    """A sender's batch, all of whose rows are in this frame."""

    sender: bytes
    epoch: int
    sequence: int


class Position(NamedTuple):
    """Up to where another store's journal is in this one, with this frame: its UUID, its epoch, the segment with its
    salt, and the offset [bytes] there."""

    store: bytes
    epoch: int
    segment: int
    offset: int
    salt: int


Record = Sample | Counter | Route | Change | Interval | Mark | Position


# -- writing


def put_sample(route: int, fields: Fields, before: int) -> bytes:
    """A sample; `before` is the time of the one before it in the same frame, 0 for the first."""
    time, count, total, m2, low, high = fields
    form = FORM_SAME
    if count != 1 or m2 != 0.0 or low != total or high != total:
        form = FORM_WIDE
    elif time != before:
        form = FORM_TIME
    made = put_varint(route << 2 | form)
    if form != FORM_SAME:
        made += put_varint(zigzag(time - before))
    made += struct.pack("<d", total)
    return made + put_varint(count) + struct.pack("<3d", m2, low, high) if form == FORM_WIDE else made


def put_counter(id: int, event: bool, name: bytes) -> bytes:
    """A counter."""
    return put_varint(id << 4 | int(event) << 3 | FORM_NAMES) + put_varint(len(name)) + name


def put_route(number: int, targets: tuple[int, ...], wire: bytes) -> bytes:
    """A route to some counters."""
    numbers = [number << 4 | 1 << 2 | FORM_NAMES, len(targets), *targets, len(wire)]
    return b"".join(map(put_varint, numbers)) + wire


def put_change(what: int, number: int, *values: int, name: bytes | None = None) -> bytes:
    """What happened to a counter (or route), with the numbers and the name that tell of it."""
    numbers = [number << 4 | CHANGE << 2 | FORM_NAMES, what, *values]
    if name is None:
        return b"".join(map(put_varint, numbers))
    return b"".join(map(put_varint, [*numbers, len(name)])) + name


def put_escape(kind: int, payload: bytes) -> bytes:
    """A record of another kind: its length lets those who do not know the kind see where it ends."""
    return b"".join((_escape_head(kind), put_varint(len(payload)), payload))


@functools.cache
def _escape_head(kind: int) -> bytes:
    """What a record of that kind begins with."""
    return b"".join(map(put_varint, (CHANGE << 2 | FORM_NAMES, ESCAPE, kind)))


def put_interval(seconds: int) -> bytes:
    """The interval of the samples that follow."""
    return put_escape(INTERVAL, put_varint(seconds))


def put_mark(sender: bytes, epoch: int, sequence: int) -> bytes:
    """A batch's mark. ValueError when it cannot be one."""
    if not (0 < len(sender) <= MOST_SENDER and 0 <= epoch < MOST_MARK and 0 <= sequence < MOST_MARK):
        raise ValueError(f"a mark is a sender of 1 to {MOST_SENDER} bytes and two numbers below 2**63")
    return put_escape(MARK, put_varint(epoch) + put_varint(sequence) + sender)


def put_position(store: bytes, epoch: int, segment: int, offset: int, salt: int) -> bytes:
    """A position in another store's journal. ValueError when it cannot be one."""
    if len(store) != STORE_BYTES or not (min(epoch, segment, offset, salt) >= 0 and salt < MOST_SALT
                                         and max(epoch, segment, offset) < MOST_MARK):
        raise ValueError(f"a position is a store's {STORE_BYTES} bytes, three numbers below 2**63 and a salt "
                         f"below 2**32")
    return put_escape(POSITION, b"".join(map(put_varint, (epoch, segment, offset, salt))) + store)


# -- reading


def read(data: bytes, at: int, time: int) -> tuple[Record, int]:
    """The record at a place, and the place behind it; `time` is that of the sample before it. ValueError when it is
    malformed, UnknownRecord when a newer istatd wrote it."""
    tag, at = get_varint(data, at)
    if tag & 3 != FORM_NAMES:
        return _sample(data, at, tag, time)
    if tag >> 2 & 3 == CHANGE:
        return _change(data, at, tag >> 4)
    if not tag >> 2 & 1:
        name, at = _name(data, at)
        return Counter(tag >> 4, bool(tag >> 3 & 1), name), at
    n, at = get_varint(data, at)
    if n > len(data) - at:
        raise ValueError("ids that are cut off")
    targets = []
    for _ in range(n):
        id, at = get_varint(data, at)
        targets.append(id)
    name, at = _name(data, at)
    return Route(tag >> 4, tuple(targets), name), at


def _sample(data: bytes, at: int, tag: int, time: int) -> tuple[Sample, int]:
    if tag & 3 != FORM_SAME:
        moved, at = get_varint(data, at)
        time += unzigzag(moved)
    total, at = _double(data, at)
    count, m2, low, high = 1, 0.0, total, total
    if tag & 3 == FORM_WIDE:
        count, at = get_varint(data, at)
        m2, at = _double(data, at)
        low, at = _double(data, at)
        high, at = _double(data, at)
    if count >= MOST_COUNT:
        raise ValueError("a count that is too large")
    return Sample(tag >> 2, (time, count, total, m2, low, high), tag & 3 == FORM_WIDE), at


def _double(data: bytes, at: int) -> tuple[float, int]:
    if len(data) - at < 8:
        raise ValueError("a value that is cut off")
    (value,) = struct.unpack_from("<d", data, at)
    if not math.isfinite(value):
        raise ValueError("a value that is not finite")
    return value, at + 8


def _name(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = get_varint(data, at)
    if size > len(data) - at:
        raise ValueError("a name that is cut off")
    return data[at:at + size], at + size


def _change(data: bytes, at: int, number: int) -> tuple[Record, int]:
    if at == len(data) or not data[at]:
        raise ValueError("a change that is not known")
    what, at = data[at], at + 1
    if what == ESCAPE:
        return _escape(data, at)
    if what > ESCAPE:
        raise UnknownRecord(f"change {what}")
    event = value = 0
    name = b""
    if what == TOMBSTONE:
        event, at = get_varint(data, at)
    if what not in (UNDELETE, RENAME):
        value, at = get_varint(data, at)
    if what in (RENAME, TOMBSTONE):
        name, at = _name(data, at)
        if not 0 < len(name) <= NAME_ROOM:
            raise ValueError("a name that is empty or too long")
    if what in (GONE, UNLEARNT) and not (0 < value <= MOST_RUN and number + value <= MOST_IDS):
        raise ValueError("too many ids")
    return Change(what, number, value, bool(event), name), at


def _escape(data: bytes, at: int) -> tuple[Interval | Mark | Position, int]:
    kind, at = get_varint(data, at)
    payload, end = _name(data, at)
    if kind == INTERVAL:
        seconds, used = get_varint(payload, 0)
        if used != len(payload) or seconds >= MOST_INTERVAL:
            raise ValueError("an interval that is too long")
        return Interval(seconds), end
    if kind == MARK:
        epoch, used = get_varint(payload, 0)
        sequence, used = get_varint(payload, used)
        sender = payload[used:]
        if not 0 < len(sender) <= MOST_SENDER or max(epoch, sequence) >= MOST_MARK:
            raise ValueError("a mark that is none")
        return Mark(sender, epoch, sequence), end
    if kind == POSITION:
        return _position(payload), end
    raise UnknownRecord(f"escape {kind}")


def _position(payload: bytes) -> Position:
    numbers, used = [], 0
    for _ in range(4):
        number, used = get_varint(payload, used)
        numbers.append(number)
    epoch, segment, offset, salt = numbers
    if len(payload) - used != STORE_BYTES or max(epoch, segment, offset) >= MOST_MARK or salt >= MOST_SALT:
        raise ValueError("a position that is none")
    return Position(payload[used:], epoch, segment, offset, salt)
