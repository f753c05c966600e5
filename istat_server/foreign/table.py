"""CSV files of buckets or samples: a header line, then a line each. docs/import-export.md names the columns.

A file may grow: what is behind the part that was imported is imported by the next run. Lines of one portion are
gathered by counter before they are given on. Knows no store, and of bytes only what text.py gives.
"""
from __future__ import annotations

import csv
import hashlib
import math
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istat.errors import BadLine, UsageError
from istat.kernels import columns
from istat_server.foreign.source import Naming, Problems, changed, found_under, key_of
from istat_server.foreign.text import MOST_LINE, Text
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import EDGE_SHARE, Archive
from istat_server.store.offline.appending import Series

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

SAMPLES = ("name", "time", "value")
BUCKETS = ("name", "time", "count", "sum", "min", "max")
MORE = ("sumsq", "interval", "kind")
LINES_AT_ONCE = 200_000         # gathered before they are given on: about 100 MB
MOST_INTERVAL = 1 << 31
MILLISECONDS_FROM = 10**11      # as seconds in the year 5138, as milliseconds in 1973
HASH_AT_ONCE = 1 << 20
ODD = re.compile(rb"[\x00-\x1f\x7f]|\^")       # no part of a name
RENAMED = " --rename "          # stands in a key before each

Row = tuple[int, int, float, float, float, float]
Group = tuple[bytes, bool, int]         # name, event, interval


@dataclass(frozen=True)
class Format:
    """Where which column is; `interval` holds where there is no such column [s]."""

    places: dict[str, int]
    interval: int

    @property
    def samples(self) -> bool:
        """Whether each line is one sample."""
        return "value" in self.places

    @staticmethod
    def of(header: str, interval: int) -> Format:
        """What a header line says. UsageError when it is none that is known."""
        names = [name.strip().lower() for name in next(csv.reader([header]), [])]
        places = {name: at for at, name in enumerate(names)}
        wanted = SAMPLES if "value" in places else BUCKETS
        missing = [name for name in wanted if name not in places]
        strange = [name for name in names if name not in wanted + MORE]
        if missing or strange or len(places) < len(names):
            raise UsageError(f"the first line of a CSV file names its columns: {','.join(SAMPLES)} or "
                             f"{','.join(BUCKETS)}, and more of {','.join(MORE)}; "
                             + (f"it is {header.strip()[:100]!r}" if header.strip() else "here it is empty"))
        return Format(places, 1 if "value" in places else interval)

    def read(self, line: str) -> tuple[Group, Row]:
        """One line. BadLine when it is no sample or bucket."""
        fields = next(csv.reader([line], strict=True), [])
        if len(fields) != len(self.places):
            raise BadLine("bad_line", f"{len(fields)} columns, {len(self.places)} expected")
        try:
            name, event = self._name(fields)
            interval = int(fields[self.places["interval"]]) if "interval" in self.places else self.interval
            row = self._sample(fields, interval, event) if self.samples else self._bucket(fields)
        except ValueError as error:
            raise BadLine("bad_line", str(error)) from error
        if not 1 <= interval < MOST_INTERVAL or not all(map(math.isfinite, row)) or row[1] < 1 or row[4] > row[5]:
            raise BadLine("bad_line", "numbers that cannot be a bucket")
        checked = not (event or self.samples) and abs(row[2]) < sys.float_info.max
        if checked and not _between(row[2] / row[1], row[4], row[5]):
            raise BadLine("bad_line", f"the average {row[2] / row[1]:g} is not between {row[4]:g} and {row[5]:g}")
        return (name, event, interval), row

    def _name(self, fields: list[str]) -> tuple[bytes, bool]:
        name = fields[self.places["name"]].encode("utf-8", "surrogateescape")
        _check_name(name)
        star = name.startswith(b"*")        # no part of it: it is an event's, where nothing says otherwise
        kind = fields[self.places["kind"]] if "kind" in self.places else ""
        return (name[1:] if star else name), kind == "event" or (star and kind != "gauge")

    def _number(self, fields: list[str], name: str) -> float:
        try:
            return float(fields[self.places[name]])
        except ValueError as error:
            raise BadLine("bad_line", f"the {name} {fields[self.places[name]][:40]!r} is no number") from error

    def _sample(self, fields: list[str], interval: int, event: bool) -> Row:
        value = self._number(fields, "value")
        value = value / interval if event else value
        return (_time(fields[self.places["time"]]), 1, value, 0.0, value, value)

    def _bucket(self, fields: list[str]) -> Row:
        count, total = int(fields[self.places["count"]]), self._number(fields, "sum")
        low, high = self._number(fields, "min"), self._number(fields, "max")
        m2 = 0.0
        if "sumsq" in self.places and count > 1 and low != high:
            m2 = max(0.0, self._number(fields, "sumsq") - total * total / count)
        return (_time(fields[self.places["time"]]), count, total, m2, low, high)


