"""The paper's model. Its equations are lost from the text that there is; these are put together from its prose and its
figures (docs/page-cache.md says how), and hold as a lower bound: real caches cost 3 to 5 times as much in the middle.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

from istat.pagecache.model.workload import Workload


class Paper(NamedTuple):
    """What the formula comes to. `level`: s, the first that does not fit, from 1 on (None: all fit); `seconds`: t, from
    one time of faults to the next; `faults`: m, so many then."""

    level: int | None
    seconds: float
    faults: float

    @property
    def rate(self) -> float:
        """r: faults a second and file."""
        return self.faults / self.seconds


def paper(work: Workload, pages: int) -> Paper:
    """At so many pages of memory for each file, those of inode and indirect blocks not counted."""
    rest = pages - work.header
    steps, sums = work.levels, tuple(accumulate(work.rings))
    boundary = work.rows_a_page * steps[0] * work.interval
    level = next((place for place, fitting in enumerate(sums) if rest < fitting), None)
    if level is None or steps[level] * work.interval > boundary:
        faults = sum(count * steps[0] / step for step, count in zip(steps, work.rings))
        return Paper(None if level is None else level + 1, boundary, faults)
    return Paper(level + 1, steps[level] * work.interval, float(sums[level] - rest))


def by_level(work: Workload, pages: int) -> list[float]:
    """Faults at an update at which the rings of the first 1, 2 ... levels are due."""
    found = paper(work, pages)
    if found.level is not None and found.seconds == work.levels[found.level - 1] * work.interval:
        return [found.faults * (place + 1 >= found.level) for place in range(len(work.levels))]
    return [work.crossing(due) for due in accumulate(work.rings)]


def faults(work: Workload, pages: int) -> float:
    """Faults an update."""
    return paper(work, pages).rate * work.interval
