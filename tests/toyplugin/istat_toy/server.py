"""The toy's part in the server: it takes lines `name=value` on a port of its own."""

from __future__ import annotations

import falcon

from istat.metrics import Metric
from istat.settings.setting import PluginSettings, Setting, Values
from istat.settings.types import Duration, Integer
from istat.wire.lines import sample_line
from istat.wire.protocol import EachLine
from istat_server.hookspecs import Endpoint, ServerContext, Service, Transport, hookimpl
from istat_server.http.routes import Access, Route
from istat_toy.pulse import Pulse
from istat_toy.report import Report


class Toy:
    """The plugin, and a service of the server."""

    name = "toy"

    def __init__(self) -> None:
        self.lines = self.forgotten = 0
        self.prefix = ""

    @hookimpl
    def istat_settings(self) -> PluginSettings:
        """The table [plugins.toy]."""
        return PluginSettings("toy", [
            Setting("port", Integer(0, 65535), 0, "Port for lines `name=value`; 0 takes a free one."),
            Setting("path", str, "", "Unix socket that takes such lines too; empty: none."),
            Setting("prefix", str, "toy.", "What goes before their names.", reloadable=True),
            Setting("pulse", Duration(0.1), "10s", "How often it sends a sample, and reports.", reloadable=True),
            Setting("report", str, "", "File for a report of its counters; empty: none.", reloadable=True),
        ])

    @hookimpl
    def istat_metrics(self) -> list[Metric]:
        """What is told of the toy."""
        return [Metric("plugins.toy.lines", "lines", "lines `name=value` taken", event=True)]

    @hookimpl
    def istat_endpoints(self, settings: Values) -> list[Endpoint]:
        """Where lines `name=value` are taken."""
        mine, pairs = settings.plugins["toy"], EachLine("pairs", self.translate)
        found = [Endpoint("toy", transport, pairs, settings["listen-address"], mine["port"])
                 for transport in (Transport.TCP, Transport.UDP)]
        return found + ([Endpoint("toy", Transport.UNIX, pairs, path=mine["path"])] if mine["path"] else [])

    def translate(self, line: bytes) -> bytes:
        """One line of ours for one of the toy's."""
        name, _, value = line.decode().partition("=")
        self.lines += 1
        return sample_line(self.prefix + name, float(value))

    @hookimpl
    def istat_inputs(self, server: ServerContext) -> list[Service]:
        """What sends samples by itself."""
        return [Pulse(server)]

    @hookimpl
    def istat_outputs(self, server: ServerContext) -> list[Service]:
        """The toy itself, so that it hears of its settings, and its report."""
        self.reload(server.settings)
        server.metrics.source("toy", lambda: {"plugins.toy.lines": self.lines})
        return [self, Report(server)]

    def start(self) -> None:
        """See Service.start."""

    def stop(self) -> None:
        """See Service.stop."""

    def reload(self, settings: Values) -> None:
        """Take over what SIGHUP may change."""
        self.prefix = settings.plugins["toy"]["prefix"]

    @hookimpl
    def istat_routes(self, server: ServerContext) -> list[Route]:
        """What the toy answers."""
        return [Route("/api/toy/lines", {"GET": self.get_lines}, Access.READ, "how many lines the toy has taken"),
                Route("/api/toy/forget", {"POST": self.forget}, Access.ADMIN, "count them from 0 again")]

    def get_lines(self, req: falcon.Request, resp: falcon.Response) -> None:
        """GET /api/toy/lines."""
        resp.media = {"lines": self.lines - self.forgotten}

    def forget(self, req: falcon.Request, resp: falcon.Response) -> None:
        """POST /api/toy/forget."""
        self.forgotten = self.lines
        resp.media = {"lines": 0}


toy = Toy()
