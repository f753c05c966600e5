"""All samples of one counter of the model, and what its levels make of them. Knows no names and no other counters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from istat.buckets import Bucket, Row
from istat.kernels import columns as kernel
from istat.retention import Ladder, Season
from istat_server.store.interface import Answer, Question

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

GAUGE_AHEAD = 60  # [s] a gauge may be this much newer than now (part 3.2 of istatd's behaviour)


class Samples:
    """What came, in order of arrival, by level: the finest, and those for what was too old or too coarse for it."""

    def __init__(self, event: bool, ladder: Ladder) -> None:
        self.event, self.ladder = event, ladder
        self._rows: list[list[Row]] = [[] for _ in ladder.levels]

    def take(self, when: int, bucket: Bucket, interval: int, now: int) -> str:
        """Keep a sample that covers so many seconds (0: a plain one). The kind of mistake when it is refused, or ""."""
        if when > now + (self.ladder.finest.interval if self.event else GAUGE_AHEAD):
            return "from_future"
        fitting = [at for at, level in enumerate(self.ladder.levels) if level.interval >= interval]
        if not fitting:
            return "too_coarse"
        level = next((at for at in fitting if when >= now - self.ladder.levels[at].keep), None)
        if level is None:
            return "from_past"
        if self.event:
            bucket = Bucket(1, bucket.sum, 0.0, bucket.sum, bucket.sum)
        elif not bucket.plausible:
            return "rejected"
        self._rows[level].append(bucket.row(when - when % self.ladder.levels[level].interval))
        return ""

    # -- questions

    def read(self, question: Question, now: int) -> Answer:
        """See Store.read."""
        level = question.level
        if not question.exact and level < len(self.ladder.levels):
            while (coarser := self._missing(level, question, now)) is not None:
                level = coarser
        return Answer(level, self._widened(level, question, now))

    def _widened(self, level: int, question: Question, now: int) -> Columns:
        of = self.ladder.stored[level]
        start, end = question.start, question.end + -question.end % of.interval
        oldest = now - of.keep
        return self._level(level).slice(max(start - start % of.interval, oldest - oldest % of.interval), end)

    def _missing(self, level: int, question: Question, now: int) -> int | None:
        """The next coarser level that has buckets at times where this one has none. One that is only partly asked for
        counts when no whole one is, and nothing finer is in it."""
        own = self._widened(level, question, now)
        step = self.ladder.levels[level].interval
        start, end = question.start - question.start % step, question.end + -question.end % step
        for coarser in range(level + 1, len(self.ladder.levels)):
            long = self.ladder.levels[coarser].interval
            first, last = start + -start % long, end - end % long
            theirs, ours = self._widened(coarser, question, now), own.slice(first, last)
            if first < last or len(own):
                theirs = theirs.slice(first, last)
            else:
                whole = replace(question, start=start - start % long, end=end + -end % long)
                ours = self._widened(level, whole, now)
            known = {row[0] - row[0] % long for row in ours.rows()}
            if any(row[0] not in known and not (self.event and row[4] == row[5] == 0) for row in theirs.rows()):
                return coarser
        return None

    def ends(self, now: int) -> tuple[int, int] | tuple[None, None]:
        """The starts of the first and the last bucket, as fine as they are kept."""
        oldest = [now - level.keep - (now - level.keep) % level.interval for level in self.ladder.levels]
        times = [row[0] for rows, least in zip(self._rows, oldest, strict=True) for row in rows if row[0] >= least]
        return (min(times), max(times)) if times else (None, None)

    # -- levels

    def _level(self, level: int) -> Columns:
        """All buckets of a level: those derived from the finest one, and what came directly."""
        if level >= len(self.ladder.levels):
            return self._seasonal(self.ladder.seasons[level - len(self.ladder.levels)])
        fine, interval = self.ladder.finest.interval, self.ladder.levels[level].interval
        rows: Columns = kernel.Columns.from_rows(self._rows[0])
        rows.fold(self.event)
        if self.event:
            rows.rates(fine)
        if level:
            rows = rows.reduce(0, interval, interval // fine if self.event else 0)
            self._add_direct(rows, level)
        return rows

    def _add_direct(self, rows: Columns, level: int) -> None:
        """Add what did not go to the finest level: it counts in its own level and in all coarser ones."""
        interval = self.ladder.levels[level].interval
        direct = kernel.Columns.from_rows(
            (row[0] - row[0] % interval, *row[1:]) for below in self._rows[1 : level + 1] for row in below
        )
        if self.event:
            rows.add_direct(direct, interval, self.ladder.finest.interval)
        else:
            rows.extend(direct)
            rows.fold(False)

    def _seasonal(self, season: Season) -> Columns:
        """Each bucket upon the one a season earlier, from the first one on."""
        level = max(at for at, one in enumerate(self.ladder.levels) if season.interval % one.interval == 0)
        rows = self._level(level)
        if self.ladder.levels[level].interval != season.interval:
            parts = season.interval // self.ladder.finest.interval
            rows = rows.reduce(0, season.interval, parts if self.event else 0)
        known: dict[int, Bucket] = {}
        for row in rows.rows():
            new, old = Bucket.from_row(row), known.get(row[0] - season.season)
            known[row[0]] = new if old is None else _blended(old, new, season.weight)
        made: Columns = kernel.Columns.from_rows(bucket.row(time) for time, bucket in known.items())
        return made


def _blended(old: Bucket, new: Bucket, weight: float) -> Bucket:
    """So much of the bucket a season earlier, and the rest of the new one."""
    rest = 1.0 - weight
    count = max(1, int(weight * old.count + rest * new.count + 0.5))
    low, high = weight * old.min + rest * new.min, weight * old.max + rest * new.max
    mean = min(max(weight * old.avg + rest * new.avg, low), high)
    variance = weight * (old.m2 / old.count) + rest * (new.m2 / new.count)
    return Bucket(count, mean * count, variance * count if count > 1 else 0.0, low, high)


def pooled(counters: Sequence[Samples], answers: Sequence[Columns], level: int) -> Columns:
    """The buckets of several counters as those of one; an event counter without a bucket where another has one had no
    events."""
    found: dict[int, list[Bucket]] = {}
    for rows in answers:
        for row in rows.rows():
            found.setdefault(row[0], []).append(Bucket.from_row(row))
    made: Columns = kernel.Columns()
    if not counters:
        return made
    ladder = counters[0].ladder
    parts = ladder.stored[level].interval // ladder.finest.interval
    silent = [{row[0] for row in rows.rows()} for one, rows in zip(counters, answers, strict=True) if one.event]
    anything = set().union(*silent)
    for time in sorted(found):
        whole = Bucket()
        for bucket in found[time]:
            whole = whole.merge(bucket)
        for times in silent:
            if time in anything and time not in times:
                whole = whole.merge(Bucket(parts))
        made.append(*whole.row(time))
    return made