def _between(value: float, low: float, high: float) -> bool:
    """Whether an average lies between two values, or as near as sums are kept."""
    slack = EDGE_SHARE * max(abs(low), abs(high))
    return low - slack <= value <= high + slack


def _check_name(name: bytes) -> None:
    odd = ODD.search(name)
    if odd and odd[0] != b"^":
        raise BadLine("bad_line", "a name with a line break or another control character")
    if odd:
        raise BadLine("bad_line", f"the name {name.decode(errors='replace')[:40]!r} has a caret, which no counter's "
                                  f"name can hold")


def _time(text: str) -> int:
    """Unix seconds, or ISO 8601 (UTC unless it says otherwise)."""
    try:
        seconds = math.floor(float(text))
        if seconds >= MILLISECONDS_FROM:
            raise BadLine("bad_line", f"the time {text[:40]!r} is in milliseconds or finer: Unix seconds are wanted, "
                                      f"such as {str(seconds)[:10]}")
        return seconds
    except (ValueError, OverflowError):
        try:
            when = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise BadLine("bad_line", f"the time {text[:40]!r} is neither Unix seconds nor ISO 8601") from error
        return math.floor((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


@dataclass
class Table:
    """One CSV file. A mark is the offset behind the lines before it [bytes]; its digest is of the bytes before it."""

    path: Path
    interval: int               # of buckets, where no column says it [s]
    naming: Naming = field(default_factory=Naming)
    name: str = ""              # of the source, where the path does not say it (stdin)
    problems: Problems = field(default_factory=Problems)
    done: int = 0
    _mark: str = ""             # the offset behind what was read
    _at_end: bool = False
    _line_ends: bool = True     # a line longer than MOST_LINE comes in parts
    _line: int = 1              # the number of the last line read
    _hash: Any = field(default_factory=hashlib.sha256)
    _hashed: int = 0            # bytes that are in it
    _lines_hashed: int = 0

    @property
    def key(self) -> str:
        """What this is in the MANIFEST's notes."""
        return self._key(os.path.realpath(self.path))

    def _key(self, path: str) -> str:
        return key_of("csv", self.naming.prefix, (self.name or path) + self._renamed)

    @property
    def _renamed(self) -> str:
        return "".join(f"{RENAMED}{old}={new}" for old, new in self.naming.renames)

    def size(self) -> int:
        """See Source.size: of a compressed file as it lies on the disk."""
        return self.path.stat().st_size

    def known(self, imports: Iterable[Import]) -> Import | None:
        """See Source.known. Else what this begins with: the same lines by another path, or by a pipe that has grown."""
        own = found_under(imports, (self.key, self._key(os.path.abspath(self.path))))
        begun = None if own else self._begun(imports)
        if begun is None:
            return own
        place, renamed, names = begun.key.removeprefix(self._kind).partition(RENAMED)
        if renamed + names != self._renamed:
            raise UsageError(f"{self._place} was imported before under other names: --rename holds from the first "
                             f"import of a CSV file on; put the lines that are to be renamed into a file of their own")
        if self.name and place.isalnum():           # a pipe that has grown keeps its note
            self.name = place
        return replace(begun, key=self.key)

    @property
    def _kind(self) -> str:
        return key_of("csv", self.naming.prefix, "")

    def _begun(self, imports: Iterable[Import]) -> Import | None:
        """The longest import of CSV whose lines are the first ones here."""
        notes = sorted((note for note in imports if note.key.startswith(self._kind) and note.mark),
                       key=lambda note: int(note.mark))
        found, hashed, at = None, hashlib.sha256(), 0
        with self._open() as file:
            head = len(file.readline(MOST_LINE))
            file.seek(0)
            for note in notes:
                while at < int(note.mark) and (data := file.read(min(int(note.mark) - at, HASH_AT_ONCE))):
                    hashed.update(data)
                    at += len(data)
                if at == int(note.mark) > head and hashed.hexdigest() == note.digest:
                    found = note
        return found

    def overlaps(self, imports: Iterable[Import]) -> bool:
        """See Source.overlaps: its mark says all."""
        return False

    def more(self, note: Import) -> bool:
        """See Source.more. Lines behind the mark may have come; those before it may not have changed."""
        if note.mark and self.digest(note.mark) != note.digest:
            raise changed(self.key)
        if not note.finished:
            return True
        with self._open() as file:
            file.seek(int(note.mark or 0))
            return bool(file.read(1))

    def digest(self, mark: str) -> str:
        """See Source.digest. Marks only grow."""
        with self._open() as file:
            file.seek(self._hashed)
            while self._hashed < int(mark or 0) and (data := file.read(min(int(mark) - self._hashed, HASH_AT_ONCE))):
                self._hash.update(data)
                self._lines_hashed += data.count(b"\n")
                self._hashed += len(data)
        found: str = self._hash.hexdigest()
        return found if self._hashed == int(mark or 0) else "shorter than it was"

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series."""
        with self._open() as file:
            form = Format.of(file.readline(MOST_LINE).decode("utf-8-sig", "surrogateescape"), self.interval)
            self._at_end, self._line, self._line_ends = False, 1, True
            if after:
                file.seek(int(after))
                self._line = self._lines_hashed         # `more` has just hashed all before the mark
            while not self._at_end:
                groups = self._gather(file, form)
                self._mark, self.done = str(file.tell()), file.read_so_far()
                yield from self._portion(groups)

    def _portion(self, groups: dict[Group, Columns]) -> Iterator[Series]:
        """What was gathered; the mark comes with the last counter."""
        for number, ((name, event, interval), rows) in enumerate(sorted(groups.items(), key=lambda group: group[0])):
            if event:
                rows.fold_rates()
            else:
                rows.fold(False)
            mark = self._mark if number == len(groups) - 1 else ""
            archives = (Archive(interval, rows, apart=True),)
            yield self.naming.series(tuple(name.split(b".")), os.fsdecode(name), event, archives, mark)

    def last_mark(self, mark: str) -> str:
        """See Source.last_mark."""
        return self._mark

    def _open(self) -> Text:
        return Text(self.path)

    def _gather(self, file: Text, form: Format) -> dict[Group, Columns]:
        """The next lines, by counter and interval."""
        groups: dict[Group, Columns] = {}
        for _ in range(LINES_AT_ONCE):
            line, broken = file.record()
            self._at_end = not line
            if not line:
                break
            self._line += self._line_ends
            self._line_ends = line.endswith(b"\n")
            if not line.strip():
                continue
            try:
                if broken:
                    raise BadLine("bad_line", "a quoted line break")
                group, row = form.read(line.decode("utf-8", "surrogateescape"))
            except (BadLine, csv.Error) as error:
                self.problems.add("bad_line", f"{self._place}, line {self._line}: {error}")
                self._line += line.count(b"\n") - 1 if broken else 0
                continue
            groups.setdefault(group, columns.Columns()).append(*row)
        if self._at_end and file.damage:
            self.problems.add("damaged", f"{self._place}, behind line {self._line}: {file.damage}")
        return groups

    @property
    def _place(self) -> str:
        return "standard input" if self.name else str(self.path)
