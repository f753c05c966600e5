"""What a store on files answers about buckets: final rows of a level, the level that misses nothing, several counters
as one, and since when there are any.

Knows engine, files and levels; belongs to the hub, and does in threads what takes long.
"""
from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.errors import StoreCorrupt
from istat.kernels import columns
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import DIRECT
from istat_server.store.interface import Answer, Description, Function, Id, Kind, Question
from istat_server.store.levels import choosing, policies
from istat_server.store.levels.combining import Combined
from istat_server.store.levels.reading import Asked, select
from istat_server.store.names.catalogue import Catalogue
from istat_server.store.pool import Pool

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns
    from istat.kernels.python.ingest.engine import Engine
    from istat.retention import Ladder

log = logging.getLogger(__name__)

# Questions of at most this many rows of the finest level, and counters, are answered in the hub: some tenths of a
# millisecond's work, and a thread would cost as much again; each counter is a read in each file at worst.
SMALL_ROWS = 4000
SMALL_IDS = 4
# Rows (48 bytes each) of one portion of what is combined.
COMBINED_AT_ONCE = 100_000


class Answering:
    """Answers from one store."""

    def __init__(self, engine: Engine, catalogue: Catalogue, files: LiveFiles, ladders: Mapping[int, Ladder],
                 clock: Clock, pool: Pool) -> None:
        """ladders: by the numbers of the policies that counters have."""
        self.damaged_blocks = 0         # that questions met
        self._log = LimitedLog(log)     # a damaged block is met by each question that wants it
        self._engine, self._catalogue, self._files = engine, catalogue, files
        self._ladders, self._clock, self._pool = ladders, clock, pool
        self._places = policies.head_places(files.manifest.policies)    # in engine.heads

    def ladder_of(self, id: Id) -> Ladder:
        """See Store.ladder_of."""
        return self._ladders[self._engine.policy(id)]

    def select(self, ids: Sequence[Id], level: int, start: int, end: int) -> list[Columns]:
        """Final buckets of a level per id with start <= time < end; gaps absent. Blocks the greenlet only."""
        found: dict[Id, Columns] = {}
        for policy, some in self._by_policy(ids).items():
            found.update(zip(some, self._select(policy, some, level, start, end), strict=True))
        return [found[id] for id in ids]

    def _by_policy(self, ids: Iterable[Id]) -> dict[int, list[Id]]:
        found: dict[int, list[Id]] = {}
        for id in ids:
            found.setdefault(self._engine.policy(id), []).append(id)
        return found

    def _select(self, policy: int, ids: Sequence[Id], level: int, start: int, end: int) -> list[Columns]:
        """The same for counters of one policy."""
        ladder = self._ladders[policy]
        interval = ladder.stored[level].interval
        start = max(start, int(self._clock.now()) - ladder.stored[level].keep)
        asked = Asked(policy, tuple(ids), self._events(ids), level, start - start % interval,
                      -(-end // interval) * interval)
        answer = select(self._engine, self._files.view, asked, self._damaged)
        # Of a coarser level, what is not derived yet is read from the finest one.
        rows = len(ids) * (asked.end - asked.start) // ladder.finest.interval
        small = rows <= SMALL_ROWS and len(ids) <= SMALL_IDS
        result: list[Columns] = answer() if small else self._pool.apply(answer)
        return result

    def _events(self, ids: Iterable[Id]) -> tuple[bool, ...]:
        return tuple(self._catalogue.counter(id).kind is Kind.EVENT for id in ids)

    def _damaged(self, error: StoreCorrupt) -> None:
        self.damaged_blocks += 1
        self._log.error("damaged", "%s; the answer is without it", error)

    def read(self, question: Question) -> list[Answer]:
        """See Store.read."""
        found: dict[Id, Answer] = {}
        for policy, some in self._by_policy(question.ids).items():
            found.update(zip(some, self._read(policy, replace(question, ids=some)), strict=True))
        return [found[id] for id in question.ids]

    def _read(self, policy: int, question: Question) -> list[Answer]:
        """The same for counters of one policy."""
        def some(ids: Sequence[Id], level: int, start: int, end: int) -> list[Columns]:
            return self._select(policy, ids, level, start, end)

        def may_miss(level: int, start: int, end: int) -> bool:
            of = self._ladders[policy].levels[level]
            oldest = int(self._clock.now()) - of.keep
            if start < oldest - oldest % of.interval:
                return True
            return policies.may_miss(self._files.manifest, policy, level, start, end) \
                or self._has_direct(policy, question.ids, level, start, end)

        return choosing.read(some, may_miss, question, self._ladders[policy], self._events(question.ids))

    def _has_direct(self, policy: int, ids: Sequence[Id], level: int, start: int, end: int) -> bool:
        """Whether coarser levels may have rows of their own at these times: too late or too coarse for this one."""
        group, levels = self._files.view.groups[policy], self._ladders[policy].levels
        if any(live.entry.kind == DIRECT and live.entry.level > level
               and live.file.first_time < end and live.file.last_time + levels[live.entry.level].interval > start
               for live in group.files):
            return True
        place = self._places[policy]
        for coarser in range(level + 1, len(levels)):
            first = start - start % levels[coarser].interval
            waiting: Columns = columns.Columns()
            frozen = group.frozen[coarser]
            if frozen is not None:
                for id in ids:
                    frozen.collect(id, first, end, waiting)
            if len(waiting) or (len(self._engine.heads[place + coarser]) and any(
                    map(len, self._engine.collect(ids, coarser, first, end, policy)))):
                return True
        return False

    def combine(self, question: Question, groups: Sequence[Sequence[Id]], function: Function) -> list[Answer]:
        """See Store.combine; all fields are told, whatever the function."""
        known = set(question.ids)
        if not all(known.issuperset(group) for group in groups):
            raise ValueError("a group has counters that the question does not name")
        return [self._combined(replace(question, ids=group)) for group in groups]

    def _combined(self, question: Question) -> Answer:
        """One series. Begun anew with a coarser level where a counter has what the level asked for misses."""
        if not question.ids:
            return Answer(question.level, columns.Columns())
        ladder = self.ladder_of(question.ids[0])
        interval = ladder.stored[question.level].interval
        portion = max(1, COMBINED_AT_ONCE // max(1, (question.end - question.start) // interval))
        combined = Combined()
        for at in range(0, len(question.ids), portion):
            ids = question.ids[at:at + portion]
            answers = self.read(replace(question, ids=ids))
            used = max(answer.level for answer in answers)
            if used != question.level:
                return self._combined(replace(question, level=used))
            self._pool.apply(combined.add, ([answer.rows for answer in answers], self._events(ids)))
        rows: Columns = self._pool.apply(combined.rows, (interval, interval // ladder.finest.interval))
        return Answer(question.level, rows)

    def describe(self, ids: Sequence[Id]) -> list[Description]:
        """See Store.describe."""
        return [Description(self._catalogue.counter(id), self.ladder_of(id), *self._ends(id)) for id in ids]

    def _ends(self, id: Id) -> tuple[int, int] | tuple[None, None]:
        """The starts of the first and the last bucket: found in the coarsest level, looked for more closely in finer
        ones."""
        levels = self.ladder_of(id).levels
        first: tuple[int, int] | None = None        # start and length of the bucket
        last: tuple[int, int] | None = None
        whole = 0, int(self._clock.now()) + 2 * levels[-1].interval
        for level in reversed(range(len(levels))):
            begin, end, step = first or whole, last or whole, levels[level].interval
            (rows,) = self.select([id], level, begin[0], sum(begin))
            (ends,) = (rows,) if end == begin else self.select([id], level, end[0], sum(end))
            if len(rows):
                first = rows.row(0)[0], step
            if len(ends):
                last = ends.row(len(ends) - 1)[0], step
        return (None, None) if first is None or last is None else (first[0], last[0])
