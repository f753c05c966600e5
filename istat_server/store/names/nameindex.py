"""Search over the counters' names: which segments there are, when others are made, and where a question is answered.

Segments are made of fixed ranges of ids by a background thread while the hub goes on adding names; the hub only puts
them in place. Names that are in none yet, the tail, are looked at one by one. Knows the kernels and threads, but no
counters and no files. Belongs to the hub.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from istat.clock import Clock
from istat.kernels import search
from istat_server.store.pool import Pool, Work

if TYPE_CHECKING:
    from istat.kernels.python.names import NameTable
    from istat.kernels.python.search import Pattern, Segment

# A segment is made of the tail when it has so many names, or this share of the names in segments: a question looks at
# all of the tail, 20 to 40 ns a name, and each name should be sorted only a few times while many come.
TAIL_NAMES = 8192
TAIL_SHARE = 16
# ... or when it has so many and the last segment was made so long ago [s].
TAIL_LEAST = 2048
TAIL_SECONDS = 2.0
# So many segments, and the small ones become one; with the first when they are as much as it.
MOST_SEGMENTS = 12
# Longer than any question takes [s].
FORGET_SECONDS = 60.0
# Questions that look at most at so many names are answered in the hub: about a millisecond's work, and a thread would
# cost some tenths.
NAMES_AT_ONCE = 10_000


class NameIndex:
    """Search over one table of names."""

    def __init__(self, table: NameTable, clock: Clock, pool: Pool, background: Pool) -> None:
        """pool: threads that answer long questions; background: a thread that makes segments."""
        self._table, self._clock, self._pool, self._background = table, clock, pool, background
        self._segments: list[Segment] = []
        self._work: Work | None = None
        self._replaced = 0              # segments, counted from the last, in whose place the one under way comes
        self._made_at = clock.monotonic()
        self._left = 0                  # names taken away that the last segment over all was made with: they may return
        self._forget_at = float("inf")  # when the texts of gone names that are in no segment any more may go

    def memory(self) -> int:
        """Bytes held."""
        return sum(segment.memory() for segment in self._segments)

    def keep_up(self) -> None:
        """Put in place what was made, and have more made where it is time. To be called now and then; costs little."""
        if self._work is not None:
            if not self._work.ready():
                return
            work, self._work = self._work, None     # first: what failed is made anew, not asked for again and again
            made: Segment = work.get()
            self._segments = [*self._segments[:len(self._segments) - self._replaced], made]
            self._made_at = self._clock.monotonic()
            if len(self._segments) == 1:
                self._left = self._unlisted()
            self._forget_at = min(self._forget_at, self._made_at + FORGET_SECONDS)
        if self._clock.monotonic() >= self._forget_at:
            # No question under way can be about segments that were replaced so long ago.
            self._forget_at = float("inf")
            self._table.forget_skipped(0, len(self._table))
        if self._is_due():
            self._make()

    def _is_due(self) -> bool:
        tail = len(self._table) - self._done()
        if tail >= max(TAIL_NAMES, sum(map(len, self._segments)) // TAIL_SHARE):
            return True
        if tail >= TAIL_LEAST and self._clock.monotonic() - self._made_at >= TAIL_SECONDS:
            return True
        return self._mostly_gone() and self._clock.monotonic() - self._made_at >= FORGET_SECONDS

    def _mostly_gone(self) -> bool:
        """Whether segments hold more names that were taken away than that are there."""
        return self._unlisted() - self._left >= max(TAIL_NAMES, self._table.count())

    def _unlisted(self) -> int:
        return sum(map(len, self._segments)) + len(self._table) - self._done() - self._table.count()

    def _done(self) -> int:
        return self._segments[-1].stop if self._segments else 0

    def _make(self) -> None:
        self._replaced = 0
        if self._mostly_gone():
            self._replaced = len(self._segments)
        elif len(self._segments) >= MOST_SEGMENTS:
            first = self._segments[0]
            all_of_them = len(self._table) - first.stop >= len(first)
            self._replaced = len(self._segments) - (0 if all_of_them else 1)
        begin = self._segments[-self._replaced].first if self._replaced else self._done()
        self._work = self._background.spawn(search.build, self._table, begin, len(self._table))

    # -- questions

    def match(self, pattern: Pattern, limit: int, after: int) -> list[int]:
        """Ids above `after` whose whole name fits, ascending, at most `limit`."""
        return self._ask(pattern, [], search.find, pattern, after, limit)

    def words(self, words: list[bytes], limit: int, behind: bytes | None = None) -> list[int]:
        """Ids whose names hold all the words, shorter names first, then by name; at most `limit` after `behind`."""
        return self._ask(None, words, search.find_words, words, limit, behind)

    def children(self, prefix: bytes, limit: int, behind: bytes | None = None) -> list[tuple[bytes, int, bool]]:
        """[(label, id of the name that ends there or -1, whether longer names follow)] below a prefix, by label; the
        first `limit` behind a label."""
        self.keep_up()
        where = self._where()
        if len(self._table) - self._done() <= NAMES_AT_ONCE:
            return search.children(*where, prefix, limit, behind)
        found: list[tuple[bytes, int, bool]] = self._pool.apply(search.children, (*where, prefix, limit, behind))
        return found

    def _where(self) -> tuple[NameTable, list[Segment], tuple[int, int], list[int]]:
        """What a question is about. Copies, since others may go on with the index while it is answered."""
        return self._table, list(self._segments), (self._done(), len(self._table)), list(self._table.moved)

    def _ask(self, pattern: Pattern | None, words: list[bytes], function: Callable[..., Any], *args: Any) -> list[int]:
        self.keep_up()
        where = self._where()
        found: list[int]
        if search.work(*where[:3], pattern, words) + len(where[3]) <= NAMES_AT_ONCE:
            found = function(*where, *args)
        else:
            found = self._pool.apply(function, (*where, *args))
        return found
