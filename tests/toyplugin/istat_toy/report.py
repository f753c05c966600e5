"""A way out: the toy's counters of the last minute, written to a file as text, every few seconds."""

from __future__ import annotations

from pathlib import Path

import gevent

from istat.settings.setting import Values
from istat_server.hookspecs import ServerContext
from istat_server.store.interface import NamePattern, Question, Syntax

MOST = 1000     # counters in a report
SPAN = 60       # of a report [s]


class Report:
    """A service that writes lines `NAME SECOND COUNT SUM` to the setting `report`."""

    name = "report of the toy"

    def __init__(self, server: ServerContext) -> None:
        self._store, self._clock = server.store, server.clock
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
        self._file, self._pause = settings.plugins["toy"]["report"], settings.plugins["toy"]["pulse"]

    def _run(self) -> None:
        while True:
            if self._file:
                Path(self._file).write_text(self.text())
            gevent.sleep(self._pause)

    def text(self) -> str:
        """What is written."""
        now = int(self._clock.now())
        counters = self._store.match(NamePattern(Syntax.GLOB, b"toy.*"), MOST).items
        lines = []
        for counter in counters:
            (answer,) = self._store.read(Question([counter.id], now - SPAN, now + 1, level=0))
            for time, count, total, _m2, _low, _high in answer.rows.rows():
                lines.append(f"{counter.name} {time} {count} {total:g}\n")
        return "".join(lines)
