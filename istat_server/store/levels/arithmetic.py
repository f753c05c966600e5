"""Rows of one level as rows of another: between ladders, to coarser intervals, blended with a season before.

Pure arithmetic over rows of one counter. Knows no files and no policies.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from istat.kernels import columns

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns, Row
    from istat.retention import Ladder, Season


def old_level_for(old: Ladder, new: Ladder, level: int) -> int | None:
    """From which of the old levels a new one takes what was there before: the coarsest that fits into its buckets,
    or else that is not coarser. None when there is none."""
    step = new.levels[level].interval
    if level == 0 and old.finest.interval == step:
        return 0
    finer = [index for index, one in enumerate(old.levels) if one.interval <= step]
    return max((index for index in finer if step % old.levels[index].interval == 0), default=max(finer, default=None))


def carried(rows: Columns, event: bool, old: Ladder, source: int, new: Ladder, level: int) -> Columns:
    """Final rows of an old ladder's level as final rows of a new ladder's."""
    base, step = old.levels[source].interval, new.levels[level].interval
    if not event:
        return rows if base == step else rows.reduce(0, step)
    if base != step:
        rows = rows.reduce(0, step, max(1, step // old.finest.interval))
    if old.finest.interval == new.finest.interval:
        return rows
    made: Columns = columns.Columns()
    parts = step // new.finest.interval
    for time, count, total, m2, low, high in rows.rows():
        rate = total * old.finest.interval / new.finest.interval       # the same events over other seconds
        if parts == 1:
            made.append(time, 1, rate, 0.0, rate, rate)
        else:
            made.append(time, parts, rate, m2 / count * parts, low, high)
    return made


def blended(rows: Columns, before: Columns, season: Season) -> Columns:
    """Buckets of a seasonal level: means, variances, minima and maxima of the season before and of now, weighed; those
    that have no bucket exactly a season before stay as they are."""
    known = {row[0]: row for row in before.rows()}
    made: Columns = columns.Columns()
    for row in rows.rows():
        old = known.get(row[0] - season.season)
        if old is not None:
            row = _blend(old, row, season.weight)
        known[row[0]] = row
        made.append(*row)
    return made


def _blend(old: Row, new: Row, weight: float) -> Row:
    rest = 1.0 - weight
    count = max(1, int(weight * old[1] + rest * new[1] + 0.5))
    mean = weight * (old[2] / old[1]) + rest * (new[2] / new[1])
    variance = weight * (old[3] / old[1]) + rest * (new[3] / new[1])
    low, high = (weight * old[at] + rest * new[at] for at in (4, 5))
    # The same sums in another order: a mean of equal values must not leave them by a last bit.
    mean = min(max(mean, low), high)
    return (new[0], count, mean * count, variance * count if count > 1 else 0.0, low, high)


def trailing(starts: Iterable[int], season: int, span: int, end: int) -> Iterator[int]:
    """Spans before `end` that are a season, or several, after these."""
    for start in starts:
        for later in range(start + season, end, season):
            yield from (later - later % span, later - later % span + span)


def regroup(rows: Columns, interval: int, event: bool) -> Columns:
    """Partial rows moved to the buckets of a coarser interval: they just add."""
    moved: Columns = columns.Columns.from_rows(
        [(row[0] - row[0] % interval, *row[1:]) for row in rows.rows()])
    moved.fold(event)
    return moved
