"""The counters' names: learning new ones, finding old ones. A readable skin over the engine's name tables.

Knows no samples and no files. Belongs to the hub, as the engine does.
"""
from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from istat import names
from istat.kernels import names as names_kernel
from istat_server.store.interface import Child, Counter, Kind

if TYPE_CHECKING:
    from istat.kernels.python.engine import Engine


# Names looked through before others have their turn: 10 ms of the slowest pattern.
NAMES_AT_ONCE = 50_000


class Learned(enum.Enum):
    """What became of a wire name."""

    KNOWN = "known"             # it has a route now
    NOTHING = "nothing"         # it means no counter at all, such as a lone `*`
    FULL = "name_refused"       # the store has as many counters as it may have
    TOO_LONG = "name_too_long"


def matching(pattern: bytes, some: Iterable[bytes]) -> set[bytes]:
    """Those of some names, whether they are counters or not, that fit a pattern."""
    table = names_kernel.NameTable()
    for name in some:
        table.add(name)
    return {table.name(index) for index in table.match(pattern)}


class Catalogue:
    """Names of one store's counters. Ids are the engine's."""

    def __init__(self, engine: Engine, max_counters: int, breathe: Callable[[], None],
                 policy_for: Callable[[bytes], int | None] = lambda _name: None) -> None:
        """breathe: lets others have their turn in a long search; policy_for: of a new counter (None: the default)."""
        self._policy_for = policy_for
        self._engine = engine
        self._breathe = breathe
        self._max = max_counters

    def __len__(self) -> int:
        return self._engine.counters.count()

    def learn(self, wire: bytes) -> Learned:
        """Give a new wire name its route, and make the counters it feeds that do not exist yet."""
        if len(wire) > names.WIRE_NAME_ROOM or wire.count(b"^") > names.CARETS_ROOM:
            return Learned.TOO_LONG
        engine = self._engine
        if engine.routes.find(wire) >= 0:
            return Learned.KNOWN
        meaning = names.expand(wire)
        if not meaning.names:
            return Learned.NOTHING
        counters = engine.counters
        ids = [counters.find(name) for name in meaning.names]
        if counters.count() + ids.count(-1) > self._max or engine.routes.count() >= 2 * self._max:
            return Learned.FULL
        for at, name in enumerate(meaning.names):
            if ids[at] < 0:
                ids[at] = engine.add_counter(name, meaning.event, self._policy_for(name))
        engine.add_route(wire, ids)
        return Learned.KNOWN

    def create(self, name: bytes, event: bool) -> int | Learned:
        """The id of a stored name, made when it is new; it gets no route. KNOWN when it is of the other kind."""
        if not name:
            return Learned.NOTHING
        if len(name) > names.WIRE_NAME_ROOM:
            return Learned.TOO_LONG
        id = self._engine.counters.find(name)
        if id >= 0:
            return id if self._engine.is_event(id) == event else Learned.KNOWN
        if self._engine.counters.count() >= self._max:
            return Learned.FULL
        made: int = self._engine.add_counter(name, event, self._policy_for(name))
        return made

    def find(self, name: bytes) -> Counter | None:
        """The counter of a name in any spelling."""
        id = self._engine.counters.find(names.stored(name))
        return self.counter(id) if id >= 0 else None

    def counter(self, id: int) -> Counter:
        """The counter of an id. IndexError when there is none."""
        kind = Kind.EVENT if self._engine.is_event(id) else Kind.GAUGE
        return Counter(id, self._engine.counters.name(id).decode("ascii"), kind)

    def match(self, pattern: bytes, limit: int, after: int) -> list[Counter]:
        """Counters with ids above `after` whose whole name fits a pattern, at most `limit`, by id."""
        found: list[int] = []
        for first in self._portions(after + 1):
            found += self._engine.counters.match(pattern, first, NAMES_AT_ONCE, limit - len(found))
            if len(found) >= limit:
                break
        return [self.counter(id) for id in found if self._engine.counters.has(id)]

    def search(self, words: list[bytes], limit: int) -> list[Counter]:
        """Counters whose name has every word in it, shorter names first, at most `limit`."""
        lowered = [names.munge(word) for word in words]
        counters = self._engine.counters
        found: list[tuple[int, bytes, int]] = []
        for first in self._portions(0):
            names_found = ((counters.name(id), id) for id in counters.search(lowered, first, NAMES_AT_ONCE, limit * 20))
            found = sorted([*found, *((len(name), name, id) for name, id in names_found)])[:limit]
        return [self.counter(id) for _length, _name, id in found if counters.has(id)]

    def children(self, prefix: bytes, limit: int) -> list[Child]:
        """What follows a dotted prefix, by label."""
        stem = prefix.decode("ascii") + "." if prefix else ""
        found: dict[bytes, tuple[int, bool]] = {}
        for first in self._portions(0):
            for label, id, branches in self._engine.counters.children(prefix, limit, first, NAMES_AT_ONCE):
                before = found.get(label, (-1, False))
                if label in found or len(found) < limit:
                    found[label] = (max(id, before[0]), branches or before[1])
        return [Child(label.decode("ascii"), stem + label.decode("ascii"), self.counter(id) if id >= 0 else None,
                      branches) for label, (id, branches) in sorted(found.items())]

    def _portions(self, first: int) -> Iterator[int]:
        """Ids where portions of names begin. Others have their turn in between, and may add names."""
        counters = self._engine.counters
        while first < len(counters):
            yield first
            first += NAMES_AT_ONCE
            if first < len(counters):
                self._breathe()
