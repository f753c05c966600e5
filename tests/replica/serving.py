"""A master that answers over HTTP in this process, over a real store, and how tests ask it."""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent

from istat.clock import StoppedClock
from istat.daemon.tls import Certificate
from istat_server.declared.declared import Declared
from istat_server.http.app import make_app
from istat_server.http.openapi import described
from istat_server.http.rights import Rights
from istat_server.http.routes import Access, Route
from istat_server.http.server import HttpServer
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.mistakes import Mistakes
from istat_server.replica.master.handlers import Replicas
from istat_server.replica.master.leases import Leases
from istat_server.replica.source import PATHS, Master
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.http.application import origins, tokens
from tests.ports import open_http_socket
from tests.store.harness import LADDER, NOW, send

TOKEN = "copies"
ROUTES = {"state": {"GET": "get_state"}, "lease": {"POST": "post_lease", "DELETE": "delete_lease"},
          "file": {"GET": "get_file"}, "journal": {"GET": "get_journal"}, "namespaces": {"GET": "get_namespaces"},
          "declared": {"GET": "get_declared"},
          "fence": {"POST": "post_fence"}}


@contextmanager
def no_faults() -> Iterator[None]:
    """What is raised reaches who waits for it, and the hub is told of nothing: it would be a traceback in the log."""
    faults: list[tuple[Any, ...]] = []
    hub = gevent.get_hub()
    hub.handle_error = lambda *told: faults.append(told)
    try:
        yield
        gevent.sleep(0)
    finally:
        del hub.handle_error
    assert faults == []


def broken_off(found: Any, size: int) -> Any:
    """The first bytes of an answer, after which its connection ends."""
    yield b"".join(found)[:size]
    raise ConnectionResetError("cut by the test")


class Serving:
    """The master: its store, its leases, its port."""

    def __init__(self, folder: Path, certificate: Certificate | None = None) -> None:
        self.clock = StoppedClock(NOW)
        self.scheme = "http" if certificate is None else "https"
        self.store = StatStore.open(folder / "master", LADDER, self.clock, options=Options(key=1))
        self.leases = Leases(lambda: self.store, self.clock, 3600.0)
        self.namespaces = Namespaces(folder / "namespaces", self.clock)
        self.declared = Declared(self.clock, Mistakes(self.clock))
        handlers = Replicas(self.leases, self.namespaces, self.clock, self.declared)
        routes = [Route(PATHS + name, {method: getattr(handlers, act) for method, act in methods.items()},
                        Access.REPLICA, name) for name, methods in ROUTES.items()]
        app = make_app(described([("istat_server.builtin", routes)]), Rights(tokens(replica=TOKEN)), origins())
        self.http = HttpServer(self.asked(app), open_http_socket("127.0.0.1", 0), connections=32,
                               certificate=certificate)
        self.http.start()
        self.spoil: Any = None      # what an answer becomes: (path, start_response's status) may raise
        self.masters: list[Master] = []

    def asked(self, app: Any) -> Any:
        def answer(environ: dict[str, Any], start_response: Any) -> Any:
            found = app(environ, start_response)
            return found if self.spoil is None else self.spoil(environ, found)

        return answer

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.port}"

    def master(self, name: str = "two", token: str = TOKEN, **more: Any) -> Master:
        """How a replica of this name asks it."""
        self.masters.append(Master(self.url, token, name, **more))
        return self.masters[-1]

    def send(self, *lines: str) -> None:
        """Samples, which are synced then."""
        send(self.store, *lines)
        self.sync()

    def sync(self) -> None:
        self.store._hand_over()
        assert self.store._journal.sync(self.store._journal.handed, 10.0)

    def stop(self) -> None:
        self.leases.stop()
        for one in self.masters:
            one.close()
        self.http.stop()
        self.store.close()
