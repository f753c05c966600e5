"""LIRS: what counts is how many others were used between a page's last two uses. The specification: the native build
gives the same bytes.

Jiang and Zhang, "LIRS: an efficient low inter-reference recency set replacement policy" (SIGMETRICS 2002). Pages of low
recency (LIR) have all frames but one in a hundred; the rest is a FIFO for the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from istat.kernels.python.replay.caches import Cache

SHARE = 100                 # one frame of so many is for pages of high recency


class Lirs(Cache):
    """The stack has LIR pages, and others used since the least of them, in the cache or not."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._most_low = self.frames - max(1, self.frames // SHARE)
        self._stack: OrderedDict[int, bool] = OrderedDict()     # page -> LIR
        self._queue: OrderedDict[int, None] = OrderedDict()     # pages in the cache that are not LIR
        self._low = 0                                           # LIR pages

    def refer(self, page: int) -> bool:
        """See Cache."""
        if self._stack.get(page):
            self._stack.move_to_end(page)
            self._prune()
            return False
        missed = page not in self._queue
        if missed and self._low + len(self._queue) == self.frames:
            self._queue.popitem(last=False)
        self._queue.pop(page, None)
        if (missed and self._low < self._most_low) or page in self._stack:
            self._raise(page)
        else:
            self._stack[page] = False
            self._queue[page] = None
        return missed

    def _raise(self, page: int) -> None:
        """Make a page LIR; when there are too many then, the least is no longer one."""
        self._stack[page] = True
        self._stack.move_to_end(page)
        self._low += 1
        if self._low > self._most_low:
            self._prune()
            least, _ = self._stack.popitem(last=False)
            self._queue[least] = None
            self._low -= 1
        self._prune()

    def _prune(self) -> None:
        """The bottom of the stack is LIR."""
        while self._stack and not next(iter(self._stack.values())):
            self._stack.popitem(last=False)
