"""The store's model: the whole contract in plain Python, in memory, nothing clever.

It says what the real stores must answer, so tests compare them with it; it also serves tests of queries and
HTTP. Every sample is kept as it came; buckets are worked out at each question. It knows no files, keeps
nothing after the process, and gets slow beyond some thousand counters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from istat.buckets import Bucket
from istat.clock import Clock, SystemClock
from istat.errors import BadQuery
from istat.kernels import columns as kernel
from istat.kernels import names as names_kernel
from istat.names import expand, munge, stored
from istat.retention import Ladder, Rules, Season
from istat_server.store.interface import Child, Counter, Deleted, Kind
from istat_server.store.levels.arithmetic import blended
from istat_server.store.names.catalogue import compiled, matching

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

GAUGE_AHEAD = 60  # [s] a gauge may be this much newer than now (part 3.2 of the behaviour specification)


class MemoryStore:
    """A store without files. `refused` counts the samples not taken, by reason."""

    def __init__(self, retention: Ladder | Rules | None = None, clock: Clock | None = None) -> None:
        self._rules = retention if isinstance(retention, Rules) else Rules(retention or Ladder.parse())
        self.ladder = self._rules.default
        self._ladders: list[Ladder] = []        # of each counter
        self.refused = {"from_future": 0, "from_past": 0, "rejected": 0}
        self._clock = clock or SystemClock()
        self._names = names_kernel.NameTable()
        self._counters: list[Counter] = []
        self._deleted: dict[int, int] = {}
        # What came, in order of arrival, per counter and level: level 0, and what was too old for it.
        self._rows: list[list[list[tuple[int, int, float, float, float, float]]]] = []

    # --- samples come in ---------------------------------------------------------------------------

    def add(self, wire: str, time: float | None, value: float, *rest: float) -> int:
        """Take one sample for all counters of a caret name; how many counters took it.

        `time` is Unix seconds (None: now). After it one value, or sum, sum of squares, min, max, count.
        """
        expansion = expand(wire.encode())
        when = int(self._clock.now() if time is None else time)
        bucket = Bucket.from_sumsq(int(rest[3]), value, *rest[:3]) if rest else Bucket.of(value)
        counters = [self.create(name, expansion.event) for name in expansion.names]
        return sum(self._add_one(counter, when, bucket) for counter in counters)

    def create(self, name: bytes, event: bool) -> Counter:
        """The counter of a stored name; the kind counts only when it is new."""
        index = self._names.add(name)
        if index == len(self._counters):
            kind = Kind.EVENT if event else Kind.GAUGE
            self._counters.append(Counter(index, name.decode(), kind))
            self._ladders.append(self._rules.ladder(self._rules.choose(name)))
            self._rows.append([[] for _ in self._ladders[index].levels])
        return self._counters[index]

    def _add_one(self, counter: Counter, when: int, bucket: Bucket) -> bool:
        event = counter.kind is Kind.EVENT
        now = int(self._clock.now())
        ladder = self._ladders[counter.id]
        refusal = self._refusal(ladder, event, when, now, bucket)
        if refusal:
            self.refused[refusal] += 1
            return False
        level = self._level_for(ladder, when, now)
        assert level is not None
        if event:
            bucket = Bucket(1, bucket.sum, 0.0, bucket.sum, bucket.sum)
        start = when - when % ladder.levels[level].interval
        self._rows[counter.id][level].append(bucket.row(start))
        return True

    def _refusal(self, ladder: Ladder, event: bool, when: int, now: int, bucket: Bucket) -> str:
        if when > now + (ladder.finest.interval if event else GAUGE_AHEAD):
            return "from_future"
        if self._level_for(ladder, when, now) is None:
            return "from_past"
        return "" if event or bucket.plausible else "rejected"

    def _level_for(self, ladder: Ladder, when: int, now: int) -> int | None:
        """The finest level whose retention still holds a time."""
        for index, level in enumerate(ladder.levels):
            if when >= now - level.keep:
                return index
        return None

    # --- questions -----------------------------------------------------------------------------------

    def find(self, name: bytes) -> Counter | None:
        """See Store.find."""
        index = self._names.find(stored(name))
        return self._counters[index] if index >= 0 else None

    def counter(self, id: int) -> Counter:
        """See Store.counter."""
        return self._counters[id]

    def ladder_of(self, id: int) -> Ladder:
        """See Store.ladder_of."""
        return self._ladders[id]

    def may_miss(self, id: int, level: int, start: int, end: int) -> bool:
        """See Store.may_miss."""
        return False

    def count(self) -> int:
        """See Store.count."""
        return self._names.count()

    def match(self, pattern: bytes, limit: int, after: int = -1, regex: bool = False) -> list[Counter]:
        """See Store.match."""
        fits = compiled(pattern, regex).fits
        return self._these(id for id in self._live() if id > after and fits(self._names.name(id)))[:limit]

    def _live(self) -> Iterator[int]:
        return (id for id in range(len(self._counters)) if self._names.has(id))

    def search(self, words: list[bytes], limit: int) -> list[Counter]:
        """See Store.search."""
        wanted = [munge(word) for word in words]
        found = self._these(id for id in self._live() if all(word in self._names.name(id) for word in wanted))
        return sorted(found, key=lambda counter: (len(counter.name), counter.name))[:limit]

    def children(self, prefix: bytes) -> list[Child]:
        """See Store.children."""
        stem = prefix.decode() + "." if prefix else ""
        found: dict[str, Child] = {}
        for counter in self._these(self._live()):
            if counter.name.startswith(stem):
                label, dot, _ = counter.name[len(stem):].partition(".")
                before = found.get(label) or Child(label, stem + label, None, False)
                found[label] = replace(before, branches=True) if dot else replace(before, counter=counter)
        return [found[label] for label in sorted(found)]

    def select(self, ids: Sequence[int], level: int, start: int, end: int) -> list[Columns]:
        """See Store.select."""
        return [self._level(id, level).slice(max(start, self._oldest(id, level)), end) for id in ids]

    def _oldest(self, id: int, level: int) -> int:
        of = self._ladders[id].stored[level]
        oldest = int(self._clock.now()) - of.keep
        return oldest - oldest % of.interval

    def delete(self, ids: Sequence[int]) -> int:
        """See Store.delete."""
        there = [id for id in ids if self._names.has(id)]
        for id in there:
            self._names.unlist(id)
            self._deleted[id] = int(self._clock.now())
        return len(there)

    def undelete(self, ids: Sequence[int]) -> list[Deleted]:
        """See Store.undelete."""
        refused = []
        for id in ids:
            name = self._counters[id].name.encode()
            if id not in self._deleted or self._names.find(name) >= 0:
                refused.append(Deleted(self._counters[id], 0, "it is not deleted, or its name was taken"))
            else:
                self._names.relist(id, name)
                del self._deleted[id]
        return refused

    def deleted(self, pattern: bytes, limit: int) -> list[Deleted]:
        """See Store.deleted."""
        fitting = matching(pattern, (self._counters[id].name.encode() for id in self._deleted))
        found = [id for id in self._deleted if self._counters[id].name.encode() in fitting]
        return [Deleted(self._counters[id], self._deleted[id], "") for id in reversed(found)][:limit]

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """See Store.deleted_called."""
        return [entry for name in names for entry in self.deleted(name, 1)]

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """See Store.rename."""
        for problem in self.rename_problems(pairs):
            raise BadQuery(problem, 409)
        for id, name in pairs:
            self._names.unlist(id)
            self._names.relist(id, name)
            self._counters[id] = Counter(id, name.decode(), self._counters[id].kind)

    def rename_problems(self, pairs: Sequence[tuple[int, bytes]]) -> Iterator[str]:
        """See Store.rename_problems."""
        for _id, name in pairs:
            if self._names.find(name) >= 0:
                yield f"there is a counter {name.decode()} already"

    def confirm_clock(self) -> str:
        """See Store.confirm_clock. Nothing is removed here, so nothing is doubted."""
        return ""

    def status(self) -> dict[str, object]:
        """See Store.status."""
        return {"kind": "memory", "counters": self.count(), "refused": dict(self.refused)}

    def _these(self, ids: Iterable[int]) -> list[Counter]:
        return [self._counters[id] for id in ids]

    def _level(self, id: int, level: int) -> Columns:
        """All buckets of a counter at a level: those derived from the finest one, and what came directly."""
        event = self._counters[id].kind is Kind.EVENT
        ladder = self._ladders[id]
        if level >= len(ladder.levels):
            return self._seasonal(id, ladder, ladder.seasons[level - len(ladder.levels)])
        fine, interval = ladder.finest.interval, ladder.levels[level].interval
        rows = kernel.Columns.from_rows(self._rows[id][0])
        rows.fold(event)
        if event:
            rows.rates(fine)
        if level:
            rows = rows.reduce(0, interval, interval // fine if event else 0)
            self._add_direct(rows, id, level, event)
        return rows

    def _seasonal(self, id: int, ladder: Ladder, season: Season) -> Columns:
        """Each bucket upon the one a season earlier, from the first one on."""
        level = max(index for index, one in enumerate(ladder.levels) if season.interval % one.interval == 0)
        event = self._counters[id].kind is Kind.EVENT
        rows = self._level(id, level)
        if ladder.levels[level].interval != season.interval:
            rows = rows.reduce(0, season.interval, season.interval // ladder.finest.interval if event else 0)
        return blended(rows, kernel.Columns(), season)

    def _add_direct(self, rows: Columns, id: int, level: int, event: bool) -> None:
        """Add what was too old for finer levels: it counts in its own level and in all coarser ones."""
        ladder = self._ladders[id]
        interval = ladder.levels[level].interval
        direct = kernel.Columns.from_rows(
            (row[0] - row[0] % interval, *row[1:]) for below in self._rows[id][1 : level + 1] for row in below
        )
        if event:
            rows.add_direct(direct, interval, ladder.finest.interval)
        else:
            rows.extend(direct)
            rows.fold(False)
