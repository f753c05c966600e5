"""Wire names and the counters that each feeds: a name table with targets: the specification.

Knows no samples, kinds or records. The native build of the same name does the same.
"""
from __future__ import annotations

from istat.kernels.python.names import NameTable


class Routes(NameTable):
    """Routes by number, in the order in which they were learnt. One without targets leads nowhere."""

    def __init__(self, key: int, counters: NameTable) -> None:
        super().__init__(key, counters)
        self._targets: list[tuple[int, ...]] = []

    def place(self, wire: bytes, ids: tuple[int, ...]) -> int:
        """The number of a new route. ValueError when it exists, or is too long."""
        if self.find(wire) >= 0:
            raise ValueError(f"route {wire!r} exists")
        route = self.add(wire)
        self._targets.append(ids)
        return route

    def place_unlearnt(self) -> None:
        """The next route, which leads nowhere and has no name."""
        self.add_unlisted()
        self._targets.append(())

    def unlearn(self, route: int) -> None:
        """Forget a route: its number leads nowhere from now on."""
        if self.has(route):
            self.unlist(route)
        self._targets[route] = ()

    def targets(self, route: int) -> tuple[int, ...]:
        """The counters that a route leads to."""
        return self._targets[route]
