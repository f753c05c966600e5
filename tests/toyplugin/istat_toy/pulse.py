"""A way in that is no endpoint: the toy's own sample, every few seconds."""

from __future__ import annotations

import gevent

from istat.settings.setting import Values
from istat.wire.lines import sample_line
from istat_server.hookspecs import ServerContext


class Pulse:
    """A service that sends `toy.pulse 1` as often as the setting `pulse` says."""

    name = "pulse of the toy"

    def __init__(self, server: ServerContext) -> None:
        self._intake = server.intake
        self._sender = server.roster.connected("toy", "pulse")
        self._loop = gevent.Greenlet(self._run)
        self.reload(server.settings)

    def start(self) -> None:
        """See Service.start."""
        self._loop.start()

    def stop(self) -> None:
        """See Service.stop."""
        self._loop.kill()

    def reload(self, settings: Values) -> None:
        """Take over what SIGHUP may change."""
        self._pause = settings.plugins["toy"]["pulse"]

    def _run(self) -> None:
        while True:
            line = memoryview(sample_line("toy.pulse", 1))
            self._intake.feed(line, 0, len(line), self._sender)
            gevent.sleep(self._pause)
