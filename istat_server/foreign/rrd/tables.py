"""What an RRD file holds, however it was read: archives of rows, and what they say of each data source.

A row of an archive ends at its time: the row of 12:00:10 with a step of 10 s is the bucket of 12:00:00. AVERAGE, MIN
and MAX of one resolution become one bucket. Where one primary point makes a row, all of them are that point, and any of
them stands for the average, as for `rrdtool fetch`. Knows no files.
"""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from istat.errors import IstatError
from istat.kernels import columns
from istat_server.foreign.covering import Resolution, cover, missing
from istat_server.store.levels.placing import Archive

MOST_SOURCES = 1000             # data sources of one file
AVERAGE, LAST, MIN, MAX = "AVERAGE", "LAST", "MIN", "MAX"
PLAIN = (AVERAGE, LAST, MAX, MIN)       # which archives stand for the value, the first there is

Point = tuple[int, float, float, float]     # primary points, value, min, max


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
    rows: Sequence[Sequence[float]]

    @property
    def start(self) -> int:
        """Where its first row begins."""
        return self.end - self.step * len(self.rows)

    def known(self, source: int) -> dict[int, float]:
        """Start -> value of one data source; infinite ones as well."""
        return {self.start + at * self.step: row[source] for at, row in enumerate(self.rows)
                if not math.isnan(row[source])}

    def stands_for(self, function: str) -> bool:
        """Whether its rows are what this function gives."""
        return self.function == function or (self.parts == 1 and {self.function, function} <= set(PLAIN))


@dataclass(frozen=True)
class Rrd:
    """One file."""

    sources: tuple[str, ...]
    tables: tuple[Table, ...]

    @cached_property
    def _base(self) -> list[Table]:
        """The archives that stand for the value, finest first."""
        functions = {table.function for table in self.tables}
        plain = next((one for one in PLAIN if one in functions), "")
        found = [table for table in self.tables if table.stands_for(plain)]
        return sorted(found, key=lambda table: (table.step, table.function != plain))

    def _kept(self, source: int) -> list[tuple[Table, dict[int, Point]]]:
        found = [Resolution(table.step, table.start, self._points(table, source)) for table in self._base]
        return list(zip(self._base, cover(found), strict=True))

    def _points(self, table: Table, source: int) -> dict[int, Point]:
        lows, highs = ({time: value for one in self.tables if one.step == table.step and one.stands_for(function)
                        for time, value in one.known(source).items() if math.isfinite(value)}
                       for function in (MIN, MAX))
        return {time: (table.parts, value, min(value, lows.get(time, value)), max(value, highs.get(time, value)))
                for time, value in table.known(source).items() if math.isfinite(value)}

    def archives(self, source: int) -> tuple[Archive, ...]:
        """Rows of one data source, as `store.levels.placing` takes them."""
        made = []
        for table, points in self._kept(source):
            rows: columns.Columns = columns.Columns()
            for time, (parts, value, low, high) in sorted(points.items()):
                rows.append(time, parts, value * parts, 0.0, low, high)
            made.append(Archive(table.step, rows, apart=True))
        return tuple(made)

    def left_out(self, source: int) -> Counter[str]:
        """Why rows say nothing of a time that no other row tells of -> how many."""
        kept = [(table.step, points) for table, points in self._kept(source)]
        found: Counter[str] = Counter()
        for step in {table.step for table in self.tables}:
            known = [table.known(source) for table in self.tables if table.step == step and table.function in PLAIN]
            odd = {time for values in known for time, value in values.items() if math.isinf(value)}
            found["not_finite"] += missing(odd, step, kept)
            found["no_average"] += missing({time for values in known for time in values} - odd, step, kept)
        found["forecasts"] = sum(table.function not in PLAIN for table in self.tables) if source == 0 else 0
        return +found
