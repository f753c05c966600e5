"""Page logs (docs/formats/page-log.md): which pages of which files each update needs. Written and read; knows no
caches."""

from __future__ import annotations

import gzip
import json
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from istat.access.replacing import replacing
from istat.errors import PageLogError

FORMAT, VERSION = "pagelog", 1
INODE, INDIRECT = -2, -1        # the reserved pages
FIRST_INDIRECT = 12             # pages from here on are found through the indirect block
GZIP_MAGIC = b"\x1f\x8b"
# What a hostile log may make of our memory: bytes of a line, pages of a record, a page's number.
MOST_LINE, MOST_PAGES, MOST_PAGE = 1 << 20, 1 << 20, (1 << 31) - 1
# Lines that differ in their time only come again and again: so many are remembered, of at most so many bytes and as
# many pages.
MEMORY, MOST_KNOWN = 1 << 16, 500
MOST_UPDATES = 1 << 20          # of a record
MOST_LEVELS, MOST_STEP = 64, 1 << 31    # a level's updates, and seconds from one to the next
MOST_TIME = 1 << 53             # Unix seconds; integers of JSON are exact below
MODES = ("r", "w", "rw")
STDIN = 0                       # descriptor of what `-` stands for
_TIMED = re.compile(rb'\{"t": (0|[1-9][0-9]{0,14}), (.*)\n')
_PART = re.compile(r"(-[12]|[0-9]{1,10})(?:-([0-9]{1,10}))?", re.ASCII)

File = IO[bytes] | gzip.GzipFile


class Record(NamedTuple):
    """One update. `pages`: ascending, INODE and INDIRECT before the others; `written`: those of them that are written;
    `updates`: how many these are."""

    time: int
    file: str
    pages: tuple[int, ...]
    written: tuple[int, ...] = ()
    updates: int = 1


