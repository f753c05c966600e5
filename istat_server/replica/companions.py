"""What else a replica has of its master than the store: namespaces, pulled as they change, and who sent what.

Knows the master's answers; files are the namespaces' own business.
"""
from __future__ import annotations

import logging
from typing import Any

from istat.errors import IstatError
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.replica.source import Master

log = logging.getLogger(__name__)


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

    def _put(self, name: str, values: bytes | None, versions: bytes) -> bool:
        try:
            self._namespaces.replace(name, values, versions)
        except IstatError as error:
            log.warning("the namespace %r of the master is not taken: %s", name, error)
            return False
        return True


class RosterPull:
    """Who sent what to the master, as it told last: a replica has no senders of its own."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def pull(self, master: Master) -> None:
        """See Companion."""
        self.rows = list(master.roster().get("agents", ()))
