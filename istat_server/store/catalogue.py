"""The counters' names: learning new ones, finding old ones. A readable skin over the engine's name tables.

Knows no samples and no files. Belongs to the hub, as the engine does.
"""
from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from istat import names
from istat_server.store.interface import Child, Counter, Kind

if TYPE_CHECKING:
    from istat.kernels.python.engine import Engine


class Learned(enum.Enum):
    """What became of a wire name."""

    KNOWN = "known"             # it has a route now
    NOTHING = "nothing"         # it means no counter at all, such as a lone `*`
    FULL = "name_refused"       # the store has as many counters as it may have
    TOO_LONG = "name_too_long"


class Catalogue:
    """Names of one store's counters. Ids are the engine's."""

    def __init__(self, engine: Engine, max_counters: int) -> None:
        self._engine = engine
        self._max = max_counters

    def __len__(self) -> int:
        return len(self._engine.counters)

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
        if len(counters) + ids.count(-1) > self._max or len(engine.routes) >= 2 * self._max:
            return Learned.FULL
        for at, name in enumerate(meaning.names):
            if ids[at] < 0:
                ids[at] = engine.add_counter(name, meaning.event)
        engine.add_route(wire, ids)
        return Learned.KNOWN

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
        return [self.counter(id) for id in self._engine.counters.match(pattern, first=after + 1, limit=limit)]

    def search(self, words: list[bytes], limit: int) -> list[Counter]:
        """Counters whose name has every word in it, shorter names first, at most `limit`."""
        lowered = [names.munge(word) for word in words]
        found = [self.counter(id) for id in self._engine.counters.search(lowered, limit=limit * 20)]
        return sorted(found, key=lambda counter: (len(counter.name), counter.name))[:limit]

    def children(self, prefix: bytes, limit: int) -> list[Child]:
        """What follows a dotted prefix, by label."""
        stem = prefix.decode("ascii") + "." if prefix else ""
        found = []
        for label, id, branches in self._engine.counters.children(prefix, limit=limit):
            text = label.decode("ascii")
            found.append(Child(text, stem + text, self.counter(id) if id >= 0 else None, branches))
        return sorted(found, key=lambda child: child.label)
