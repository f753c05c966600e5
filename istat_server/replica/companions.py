"""What else a replica has of its master than the store: namespaces and what is declared of metrics, pulled as they
change, and who sent what.

Knows the master's answers; files are the namespaces' own business.
"""
from __future__ import annotations

import logging
from urllib.parse import urlsplit

import gevent

from istat.declared.pages import decode
from istat.errors import IstatError
from istat_server.declared.declared import Declared
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.replica.source import Master
from istat_server.roster import Roster, Sender

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 100      # of senders that are told before others have their turn: some milliseconds


class NamespacePull:
    """The namespaces of a replica are its master's."""

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._stamps: dict[str, str] = {}       # of what is here; after a start each is pulled once

    def pull(self, master: Master) -> None:
        """See Companion. One that cannot be taken keeps no other from it."""
        there = master.namespaces()
        for name in [name for name in self._namespaces.names() if name not in there]:
            self._put(name, None, b"")
            self._stamps.pop(name, None)
        for name, stamp in there.items():
            if self._stamps.get(name) == stamp:
                continue
            found = master.namespace(name)
            if found is not None and self._put(name, found.values, found.versions):
                self._stamps[name] = found.stamp

    def end(self) -> None:
        """See Companion."""

    def _put(self, name: str, values: bytes | None, versions: bytes) -> bool:
        try:
            self._namespaces.replace(name, values, versions)
        except IstatError as error:
            log.warning("the namespace %r of the master is not taken: %s", name, error)
            return False
        return True


class DeclaredPull:
    """What is declared of metrics is what the master has."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared
        self._stamp = ""        # of what is here; after a start it is pulled once

    def pull(self, master: Master) -> None:
        """See Companion. What was damaged on its way is pulled again."""
        stamp, data = master.declared(self._stamp)
        if data is None:
            return
        gevent.sleep(0)         # that was read, and what follows takes as long: 4 MB at most
        page = decode(data)
        if page.problems:
            log.warning("what the master has declared of metrics is not taken: %s", "; ".join(page.problems))
            return
        self._declared.replace(page.kept, lambda: gevent.sleep(0))
        self._stamp = stamp

    def end(self) -> None:
        """See Companion."""


class RosterPull:
    """Who sends to the master, as far as they are online there: here they are told of by the master."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._told: Sender | None = None

    def pull(self, master: Master) -> None:
        """See Companion."""
        rows = master.roster()
        if self._told is None:
            self._told = self._roster.connected("replica", urlsplit(master.url).netloc)
        for number, (name, metadata) in enumerate(rows):
            origin = self._roster.origin(self._told, name)
            for key, value in metadata.items():
                origin.meta(key, value)
            if number % ROWS_AT_ONCE == 0:
                gevent.sleep(0)
        self._roster.keep_origins(self._told, {name for name, _metadata in rows})

    def end(self) -> None:
        """They are no senders of ours any more."""
        if self._told is not None:
            self._roster.disconnected(self._told)
            self._told = None
