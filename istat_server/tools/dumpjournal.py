"""Journal segments and names files for people: what docs/formats/journal.md says of their bytes. Only reads.

Takes each record for itself: whether it can be, after those before it, is the engine's business.
"""
from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from istat.kernels.python.ingest import records as kernel
from istat.kernels.unknown import UnknownRecord
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.store.files import journal

Record = dict[str, Any]

CHANGES = {kernel.DELETE: "delete", kernel.UNDELETE: "undelete", kernel.RENAME: "rename", kernel.POLICY: "policy",
           kernel.GONE: "gone", kernel.TOMBSTONE: "tombstone", kernel.UNLEARNT: "unlearnt"}
KINDS = {journal.KIND_JOURNAL: "journal", journal.KIND_NAMES: "names", journal.KIND_HEARD: "heard"}
HEAD = struct.Struct("<8sHHIQ16s")      # of a segment, as docs/formats/journal.md has it
# What the value of a change is.
VALUES = {kernel.DELETE: "batch", kernel.TOMBSTONE: "batch", kernel.POLICY: "policy", kernel.GONE: "ids",
          kernel.UNLEARNT: "ids"}


def records(path: Path) -> Iterator[Record]:
    """The header, every frame, every record, and at the end what was left out. StoreCorrupt when it is no segment."""
    damage = journal.Damage()
    with ownfiles.reading(path, Use.SMALL) as file:
        head = file.read(HEAD.size).ljust(HEAD.size, b"\0")
    magic, version, kind, salt, number, uuid = HEAD.unpack(head)
    header = {"record": "header", "version": version, "kind": KINDS.get(kind, str(kind)), "number": number,
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
    at = time = 0
    while at < len(data):
        try:
            record, end = kernel.read(data, at, time)
        except UnknownRecord as error:
            yield {"record": "unknown", "byte": at, "note": f"{error}: a newer istatd wrote it"}
            return
        except ValueError as error:
            yield {"record": "malformed", "byte": at, "note": str(error)}
            return
        if isinstance(record, kernel.Sample):
            time = record.fields[0]
        yield told(record)
        at = end


def told(record: kernel.Record) -> Record:
    """One record, in words and numbers."""
    match record:
        case kernel.Sample(route=route, fields=(time, count, total, m2, low, high)):
            if not record.wide:
                return {"record": "sample", "route": route, "time": time, "value": total}
            return {"record": "bucket", "route": route, "time": time, "count": count, "sum": total, "m2": m2,
                    "min": low, "max": high}
        case kernel.Counter():
            return {"record": "counter", "id": record.id, "kind": _kind(record.event), "name": _text(record.name)}
        case kernel.Route():
            return {"record": "route", "id": record.number, "name": _text(record.name),
                    "counters": list(record.targets)}
        case kernel.Interval():
            return {"record": "interval", "seconds": record.seconds}
        case kernel.Mark():
            return {"record": "mark", "sender": record.sender.decode("utf-8", "backslashreplace"),
                    "epoch": record.epoch, "sequence": record.sequence}
        case kernel.Position():
            return {"record": "position", "store": record.store.hex(), "epoch": record.epoch,
                    "segment": record.segment, "offset": record.offset, "salt": f"{record.salt:08x}"}
        case kernel.Change():
            return _change(record)


def _change(record: kernel.Change) -> Record:
    told: Record = {"record": CHANGES[record.what], "id": record.number}
    if record.what == kernel.TOMBSTONE:
        told["kind"] = _kind(record.event)
    if record.what in VALUES:
        told[VALUES[record.what]] = record.value
    if record.name:
        told["name"] = _text(record.name)
    return told


def _kind(event: bool) -> str:
    return "event" if event else "gauge"


def _text(name: bytes) -> str:
    return name.decode("ascii", "backslashreplace")
