"""All final rows of many counters, of every level, in parts that others can bear; a mark tells where the next begins.

Counters come in the order of the store's pages. How many rows one has at most, its coarsest level tells; as many are
read together as that allows, and one that has too many comes in ranges of time. Knows a store's interface, no HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from istat.errors import BadQuery
from istat.kernels import columns
from istat.retention import Ladder, Level
from istat_server.store.interface import Counter, NamePattern, Question, Store

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

# Rows in memory at once (48 bytes each): of the coarsest level of a page, and of all levels of what is given together.
ROWS_AT_ONCE, PART_ROWS = 500_000, 100_000
MOST_AT_ONCE = 100      # counters of a page: names that a mark may have to tell
NO_MARK = "this token is of no walk like this one; begin without any"


class Mark(NamedTuple):
    """Where a walk goes on: in the page that the store's `token` leads to, of which the counters in `done` have been
    given whole, and `begun` up to `time` of `level`."""

    token: str = ""
    done: tuple[str, ...] = ()
    begun: str = ""
    level: int = 0
    time: int = 0

    def text(self) -> str:
        """As a token of ours."""
        return json.dumps(self, separators=(",", ":"))

    @staticmethod
    def read(text: str) -> Mark:
        """The mark of a text; the beginning for none. BadQuery when it is no mark."""
        if not text:
            return Mark()
        try:
            token, done, begun, level, time = json.loads(text)
        except (ValueError, TypeError, RecursionError):
            raise BadQuery(NO_MARK) from None
        mark = Mark(token, tuple(done) if isinstance(done, list) else (), begun, level, time)
        kinds = (str, tuple, str, int, int)
        if not all(type(part) is kind for part, kind in zip(mark, kinds)) or not all(
                isinstance(name, str) for name in mark.done) or mark.level < 0:
            raise BadQuery(NO_MARK)
        return mark


class Part(NamedTuple):
    """Rows of one counter, by level; of a level that has none here they are empty."""

    counter: Counter
    ladder: Ladder
    levels: tuple[Columns, ...]


Step = tuple[list[Part], Mark]


@dataclass(frozen=True, slots=True)
class Walk:
    """Through all counters of a store that fit, for start <= time < end; `now` is what levels keep rows back from."""

    store: Store
    pattern: NamePattern
    start: int
    end: int
    now: int

    def parts(self, mark: Mark, between: Callable[[], None] = lambda: None) -> Iterator[Step]:
        """Counters with rows, and the mark of what follows them. The last step has the mark Mark(). `between` is called
        between pieces of work."""
        size = max(1, min(MOST_AT_ONCE, ROWS_AT_ONCE // max(1, self._most(self.store.ladder.coarsest))))
        while True:
            page = self.store.match(self.pattern, size, mark.token)
            yield from self._page(page.items, mark, between)
            mark = Mark(page.token)
            yield [], mark
            if not page.token:
                return
            between()

    def _page(self, found: Sequence[Counter], mark: Mark, between: Callable[[], None]) -> Iterator[Step]:
        """The counters of a page that have not been given yet."""
        by_ladder: dict[Ladder, list[Counter]] = {}
        for counter in found:
            if counter.name not in mark.done:
                by_ladder.setdefault(self.store.ladder_of(counter.id), []).append(counter)
        done = mark.done
        for ladder, some in by_ladder.items():
            for together in self._together(ladder, some, mark.begun):
                between()
                if isinstance(together, Counter):
                    first = (mark.level, mark.time) if together.name == mark.begun else (0, 0)
                    for part, level, time in self._in_ranges(together, ladder, first):
                        yield [part], Mark(mark.token, done, together.name, level, time)
                        between()
                    done = (*done, together.name)
                    yield [], Mark(mark.token, done)
                else:
                    done = (*done, *(part.counter.name for part in together))
                    yield [part for part in together if any(map(len, part.levels))], Mark(mark.token, done)

    def _together(self, ladder: Ladder, some: Sequence[Counter], begun: str) -> Iterator[list[Part] | Counter]:
        """Counters of one ladder with all their rows, as many as go together; one by itself that has too many rows, or
        that was begun."""
        turn = max(1, ROWS_AT_ONCE // max(1, self._most(ladder.coarsest)))
        for at in range(0, len(some), turn):
            now = [counter for counter in some[at : at + turn] if counter.name != begun]
            yield from (counter for counter in some[at : at + turn] if counter.name == begun)
            coarse = self._read(now, ladder, len(ladder.levels) - 1)
            waiting: list[tuple[Counter, Columns]] = []
            room = PART_ROWS
            for counter, rows in zip(now, coarse):
                most = self._at_most(ladder, len(rows))
                if most > PART_ROWS:
                    yield counter
                    continue
                if most > room:
                    yield self._whole(ladder, waiting)
                    waiting, room = [], PART_ROWS
                waiting.append((counter, rows))
                room -= most
            if waiting:
                yield self._whole(ladder, waiting)

    def _whole(self, ladder: Ladder, some: Sequence[tuple[Counter, Columns]]) -> list[Part]:
        """All rows of these counters, of which those of the coarsest level are known."""
        counters = [counter for counter, _rows in some]
        finer = [self._read(counters, ladder, level) for level in range(len(ladder.levels) - 1)]
        by_counter = zip(*finer, [rows for _counter, rows in some], strict=True)
        return [Part(counter, ladder, rows) for counter, rows in zip(counters, by_counter, strict=True)]

    def _in_ranges(self, counter: Counter, ladder: Ladder, first: tuple[int, int]) -> Iterator[tuple[Part, int, int]]:
        """The rows of one counter, a range of time after the other, from a level and a time on; with where the next
        one begins."""
        for number, level in enumerate(ladder.levels[first[0]:], first[0]):
            begin = self._begin(level)
            if number == first[0]:
                begin = max(begin, first[1] - first[1] % level.interval)
            while begin < self.end:
                after = begin + PART_ROWS * level.interval
                answers = self.store.read(Question([counter.id], begin, min(after, self.end), number, exact=True))
                levels = [_none() for _ in ladder.levels]
                levels[number] = answers[0].rows
                yield Part(counter, ladder, tuple(levels)), number, after
                begin = after

    def _read(self, counters: Sequence[Counter], ladder: Ladder, number: int) -> list[Columns]:
        """The rows of a level."""
        begin = self._begin(ladder.levels[number])
        if begin >= self.end or not counters:
            return [_none() for _ in counters]
        question = Question([counter.id for counter in counters], begin, self.end, number, exact=True)
        return [answer.rows for answer in self.store.read(question)]

    def _begin(self, level: Level) -> int:
        """Where a level's rows begin, which are kept so long."""
        begin = max(self.start, self.now - level.keep)
        return begin - begin % level.interval

    def _most(self, level: Level) -> int:
        """The most rows that a counter can have of a level."""
        return max(0, -(-(self.end - self._begin(level)) // level.interval))

    def _at_most(self, ladder: Ladder, coarsest: int) -> int:
        """The most rows of all levels, where there are so many of the coarsest. (What lies in finer levels only, as by
        an odd import, comes on top: it is read all the same.)"""
        length = ladder.coarsest.interval
        return sum(min(self._most(level), coarsest * (length // level.interval)) for level in ladder.levels)


def _none() -> Columns:
    made: Columns = columns.Columns()
    return made
