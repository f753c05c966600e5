"""RRD files of rrdtool, read by way of `rrdtool dump` or as the XML that it writes.

A row of an archive ends at its time: the row of 12:00:10 with a step of 10 s is the bucket of 12:00:00. AVERAGE, MIN
and MAX of one resolution become one bucket; the finest archive that reaches back to a time counts for it. Counters are
gauges here, as RRD keeps rates whatever the type of its data source.
"""
from __future__ import annotations

import io
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree

from istat.errors import IstatError, UsageError
from istat.kernels import columns
from istat_server.foreign.source import Found, Tree, parts_of
from istat_server.store.levels.placing import Archive
from istat_server.store.offline.appending import Series

SUFFIX, XML_SUFFIX = ".rrd", ".xml"
DUMP_SECONDS = 60.0             # however large a file is, rrdtool has read it by then
MOST_SOURCES = 1000             # data sources of one file
AVERAGE, MIN, MAX = "AVERAGE", "MIN", "MAX"
PLAIN = (AVERAGE, "LAST", MAX, MIN)     # which archives stand for the value, the first there is


class RrdError(IstatError):
    """A file is no RRD file, or is damaged."""

    exit_code = 96


@dataclass(frozen=True)
class Table:
    """One archive: rows of `step` seconds, the last one ends at `end`; a value (or NaN) per data source in each."""

    function: str
    parts: int                      # primary points in a row
    step: int
    end: int
    rows: list[list[float]]

    @property
    def start(self) -> int:
        """Where its first row begins."""
        return self.end - self.step * len(self.rows)

    def values(self, source: int) -> dict[int, float]:
        """Start -> value of one data source."""
        return {self.start + at * self.step: row[source] for at, row in enumerate(self.rows)
                if math.isfinite(row[source])}


@dataclass(frozen=True)
class Rrd:
    """One file."""

    sources: tuple[str, ...]
    tables: tuple[Table, ...]

    def archives(self, source: int) -> tuple[Archive, ...]:
        """Rows of one data source, as `store.levels.placing` takes them."""
        functions = {table.function for table in self.tables}
        plain = next((one for one in PLAIN if one in functions), "")
        base = sorted((table for table in self.tables if table.function == plain), key=lambda table: table.step)
        until = 1 << 62
        made = []
        for at, table in enumerate(base):
            start = table.start
            if at + 1 < len(base):          # a bucket of the next coarser archive is not cut in two
                start = -(-start // base[at + 1].step) * base[at + 1].step
            rows: columns.Columns = columns.Columns()
            for row in self._rows(table, source):
                if start <= row[0] < until:
                    rows.append(*row)
            made.append(Archive(table.step, rows, apart=True))
            until = min(until, start)
        return tuple(made)

    def _rows(self, table: Table, source: int) -> Iterator[tuple[int, int, float, float, float, float]]:
        edges = {one.function: one.values(source) for one in self.tables if one.step == table.step}
        for time, value in sorted(table.values(source).items()):
            low = min(value, edges.get(MIN, {}).get(time, value))
            high = max(value, edges.get(MAX, {}).get(time, value))
            yield time, table.parts, value * table.parts, 0.0, low, high


def read_xml(file: BinaryIO) -> Rrd:
    """The file that an XML dump describes. RrdError when it is none."""
    try:
        return _parse(file)
    except (ElementTree.ParseError, ValueError, OverflowError) as error:
        raise RrdError(f"is no dump of rrdtool: {error}") from error


def _parse(file: BinaryIO) -> Rrd:
    step = updated = 0
    names: list[str] = []
    tables: list[Table] = []
    rows: list[list[float]] = []
    path: list[str] = []
    for event, element in ElementTree.iterparse(file, events=("start", "end")):
        if event == "start":
            path.append(element.tag)
            continue
        place = "/".join(path)
        path.pop()
        if place == "rrd/step":
            step = int(element.text or "")
        elif place == "rrd/lastupdate":
            updated = int(element.text or "")
        elif place == "rrd/ds":
            names.append((element.findtext("name") or "").strip())
            _check(len(names) <= MOST_SOURCES, "has too many data sources")
        elif place == "rrd/rra/database/row":
            rows.append([float(value.text or "nan") for value in element])
            _check(len(rows[-1]) == len(names), "has rows that do not fit its data sources")
            element.clear()
        elif place == "rrd/rra":
            tables.append(_table(element, rows, step, updated))
            rows = []
            element.clear()
    _check(bool(names) and bool(tables), "has no data")
    return Rrd(tuple(names), tuple(tables))


def _table(element: ElementTree.Element, rows: list[list[float]], step: int, updated: int) -> Table:
    parts = int(element.findtext("pdp_per_row") or "")
    _check(0 < parts < 1 << 31 and 0 < step < 1 << 31 and 0 < updated < 1 << 40, "has no step or time")
    whole = parts * step
    return Table((element.findtext("cf") or "").strip(), parts, whole, updated - updated % whole, rows)


def _check(sound: bool, problem: str) -> None:
    if not sound:
        raise ValueError(problem)


def dump(path: Path) -> Rrd:
    """Read an RRD file by way of rrdtool. UsageError when that is not installed, RrdError when it cannot read it."""
    tool = shutil.which("rrdtool")
    if tool is None:
        raise UsageError("rrdtool is needed to read RRD files (apt install rrdtool); where it is, `rrdtool dump a.rrd "
                         "a.xml` makes files that can be imported without it")
    try:
        done = subprocess.run([tool, "dump", os.path.abspath(path)], capture_output=True, timeout=DUMP_SECONDS,
                              check=False)
    except subprocess.TimeoutExpired as error:
        raise RrdError("rrdtool does not come to an end with it") from error
    if done.returncode:
        raise RrdError(done.stderr.decode(errors="replace").strip() or "rrdtool cannot read it")
    return read_xml(io.BytesIO(done.stdout))


@dataclass
class RrdTree(Tree):
    """A tree of RRD files and XML dumps, or one of them."""

    kind = "rrd"

    def wanted(self, found: Found) -> bool:
        """See Tree.wanted."""
        return found.path.suffix in (SUFFIX, XML_SUFFIX)

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series. A file's mark comes with the last of its data sources."""
        seen = parts_of(after)
        for found in self.files(seen[:-1], self.problems):
            made = self._read(found) if found.after(seen) or not after else None
            self.done += found.size
            if made is None:
                continue
            name = self.naming.name(found.parts, found.path.suffix)
            last = len(made.sources) - 1
            for number, source in enumerate(made.sources):
                own = name if last == 0 else name + b"." + source.encode()
                yield Series(own, False, made.archives(number), found.mark if number == last else "")

    def _read(self, found: Found) -> Rrd | None:
        try:
            if found.path.suffix == SUFFIX:
                return dump(found.path)
            with open(found.path, "rb") as file:
                return read_xml(file)
        except RrdError as error:
            self.problems.add("damaged", f"{found.path}: {error}")
        except OSError as error:
            self.problems.add("unreadable", f"{found.path}: {error.strerror}")
        return None
