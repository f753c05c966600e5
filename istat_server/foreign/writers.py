"""Buckets of counters to CSV, Parquet and istatd's ring files. Knows rows and files, no store and no network."""
from __future__ import annotations

import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from istat.access import guarded
from istat.errors import UsageError
from istat.kernels import columns, render
from istat.names import munge
from istat.pagecache import ownfiles
from istat.retention import Ladder
from istat_server.foreign import ring
from istat_server.store.levels.placing import residue

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

COLUMNS = ("name", "kind", "time", "interval", "count", "sum", "min", "max", "sumsq")
# Numbers of a CSV line as `render.rows` calls them, beside the interval.
CSV_FIELDS = ("time", "count", "sum", "min", "max", "sumsq")
QUOTED = ',"\r\n'               # signs for which a CSV field is quoted
ROWS_AT_ONCE = 1 << 17          # of a Parquet file's row group
MOST_COMPONENT = 255            # [bytes] what file systems take as one name


@dataclass(frozen=True)
class Exported:
    """One counter, by its name as a store tells it: its final rows at every level, finest first."""

    name: str
    event: bool
    ladder: Ladder
    levels: tuple[Columns, ...]


Line = tuple[str, str, int, int, int, float, float, float, float]


class Writer(Protocol):
    """Takes counters, one after the other. `totals` says what became of them."""

    totals: Counter[str]

    def write(self, counter: Exported) -> None:
        """Take one."""

    def safe(self) -> int:
        """Bring what was taken to where it stays when we are ended; how long the file is then [bytes], 0 where there is
        no one file."""

    def finish(self) -> None:
        """Complete the file."""


def distinct(counter: Exported) -> Iterator[tuple[int, Columns]]:
    """(interval, rows): each bucket once, by the finest level that has it; of a coarser one only what the finer ones do
    not hold."""
    base = counter.ladder.finest.interval
    held: Columns = columns.Columns()
    for level, rows in zip(counter.ladder.levels, counter.levels, strict=True):
        held = held.reduce(0, level.interval, level.interval // base if counter.event else 0)
        more = residue(rows, held, counter.event) if len(held) else rows
        if len(more):
            yield level.interval, more
        held.extend(more)
        if counter.event:
            held.fold_rates()
        else:
            held.fold(False)


def lines(counter: Exported) -> Iterator[Line]:
    """The values of each bucket's line."""
    for interval, rows in distinct(counter):
        for time, count, total, m2, low, high in rows.rows():
            squares = min(m2 + total * total / count, sys.float_info.max)       # its bound, as of sums
            yield counter.name, _kind(counter), time, interval, count, total, low, high, squares


def _kind(counter: Exported) -> str:
    return "event" if counter.event else "gauge"


class CsvWriter:
    """A line per bucket, as `istat import --from csv` reads it."""

    def __init__(self, file: TextIO, head: bool = True) -> None:
        """head: it begins with the columns' names; a file that is gone on with has them."""
        self.totals: Counter[str] = Counter()
        self._file = file
        if head:
            file.write(",".join(COLUMNS) + "\n")

    def write(self, counter: Exported) -> None:
        """See Writer.write."""
        before = self.totals["buckets"]
        for interval, rows in distinct(counter):
            self._file.write(render.rows(rows, _parts(counter, interval), CSV_FIELDS, b"").decode())
            self.totals["buckets"] += len(rows)
        self.totals["counters"] += self.totals["buckets"] > before

    def safe(self) -> int:
        """See Writer.safe."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def finish(self) -> None:
        """See Writer.finish."""
        self._file.flush()


def _parts(counter: Exported, interval: int) -> tuple[bytes, ...]:
    """What stands around the numbers of a line: see `render.rows`."""
    name = counter.name
    if any(sign in name for sign in QUOTED):
        name = '"' + name.replace('"', '""') + '"'
    return f"{name},{_kind(counter)},".encode(), f",{interval},".encode(), b",", b",", b",", b",", b"\n"


class ParquetWriter:
    """The columns of the CSV file, `time` as a timestamp in UTC. Needs pyarrow."""

    def __init__(self, path: Path) -> None:
        """UsageError when pyarrow is not installed."""
        self.totals: Counter[str] = Counter()
        self._path = path
        try:
            arrow: Any = importlib.import_module("pyarrow")
            parquet: Any = importlib.import_module("pyarrow.parquet")
        except ImportError as error:
            raise UsageError("Parquet needs pyarrow: pip install pyarrow where istatd is installed, "
                             "or export CSV") from error
        words = arrow.dictionary(arrow.int32(), arrow.string())
        numbers = [(name, arrow.float64()) for name in COLUMNS[5:]]
        self._arrow, self._rows = arrow, list[Line]()
        self._schema = arrow.schema([("name", words), ("kind", words), ("time", arrow.timestamp("s", tz="UTC")),
                                     ("interval", arrow.int32()), ("count", arrow.int64()), *numbers])
        # What is no plain file, such as /dev/null, is written to, never replaced.
        special = path.exists() and not path.is_file()
        self._aside = path if special else path.with_name(f".{path.name}.tmp")
        self._out = ownfiles.writing(self._aside, None if special else guarded.fresh)
        self._file = parquet.ParquetWriter(self._out, self._schema, compression="zstd")

    def write(self, counter: Exported) -> None:
        """See Writer.write."""
        before = len(self._rows)
        self._rows += lines(counter)
        self.totals.update(counters=int(len(self._rows) > before), buckets=len(self._rows) - before)
        if len(self._rows) >= ROWS_AT_ONCE:
            self._put()

    def safe(self) -> int:
        """See Writer.safe. The file is not there before it is whole."""
        return 0

    def _put(self) -> None:
        values = zip(*self._rows) if self._rows else ([] for _ in COLUMNS)
        arrays = [self._arrow.array(list(column), field.type) for column, field in zip(values, self._schema)]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []

    def finish(self) -> None:
        """See Writer.finish. The file appears whole."""
        self._put()
        self._file.close()
        self._out.close()
        if self._aside != self._path:
            os.rename(self._aside, self._path)


class RingWriter:
    """A folder per counter with a ring file per level, as istatd's store has them."""

    def __init__(self, root: Path) -> None:
        self.totals: Counter[str] = Counter()
        self._root = root

    def write(self, counter: Exported) -> None:
        """See Writer.write. Names that cannot be a path there are counted."""
        name = counter.name.removeprefix("*")       # the one that it is told with
        if not _fits(name, counter.ladder):
            self.totals["no_path"] += 1
            return
        base = counter.ladder.finest.interval
        folder = self._root.joinpath(*name.split("."))
        for level, rows in zip(counter.ladder.levels, counter.levels, strict=True):
            if not len(rows):
                continue
            folder.mkdir(parents=True, exist_ok=True)
            flags = 0
            if counter.event:
                flags = ring.EVENT if level.interval == base else ring.COARSE
            dropped = ring.write(folder / level.name, rows, level.interval, level.keep, flags, level.interval // base)
            self.totals.update(files=1, buckets=len(rows) - dropped, too_old=dropped)
        self.totals["counters"] += any(map(len, counter.levels))

    def safe(self) -> int:
        """See Writer.safe: each file is whole."""
        return 0

    def finish(self) -> None:
        """See Writer.finish."""


def _fits(name: str, ladder: Ladder) -> bool:
    """istatd makes a folder of each component; a folder cannot have the name of a level's file."""
    levels = {level.name for level in ladder.levels}
    stored = munge(name.encode()).decode("ascii") == name
    return stored and all(part and len(part) <= MOST_COMPONENT and part not in levels for part in name.split("."))
