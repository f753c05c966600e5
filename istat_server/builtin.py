"""The server's own parts, brought in through the same doors as anyone's plugins."""
from __future__ import annotations

import functools
import socket
from collections.abc import Mapping, Sequence

import gevent
from gevent.threadpool import ThreadPool

from istat.clock import Clock
from istat.exporter.series import exporter_of
from istat.retention import Rules
from istat.settings.declaration import Values
from istat.settings.types import OFF
from istat.wire.lines import LINES
from istat_server.admin.guard import Guard
from istat_server.admin.operations import Operations
from istat_server.admin.port import AdminPort
from istat_server.exporting.port import ExporterPort
from istat_server.hookspecs import Endpoint, ServerContext, Service, Transport, hookimpl
from istat_server.http.families.table import our_routes
from istat_server.http.routes import Route
from istat_server.ingest.connection import Connection
from istat_server.ingest.connections import ConnectionInput
from istat_server.ingest.datagrams import DatagramInput
from istat_server.ingest.places import Places
from istat_server.replica import basecopy, opening
from istat_server.replica.master.handlers import Replicas
from istat_server.replica.serving import replication
from istat_server.senders.blacklist import Reader
from istat_server.sockets import ADMIN, PROMETHEUS
from istat_server.store.files.manifest import Lineage
from istat_server.store.interface import Store
from istat_server.store.levels.policies import rules_of
from istat_server.store.options import Options
from istat_server.store.pool import Delivering
from istat_server.store.statstore import StatStore


@hookimpl(trylast=True)
def istat_open_store(settings: Values, clock: Clock) -> Store:
    """The StatFile store in the folder that `store` names."""
    options = Options(cut_seconds=settings["flush"], journal_sync=settings["journal-sync"],
                      max_counters=settings["max-counters"], refuse_nan=settings["refuse-nan"],
                      lineage=Lineage(settings["rollup"], settings["make-parents"]))
    rules = Rules(settings["retention"], settings["retention-rules"])
    # Four pools, so that neither a question, a head to be written nor new names ever wait behind a merge.
    pools = {"pool": Delivering(gevent.get_hub().threadpool), "background": Delivering(ThreadPool(1)),
             "chores": Delivering(ThreadPool(1)), "indexing": Delivering(ThreadPool(1))}
    basecopy.settle(settings["store"])
    if opening.wanted(settings):
        return opening.open_replica(settings, options, lambda state, changed: StatStore.open(
            settings["store"], rules_of(state.policies), clock, options=changed, **pools))
    basecopy.settle(settings["store"], keep=False)
    return StatStore.open(settings["store"], rules, clock, options=options, **pools)


@hookimpl
def istat_endpoints(settings: Values) -> Sequence[Endpoint]:
    """The stat port: our own lines, by UDP and TCP."""
    if settings["stat-port"] == OFF:
        return []
    return [Endpoint("stat", transport, LINES, settings["listen-address"], settings["stat-port"])
            for transport in (Transport.TCP, Transport.UDP)]


@hookimpl
def istat_inputs(server: ServerContext) -> Sequence[Service]:
    """What reads the sockets of all endpoints, ours and those of plugins."""
    datagrams = DatagramInput(server.sockets.of(Transport.UDP, Transport.UNIX_DATAGRAM), server)
    places: Places[Connection] = Places(server.settings["max-connections"],
                                        server.settings["max-connections-per-address"], server.sockets.affordable)
    connections = ConnectionInput(server.sockets.of(Transport.TCP, Transport.UNIX), server,
                                  server.settings["max-line"], places, server.certificate,
                                  server.settings["samples-tls"] == "required", http_port=server.sockets.http_port,
                                  receiving=server.batches.receiving)

    def totals() -> Mapping[str, float]:
        return {f"statserver.{name}": value for name, value in (datagrams.totals() | connections.totals()).items()}

    server.metrics.source("inputs", totals)
    roster = server.roster
    barring = Reader(roster.blacklist, functools.partial(roster.judge, server.pump.breathe), server.settings)
    server.metrics.source("blacklist", barring.totals)
    return [barring, datagrams, connections, server.batches]


@hookimpl
def istat_outputs(server: ServerContext) -> Sequence[Service]:
    """The admin port and the exporter, where they are wanted."""
    found: list[Service] = []
    if ADMIN in server.sockets.services:
        operations = Operations(server.store, server.roster, server.clock, server.namespaces, server.metrics.values,
                                server.sockets.http_port, server.pump.settle, server.sample_metrics,
                                server.batches.tee.settle if server.batches.tee is not None else _nobody,
                                bool(server.settings["replica-token"]), server.settings["replica-of"])
        admin = AdminPort(server.sockets.services[ADMIN], operations, Guard(server.settings), server.mistakes,
                          server.pump.failed, server.sockets.http_port)
        server.metrics.source("admin", admin.totals)
        found.append(admin)
    if PROMETHEUS in server.sockets.services:
        exporter = ExporterPort(exporter_of(server.settings, socket.gethostname()),
                                server.sockets.services[PROMETHEUS][0], server.intake, server.clock, server.settings,
                                server.mistakes, server.certificate, server.pump.breathe)
        server.metrics.source("exporter", exporter.totals)
        found.append(exporter)
    replicating = replication(server.store, server.settings, server.clock, Delivering(gevent.get_hub().threadpool),
                              server.namespaces, server.roster, server.declared, server.pump.failed)
    server.metrics.source("replica", replicating.totals)
    return [*found, server.leases, *replicating.services]


def _nobody(seconds: float) -> None:
    """Nothing is forwarded."""


@hookimpl
def istat_routes(server: ServerContext) -> Sequence[Route]:
    """The page, our API and istatd's."""
    return our_routes(server.store, server.status, server.roster, server.metrics.prometheus, server.clock,
                      server.settings["files-dir"], namespaces=server.namespaces,
                      settings_open=server.settings["settings-open"],
                      replicas=Replicas(server.leases, server.namespaces, server.clock, server.declared),
                      declared=server.declared)
