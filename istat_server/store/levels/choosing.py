"""Which level answers: the one that is asked for, or the next coarser one that misses nothing.

What was imported, or came when other levels were kept, may be in coarser levels only. Knows rows and ladders, no files.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from istat_server.store.interface import Answer, Id, Question

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns
    from istat.retention import Ladder

# (ids, level, start, end) -> final rows per id; start and end are multiples of the level's interval.
Select = Callable[[Sequence[Id], int, int, int], "list[Columns]"]
# (level, start, end) -> whether coarser levels may have buckets where this one has none. Cheap.
MayMiss = Callable[[int, int, int], bool]


def read(select: Select, may_miss: MayMiss, question: Question, ladder: Ladder, events: Sequence[bool]) -> list[Answer]:
    """The answers for counters of one ladder, in the order of the question's ids; `events`: whether each one is an
    event counter."""
    answers: dict[int, Answer] = {}
    waiting: dict[int, list[tuple[int, Columns | None]]] = {
        question.level: [(at, None) for at in range(len(question.ids))]}
    for level in range(question.level, len(ladder.stored)):
        places = waiting.pop(level, [])
        if not places:
            continue
        start, end = widened(question, ladder.stored[level].interval)
        found = {at: rows for at, rows in places if rows is not None}
        more = [at for at, rows in places if rows is None]
        if more:
            found.update(zip(more, select([question.ids[at] for at in more], level, start, end), strict=True))
        missed: dict[int, tuple[int, Columns]] = {}
        if not question.exact and level < len(ladder.levels) and may_miss(level, start, end):
            missed = _missed(select, question, ladder, level, found, events)
        for at, rows in found.items():
            if at in missed:
                waiting.setdefault(missed[at][0], []).append((at, missed[at][1]))
            else:
                answers[at] = Answer(level, rows)
    return [answers[at] for at in range(len(question.ids))]


def widened(question: Question, interval: int) -> tuple[int, int]:
    """The range of a question in whole buckets."""
    return question.start - question.start % interval, question.end + -question.end % interval


def _missed(select: Select, question: Question, ladder: Ladder, level: int, rows: dict[int, Columns],
            events: Sequence[bool]) -> dict[int, tuple[int, Columns]]:
    """The places of the counters of which a coarser level has buckets where these rows, of this level, have none: the
    next such level, and its buckets."""
    found: dict[int, tuple[int, Columns]] = {}
    own_start, own_end = widened(question, ladder.levels[level].interval)
    for coarser in range(level + 1, len(ladder.levels)):
        left = [at for at in rows if at not in found]
        if not left:
            break
        step = ladder.levels[coarser].interval
        # A coarser bucket at an edge may be of times that nobody asked for; it counts where no whole one is asked for,
        # and nothing finer is in it.
        first, last = own_start + -own_start % step, own_end - own_end % step
        theirs = select([question.ids[at] for at in left], coarser, *widened(question, step))
        for at, other in zip(left, theirs, strict=True):
            own = rows[at]
            if first < last or len(own):
                inner, own = other.slice(first, last), own.slice(first, last)
            else:
                inner = other
                if len(other):
                    (own,) = select([question.ids[at]], level, *widened(question, step))
            if _more(inner, own.reduce(0, step), events[at]):
                found[at] = coarser, other
    return found


def _more(coarse: Columns, reduced: Columns, event: bool) -> bool:
    """Whether coarse buckets are at times where those of a finer level are not. No events are as good as no bucket."""
    if len(coarse) <= len(reduced):
        return False
    known = {row[0] for row in reduced.rows()}
    return any(row[0] not in known and not (event and row[4] == row[5] == 0) for row in coarse.rows())
