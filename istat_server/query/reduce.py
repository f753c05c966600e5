"""From the range that was asked to a grid of buckets, and from a level's buckets to that grid.

Two ways: istatd's (`normalise`, after parts 7.4 A and B of its behaviour specification) and our own
(`fit_intervals`). From which level a grid is filled: `levels`.
Plain arithmetic: knows no store and no HTTP. Times are Unix seconds, intervals seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import lcm
from typing import TYPE_CHECKING

from istat.errors import BadQuery
from istat.kernels import columns
from istat.retention import DAY, Ladder
from istat_server.store.interface import Kind

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

# istatd's intervals for reduced answers [s], as in its specification.
ISTATD_STEPS = (
    10, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 14400, 21600, 28800, 43200, 86400,
)  # fmt: skip
# Our own steps divide a day, so that a grid begins at midnight and stays where it is when one scrolls.
DAY_PARTS = tuple(step for step in range(1, DAY + 1) if DAY % step == 0)


@dataclass(frozen=True)
class Grid:
    """Cells [start + k * interval, + interval) for k < points."""

    start: int
    interval: int
    points: int

    @property
    def end(self) -> int:
        """The first moment after the grid."""
        return self.start + self.points * self.interval

    @property
    def times(self) -> Sequence[int]:
        """Where each cell begins, and where the last one ends, if `interval` does not tell."""
        return ()

    @property
    def stretches(self) -> Sequence[Grid]:
        """Grids one behind the other whose cells are of one length: together this one."""
        return (self,)

    def divided_by(self, interval: int) -> bool:
        """Whether buckets of this interval lie in one cell each."""
        return self.interval % interval == 0


def normalise(start: int, end: int, interval: int, most: int) -> tuple[int, int, int]:
    """(start, end, interval) of istatd's answer with at most `most` buckets (0: as they are stored).

    The fit is tested before the range is widened to whole intervals, so `most` + 1 can come out.
    BadQuery for an empty range that is to become one bucket.
    """
    if most == 1:
        span = end - start
        if span < 1:
            raise BadQuery("an empty range cannot be reduced to one bucket")
        start, end = start - start % span, _up(end, span)
        return start, end, end - start
    start, end = start - start % interval, _up(end, interval)
    if most <= 0 or (end - start) // interval <= most:
        return start, end, interval
    target = 0
    for step in ISTATD_STEPS:
        if step > interval and step % interval == 0:
            target = step
            if (end - start) // step <= most:
                break
    if not target:
        target = (end - start) // most
        if target < 2 * interval:
            return start, end, interval
    return start - start % target, _up(end, target), target


def fit_intervals(intervals: Iterable[int], start: int, end: int, points: int) -> Grid:
    """Our grid for [start, end) whose cells are made up of buckets of these intervals."""
    interval = _nice(lcm(*intervals), max(1, -(-(end - start) // points)))
    first = start - start % interval
    return Grid(first, interval, (_up(end, interval) - first) // interval)


def to_grid(rows: Columns, kind: Kind, grid: Grid, ladder: Ladder, level: int) -> Columns:
    """A level's buckets on a grid; what is missing stays missing (`zeros`). A bucket that lies in two cells counts to
    the one that it begins in."""
    stretches = grid.stretches
    if len(stretches) == 1:
        return _to_even(rows, kind, stretches[0], ladder, level)
    made: Columns = columns.Columns()
    for some in stretches:
        made.extend(_to_even(rows.slice(some.start, some.end), kind, some, ladder, level))
    return made


def _to_even(rows: Columns, kind: Kind, grid: Grid, ladder: Ladder, level: int) -> Columns:
    """The same on cells of one length."""
    if grid.interval == ladder.stored[level].interval:
        return rows
    return rows.reduce(grid.start, grid.interval, fine_buckets(grid, ladder, level) if kind is Kind.EVENT else 0)


def fine_buckets(even: Grid, ladder: Ladder, level: int) -> int:
    """Parts 4.4 and 7.4 D: an event bucket's count is that of the finest buckets in it, present or not."""
    own = ladder.stored[level].interval
    return max(1, even.interval // own) * (own // ladder.finest.interval)


def _nice(own: int, wanted: int) -> int:
    """The least interval of at least `wanted` that is a multiple of a level's own and nice."""
    for step in DAY_PARTS:
        if step >= wanted and step % own == 0:
            return step
    step = own if own % DAY == 0 or DAY % own else DAY
    return _up(wanted, step)


def _up(value: int, step: int, origin: int = 0) -> int:
    return origin - (origin - value) // step * step
