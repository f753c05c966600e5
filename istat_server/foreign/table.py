"""CSV files of buckets or samples: a header line, then a line each. docs/import-export.md names the columns.

A file may grow: what is behind the part that was imported is imported by the next run. Lines of one portion are
gathered by counter before they are given on. Knows no store.
"""
from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from istat.errors import BadLine, UsageError
from istat.kernels import columns
from istat_server.foreign.source import Naming, Problems, changed
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

SAMPLES = ("name", "time", "value")
BUCKETS = ("name", "time", "count", "sum", "min", "max")
MORE = ("sumsq", "interval", "kind")
LINES_AT_ONCE = 200_000         # gathered before they are given on: about 100 MB
MOST_LINE = 1 << 16             # [bytes]
MOST_INTERVAL = 1 << 31
HASH_AT_ONCE = 1 << 20

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
                             f"{','.join(BUCKETS)}, and more of {','.join(MORE)}; it is {header.strip()[:100]!r}")
        return Format(places, 1 if "value" in places else interval)

    def read(self, line: str) -> tuple[Group, Row]:
        """One line. BadLine when it is no sample or bucket."""
        fields = next(csv.reader([line]), [])
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
        return (name, event, interval), row

    def _name(self, fields: list[str]) -> tuple[bytes, bool]:
        name = fields[self.places["name"]].encode("utf-8", "surrogateescape")
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


def _time(text: str) -> int:
    """Unix seconds, or ISO 8601 (UTC unless it says otherwise)."""
    try:
        return math.floor(float(text))
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
    _at_end: bool = False
    _line_ends: bool = True     # a line longer than MOST_LINE comes in parts
    _line: int = 1              # the number of the last line read
    _hash: Any = field(default_factory=hashlib.sha256)
    _hashed: int = 0            # bytes that are in it
    _lines_hashed: int = 0

    @property
    def key(self) -> str:
        """What this is in the MANIFEST's notes."""
        return f"csv:{self.naming.prefix}:{self.name or os.path.abspath(self.path)}"

    def size(self) -> int:
        """See Source.size."""
        return self.path.stat().st_size

    def more(self, note: Import) -> bool:
        """See Source.more. Lines behind the mark may have come; those before it may not have changed."""
        if note.mark and self.digest(note.mark) != note.digest:
            raise changed(self.key)
        return not note.finished or self.size() > int(note.mark or 0)

    def digest(self, mark: str) -> str:
        """See Source.digest. Marks only grow."""
        with open(self.path, "rb") as file:
            file.seek(self._hashed)
            while self._hashed < int(mark or 0) and (data := file.read(min(int(mark) - self._hashed, HASH_AT_ONCE))):
                self._hash.update(data)
                self._lines_hashed += data.count(b"\n")
                self._hashed += len(data)
        found: str = self._hash.hexdigest()
        return found if self._hashed == int(mark or 0) else "shorter than it was"

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series."""
        with open(self.path, "rb") as file:
            form = Format.of(file.readline(MOST_LINE).decode("utf-8-sig", "surrogateescape"), self.interval)
            self._at_end, self._line, self._line_ends = False, 1, True
            if after:
                file.seek(int(after))
                self._line = self._lines_hashed         # `more` has just hashed all before the mark
            while not self._at_end:
                groups = self._gather(file, form)
                self.done = file.tell()
                last = len(groups) - 1
                for number, ((name, event, interval), rows) in enumerate(sorted(groups.items(), key=lambda g: g[0])):
                    if event:
                        rows.fold_rates()
                    else:
                        rows.fold(False)
                    mark = str(file.tell()) if number == last else ""
                    own = os.fsencode(self.naming.prefix) + name
                    yield Series(own, event, (Archive(interval, rows, apart=True),), mark)

    def last_mark(self, mark: str) -> str:
        """See Source.last_mark."""
        return str(self.done)

    def _gather(self, file: BinaryIO, form: Format) -> dict[Group, Columns]:
        """The next lines, by counter and interval."""
        groups: dict[Group, Columns] = {}
        for _ in range(LINES_AT_ONCE):
            line = file.readline(MOST_LINE)
            self._at_end = not line
            if not line:
                break
            self._line += self._line_ends
            self._line_ends = line.endswith(b"\n")
            if not line.strip():
                continue
            try:
                group, row = form.read(line.decode("utf-8", "surrogateescape"))
            except (BadLine, csv.Error) as error:
                where = "standard input" if self.name else self.path
                self.problems.add("bad_line", f"{where}, line {self._line}: {error}")
                continue
            groups.setdefault(group, columns.Columns()).append(*row)
        return groups
