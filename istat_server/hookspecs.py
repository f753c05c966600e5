"""The server's doors for plugins: endpoints, inputs, stores, outputs, HTTP routes. Each hook is a function here.

A plugin is a module (or object) with functions of these names, marked with `hookimpl`, and an entry point
in the group `istat_server`:

    from istat_server.hookspecs import hookimpl

    @hookimpl
    def istat_inputs(server):
        return [MyListener(server.intake, server.settings.plugins["mine"])]

The built-in parts come through the same doors (`istat_server/builtin.py`). `docs/extending.md` tells of each
with an example; a test compares. `plugins.py` finds plugins.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pluggy

from istat.clock import Clock
from istat.metrics import Metric
from istat.settings.setting import PluginSettings, Values
from istat_server.ingest.endpoints import Endpoint, Transport

if TYPE_CHECKING:
    from istat.daemon.tls import Certificate
    from istat_server.declared.declared import Declared
    from istat_server.http.routes import Route
    from istat_server.ingest.batches import Batches
    from istat_server.ingest.intake import Intake
    from istat_server.ingest.pump import Pump
    from istat_server.keyvalue.namespaces import Namespaces
    from istat_server.mistakes import Mistakes
    from istat_server.replica.master.leases import Leases
    from istat_server.roster import Roster
    from istat_server.selfmetrics import SelfMetrics
    from istat_server.sockets import Sockets
    from istat_server.store.interface import Store

__all__ = ["HOOKS", "PROJECT", "Endpoint", "ServerContext", "Service", "Transport", "hookimpl", "hookspec"]

PROJECT = "istat_server"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Service(Protocol):
    """Something that runs while the server does. `name` is for the log."""

    name: str

    def start(self) -> None:
        """Begin; must return at once (greenlets, watchers and threads do the work)."""

    def stop(self) -> None:
        """End: an input takes what has arrived, an output gives what it holds. Called once."""


@dataclass(frozen=True)
class ServerContext:
    """What plugins may use of the server.

    `settings.plugins["NAME"]` are the settings that a plugin declared,
    `intake.feed(view, start, end, sender)` takes whole lines (senders come from `roster`), `pump` gives
    readables their turns, `batches.tee` is given what acknowledged batches bring, `status` tells what /api/v1/status
    does, `namespaces` keeps keys and values with their versions, `leases` is what replicas of this server hold,
    `declared.find(counter)` tells what senders have declared of a counter's metric.
    `certificate.accept(sock)` makes a TLS socket; None: the settings name no certificate.
    """

    settings: Values
    clock: Clock
    store: Store
    intake: Intake
    roster: Roster
    mistakes: Mistakes
    metrics: SelfMetrics
    pump: Pump
    sockets: Sockets
    status: Callable[[], dict[str, object]]
    namespaces: Namespaces
    batches: Batches
    leases: Leases
    declared: Declared
    certificate: Certificate | None = None
    sample_metrics: Callable[[], None] = lambda: None   # makes samples of the self-metrics now


@hookspec
def istat_settings() -> PluginSettings | Sequence[PluginSettings]:      # type: ignore[empty-body]
    """The settings of this plugin: `PluginSettings(name, settings)`, the table `[plugins.NAME]`."""


@hookspec
def istat_metrics() -> Sequence[Metric]:      # type: ignore[empty-body]
    """The metrics that this plugin tells of itself, named `plugins.NAME.SOMETHING`: see `server.metrics`."""


@hookspec(firstresult=True)
def istat_open_store(settings: Values, clock: Clock) -> Store | None:
    """Open the store that these settings mean, or return None to leave it to others."""


@hookspec
def istat_endpoints(settings: Values) -> Sequence[Endpoint]:       # type: ignore[empty-body]
    """What to listen on for samples, and the protocol that is spoken there.

    Asked once, before the store is open and while the process may still bind any port. The sockets are the server's:
    bound at once, kept by the service manager over a restart, told on standard output, read in turns with all others.
    """


@hookspec
def istat_inputs(server: ServerContext) -> Sequence[Service]:      # type: ignore[empty-body]
    """Services that bring samples in by other ways than an endpoint."""


@hookspec
def istat_outputs(server: ServerContext) -> Sequence[Service]:     # type: ignore[empty-body]
    """Services that carry out what the store holds."""


@hookspec
def istat_routes(server: ServerContext) -> Sequence[Route]:        # type: ignore[empty-body]
    """HTTP routes, each with who may ask it. Paths begin with `/api/`, so that they hide no counter."""


HOOKS = ("istat_settings", "istat_metrics", "istat_open_store", "istat_endpoints", "istat_inputs", "istat_outputs",
         "istat_routes")