@dataclass(frozen=True)
class Header:
    """What the first line says. `about`: all other keys of it, for people."""

    page_size: int
    interval: int | None = None
    levels: tuple[int, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PageLog:
    """A log that is open. `records` can be gone through once."""

    header: Header
    records: Iterator[Record]


def text(pages: Sequence[int]) -> str:
    """Ascending pages as `-2,-1,0,3,14-16`."""
    parts = []
    at = 0
    while at < len(pages):
        first = last = pages[at]
        while first >= 0 and at + 1 < len(pages) and pages[at + 1] == last + 1:
            at, last = at + 1, last + 1
        parts.append(str(first) if first == last else f"{first}-{last}")
        at += 1
    return ",".join(parts)


def parse(words: str) -> tuple[int, ...]:
    """The pages that `text` wrote. PageLogError when they are none, do not ascend, or are too many."""
    found: list[int] = []
    for word in words.split(",") if words else ():
        match = _PART.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last <= MOST_PAGE or (found and first <= found[-1]) or (first < 0 and first != last):
            raise PageLogError(f"{word[:40]!r} is no page and no range of pages, or they do not ascend")
        if len(found) + last - first >= MOST_PAGES:
            raise PageLogError(f"a record has more than {MOST_PAGES} pages")
        found.extend(range(first, last + 1))
    return tuple(found)


def save(path: str | os.PathLike[str], header: Header, records: Iterable[Record]) -> int:
    """Write a log, and return how many records it has. OSError; PageLogError where there is no plain file. What was
    there before stays then."""
    place = Path(os.path.realpath(path))
    if place.exists() and not place.is_file():
        raise PageLogError(f"{path} is no plain file, and would be replaced: name another place")
    with replacing(path, "pagelog") as file:
        if place.suffix != ".gz":
            return write(file, header, records)
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as packed:
            return write(packed, header, records)


def write(file: File, header: Header, records: Iterable[Record]) -> int:
    """All lines of a log to an open file; returns how many records these are. PageLogError for what no log can have."""
    if not _are_levels(list(header.levels)) or not 1 <= (header.interval or 1) < MOST_STEP:
        raise PageLogError(f"a log has at most {MOST_LEVELS} levels, and levels and an interval below {MOST_STEP}")
    first: dict[str, Any] = {"format": FORMAT, "version": VERSION, "page_size": header.page_size}
    if header.interval is not None:
        first["interval"] = header.interval
    if header.levels:
        first["levels"] = list(header.levels)
    file.write(json.dumps({**first, **header.about}).encode() + b"\n")
    count = 0
    for record in records:
        if not 0 <= record.time < MOST_TIME:
            raise PageLogError(f"an update at {record.time} s: times of a log are Unix seconds from 0 to {MOST_TIME}")
        file.write(_line_of(record))
        count += 1
    file.write(json.dumps({"end": True, "records": count}).encode() + b"\n")
    return count


def _line_of(record: Record) -> bytes:
    line: dict[str, Any] = {"t": record.time, "f": record.file, "p": text(record.pages),
                            "m": "rw" if record.written else "r"}
    if record.written and record.written != _data(record.pages):
        line["w"] = text(record.written)
    if record.updates != 1:
        line["n"] = record.updates
    return json.dumps(line).encode() + b"\n"


def _data(pages: tuple[int, ...]) -> tuple[int, ...]:
    """Without the reserved ones."""
    if pages and pages[0] >= 0:
        return pages
    return tuple(page for page in pages if page >= 0)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[PageLog]:
    """A log to be read, packed or not, also from a pipe; `-` is the standard input. PageLogError when it is none, also
    while its records are read: they are damaged, out of order, cut off, or of a later version. OSError."""
    standard = path == "-"
    with open(STDIN if standard else path, "rb", closefd=not standard) as file:
        packed = file.peek(len(GZIP_MAGIC)).startswith(GZIP_MAGIC)      # a pipe cannot be wound back
        source: File = gzip.GzipFile(fileobj=file) if packed else file
        try:
            yield read(source)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise PageLogError(f"{path}: it is packed, and damaged or cut off ({error})") from error
        except PageLogError as error:
            raise PageLogError(f"{path}: {error}") from None


def read(file: File) -> PageLog:
    """A log from an open file. PageLogError as of `opened`."""
    data = _line(file, 1)
    line = _object(data, 1) if data else {}
    if line.get("format") != FORMAT:
        raise PageLogError("it is no page log")
    if line.get("version") != VERSION:
        raise PageLogError(f"it has version {line.get('version')!r}; this program reads {VERSION}")
    page_size = _number(line, "page_size", 1, 1, 1 << 30)
    interval = _number(line, "interval", 1, 1, MOST_STEP) if "interval" in line else None
    levels = line.get("levels", [])
    if not _are_levels(levels):
        raise PageLogError("its levels are no numbers of updates that ascend")
    about = {key: value for key, value in line.items()
             if key not in ("format", "version", "page_size", "interval", "levels")}
    return PageLog(Header(page_size, interval, tuple(levels), about), _records(file))


def _are_levels(levels: object) -> bool:
    return isinstance(levels, list) and len(levels) <= MOST_LEVELS and all(
        isinstance(step, int) and 1 <= step < MOST_STEP for step in levels) and sorted(set(levels)) == levels


def _records(file: File) -> Iterator[Record]:
    known: dict[bytes, tuple[str, tuple[int, ...], tuple[int, ...], int]] = {}      # ends of lines -> all but the time
    latest, number = 0, 0
    while data := _line(file, number + 2):
        timed = _TIMED.fullmatch(data)
        rest = known.get(timed[2]) if timed else None
        if timed and rest:
            record = Record(int(timed[1]), *rest)
        else:
            line = _object(data, number + 2)
            if "end" in line:
                _check_end(file, line, number)
                return
            record = _record(line, number + 2)
            # A key "t" in the rest, in whatever spelling, would be the one that counts.
            if (timed and len(timed[2]) <= MOST_KNOWN and len(record.pages) + len(record.written) <= MOST_KNOWN
                    and b'"t"' not in timed[2] and b"\\" not in timed[2]):
                if len(known) >= MEMORY:
                    known.clear()
                known[timed[2]] = record.file, record.pages, record.written, record.updates
        number += 1
        if record.time < latest:
            raise PageLogError(f"line {number + 1}: it is of an earlier time than the line before")
        latest = record.time
        yield record


def _check_end(file: File, line: dict[str, Any], records: int) -> None:
    if line.get("records") != records:
        raise PageLogError(f"it ends with {line.get('records')!r} records, and has {records}")
    if file.read(1):        # which also asks gzip whether its checksum is right
        raise PageLogError("something stands behind its last line")


def _record(line: dict[str, Any], number: int) -> Record:
    file, mode = line.get("f"), line.get("m", "r")
    if not isinstance(file, str) or not file or mode not in MODES:
        raise PageLogError(f"line {number}: it has no file, or {mode!r} is no mode")
    pages = _pages(line, "p", number)
    written: tuple[int, ...] = ()
    if "w" in mode:
        written = _pages(line, "w", number) if "w" in line else _data(pages)
    return Record(_number(line, "t", number, 0, MOST_TIME), file, pages, written,
                  _number(line, "n", number, 1, MOST_UPDATES) if "n" in line else 1)


def _pages(line: dict[str, Any], key: str, number: int) -> tuple[int, ...]:
    words = line.get(key)
    if not isinstance(words, str):
        raise PageLogError(f"line {number}: its {key} is {words!r}")
    try:
        return parse(words)
    except PageLogError as error:
        raise PageLogError(f"line {number}: {error}") from None


def _number(line: dict[str, Any], key: str, number: int, least: int, most: int) -> int:
    value = line.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < most:
        raise PageLogError(f"line {number}: its {key} is {value!r}")
    return value


def _line(file: File, number: int) -> bytes:
    """The next line, b"" at the end."""
    data = file.readline(MOST_LINE + 1)
    if len(data) > MOST_LINE:
        raise PageLogError(f"line {number}: it is longer than {MOST_LINE} bytes")
    return data


def _object(data: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(data) if data.endswith(b"\n") else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise PageLogError(f"line {number}: it is no object of JSON, or only part of one")
    return found
