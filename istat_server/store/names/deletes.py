"""The life of a delete, from the request until nothing of the counter is left. All of it is told here.

1. *Delete*: the counter cannot be found by its name any more; a tombstone keeps the number of the delete, about the
   Unix second. Its rows stay where they are, in the head and in files.
2. *Undelete* lets it be found again, for as long as no job has begun to leave its rows out.
3. *Due*: after `undo_seconds`, jobs leave its rows out of the files that they write (`drop_due`); the MANIFEST that
   names such a file says up to which delete that cannot be undone any more (`with_dropped`).
4. *Clean*: each file, and each head (`cut`), has no rows of counters deleted up to some number.
5. *Gone*: once all of them are clean of its delete, the id is forgotten for good, and so are the routes that led to it
   (`tick`). The same becomes of counters that have been silent for longer than their data are kept (`retire`).

Knows the engine, and of files up to which delete each is clean. Belongs to the hub.
"""
from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from istat.clock import Clock
from istat.kernels.python.ingest.records import DELETE, GONE, UNDELETE
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import Manifest
from istat_server.store.interface import Deleted, NamePattern
from istat_server.store.names.catalogue import Catalogue
from istat_server.store.names.tombstones import Due, Tombstones
from istat_server.store.pool import Pool

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine

# Rows of a deleted counter are kept at least this long, unless one asks for all space at once: a mistake is often
# noticed the next day only [s].
UNDO_SECONDS = 86_400
GONE_AT_ONCE = 20_000       # counters forgotten in one tick: some 5 ms
LISTED_AT_ONCE = 10_000     # deleted counters looked at between turns of others: some 5 ms
MOST_RUN = 65_536           # ids in one record
ROUTES_AT_ONCE = 200_000    # routes looked at in one tick: some 1 ms


