"""A `.versions` file: what each key of a namespace was, and since when. docs/formats/namespaces.md has its lines.

It only grows, until it is written anew without what is too old. Knows no folder and no namespaces.
"""
from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from istat.errors import StoreCorrupt
from istat_server.keyvalue.syntax import escape, unescape

HEADER = b"# istatd versions 1\n"
_ANY_HEADER = b"# istatd versions "
_CHECKSUM = 8       # signs of it, before a blank


@dataclass(frozen=True)
class Version:
    """What a key was from a time [Unix seconds] on, and the how many-th change that was of the namespace. `value`: None
    when the key was deleted then."""

    number: int
    time: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """Where a version's line is in the file [bytes]; `there`: it was no delete."""

    number: int
    offset: int
    size: int
    there: bool


@dataclass
class History:
    """An index of the file. `whole`: up to where its lines are whole [bytes]; `damaged`: lines that were skipped."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    last: int = 0
    whole: int = 0
    damaged: int = 0

    def newest(self, key: str) -> int:
        """The number of a key's present version; 0 when it has none, or is deleted."""
        records = self.records.get(key)
        return records[-1].number if records and records[-1].there else 0

    def add(self, key: str, number: int, there: bool, size: int) -> None:
        """The next line of the file is this version's."""
        self.records.setdefault(key, []).append(Record(number, self.whole, size, there))
        self.last = max(self.last, number)
        self.whole += size


def line_of(key: str, version: Version) -> bytes:
    """A version as the file has it."""
    value = "" if version.value is None else f"={escape(version.value)}"
    text = f"{version.number} {version.time} {key}{value}\n".encode()
    return b"%08x " % zlib.crc32(text) + text


def read(data: bytes) -> History:
    """The index of a file's bytes; damaged lines are counted. StoreCorrupt for what is no such file, or a newer one."""
    if not data.startswith(HEADER):
        if data and not HEADER.startswith(data):
            newer = " (a newer istatd may have written it)" if data.startswith(_ANY_HEADER) else ""
            raise StoreCorrupt(f"its first line is not {HEADER.decode().strip()!r}{newer}")
        return History()
    found = History(whole=len(HEADER))
    for line in _lines(data):
        fields = _fields(line)
        if fields is None:
            found.damaged += 1
            found.whole += len(line)
        else:
            number, _time, key, value = fields
            found.add(key, number, value is not None, len(line))
    return found


def _lines(data: bytes) -> Iterator[bytes]:
    """Each whole line behind the first."""
    at = len(HEADER)
    while (end := data.find(b"\n", at)) >= 0:
        yield data[at:end + 1]
        at = end + 1


def version_at(data: bytes, record: Record) -> Version | None:
    """A version, from the bytes of its file; None when they are damaged by now."""
    parsed = parse(data[record.offset:record.offset + record.size])
    return parsed[1] if parsed else None


def parse(line: bytes) -> tuple[str, Version] | None:
    """(key, version) of a line; None when it is damaged."""
    fields = _fields(line)
    if fields is None:
        return None
    number, time, key, value = fields
    return key, Version(number, time, None if value is None else unescape(value))


def _fields(line: bytes) -> tuple[int, int, str, str | None] | None:
    """(number, time, key, the value as it is written); None when the line is damaged."""
    text = line[_CHECKSUM + 1:]
    if line[:_CHECKSUM + 1] != b"%08x " % zlib.crc32(text):
        return None
    try:
        number, time, rest = text.decode().removesuffix("\n").split(" ", 2)
        key, equals, value = rest.partition("=")
        return int(number), int(time), key, value if equals else None
    except ValueError:      # whole, and yet none of ours
        return None


def kept(history: History, each: int, most: int) -> list[tuple[str, Record]]:
    """What a file that is written anew keeps, in order: of each key the newest `each`, and of all of them no more than
    `most` bytes. The newest one of each key that is there is always kept, and the newest of all, for its number."""
    found = [(key, record) for key, records in history.records.items() for record in records[-each:]]
    needed = {records[-1].number for records in history.records.values() if records[-1].there} | {history.last}
    found.sort(key=lambda pair: pair[1].number)
    excess = sum(record.size for _, record in found) - most
    left = []
    for key, record in found:
        if excess > 0 and record.number not in needed:
            excess -= record.size
        else:
            left.append((key, record))
    return left


def rewritten(data: bytes, left: Iterable[tuple[str, Record]]) -> bytes:
    """The bytes of a file with these lines of another one only."""
    return b"".join((HEADER, *(data[record.offset:record.offset + record.size] for _, record in left)))
