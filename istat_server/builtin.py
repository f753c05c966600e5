"""The server's own parts, brought in through the same doors as anyone's plugins."""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import gevent
from gevent.threadpool import ThreadPool

from istat.clock import Clock
from istat.retention import Rules
from istat.settings.declaration import Values
from istat_server.hookspecs import ServerContext, Service, hookimpl
from istat_server.ingest.tcp import TcpInput
from istat_server.ingest.udp import UdpInput
from istat_server.store.interface import Store
from istat_server.store.statstore import Options, StatStore


@hookimpl(trylast=True)
def istat_open_store(settings: Values, clock: Clock) -> Store:
    """The StatFile store in the folder that `store` names."""
    options = Options(cut_seconds=settings["flush"], journal_sync=settings["journal-sync"],
                      max_counters=settings["max-counters"])
    rules = Rules(settings["retention"], settings["retention-rules"])
    # Four pools, so that neither a question, a head to be written nor new names ever wait behind a merge.
    return StatStore.open(settings["store"], rules, clock, pool=gevent.get_hub().threadpool, options=options,
                          background=ThreadPool(1), chores=ThreadPool(1), indexing=ThreadPool(1))


@hookimpl
def istat_inputs(server: ServerContext) -> Sequence[Service]:
    """istatd's line protocol by UDP and TCP."""
    udp = UdpInput(server.sockets.udp, server.intake, server.roster, server.mistakes, server.pump,
                   server.sockets.drops_before)
    tcp = TcpInput(server.sockets.tcp, server.intake, server.roster, server.mistakes, server.pump,
                   server.settings["max-line"], server.settings["max-connections"])

    def totals() -> Mapping[str, float]:
        by_udp, by_tcp = udp.totals(), tcp.totals()
        return {"statserver.udp.datagrams": by_udp["datagrams"], "statserver.udp.bytes": by_udp["bytes"],
                "statserver.udp.drops": by_udp["drops"], "statserver.tcp.bytes": by_tcp["bytes"],
                "statserver.connects": by_tcp["connects"], "statserver.drops": by_tcp["disconnects"],
                "statserver.connected": by_tcp["connected"]}

    server.metrics.source("inputs", totals)
    return [udp, tcp]