class Deletes:
    """The deletes of one store."""

    def __init__(self, engine: Engine, catalogue: Catalogue, clock: Clock, files: LiveFiles, pool: Pool,
                 undo_seconds: int = UNDO_SECONDS) -> None:
        """pool: lets others have their turn while long lists are looked through."""
        self.totals = {"deleted": 0, "undeleted": 0, "gone": 0, "retired": 0}
        self._engine, self._catalogue, self._clock, self._files = engine, catalogue, clock, files
        self._pool, self._undo_seconds = pool, undo_seconds
        self._tombstones = Tombstones(engine.deleted)
        self._last = max(self._tombstones.numbers, default=0)
        self._head_cleaned = 0          # deletes up to this one were before the head in use began
        self._dropping = 0              # deletes up to this one are being left out of new files
        self._sweep: int | None = None  # the next route to look at, while there may be some to forget
        # A replica leaves out no rows of later deletes, as its master may undo these; None: it is none.
        self.ceiling: int | None = files.manifest.dropped if files.manifest.follows is not None else None

    @property
    def last(self) -> int:
        """The number of the last delete."""
        return self._last

    @property
    def waiting(self) -> int:
        """How many deleted counters are not gone yet."""
        return len(self._engine.deleted)

    @property
    def gone(self) -> int:
        """How many ids ever given are gone for good."""
        counters = self._engine.counters
        return len(counters) - counters.count() - self.waiting

    def names_loaded(self) -> None:
        """The engine has read the names files: what was deleted there was so before the head began."""
        self.replayed()
        self._head_cleaned = self._last

    def replayed(self) -> None:
        """The engine has read records of the journal again."""
        self._tombstones = Tombstones(self._engine.deleted)
        self._last = max(self._tombstones.numbers, default=0)
        self._sweep = 0

    @property
    def final(self) -> int:
        """Deletes up to this one cannot be undone any more, nor will there be any."""
        waiting = len(self._tombstones)
        before = self._tombstones.numbers[0] if waiting else max(self._last + 1, int(self._clock.now()))
        return max(self._dropped(), before - 1)

    def followed(self, changes: Sequence[tuple[int, int, int]]) -> None:
        """The engine has taken records of a master's journal: what it tells of them (`Engine.take_followed`)."""
        for what, group in groupby(changes, lambda change: change[0]):
            ones = [(id, value) for _what, id, value in group]
            if what == DELETE:
                for id, number in ones:
                    self._follow_delete(id, number)
            elif what == UNDELETE:
                self._tombstones.remove(dict(ones))
                self.totals["undeleted"] += len(ones)
            elif what == GONE:
                self.totals["retired"] += sum(count for _first, count in ones)
                self._sweep = 0
            elif self.ceiling is not None:
                self.ceiling = max(self.ceiling, *(number for _id, number in ones))

    def _follow_delete(self, id: int, number: int) -> None:
        self.totals["deleted"] += 1
        if number < self._last:         # a master with a clock that went back, or of whose journal a part is lost
            self.replayed()
        else:
            self._tombstones.add(number, [id])
        self._last = max(self._last, number)
        if self.ceiling is not None:
            self.ceiling = min(self.ceiling, number - 1)

    # -- what people ask for

    def delete(self, ids: Iterable[int]) -> int:
        """Delete these counters; how many were there to be deleted.

        Each call has a number of its own: a head that begins between two calls is clean of the first one only.
        """
        self._last = max(self._last + 1, int(self._clock.now()))
        done = []
        for id in ids:
            if self._engine.counters.has(id):
                self._engine.delete(id, self._last)
                done.append(id)
        self._tombstones.add(self._last, done)
        self.totals["deleted"] += len(done)
        return len(done)

    def undelete(self, ids: Iterable[int]) -> list[Deleted]:
        """Let these counters be found again; those that cannot be, each with the reason."""
        refused, done, dropped = [], {}, self._dropped()
        for id in ids:
            entry = self._entry(id, dropped)
            if entry.problem:
                refused.append(entry)
            else:
                self._engine.undelete(id)
                done[id] = entry.number
        self._tombstones.remove(done)
        self.totals["undeleted"] += len(done)
        return refused

    def deleted(self, pattern: NamePattern, limit: int, behind: tuple[int, int] | None = None) -> list[Deleted]:
        """Deleted counters that fit a pattern and are not gone, the last deleted first, those of one delete by id;
        `behind` this number and id. Blocks the greenlet."""
        found: list[Deleted] = []
        fits = pattern.compiled().fits
        for some in self._portions(lambda names: set(filter(fits, names)), behind):
            found += some[:limit - len(found)]
            if len(found) == limit:
                break
            self._pool.apply(_nothing)          # others have their turn
        return found

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """The last deleted counter of each of these names, if there is one. Blocks the greenlet."""
        found: dict[str, Deleted] = {}
        wanted = set(names)
        for some in self._portions(wanted.intersection):
            for entry in some:
                found.setdefault(entry.counter.name, entry)
            if len(found) == len(wanted):
                break
            self._pool.apply(_nothing)
        return list(found.values())

    def _portions(self, fitting: Callable[[Iterable[bytes]], set[bytes]],
                  behind: tuple[int, int] | None = None) -> Iterator[list[Deleted]]:
        """Deleted counters that are not gone yet and whose names are fitting ones, the last deleted first: what there
        is in one portion of all after the other, between which others may have their turns."""
        for ids in self._tombstones.newest_first(LISTED_AT_ONCE, behind):
            deleted = self._engine.deleted          # some may have gone since the portion before
            names = {id: self._engine.counters.name(id) for id in ids if id in deleted}
            wanted, dropped = fitting(names.values()), self._dropped()
            yield [self._entry(id, dropped) for id, name in names.items() if name in wanted]

    def _dropped(self) -> int:
        """Rows of deletes up to this one were left out of files, or are just being."""
        state = self._files.manifest
        whole = (entry.cleaned for entry in state.files if entry.whole)     # what versions before wrote down only
        return max(self._dropping, state.dropped, *whole)

    def _entry(self, id: int, dropped: int) -> Deleted:
        number = self._engine.deleted.get(id)
        counter = self._catalogue.counter(id)
        if number is None:
            return Deleted(counter, 0, "it is not deleted, or its data are gone for good")
        return Deleted(counter, number, self._why_not(self._engine.counters.name(id), number, dropped))

    def _why_not(self, name: bytes, number: int, dropped: int) -> str:
        """Why a delete cannot be undone, or ""."""
        if self._engine.counters.find(name) >= 0:
            return "a counter of that name has come since; rename or delete that one first"
        if number <= dropped:
            return "compaction has begun to drop its data"
        return ""

    # -- what jobs ask for

    def due(self, force: bool = False) -> Due:
        """The deletes that new files leave out: those too old to be undone; `force`: all of them."""
        cutoff = self._last if force else min(self._last, int(self._clock.now()) - self._undo_seconds)
        if self.ceiling is not None:
            cutoff = min(cutoff, self.ceiling)
        cutoff = max(cutoff, 0)
        count = self._tombstones.up_to(cutoff)
        return Due(cutoff, self._tombstones.numbers[:count], self._tombstones.ids[:count],
                   self._engine.counters.count())

    def drop_due(self, force: bool = False) -> Due:
        """The same, for a job that is about to begin: from now on they cannot be undone."""
        due = self.due(force)
        self._dropping = max(self._dropping, due.last)
        return due

    def cut(self) -> int:
        """A new head begins. Deletes up to the number returned have no rows in the one before."""
        cleaned, self._head_cleaned = self._head_cleaned, self._last
        return cleaned

    # -- what goes by itself

    def tick(self, held: int | None) -> None:
        """Forget counters that are gone, and routes to them, a portion at a time.

        `held`: deletes up to this one have no rows in the head that is being written; None: there is none.
        """
        ids = self._clean(self._head_cleaned if held is None else min(held, self._head_cleaned))
        for first, count in _runs(ids):
            self._engine.gone(first, count)
        if ids:
            self._tombstones.drop_first(len(ids))
            self.totals["gone"] += len(ids)
            self._sweep = 0
        elif self._sweep is not None:
            self._engine.sweep_routes(self._sweep, ROUTES_AT_ONCE)
            self._sweep += ROUTES_AT_ONCE
            if self._sweep >= len(self._engine.routes):
                self._sweep = None
                self._engine.give_back()

    def retire(self, ids: Sequence[int]) -> None:
        """Forget counters (ascending) that nobody has sent to for longer than their data are kept."""
        for first, count in _runs(ids):
            self._engine.gone(first, count)
        if ids:
            self.totals["retired"] += len(ids)
            self._sweep = 0

    def _clean(self, head_cleaned: int) -> list[int]:
        """Some deleted counters that have no rows anywhere, ascending. head_cleaned: what the heads are clean up to."""
        if not len(self._tombstones):
            return []
        ceiling = [] if self.ceiling is None else [self.ceiling]
        floor = min([*ceiling, head_cleaned, *(entry.cleaned for entry in self._files.manifest.files)])
        return sorted(self._tombstones.ids[:min(self._tombstones.up_to(floor), GONE_AT_ONCE)])


def _runs(ids: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of stretches of ascending ids without a gap."""
    first = last = None
    for id in ids:
        if first is None or last is None:
            first = id
        elif id != last + 1 or id - first >= MOST_RUN:
            yield first, last - first + 1
            first = id
        last = id
    if first is not None and last is not None:
        yield first, last - first + 1


def with_dropped(state: Manifest, due: Due) -> Manifest:
    """The MANIFEST that names files without these deleted counters."""
    return replace(state, dropped=max(state.dropped, due.last))


def _nothing() -> None:
    """A turn for others."""
