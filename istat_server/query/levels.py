"""Which level answers a question: by the range that is asked, how long each level keeps, and the points wanted.

Plain arithmetic: knows no store and no HTTP. Times are Unix seconds, intervals seconds.
"""

from __future__ import annotations

from collections.abc import Collection
from math import lcm
from typing import NamedTuple
from zoneinfo import ZoneInfo

from istat.retention import DAY, Ladder
from istat_server.query.days import days
from istat_server.query.reduce import Grid, fit_intervals


class Reach(NamedTuple):
    """The levels of some counters, and the finest of these that misses nothing of what is asked."""

    ladder: Ladder
    finest: int = 0


def covering_level(reach: Reach, start: int, now: int) -> int:
    """The finest level that has what came since `start`, by its retention; the coarsest when none does."""
    for index, level in enumerate(reach.ladder.levels[reach.finest:], reach.finest):
        if start >= now - level.keep:
            return index
    return len(reach.ladder.levels) - 1


def fit(kinds: Collection[Reach], start: int, end: int, points: int, now: int, where: ZoneInfo | None = None) -> Grid:
    """Our grid for [start, end): at most `points` cells, one more where the range is not aligned.

    The interval is a multiple of a level's of each ladder that divides a day, or whole days: of UTC, or of a zone.
    """
    wanted = max(1, -(-(end - start) // points))
    return fit_in([_served(reach, start, wanted, now) for reach in kinds], start, end, points, where)


def fit_in(intervals: Collection[int], start: int, end: int, points: int, where: ZoneInfo | None) -> Grid:
    """As `fit_intervals`; whole days are those of a zone, if there is one."""
    grid = fit_intervals(intervals, start, end, points)
    if where is None or grid.interval < DAY:
        return grid
    return days(where, start, end, lcm(*intervals), points)


def _served(reach: Reach, start: int, wanted: int, now: int) -> int:
    """The interval of a ladder's level that serves cells of `wanted` seconds."""
    ladder, level = reach.ladder, covering_level(reach, start, now)
    while level + 1 < len(ladder.levels) and ladder.levels[level + 1].interval <= wanted:
        level += 1
    return ladder.levels[level].interval


def level_for(reach: Reach, grid: Grid, start: int, now: int) -> int:
    """The level to fill a grid from that was made with this ladder: the coarsest that its cells are made up of
    (the least to read); when all that cover `start` are coarser, the finest of those."""
    level = covering_level(reach, start, now)
    coarser = range(level + 1, len(reach.ladder.levels))
    fitting = (index for index in coarser if grid.divided_by(reach.ladder.levels[index].interval))
    return max(fitting, default=level)
