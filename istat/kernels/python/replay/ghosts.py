"""Policies that remember pages which they evicted: 2Q, ARC, S3-FIFO. The specification: the native build gives the same
bytes.

Sources: Johnson and Shasha, "2Q" (VLDB 1994), the full version; Megiddo and Modha, "ARC" (FAST 2003), with whole steps;
Yang et al., "FIFO queues are all you need for cache eviction" (SOSP 2023).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from istat.kernels.python.replay.caches import Cache

MOST_COUNT = 3              # S3-FIFO counts uses up to this
Queue = OrderedDict[int, None]


def _oldest(queue: Queue) -> int:
    return queue.popitem(last=False)[0]


class TwoQueues(Cache):
    """2Q: pages come into a FIFO of a quarter of the frames; those that return after they left it go to an LRU. As many
    as half the frames are remembered."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._most_in, self._most_out = max(1, self.frames // 4), max(1, self.frames // 2)
        self._in: Queue = OrderedDict()
        self._out: Queue = OrderedDict()        # remembered
        self._main: Queue = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._main:
            self._main.move_to_end(page)
            return False
        if page in self._in:
            return False
        returned = page in self._out
        if len(self._in) + len(self._main) == self.frames:
            self._evict()
        if returned:
            self._out.pop(page, None)           # it may have been forgotten just now
            self._main[page] = None
        else:
            self._in[page] = None
        return True

    def _evict(self) -> None:
        if len(self._in) > self._most_in or not self._main:
            self._out[_oldest(self._in)] = None
            if len(self._out) > self._most_out:
                _oldest(self._out)
        else:
            _oldest(self._main)


class Arc(Cache):
    """ARC: pages used once and pages used more often share the frames; the shares move with what would have hit."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._target = 0                        # frames that those used once should have
        self._once: Queue = OrderedDict()
        self._often: Queue = OrderedDict()
        self._once_gone: Queue = OrderedDict()
        self._often_gone: Queue = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        if page in self._once or page in self._often:
            self._once.pop(page, None)
            self._often.pop(page, None)
            self._often[page] = None
            return False
        if page in self._once_gone:
            step = max(1, len(self._often_gone) // len(self._once_gone))
            self._target = min(self.frames, self._target + step)
            self._replace(False)
            del self._once_gone[page]
            self._often[page] = None
        elif page in self._often_gone:
            step = max(1, len(self._once_gone) // len(self._often_gone))
            self._target = max(0, self._target - step)
            self._replace(True)
            del self._often_gone[page]
            self._often[page] = None
        else:
            self._make_room()
            self._once[page] = None
        return True

    def _make_room(self) -> None:
        """For a page that is remembered nowhere."""
        once = len(self._once) + len(self._once_gone)
        total = once + len(self._often) + len(self._often_gone)
        if once == self.frames:
            if len(self._once) < self.frames:
                _oldest(self._once_gone)
                self._replace(False)
            else:
                _oldest(self._once)
        elif total >= self.frames:
            if total == 2 * self.frames:
                _oldest(self._often_gone)
            self._replace(False)

    def _replace(self, often_returned: bool) -> None:
        once = len(self._once)
        if once + len(self._often) < self.frames:
            return
        if once and (once > self._target or (often_returned and once == self._target) or not self._often):
            self._once_gone[_oldest(self._once)] = None
        else:
            self._often_gone[_oldest(self._often)] = None


class S3Fifo(Cache):
    """S3-FIFO: pages come into a FIFO of a tenth of the frames, and get from there into the main one when they were
    used more than once, or when they come back while they are remembered."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._most_small = max(1, self.frames // 10)
        self._most_main = self.frames - self._most_small
        self._small: OrderedDict[int, int] = OrderedDict()      # page -> uses
        self._main: OrderedDict[int, int] = OrderedDict()
        self._gone: Queue = OrderedDict()

    def refer(self, page: int) -> bool:
        """See Cache."""
        for queue in (self._small, self._main):
            if page in queue:
                queue[page] = min(MOST_COUNT, queue[page] + 1)
                return False
        returned = page in self._gone
        if returned:
            del self._gone[page]
        while len(self._small) + len(self._main) >= self.frames:
            if len(self._small) >= self._most_small or not self._main:
                self._evict_small()
            else:
                self._evict_main()
        (self._main if returned else self._small)[page] = 0
        return True

    def _evict_small(self) -> None:
        """Until one page left one of the queues, or all of the small one are in the main one."""
        while self._small:
            page, uses = self._small.popitem(last=False)
            if uses <= 1:
                self._gone[page] = None
                if len(self._gone) > self.frames:
                    _oldest(self._gone)
                return
            self._main[page] = 0
            if len(self._main) > self._most_main:
                self._evict_main()
                return

    def _evict_main(self) -> None:
        while True:
            page, uses = self._main.popitem(last=False)
            if not uses:
                return
            self._main[page] = uses - 1
