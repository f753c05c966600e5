"""Imitations of what Linux does under pressure: two lists, and generations. The specification: the native build gives
the same bytes. Their numbers tell what to expect, not what a kernel of some version does.

Sources: the kernel's mm/workingset.c and mm/vmscan.c, as of 6.x, reduced to pages of files that nobody maps.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from istat.kernels.python.replay.caches import Cache

GENERATIONS = 4             # MAX_NR_GENS


class TwoLists(Cache):
    """`linux2`: an inactive and an active list. The second use activates; so does a fault of a page that was evicted so
    lately that it would have stayed in a cache of twice the frames (refault distance)."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._inactive: OrderedDict[int, bool] = OrderedDict()      # page -> used once
        self._active: OrderedDict[int, bool] = OrderedDict()
        self._age = 0                                               # evictions and activations
        self._evicted_at: dict[int, int] = {}

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._active:
            self._active[page] = True
            return False
        if page in self._inactive:
            if self._inactive[page]:        # as it is after a fault
                del self._inactive[page]
                self._activate(page)
            else:
                self._inactive[page] = True
            return False
        if len(self._inactive) + len(self._active) == self.frames:
            self._evict()
        evicted_at = self._evicted_at.pop(page, None)
        if evicted_at is not None and self._age - evicted_at <= len(self._inactive) + len(self._active):
            self._activate(page)
        else:
            self._inactive[page] = True
        return True

    def _activate(self, page: int) -> None:
        self._active[page] = False
        self._age += 1

    def _evict(self) -> None:
        while len(self._inactive) < len(self._active) or not self._inactive:
            page, used = self._active.popitem(last=False)
            (self._active if used else self._inactive)[page] = False
        page, _ = self._inactive.popitem(last=False)
        self._evicted_at[page] = self._age
        self._age += 1


class Generations(Cache):
    """`mglru`: pages come into the youngest of four generations. Those of the oldest go, but for what was used: it gets
    into the youngest. When the oldest has run empty a new one begins, with all that was used since the last began, the
    oldest generation first."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._generations: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(GENERATIONS)]   # oldest first
        self._of: dict[int, OrderedDict[int, None]] = {}        # page in the cache -> its generation
        self._used: set[int] = set()                            # since the youngest generation began

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._of:
            self._used.add(page)
            return False
        if len(self._of) == self.frames:
            self._evict()
        self._put(page)
        return True

    def _put(self, page: int) -> None:
        self._generations[-1][page] = None
        self._of[page] = self._generations[-1]

    def _evict(self) -> None:
        while True:
            while not self._generations[0]:
                del self._generations[0]
                self._begin_generation()
            page, _ = self._generations[0].popitem(last=False)
            if page not in self._used:
                del self._of[page]
                return
            self._used.remove(page)
            self._put(page)

    def _begin_generation(self) -> None:
        older = list(self._generations)
        self._generations.append(OrderedDict())
        if not self._used:
            return
        for generation in older:
            for page in [page for page in generation if page in self._used]:
                del generation[page]
                self._put(page)
        self._used.clear()
