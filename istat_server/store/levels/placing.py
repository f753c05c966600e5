"""Where the buckets of another store belong in ours: as fine rows, or as settled rows of a coarser level.

Pure arithmetic over rows of one counter, no files. Gauge rows are as everywhere. Event rows that come in are rates per
second: sum / count is the mean rate of the bucket, min and max are rates; how many the count is does not matter.

The finest archive that our ladder can take becomes fine rows; what is too old or too coarse for that is settled at the
finest level that still holds it and is at least as coarse, and at every coarser one. Where an archive says more than
what the finer ones gave, only the difference (the residue) is settled, so that the bucket comes out as it was there.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import nextafter
from typing import TYPE_CHECKING

from istat.kernels import columns
from istat.retention import Ladder

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns, Row

# Rates that differ by less than this share are one: other systems keep sums in doubles, added in another order, ...
SUM_SHARE = 1e-9
# ... but min and max in 24 bits of mantissa.
EDGE_SHARE = 1e-6
# Rates of a bucket coarser than all of ours are spread over at most so many of ours: bounds what a strange file costs.
MOST_SPREAD = 10_000
EVER = 1 << 62                  # beyond all times [s]


@dataclass(frozen=True)
class Archive:
    """Final buckets of one counter from elsewhere: `interval` seconds each, in order of time, each time once."""

    interval: int
    rows: Columns
    apart: bool = False         # holds times that no finer archive holds: its buckets add to theirs, whole


@dataclass
class Placed:
    """Where the rows of one counter go: partial rows of the finest level, and settled rows per coarser level."""

    fine: Columns
    settled: dict[int, Columns]
    taken: int = 0              # rows that came in, without the refused ones; beside what is known: buckets with more
    covered: int = 0                                            # buckets that said no more than finer ones did
    refused: Counter[str] = field(default_factory=Counter)      # reason -> rows


Known = Callable[[int, int, int], "Columns"]        # level, start, end -> final rows


@dataclass(frozen=True)
class Limits:
    """What a store takes: times up to `newest`, and per level those from `oldest` on [Unix seconds]."""

    oldest: tuple[int, ...]
    newest: int


def place(event: bool, archives: Iterable[Archive], ladder: Ladder, limits: Limits,
          known: Known | None = None) -> Placed:
    """Rows for our levels. ValueError when an interval is no positive number.

    Refused are rows `from_future`, `from_past`, and those of events `too_coarse` to be spread over our levels.
    `known`: what the store answers at a level; only what the archives say beyond that is placed.
    """
    return _Placing(event, ladder, limits, known).all(sorted(archives, key=lambda archive: archive.interval))


class _Placing:
    """One counter being placed. `_said` is what the archives so far say, by the level whose grid they fit."""

    def __init__(self, event: bool, ladder: Ladder, limits: Limits, known: Known | None) -> None:
        self._event, self._limits, self._known = event, limits, known
        self._intervals = [level.interval for level in ladder.levels]
        self._base = self._intervals[0]
        self._said: dict[int, Columns] = {}
        self._placed = Placed(columns.Columns(), {})

    def all(self, archives: Sequence[Archive]) -> Placed:
        for archive in archives:
            if archive.interval < 1:
                raise ValueError(f"buckets of {archive.interval} s")
            if self._event and archive.interval > MOST_SPREAD * self._intervals[-1]:
                self._placed.refused["too_coarse"] += len(archive.rows)
            else:
                self._hear(archive)
        for level in sorted(self._said):
            self._settle(level, self._said[level])
        return self._placed

    def _hear(self, archive: Archive) -> None:
        """Note what an archive says beyond the finer ones."""
        refused, rows, last = self._placed.refused, archive.rows, len(self._intervals) - 1
        level = next((level for level, step in enumerate(self._intervals) if step >= archive.interval), last)
        known = rows.slice(-(EVER), self._limits.newest + 1)
        refused["from_future"] += len(rows) - len(known)
        part = known.slice(max(0, min(self._limits.oldest[level:])), EVER)
        refused["from_past"] += len(known) - len(part)
        ours = self._regrouped(part, archive.interval, level)
        held: Columns = columns.Columns() if archive.apart else self._held(level)
        if self._known is not None and len(ours):
            self._fold(held, self._known(level, ours.row(0)[0], ours.row(len(ours) - 1)[0] + 1))
        before = len(ours)
        if len(held):
            more = residue(ours, held, self._event)
            ours = _rising(more, ours) if self._known is not None and self._event else more
            self._placed.covered += before - len(ours)
        self._placed.taken += len(part) if self._known is None else len(ours)
        if len(ours):
            self._fold(self._said.setdefault(level, columns.Columns()), ours)

    def _held(self, level: int) -> Columns:
        """What a level would answer from all that was said so far."""
        held: Columns = columns.Columns()
        for finer, rows in sorted(self._said.items()):
            if finer <= level:
                self._fold(held, self._coarser(rows, level))
        return held

    def _settle(self, level: int, rows: Columns) -> None:
        """What is young enough for the finest level becomes fine rows; all else is settled, also in coarser levels."""
        oldest = self._limits.oldest
        if level == 0:
            self._add_fine(rows.slice(oldest[0], EVER))
            rows = rows.slice(-(EVER), oldest[0])
        for coarser in range(max(level, 1), len(self._intervals)):
            moved = self._coarser(rows.slice(oldest[coarser], EVER), coarser)
            if len(moved):
                self._fold(self._placed.settled.setdefault(coarser, columns.Columns()), moved)

    def _add_fine(self, rates: Columns) -> None:
        """Finest rows; those of events are kept as totals there."""
        if not self._event:
            self._placed.fine.extend(rates)
            return
        for time, _, rate, *_rest in rates.rows():
            total = total_of(rate, self._base)
            self._placed.fine.append(time, 1, total, 0.0, total, total)

    def _fold(self, into: Columns, rows: Columns) -> None:
        into.extend(rows)
        if self._event:
            into.fold_rates()
        else:
            into.fold(False)

    def _coarser(self, rows: Columns, level: int) -> Columns:
        step = self._intervals[level]
        return rows.reduce(0, step, step // self._base if self._event else 0)

    def _regrouped(self, part: Columns, interval: int, level: int) -> Columns:
        """An archive's rows as buckets of a level."""
        step = self._intervals[level]
        if not self._event:
            return part.reduce(0, step)
        if interval > step:
            return self._spread(part, interval, step)
        # Each row counts as many units as fit into it; what is missing of a bucket had no events.
        unit = self._base if interval % self._base == 0 else 1
        weighed = _weighed(part, interval // unit).reduce(0, step, step // unit)
        parts = step // self._base
        return weighed if step // unit == parts else _weighed(weighed, parts)

    def _spread(self, part: Columns, interval: int, step: int) -> Columns:
        """Rates of buckets coarser than ours: the same rate in each of ours that begins in them."""
        parts = step // self._base
        made: Columns = columns.Columns()
        for time, count, total, _m2, _low, _high in part.rows():
            rate = total / count
            for start in range(time - time % step, time - time % step + interval, step):
                made.append(start, parts, rate * parts, 0.0, rate, rate)
        made.fold_rates()
        return made


def total_of(rate: float, interval: int) -> float:
    """The total of which total / interval is the rate again, where there is one."""
    total = rate * interval
    near = (total, nextafter(total, float("inf")), nextafter(total, float("-inf")))
    return next((one for one in near if one / interval == rate), total)


def _rising(more: Columns, ours: Columns) -> Columns:
    """The rows where there are more events than the store holds. Edges come of its finer rows by themselves."""
    slack = {row[0]: SUM_SHARE * abs(row[2]) for row in ours.rows()}
    return columns.Columns.from_rows(row for row in more.rows() if row[2] > slack[row[0]])


def _weighed(rows: Columns, count: int) -> Columns:
    """Rate rows with another count for the same mean rate; those that have it stay to the bit."""
    made: Columns = columns.Columns()
    for time, before, total, m2, low, high in rows.rows():
        if before != count:
            total, m2 = total / before * count, m2 / before * count
        made.append(time, count, total, m2, low, high)
    return made


def residue(whole: Columns, held: Columns, event: bool) -> Columns:
    """What must be added to `held` rows to give `whole` ones; both in order of time, each time once."""
    made: Columns = columns.Columns()
    if not len(held):
        made.extend(whole)
        return made
    first, last = held.row(0)[0], held.row(len(held) - 1)[0]
    made.extend(whole.slice(-EVER, first))
    known = {row[0]: row for row in held.rows()}
    for row in whole.slice(first, last + 1).rows():
        before = known.get(row[0])
        more: Row | None = row
        if before is not None:
            more = _more_rate(row, before) if event else _more_gauge(row, before)
        if more is not None:
            made.append(*more)
    made.extend(whole.slice(last + 1, EVER))
    return made


def _more_gauge(row: Row, before: Row) -> Row | None:
    """The bucket that, merged with `before`, has the row's count, sum and M2, and its min and max."""
    time, count, total, m2, low, high = row
    more = count - before[1]
    if more <= 0:
        return None
    rest = total - before[2]
    left = 0.0
    if low != high:
        distance = rest / more - before[2] / before[1]
        left = max(0.0, m2 - before[3] - distance * distance * more * before[1] / count)
    return (time, more, rest, left, low, high)


def _more_rate(row: Row, before: Row) -> Row | None:
    """The rates that, added to `before`, have the row's sum, min and max; None when they are the same."""
    time, count, total, m2, low, high = row
    rest, less, more = total - before[2], low - before[4], high - before[5]
    same = abs(rest) <= SUM_SHARE * max(abs(total), abs(before[2]))
    edges = ((less, low, before[4]), (more, high, before[5]))
    if same and all(abs(gap) <= EDGE_SHARE * max(abs(one), abs(other)) for gap, one, other in edges):
        return None
    return (time, count, rest, max(0.0, m2 - before[3]), less, more)
