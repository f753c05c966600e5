"""The model `lru`: what a cache does that evicts what was used longest ago. One page for each ring, which never moves,
the header's, and those of inode and indirect blocks if they count: two rounds of updates are replayed over these few,
and the second one counted, for all capacities at once (stack distances); the boundaries of pages are added.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from istat.errors import LayoutError
from istat.pagecache.model import slots
from istat.pagecache.model.workload import Workload

# Two rounds of the coarsest level: 576 updates for MRTG's files. A step that is a mistake must not take minutes.
MOST_UPDATES = 200_000
MOST_RINGS = 256
MOST_WORK = 4_000_000       # updates times rings: some seconds


class Profile(NamedTuple):
    """Of each slot: how many updates were counted, and how many touches had each stack distance (1: the page that was
    touched last)."""

    updates: Counter[int]
    distances: dict[int, Counter[int]]


def possible(work: Workload) -> bool:
    """Whether the model does a file with such rings."""
    updates = 2 * work.levels[-1]
    return updates <= MOST_UPDATES and len(work.every) <= MOST_RINGS and updates * len(work.every) <= MOST_WORK


def faults(work: Workload, pages: int, meta: int = 0) -> float:
    """Faults an update, at so many pages of memory for each file; `meta` of them are for inode and indirect blocks."""
    profile = _profile(work, meta)
    misses = sum(_misses(profile, place, pages) for place in profile.updates)
    return misses / profile.updates.total() + work.boundary


def by_slot(work: Workload, pages: int, meta: int = 0) -> list[float]:
    """Faults at an update of each slot, in the order of `slots.names`; 0 for a slot that no update has."""
    profile, sums = _profile(work, meta), tuple(accumulate(work.rings))
    found = []
    for place in range(len(slots.names(work.levels, work.interval))):
        count = profile.updates[place]
        crossing = work.crossing(sums[slots.level_of(place) - 1])
        found.append(_misses(profile, place, pages) / count + crossing if count else 0.0)
    return found


def _misses(profile: Profile, place: int, pages: int) -> int:
    return sum(count for distance, count in profile.distances[place].items() if distance > pages)


@lru_cache(maxsize=64)
def _profile(work: Workload, meta: int) -> Profile:
    longest = work.levels[-1]
    if not possible(work):
        raise LayoutError(f"the model lru replays two rounds of {longest:,} updates of {len(work.every):,} rings, more "
                          f"than the {MOST_UPDATES:,} updates, {MOST_RINGS} rings and {MOST_WORK:,} of their product "
                          "that it does; use the model opt")
    always = [-1 - page for page in range(meta + work.header)]
    stack: list[int] = []           # the page touched last is at the end
    profile = Profile(Counter(), {})
    for update in range(1, 2 * longest + 1):
        place = slots.slot(update, work.levels)
        here = profile.distances.setdefault(place, Counter())
        counted = update > longest
        profile.updates[place] += counted
        due = (ring for ring, step in enumerate(work.every) if update % step == 0)
        for page in (*always, *due):
            if page in stack:
                at = stack.index(page)
                here[len(stack) - at] += counted
                del stack[at]
            stack.append(page)
    return profile
