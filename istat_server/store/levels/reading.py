"""Answering: partial rows of files and heads to final buckets. Knows no names, no policy, no threads.

A `View` is one consistent moment of a store; `select` gathers what it needs of the live head in the hub and
returns a function that does the rest, which may run in any thread.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istat.errors import StoreCorrupt
from istat.kernels import blocks, columns
from istat_server.store.files.container import MOST_ID
from istat_server.store.files.manifest import ALL_IDS, DERIVED, DIRECT, FINE, SETTLED
from istat_server.store.files.statfile import StatFile
from istat_server.store.files.view import GroupView, LiveFile, View
from istat_server.store.levels.arithmetic import blended, carried, old_level_for, regroup, trailing

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns
    from istat.kernels.python.ingest.engine import Engine
    from istat.retention import Season


# Seasons without derived files that are looked back over: what is older has next to no weight.
MOST_SEASONS = 100


@dataclass(frozen=True)
class Asked:
    """Buckets of which counters of one policy, of which level, with start <= time < end (multiples of its interval)."""

    policy: int

    ids: tuple[int, ...]
    events: tuple[bool, ...]
    level: int
    start: int
    end: int


@dataclass(frozen=True)
class Piece:
    """A stretch of time to be read from one derived file, or from the files of the finest level."""

    start: int
    end: int
    derived: LiveFile | None
    fine: list[LiveFile]


def select(engine: Engine, view: View, question: Asked,
           damaged: Callable[[StoreCorrupt], None]) -> Callable[[], list[Columns]]:
    """Copy the live head's rows now; the function returned reads the rest. One Columns per id.

    `damaged` is told of blocks that cannot be read; the answer is then without them.
    """
    readers = [(group, _reader(engine, group, asked, damaged)) for group, asked in _questions(view, question)]
    ladder = view.groups[question.policy].policy.ladder

    def answer() -> list[Columns]:
        (_own, first), *others = readers
        rows = first.answer()
        for group, reader in others:
            for at, more in enumerate(reader.answer()):
                event = question.events[at]
                moved = carried(more, event, group.policy.ladder, reader.level, ladder, question.level)
                rows[at].extend(moved.slice(question.start, question.end))
                if event:
                    rows[at].fold_rates()
                else:
                    rows[at].fold(False)
        return rows

    return answer


def answer_at_rest(view: GroupView, question: Asked, damaged: Callable[[StoreCorrupt], None]) -> list[Columns]:
    """Final buckets of a group that nothing is added to any more, out of its files alone."""
    nothing = {level: [columns.Columns() for _ in question.ids] for level in range(question.level + 1)}
    return _Reader(view, question, nothing, damaged).answer()


def _questions(view: View, question: Asked) -> Iterator[tuple[GroupView, Asked]]:
    """What to ask which groups: the counters' own, and those where they may still have older rows."""
    own = view.groups[question.policy]
    yield own, question
    if question.level >= len(own.policy.ladder.levels):
        return                  # a seasonal level begins anew with its policy
    for number, end in own.policy.origins:
        group = view.groups.get(number)
        level = None if group is None else old_level_for(group.policy.ladder, own.policy.ladder, question.level)
        if group is None or level is None:
            continue
        # A wider range than asked: rows of a time before may belong to a bucket of another interval that begins in it.
        step = group.intervals[level]
        until = min(question.end, end + -end % step)
        start = max(question.start - question.start % step, group.policy.moved)
        if start < until:
            yield group, replace(question, policy=number, level=level, start=start, end=until + -until % step)


def _reader(engine: Engine, group: GroupView, question: Asked,
            damaged: Callable[[StoreCorrupt], None]) -> _Reader:
    live: dict[int, list[Columns]] = {}
    # Seasonal buckets follow from those of earlier seasons, some of which may be in memory only.
    start = question.start if question.level < len(group.policy.ladder.levels) else 0
    for level in range(min(question.level + 1, len(group.policy.ladder.levels))):
        if group.policy.leaving:
            live[level] = [columns.Columns() for _ in question.ids]
        else:
            live[level] = engine.collect(question.ids, level, start, question.end, question.policy)
    return _Reader(group, question, live, damaged)


