"""Policies of one queue: LRU, FIFO, CLOCK. The specification: the native build gives the same bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from istat.kernels.python.replay.caches import Cache


class Lru(Cache):
    """The page that was not used for longest goes."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._queue: OrderedDict[int, None] = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._queue:
            self._queue.move_to_end(page)
            return False
        if len(self._queue) == self.frames:
            self._queue.popitem(last=False)
        self._queue[page] = None
        return True


class Fifo(Cache):
    """The page that came first goes."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._queue: OrderedDict[int, None] = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._queue:
            return False
        if len(self._queue) == self.frames:
            self._queue.popitem(last=False)
        self._queue[page] = None
        return True


class Clock(Cache):
    """The page that came first goes, unless it was used since: then it comes once more. One bit a page."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._used: OrderedDict[int, bool] = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._used:
            self._used[page] = True
            return False
        if len(self._used) == self.frames:
            self._evict()
        self._used[page] = False
        return True

    def _evict(self) -> None:
        while True:
            oldest, used = self._used.popitem(last=False)
            if not used:
                return
            self._used[oldest] = False
