"""Journal segments and names files for people: what docs/formats/journal.md says of their bytes. Only reads.

Takes each record for itself: whether it can be, after those before it, is the engine's business.
"""
from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from istat_server.store.files import journal

Record = dict[str, Any]

SAME, TIME, WIDE, NAMES = range(4)          # forms
CHANGE = 3                                  # type of a name record that tells what happened
CHANGES = {1: "delete", 2: "undelete", 3: "rename", 4: "policy", 5: "gone", 6: "buried", 7: "dead"}
MOST_SHIFT = 63


class _Cursor:
    """Reads on in a payload. IndexError or struct.error at its end, ValueError for a number without one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def varint(self) -> int:
        value = shift = 0
        while shift <= MOST_SHIFT:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a number without an end")

    def double(self) -> float:
        found: float = struct.unpack_from("<d", self.data, self.at)[0]
        self.at += 8
        return found

    def name(self) -> str:
        size = self.varint()
        if size > len(self.data) - self.at:
            raise ValueError("a name that is cut off")
        self.at += size
        return self.data[self.at - size : self.at].decode("ascii", "backslashreplace")


def records(path: Path) -> Iterator[Record]:
    """The header, every frame, every record, and at the end what was left out. StoreCorrupt when it is no segment."""
    damage = journal.Damage()
    magic, version, kind, salt, number, uuid = struct.unpack_from("<8sHHIQ16s", path.read_bytes()[:44].ljust(44, b"\0"))
    header = {"record": "header", "version": version, "kind": "names" if kind else "journal", "number": number,
              "salt": f"{salt:08x}", "store": uuid.hex()}
    frames = 0
    for clock, payload in journal.read_segment(path, damage):
        if not frames:
            yield header
        frames += 1
        yield {"record": "frame", "clock": clock, "bytes": len(payload)}
        yield from _payload(bytes(payload))
    if not frames:
        yield header
        yield {"record": "empty", "note": "there are no frames: nothing was written to it yet"}
    for note in damage.notes:
        yield {"record": "damage", "note": note}


def _payload(data: bytes) -> Iterator[Record]:
    cursor, time = _Cursor(data), 0
    while cursor.at < len(data):
        begin = cursor.at
        try:
            found, time = _one(cursor, time)
        except (IndexError, struct.error, ValueError) as error:
            yield {"record": "malformed", "byte": begin, "note": str(error)}
            return
        yield found


def _one(cursor: _Cursor, time: int) -> tuple[Record, int]:
    tag = cursor.varint()
    form, number = tag & 3, tag >> 2
    if form == NAMES:
        return _name(cursor, number), time
    if form != SAME:
        moved = cursor.varint()
        time += (moved >> 1) ^ -(moved & 1)
    value = cursor.double()
    if form != WIDE:
        return {"record": "sample", "route": number, "time": time, "value": value}, time
    count = cursor.varint()
    m2, low, high = (cursor.double() for _ in range(3))
    return {"record": "bucket", "route": number, "time": time, "count": count, "sum": value, "m2": m2, "min": low,
            "max": high}, time


def _name(cursor: _Cursor, number: int) -> Record:
    type, id = number & 3, number >> 2
    if type == CHANGE:
        return _change(cursor, id)
    if type & 1:
        targets = [cursor.varint() for _ in range(min(cursor.varint(), len(cursor.data)))]
        return {"record": "route", "id": id, "name": cursor.name(), "counters": targets}
    return {"record": "counter", "id": id, "kind": "event" if type & 2 else "gauge", "name": cursor.name()}


def _change(cursor: _Cursor, id: int) -> Record:
    what = CHANGES.get(cursor.varint())
    found: Record = {"record": what, "id": id}
    if what == "delete":
        found["batch"] = cursor.varint()
    elif what == "rename":
        found["name"] = cursor.name()
    elif what == "policy":
        found["policy"] = cursor.varint()
    elif what in ("gone", "dead"):
        found["ids"] = cursor.varint()
    elif what == "buried":
        found.update(kind="event" if cursor.varint() else "gauge", batch=cursor.varint(), name=cursor.name())
    elif what is None:
        raise ValueError("a change that is not known")
    return found
