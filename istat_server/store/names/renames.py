"""Other names for counters, all or none of them. Belongs to the hub."""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from istat.errors import BadQuery
from istat.names import WIRE_NAME_ROOM, stored

if TYPE_CHECKING:
    from istat.kernels.python.ingest.engine import Engine


class Renames:
    """The renames of one store."""

    def __init__(self, engine: Engine) -> None:
        self.total = 0
        self._engine = engine

    def rename(self, pairs: Sequence[tuple[int, bytes]]) -> None:
        """Give counters other names, all or none. BadQuery (409) where that cannot be."""
        problem = next(self.problems(pairs), "")
        if problem:
            raise BadQuery(problem, 409)
        for id, name in pairs:
            self._engine.rename(id, name)
        self._engine.unlearn_moved()
        self.total += len(pairs)

    def problems(self, pairs: Iterable[tuple[int, bytes]]) -> Iterator[str]:
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
