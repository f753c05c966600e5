"""The model `opt`: the paper's, with all levels that overflow and the boundaries of pages. It stays within 11 % of what
the best possible policy (Belady's) reaches; no cache that does not know the future does better."""

from __future__ import annotations

from itertools import accumulate

from istat.pagecache.model.workload import Workload


def overflow(work: Workload, pages: int) -> list[int]:
    """o: of each level, the rings that so many pages of memory cannot hold; the rarest go first."""
    rest = pages - work.header
    found: list[int] = []
    for count, fitting in zip(work.rings, accumulate(work.rings)):
        first = not any(found)
        found.append(max(0, fitting - rest) if first else count)
    return found


def faults(work: Workload, pages: int) -> float:
    """Faults an update."""
    return sum(over / step for over, step in zip(overflow(work, pages), work.levels)) + work.boundary


def by_level(work: Workload, pages: int) -> list[float]:
    """Faults at an update at which the rings of the first 1, 2 ... levels are due."""
    over = accumulate(overflow(work, pages))
    return [missing + work.crossing(due) for missing, due in zip(over, accumulate(work.rings))]
