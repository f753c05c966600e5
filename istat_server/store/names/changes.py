"""Changes to counters: delete, undo, rename; which deleted ones are gone for good, and what that gives back.

A delete hides a counter at once; its rows stay in the files until jobs leave them out, and its id is *gone* when no
live file is older than the delete. Knows the engine, and of files up to which delete each is clean. Belongs to the hub.
"""
from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from istat.clock import Clock
from istat.errors import BadQuery
from istat.names import WIRE_NAME_ROOM, stored
from istat_server.store.files.manifest import Manifest
from istat_server.store.interface import Deleted
from istat_server.store.names.catalogue import Catalogue
from istat_server.store.names.tombstones import Burials
from istat_server.store.work.planning import Graves

if TYPE_CHECKING:
    from istat.kernels.python.engine import Engine

# Rows of a deleted counter are kept at least this long, unless one asks for all space at once: a mistake is often
# noticed the next day only [s].
UNDO_SECONDS = 86_400
GONE_AT_ONCE = 20_000       # counters forgotten in one tick: some 5 ms
LISTED_AT_ONCE = 10_000     # deleted counters looked at between turns of others: some 5 ms
MOST_RUN = 65_536           # ids in one record
ROUTES_AT_ONCE = 200_000    # routes looked at in one tick: some 1 ms


class Changes:
    """Deletes and renames of one store."""

    def __init__(self, engine: Engine, catalogue: Catalogue, clock: Clock, state: Callable[[], Manifest],
                 undo_seconds: int = UNDO_SECONDS) -> None:
        """state: gives the MANIFEST in use."""
        self.totals = {"deleted": 0, "undeleted": 0, "renamed": 0, "gone": 0, "retired": 0}
        self._engine, self._catalogue, self._clock, self._state = engine, catalogue, clock, state
        self._undo_seconds = undo_seconds
        self._burials = Burials(engine.deleted)
        self._last = max(self._burials.numbers, default=0)
        self._dropping = 0              # deletes up to this one are being left out of new files
        self._sweep: int | None = None  # the next route to look at, while there may be some to forget

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

    def replayed(self) -> None:
        """The engine has read records again."""
        self._burials = Burials(self._engine.deleted)
        self._last = max(self._burials.numbers, default=0)
        self._sweep = 0

    # -- what people ask for

    def delete(self, ids: Iterable[int]) -> int:
        """Hide these counters; how many were there to be hidden.

        Each call has a number of its own: a head that begins between two calls is clean of the first one only.
        """
        self._last = max(self._last + 1, int(self._clock.now()))
        done = []
        for id in ids:
            if self._engine.counters.has(id):
                self._engine.delete(id, self._last)
                done.append(id)
        self._burials.add(self._last, done)
        self.totals["deleted"] += len(done)
        return len(done)

    def undelete(self, ids: Iterable[int]) -> list[Deleted]:
        """Show these counters again; those that cannot be, each with the reason."""
        refused, done, dropped = [], {}, self._dropped()
        for id in ids:
            entry = self._entry(id, dropped)
            if entry.problem:
                refused.append(entry)
            else:
                self._engine.undelete(id)
                done[id] = entry.number
        self._burials.remove(done)
        self.totals["undeleted"] += len(done)
        return refused

    def deleted(self, fitting: Callable[[Iterable[bytes]], set[bytes]]) -> Iterator[list[Deleted]]:
        """Deleted counters that are not gone yet and whose names are fitting ones, the last deleted first: what there
        is in one portion of all after the other, between which others may have their turns."""
        for ids in self._burials.newest_first(LISTED_AT_ONCE):
            names = {id: self._engine.counters.name(id) for id in ids}
            wanted, dropped = fitting(names.values()), self._dropped()
            yield [self._entry(id, dropped) for id in ids if names[id] in wanted]

    def _dropped(self) -> int:
        """Rows of deletes up to this one were left out of files, or are just being."""
        state = self._state()
        whole = (entry.cleaned for entry in state.files if entry.whole)     # what versions before wrote down only
        return max(self._dropping, state.dropped, *whole)

    def _entry(self, id: int, dropped: int) -> Deleted:
        number = self._engine.deleted.get(id)
        counter = self._catalogue.counter(id)
        if number is None:
            return Deleted(counter, 0, "it is not deleted, or its data are gone for good")
        return Deleted(counter, number, self._why_not(counter.name.encode(), number, dropped))

    def _why_not(self, name: bytes, number: int, dropped: int) -> str:
        """Why a delete cannot be undone, or ""."""
        if self._engine.counters.find(name) >= 0:
            return "a counter of that name has come since; rename or delete that one first"
        if number <= dropped:
            return "compaction has begun to drop its data"
        return ""

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """Give counters other names, all or none. BadQuery (409) where that cannot be."""
        problem = next(self.rename_problems(pairs), "")
        if problem:
            raise BadQuery(problem, 409)
        for id, name in pairs:
            self._engine.rename(id, name)
        self._engine.unlearn_moved()
        self.totals["renamed"] += len(pairs)

    def rename_problems(self, pairs: Iterable[tuple[int, bytes]]) -> Iterator[str]:
        """A sentence for each that stands in the way."""
        seen = set()
        for id, name in pairs:
            if not self._engine.counters.has(id):
                yield f"the counter {id} is not there any more"
            elif not name or b"^" in name or len(name) > WIRE_NAME_ROOM or stored(name) != name:
                yield f"no counter can be called {name.decode('ascii', 'replace')[:200]!r}"
            elif name in seen or self._engine.counters.find(name) >= 0:
                yield f"there is a counter {name.decode()} already"
            seen.add(name)

    # -- what jobs ask for

    def graves(self, force: bool = False) -> Graves:
        """The deletes that new files leave out: those too old to be undone; `force`: all of them."""
        cutoff = self._last if force else min(self._last, int(self._clock.now()) - self._undo_seconds)
        cutoff = max(cutoff, 0)
        count = self._burials.up_to(cutoff)
        return Graves(cutoff, self._burials.numbers[:count], self._burials.ids[:count], self._engine.counters.count())

    def dropping(self, cutoff: int) -> None:
        """A job is about to leave out what was deleted up to `cutoff`: it cannot be undone any more. The MANIFEST that
        names its files says so for good."""
        self._dropping = max(self._dropping, cutoff)

    # -- what goes by itself

    def tick(self, head_cleaned: int) -> None:
        """Forget counters that are gone, and routes to them, a portion at a time.

        `head_cleaned`: deletes up to this one have no rows in memory.
        """
        ids = self._clean(head_cleaned)
        for first, count in _runs(ids):
            self._engine.gone(first, count)
        if ids:
            self._burials.drop_first(len(ids))
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
        """Some deleted counters that have no rows anywhere, ascending."""
        if not len(self._burials):
            return []
        floor = min([head_cleaned, *(entry.cleaned for entry in self._state().files)])
        return sorted(self._burials.ids[:min(self._burials.up_to(floor), GONE_AT_ONCE)])


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