class _Reader:
    """One question being answered."""

    def __init__(self, view: GroupView, question: Asked, live: dict[int, list[Columns]],
                 damaged: Callable[[StoreCorrupt], None], depth: int = 0) -> None:
        self._depth = depth
        self._view, self._question, self._live, self._damaged = view, question, live, damaged
        self.level = question.level
        self._interval = view.intervals[question.level]
        self._fine = view.intervals[0]
        self._rates_in_bucket = self._interval // self._fine

    def answer(self) -> list[Columns]:
        """Final buckets per id."""
        asked = self._question
        if asked.level >= len(self._view.policy.ladder.levels):
            return [self._seasonal(at) for at in range(len(asked.ids))]
        if asked.level == 0:
            files = self._files(0, FINE, asked.start, asked.end)
            settled = self._files(0, SETTLED, asked.start, asked.end)
            rows = [self._finest(at, files, asked.start, asked.end) for at in range(len(asked.ids))]
            for at, found in enumerate(rows):
                self._add_settled(at, found, settled)
            return rows
        direct = self._files(asked.level, DIRECT, asked.start, asked.end)
        settled = self._files(asked.level, SETTLED, asked.start, asked.end)
        plans: dict[tuple[frozenset[int], int], list[Piece]] = {}
        answers = []
        for at, id in enumerate(asked.ids):
            key = self._late_spans(at), id >> blocks.ID_BITS
            if key not in plans:
                plans[key] = self._plan(*key)
            answers.append(self._coarse(at, plans[key], direct, settled))
        return answers

    def _seasonal(self, at: int) -> Columns:
        """Buckets of a seasonal level: derived files where spans are complete, else what there is now upon those of
        the season before."""
        asked, ladder = self._question, self._view.policy.ladder
        season = ladder.seasons[asked.level - len(ladder.levels)]
        rows: Columns = columns.Columns()
        for piece in self._plan(self._late_spans(at), asked.ids[at] >> blocks.ID_BITS):
            if piece.derived is not None:
                self._read(piece.derived, asked.ids[at], piece.start, piece.end, rows)
                continue
            now = self._without_season(at, season, piece.start, piece.end)
            before: Columns = columns.Columns()
            if len(now) and self._depth < MOST_SEASONS:
                start, end = piece.start - season.season, min(piece.end - season.season, piece.start)
                question = replace(self._only(at), start=start, end=end)
                (before,) = _Reader(self._view, question, self._live_of(at), self._damaged, self._depth + 1).answer()
            rows.extend(blended(now, before, season))
        return rows

    def _only(self, at: int) -> Asked:
        return replace(self._question, ids=self._question.ids[at:at + 1], events=self._question.events[at:at + 1])

    def _live_of(self, at: int) -> dict[int, list[Columns]]:
        return {level: [rows[at]] for level, rows in self._live.items()}

    def _without_season(self, at: int, season: Season, start: int, end: int) -> Columns:
        """The buckets that a seasonal level blends, of the coarsest level that they are made up of."""
        asked, ladder = self._question, self._view.policy.ladder
        level = max(index for index, one in enumerate(ladder.levels) if season.interval % one.interval == 0)
        question = replace(self._only(at), level=level, start=start, end=end)
        (rows,) = _Reader(self._view, question, self._live_of(at), self._damaged).answer()
        parts = season.interval // ladder.finest.interval
        rows = rows.slice(start, end)
        if ladder.levels[level].interval != season.interval:
            rows = rows.reduce(0, season.interval, parts if asked.events[at] else 0)
        return rows

    def _files(self, level: int, kind: str, start: int, end: int) -> list[LiveFile]:
        return [live for live in self._view.files
                if live.entry.level == level and live.entry.kind == kind
                and live.entry.start < end and live.entry.end > start]

    def _read(self, live: LiveFile, id: int, start: int, end: int, into: Columns) -> None:
        if not _may_hold(live, id >> blocks.ID_BITS):
            return
        try:
            live.file.read(id, start, end, into)
        except StoreCorrupt as error:
            self._damaged(error)

    def _finest(self, at: int, files: list[LiveFile], start: int, end: int) -> Columns:
        """Level 0 buckets of one counter: all partial rows folded in order of arrival, events as rates."""
        id, event = self._question.ids[at], self._question.events[at]
        rows: Columns = columns.Columns()
        for live in files:
            self._read(live, id, start, end, rows)
        frozen = self._view.frozen[0]
        if frozen is not None:
            frozen.collect(id, start, end, rows)
        rows.extend(self._live[0][at].slice(start, end))
        rows.fold(event)
        if event:
            rows.rates(self._fine)
        return rows

    def _coarse(self, at: int, plan: list[Piece], direct: list[LiveFile], settled: list[LiveFile]) -> Columns:
        """Buckets of a coarser level: derived files where spans are complete, the finest level elsewhere,
        and on top the rows that came too late for the finest level, and those that came from elsewhere."""
        id, event = self._question.ids[at], self._question.events[at]
        rows: Columns = columns.Columns()
        for piece in plan:
            if piece.derived is not None:
                self._read(piece.derived, id, piece.start, piece.end, rows)
            else:
                fine = self._finest(at, piece.fine, piece.start, piece.end)
                rows.extend(fine.reduce(piece.start, self._interval, self._rates_in_bucket if event else 0))
        self._add_direct(at, rows, direct)
        self._add_settled(at, rows, settled)
        return rows

    def _late_spans(self, at: int) -> frozenset[int]:
        """Starts of derived spans in which this counter has rows that are not in a file yet: of the finest level, and
        for a seasonal one, which is derived from all, of any."""
        asked, view = self._question, self._view
        ladder = view.policy.ladder
        seasonal = asked.level >= len(ladder.levels)
        late = self._waiting_spans(at, 0)
        if seasonal:
            for level in range(1, len(ladder.levels)):
                # What is not of the finest level any more cannot be derived anew.
                late |= {start for start in self._waiting_spans(at, level)
                         if self._files(0, FINE, start, start + view.span)}
        if seasonal and late & view.derived:
            season = ladder.seasons[asked.level - len(ladder.levels)].season
            late |= set(trailing(late & view.derived, season, view.span, asked.end))
        return frozenset(view.derived & late)

    def _waiting_spans(self, at: int, level: int) -> set[int]:
        """Starts of the spans in which this counter has rows of a level that are not in a file yet."""
        asked, view = self._question, self._view
        rows: Columns = columns.Columns()
        frozen = view.frozen[level]
        if frozen is not None:
            frozen.collect(asked.ids[at], 0 if asked.level >= len(view.policy.ladder.levels) else asked.start,
                           asked.end, rows)
        rows.extend(self._live[level][at])
        return {row[0] - row[0] % view.span for row in rows.rows()}

    def _plan(self, late: frozenset[int], ids: int) -> list[Piece]:
        """What to read where, in order of time. Neighbouring spans that one file holds are one piece."""
        asked, span = self._question, self._view.span
        done = sorted(start for start in self._view.derived - late
                      if start < asked.end and start + span > asked.start)
        derived = sorted((live for live in self._files(asked.level, DERIVED, asked.start, asked.end)
                          if _may_hold(live, ids)), key=lambda live: -live.entry.seq_hi)
        plan: list[Piece] = []
        at = asked.start
        for begin in done:
            start, end = max(begin, asked.start), min(begin + span, asked.end)
            if start > at:
                plan.append(Piece(at, start, None, self._files(0, FINE, at, start)))
            at = end
            covering = (f for f in derived if f.entry.start <= begin and f.entry.end >= begin + span)
            newest = next(covering, None)
            if newest is None:
                continue            # a complete span without any rows
            if plan and plan[-1].derived is newest and plan[-1].end == start:
                plan[-1] = Piece(plan[-1].start, end, newest, [])
            else:
                plan.append(Piece(start, end, newest, []))
        if at < asked.end:
            plan.append(Piece(at, asked.end, None, self._files(0, FINE, at, asked.end)))
        return plan

    def _add_direct(self, at: int, rows: Columns, files: list[LiveFile]) -> None:
        """Add rows that were too old, or too coarse, for the finest level when they came."""
        asked = self._question
        id, event = asked.ids[at], asked.events[at]
        direct: Columns = columns.Columns()
        for live in files:
            self._read(live, id, asked.start, asked.end, direct)
        for level in range(1, asked.level + 1):
            waiting: Columns = columns.Columns()
            frozen = self._view.frozen[level]
            if frozen is not None:
                frozen.collect(id, asked.start, asked.end, waiting)
            waiting.extend(self._live[level][at])
            direct.extend(regroup(waiting, self._interval, event))
        if not len(direct):
            return
        direct.fold(event)
        if event:
            rows.add_direct(direct, self._interval, self._fine)
        else:
            rows.extend(direct)
            rows.fold(False)


    def _add_settled(self, at: int, rows: Columns, files: list[LiveFile]) -> None:
        """Add final rows that came from elsewhere (a leaving ladder, an import)."""
        asked = self._question
        before = len(rows)
        for live in files:
            self._read(live, asked.ids[at], asked.start, asked.end, rows)
        if len(rows) == before:
            return
        if asked.events[at]:
            rows.fold_rates()
        else:
            rows.fold(False)


def _may_hold(live: LiveFile, ids: int) -> bool:
    """Whether a file may have rows of this range of ids."""
    return live.entry.ids in (ids, ALL_IDS)


def raise_error(error: StoreCorrupt) -> None:
    """For those who cannot do without a block."""
    raise error


def kinds_in(files: Sequence[StatFile], drop_ids: Sequence[int], pause: Callable[[], None]) -> bytearray:
    """Per id: 0 has no rows in these files, or is one of `drop_ids`; 1 gauge, 2 event."""
    found = bytearray()
    for file in files:
        for entry in file.entries(0, MOST_ID):
            if entry.last_id >= len(found):
                found.extend(bytes(entry.last_id + 1 - len(found)))
            for id, event, _rows in file.reader(entry, once=True).runs():
                found[id] = 2 if event else 1
        pause()
    for id in drop_ids:
        if id < len(found):
            found[id] = 0
    return found
