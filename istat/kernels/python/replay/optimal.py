"""OPT, which knows what comes. The specification: the native build gives the same bytes.

Belady, "A study of replacement algorithms for a virtual-storage computer" (IBM Systems Journal, 1966).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

from istat.kernels.python.replay.caches import Cache

NEVER = (1 << 31) - 1       # the next use of a page that is not used again: beyond all positions


class Opt(Cache):
    """The page whose next use is farthest goes. Which one of several that are never used again makes no difference to
    what misses."""

    def begin(self, references: Sequence[int]) -> None:
        """See Cache."""
        self._uses = self._next_uses(references)
        self._position = 0
        self._next: dict[int, int] = {}             # page in the cache -> its next use
        self._farthest: list[tuple[int, int]] = []  # (-next use, page), some of them out of date

    def refer(self, page: int) -> bool:
        """See Cache."""
        missed = page not in self._next
        if missed and len(self._next) == self.frames:
            self._evict()
        self._next[page] = self._uses[self._position]
        heappush(self._farthest, (-self._uses[self._position], page))
        self._position += 1
        return missed

    def _evict(self) -> None:
        while True:
            use, farthest = heappop(self._farthest)
            if self._next.get(farthest) == -use:
                del self._next[farthest]
                return

    @staticmethod
    def _next_uses(references: Sequence[int]) -> list[int]:
        """Of each reference the position of the next one to the same page, or NEVER."""
        latest: dict[int, int] = {}
        uses = [NEVER] * len(references)
        for position in range(len(references) - 1, -1, -1):
            uses[position] = latest.get(references[position], NEVER)
            latest[references[position]] = position
        return uses
