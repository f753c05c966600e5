"""`istat dump FILE`: what is in a file of a store, ours or istatd's, for people. Opens read-only and never writes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from istat.clock import Clock
from istat.errors import StoreCorrupt, UsageError
from istat.kernels import columns
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.subcommands import SubCommand
from istat_server.foreign import ring
from istat_server.store.files import journal, manifest
from istat_server.store.files.container import MAGIC as STATFILE_MAGIC
from istat_server.store.files.statfile import StatFile
from istat_server.tools import dumpjournal, dumpring

MOST_ID = (1 << 32) - 1
EVER = 1 << 62

Record = dict[str, Any]


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path,
                        help="a StatFile, journal segment, names file or MANIFEST, or a ring file of istatd")
    parser.add_argument("--full", action="store_true", help="ring files: header and all slots; StatFiles: all rows")


def _dump(arguments: argparse.Namespace, clock: Clock) -> None:
    path: Path = arguments.file
    with ownfiles.reading(path, Use.SMALL) as file:
        head = file.read(16)
    if head.startswith(b"istat-manifest "):
        _print_json(_manifest(path), 1)
    elif head.startswith(STATFILE_MAGIC):
        _print(_statfile(path, arguments.full), arguments.json)
    elif head.startswith(journal.MAGIC):
        _print(dumpjournal.records(path), arguments.json)
    elif ring.is_ring(head):
        _dump_ring(path, arguments)
    elif not head:
        raise UsageError(f"{path} is empty")
    else:
        raise UsageError(f"{path} is no file of a store that this istat knows")


def _dump_ring(path: Path, arguments: argparse.Namespace) -> None:
    try:
        read = ring.read(path)
    except ring.RingError as error:
        raise ring.RingError(f"{path} {error}") from error
    if arguments.json:
        _print(dumpring.as_records(read, arguments.full), True)
        return
    for line in dumpring.as_full(read) if arguments.full else dumpring.as_csv(read):
        print(line)


def _manifest(path: Path) -> Record:
    fields = asdict(manifest.decode(ownfiles.content(path, Use.SMALL), str(path)))
    for policy in fields["policies"]:
        policy["derived"] = sorted(policy["derived"])
    return fields


def _statfile(path: Path, full: bool) -> Iterator[Record]:
    with StatFile.open(path) as file:
        yield {"record": "header", **asdict(file.header), "rows": file.rows, "blocks": file.block_count,
               "size": file.size, "first_time": file.first_time, "last_time": file.last_time}
        for entry in file.entries(0, MOST_ID):
            yield {"record": "block", **entry._asdict()}
            if full:
                yield from _rows(file, entry)


def _rows(file: StatFile, entry: Any) -> Iterator[Record]:
    """All rows of a block; a damaged one says so and the dump goes on."""
    try:
        reader = file.reader(entry)
        kinds = {id: event for id, event, _ in reader.runs()}
        for id, event in sorted(kinds.items()):
            rows = columns.Columns()
            reader.read(id, -EVER, EVER, rows)
            for time, count, total, m2, low, high in rows.rows():
                yield {"record": "row", "id": id, "kind": "event" if event else "gauge", "time": time, "count": count,
                       "sum": total, "m2": m2, "min": low, "max": high}
    except (StoreCorrupt, ValueError) as error:
        yield {"record": "damage", "note": str(error)}


def _print(records: Iterator[Record], as_json: bool) -> None:
    """A line per record: JSON, or words and key=value."""
    for record in records:
        if as_json:
            _print_json(record)
        else:
            print(record["record"], *(f"{key}={_text(value)}" for key, value in record.items() if key != "record"))


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, (list, tuple, dict, str)) else str(value)


def _print_json(value: Any, indent: int | None = None) -> None:
    json.dump(value, sys.stdout, indent=indent)
    sys.stdout.write("\n")


COMMAND = SubCommand(
    "Print what is in a file of a store, ours or istatd's.", _arguments, _dump,
    "What kind of file it is, is seen from its first bytes.",
    (("istat dump /var/lib/istatd/server/MANIFEST", "Which files the store consists of"),),
)
