"""prometheus-port: the lines that come in are fed to an exporter, and /metrics tells what it has.

The mapping is istat.exporter's matter, and HTTP that of `http`: the same rights, names and limits hold here. Without
this service nothing of it runs.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

import falcon
import gevent

from istat.clock import Clock
from istat.daemon.tls import Certificate
from istat.exporter.series import Exporter
from istat_server.http.app import make_app
from istat_server.http.exchange.pieces import Pieces
from istat_server.http.exchange.turns import turn
from istat_server.http.origins import Origins
from istat_server.http.rights import Rights
from istat_server.http.routes import Access, Route
from istat_server.http.server import HttpServer
from istat_server.ingest.intake import Intake
from istat_server.mistakes import Mistakes
from istat_server.roster import Sender

# Connections at once: of systems that scrape, and people who look.
PLACES = 64
# How often what is too old is let go [s], or as often as it gets old.
CLEANING_SECONDS = 30.0
ADDRESS, HTTP_ADDRESS = "prometheus-listen-address", "http-listen-address"


class ExporterPort:
    """A service."""

    name = "prometheus-port"

    def __init__(self, exporter: Exporter, listener: socket.socket, intake: Intake, clock: Clock,
                 settings: Mapping[str, Any], mistakes: Mistakes, certificate: Certificate | None = None,
                 breathe: Callable[[], None] = lambda: None) -> None:
        """The listener is its own from now on. breathe: lets others have their turn while lines are taken."""
        self._breathe = breathe
        self._exporter, self._intake, self._clock = exporter, intake, clock
        self._every = min(CLEANING_SECONDS, settings["metrics-cleanup-period"])
        self._rights, self._origins = Rights(settings), Origins(_here(settings))
        route = Route("/metrics", {"GET": self._metrics}, Access.READ, "the latest value of each series that came in")
        app = make_app([route], self._rights, self._origins, not settings["disallow-compressed-responses"])
        self._http = HttpServer(app, listener, PLACES, certificate, mistakes, settings["http-memory"] << 20)
        self._cleaning: gevent.Greenlet | None = None

    def start(self) -> None:
        """Take samples, and answer."""
        self._intake.watcher = self._watch
        self._http.start()
        self._origins.ask_names()
        self._cleaning = gevent.spawn(self._clean)

    def stop(self) -> None:
        """Answer no more."""
        self._intake.watcher = None
        gevent.killall([self._cleaning] if self._cleaning is not None else [])
        self._http.stop()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take over tokens and names."""
        self._rights.take(settings)
        self._origins.take(settings)

    def totals(self) -> Mapping[str, float]:
        """For the self-metrics."""
        return {"exporter.series": self._exporter.count, "exporter.dropped": self._exporter.dropped}

    def _watch(self, text: memoryview, sender: Sender) -> None:
        if sender.transport != "self":      # what the server tells of itself is at /metrics of http-port
            between = self._breathe if gevent.getcurrent() is not gevent.get_hub() else _at_once
            self._exporter.feed(bytes(text), int(self._clock.now()), between)

    def _clean(self) -> None:
        while True:
            gevent.sleep(self._every)
            self._exporter.expire(int(self._clock.now()), turn)

    def _metrics(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /metrics."""
        pieces = Pieces(req)
        for part in self._exporter.text(int(self._clock.now())):
            pieces.add(part.encode())
            turn()
        pieces.send(resp, self._exporter.content_type)


def _at_once() -> None:
    """The hub itself, in which a plugin may feed, waits for nobody."""


def _here(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings for whoever asks where HTTP listens: here."""
    return {**settings, HTTP_ADDRESS: settings[ADDRESS]}
