"""A whole server of parts that write down what happens to them, over a real store; no process, and sockets only where
a test brings them."""
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import falcon
from falcon.testing import Result, TestClient

from istat.clock import FakeClock
from istat.retention import Ladder
from istat.settings.declaration import Values
from istat_server import builtin
from istat_server.faults import Faults
from istat_server.front import Front
from istat_server.hookspecs import ServerContext, hookimpl
from istat_server.http.routes import Access, Route
from istat_server.options import DECLARATION
from istat_server.plugins import find_plugins
from istat_server.server import Server
from istat_server.sockets import Sockets
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore


class Part:
    """A service that writes down when it begins and ends."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name, self.order = name, order
        self.at_start: Callable[[], None] = lambda: None
        self.at_stop: Callable[[], None] = lambda: None

    def start(self) -> None:
        self.order.append(f"{self.name} starts")
        self.at_start()

    def stop(self) -> None:
        self.order.append(f"{self.name} stops")
        self.at_stop()


class Changeable(Part):
    """One that takes settings over."""

    taken: Values | None = None

    def reload(self, settings: Values) -> None:
        self.taken = settings


class KeptStore:
    """A real store whose ticks and end are written down."""

    def __init__(self, store: StatStore, order: list[str]) -> None:
        self._store, self._order = store, order
        self.ticks = 0
        self.at_tick: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def status(self) -> dict[str, object]:
        return self._store.status()

    def tick(self) -> None:
        self.ticks += 1
        self.at_tick()
        self._store.tick()

    def close(self) -> None:
        self._order.append("store closes")
        self._store.close()


def greet(req: falcon.Request, resp: falcon.Response) -> None:
    """What a route of a plugin's answers."""
    resp.media = {"hello": "world"}


class OurRoutes:
    """Of the built-in parts only the routes."""

    __name__ = builtin.__name__
    istat_routes = staticmethod(builtin.istat_routes)


class Plugin:
    """A store in files, two inputs and an output, and a route."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.order: list[str] = []
        self.inputs = [Part("in", self.order), Changeable("other in", self.order)]
        self.outputs = [Part("out", self.order)]
        self.failing: dict[str, Exception] = {}         # by hook
        self.contexts: list[ServerContext] = []
        self.store: KeptStore | None = None

    def _asked(self, hook: str, server: ServerContext | None = None) -> None:
        self.order.append(hook)
        if server is not None:
            self.contexts.append(server)
        if hook in self.failing:
            raise self.failing[hook]

    @hookimpl
    def istat_open_store(self, settings: Values, clock: FakeClock) -> KeptStore:
        self._asked("store")
        store = StatStore.open(self.folder, Ladder.parse("10s:1d"), clock,
                               options=Options(max_counters=settings["max-counters"]))
        self.store = KeptStore(store, self.order)
        return self.store

    @hookimpl
    def istat_inputs(self, server: ServerContext) -> list[Part]:
        self._asked("inputs", server)
        return self.inputs

    @hookimpl
    def istat_outputs(self, server: ServerContext) -> list[Part]:
        self._asked("outputs", server)
        return self.outputs

    @hookimpl
    def istat_routes(self, server: ServerContext) -> list[Route]:
        self._asked("routes", server)
        return [Route("/api/greeting", {"GET": greet}, Access.READ, "a greeting")]


class Whole:
    """A server of a plugin's parts, or of others, and of our routes."""

    def __init__(self, folder: Path, clock: FakeClock, *words: str, plugins: list[object] | None = None,
                 sockets: Sockets | None = None) -> None:
        self.plugin = Plugin(folder)
        self.order = self.plugin.order
        self.clock = clock
        self.front = Front()
        self.faults = Faults()
        chosen = [self.plugin] if plugins is None else plugins
        found = find_plugins(chosen if builtin in chosen else [*chosen, OurRoutes()], installed=False)
        self.declaration = DECLARATION.with_plugins(found.settings)
        self.settings = self.declaration.load(["--store", str(folder), *words], {}, found.problem)
        self.server = Server(self.settings, clock, found.manager, sockets or Sockets(), self.front, self.faults,
                             found.metrics)

    @property
    def store(self) -> KeptStore:
        assert self.plugin.store is not None
        return self.plugin.store

    def ask(self, path: str, method: str = "GET", **more: Any) -> Result:
        """What HTTP says."""
        return TestClient(self.front).simulate_request(method, path, **{"host": "localhost", **more})

    def feed(self, text: bytes) -> None:
        """Samples of an input's."""
        context = self.plugin.contexts[0]
        assert context.intake.feed(memoryview(text), 0, len(text), context.roster.connected("tcp", "192.0.2.7:1"))

    def end(self) -> None:
        self.server.end_input()
        self.server.close()


def values_of(folder: Path, clock: FakeClock, name: bytes) -> list[tuple[int, int, float]]:
    """(time, count, sum) of a counter in a store that nobody has open."""
    store = StatStore.open(folder, Ladder.parse("10s:1d"), clock)
    counter = store.find(name)
    rows = [] if counter is None else store.select([counter.id], 0, 0, 1 << 40)[0].rows()
    store.close()
    return [row[:3] for row in rows]
