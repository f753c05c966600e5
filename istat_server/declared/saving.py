"""The file of what is declared: read at a start, written anew some seconds after something has changed. A service.

A disk that fails costs nothing but what is declared, which senders tell again. Where the server has no folder, as with
a store in memory, all is kept in memory only. Knows threads and the file's folder.
"""

from __future__ import annotations

import logging
from pathlib import Path

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.declared.pages import MOST_BYTES, Kept, decode, encode
from istat.errors import IstatError
from istat_server.declared.declared import Declared
from istat_server.keyvalue.folder import DECLARED, Folder
from istat_server.store.pool import Pool

log = logging.getLogger(__name__)

NAME = "metrics"        # of the file, before its ending
# After a change others follow: it is written so long after the first of them [s].
SETTLE_SECONDS = 2.0
# Between two writes at least [s]: what changes all the time costs 4 MiB a minute at most.
BETWEEN_SECONDS = 60.0


class Saving:
    """A Service."""

    name = "declared metrics"

    def __init__(self, declared: Declared, path: Path, clock: Clock, pool: Pool) -> None:
        """path: the folder of namespaces, which is made with the first write if the folder above it is there."""
        self._declared, self._folder, self._pool, self._clock = declared, Folder(path), pool, clock
        self._log = LimitedLog(log, clock)
        self._written = 0               # Declared.number that is on the disk; -1: none is
        self._written_at = float("-inf")
        self._wake, self._over = Event(), Event()
        self._greenlet: gevent.Greenlet | None = None
        declared.changed = self._wake.set

    def load(self) -> None:
        """Take what was kept. What cannot be read is told, and senders tell it again."""
        try:
            found = self._pool.apply(self._folder.read, (NAME, MOST_BYTES, DECLARED))
        except (IstatError, OSError) as error:
            log.warning("what was declared of metrics cannot be read (%s); senders tell it again", error)
            return
        page = decode(found[0]) if found is not None else None
        if page is not None:
            for problem in page.problems:
                log.warning("%s: %s; senders tell it again", self._folder.place(NAME, DECLARED), problem)
            refused = self._declared.load(page.kept)
            if refused:
                log.warning("%s: %d declarations are not taken: they cannot be, or there is no room",
                            self._folder.place(NAME, DECLARED), refused)
            self._written = -1 if page.problems or refused else self._declared.number

    def start(self) -> None:
        """Write from now on."""
        self._greenlet = gevent.spawn(self._forever)

    def stop(self) -> None:
        """Write what has changed, once no other write is under way."""
        self._over.set()
        self._wake.set()
        if self._greenlet is not None:
            self._greenlet.join()
            self._greenlet = None
        self.save()

    def save(self) -> None:
        """Write what has changed, if anything has."""
        number = self._declared.number
        if number == self._written or not self._folder.path.parent.is_dir():
            return
        try:
            self._pool.apply(self._write, (self._declared.kept(),))
            self._written = number
        except (IstatError, OSError) as error:
            self._log.warning("write", "what is declared of metrics cannot be kept: %s", error)
            self._wake.set()        # it is tried again, as after a change

    def _write(self, kept: list[Kept]) -> None:
        self._folder.write(NAME, encode(kept), DECLARED)

    def _forever(self) -> None:
        while True:
            self._wake.wait()
            if self._over.wait(max(SETTLE_SECONDS, self._written_at + BETWEEN_SECONDS - self._clock.monotonic())):
                return
            self._wake.clear()
            self.save()
            self._written_at = self._clock.monotonic()
