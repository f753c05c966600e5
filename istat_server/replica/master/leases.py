"""A master's replicas: how long each one's lease lasts, and how far it lags.

Knows the store's side of leases (`store.work.copying`), and no requests. A lease lasts longer with each pull; that is
written down now and then only, as each time is a new MANIFEST.
"""
from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.errors import BadQuery
from istat_server.replica.options import is_address
from istat_server.store.interface import Store
from istat_server.store.positions import Known, Position
from istat_server.store.work.copying import Copying, Leased

log = logging.getLogger(__name__)

# A replica's name: it stands in names of counters.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
# Where a replica can be asked: what else `is_address` demands. It stands in sentences and in the MANIFEST.
URL = re.compile(r"https?://[A-Za-z0-9._:\[\]-]{1,255}/?")
# A lease is written down anew when less than this part of its time is left.
RENEW_PART = 0.75
LOOK_SECONDS = 0.05         # between two looks whether more is synced, for who waits [s]
LAG = "replica.lag."


@dataclass
class Seen:
    """What is known of a replica. Times in Unix seconds."""

    caught_up: float            # when it last had all that was synced
    applied: float = 0.0        # clock of the last frame that it has applied
    waiting: int = 0            # pulls of it that wait for more, as it has all


class Leases:
    """The leases of a server's store, whichever it is by now. A service: `start`, `stop`."""

    name = "replicas"

    def __init__(self, store: Callable[[], Store], clock: Clock, seconds: float) -> None:
        """`seconds`: how long a lease lasts that is not renewed."""
        self.seconds = seconds
        self._store, self._clock = store, clock
        self._started = clock.now()
        self._seen: dict[str, Seen] = {}
        self._ended = Event()

    def start(self) -> None:
        """See Service."""

    def stop(self) -> None:
        """See Service: nobody waits for more any longer."""
        self._ended.set()

    def reload(self, settings: Mapping[str, Any]) -> None:
        """Take the settings over that can change."""
        self.seconds = settings["replica-lease"]

    @property
    def copying(self) -> Copying:
        """What the store gives away. BadQuery (501) for one that gives nothing."""
        found = getattr(self._store(), "copying", None)
        if not isinstance(found, Copying):
            raise BadQuery("the store of this server cannot be followed by replicas", 501)
        return found

    # -- leases

    def take(self, name: str, url: str) -> Leased:
        """A lease for a replica of this name. BadQuery for a name or an address that cannot be; StoreError."""
        if url and not (URL.fullmatch(url) and is_address(url)):
            raise BadQuery("url must be an address such as https://stats2:8000, or empty")
        leased = self.copying.lease(Known(check_name(name), url.rstrip("/")), self._until())
        self._seen[name] = Seen(self._clock.now())
        log.info("the replica %s has a lease of %d files, and of the journal from segment %d on", name,
                 len(leased.files), leased.position.segment)
        return leased

    def renew(self, name: str) -> None:
        """A lease lasts longer, as its holder copies files. Gone when there is none."""
        if self._is_due(self.copying.leased(name).until):
            self.copying.renew(name, self._until())

    def hold(self, name: str, segment: int) -> None:
        """The lease holds the journal from a segment on, and no files any more: its holder has them. Gone."""
        pin = self.copying.leased(name)
        if pin.files or segment > pin.position.segment or self._is_due(pin.until):
            self.copying.hold(name, segment, self._until())

    def _until(self) -> int:
        return int(self._clock.now() + self.seconds) + 1

    def _is_due(self, until: int) -> bool:
        return until - self._clock.now() < self.seconds * RENEW_PART

    # -- who waits, and who lags

    def applied(self, name: str, clock: int) -> None:
        """A replica says which frame it has applied last, by its clock [Unix s]; 0: none."""
        self._of(name).applied = clock

    def _of(self, name: str) -> Seen:
        return self._seen.setdefault(name, Seen(self._started))

    def await_more(self, name: str, position: Position, seconds: float) -> None:
        """Return when something is synced behind a position, or after so many seconds. Blocks the greenlet."""
        copying, until = self.copying, self._clock.monotonic() + seconds
        if not copying.waits(position):
            return
        with self._all_is_there(name):
            while copying.waits(position) and not self._ended.is_set() and self._clock.monotonic() < until:
                gevent.sleep(LOOK_SECONDS)

    @contextmanager
    def _all_is_there(self, name: str) -> Iterator[None]:
        seen = self._of(name)
        seen.waiting += 1
        try:
            yield
        finally:
            seen.waiting -= 1
            seen.caught_up = self._clock.now()

    def lags(self) -> dict[str, float]:
        """By replica with a lease: how far it lags [s]; 0 while it has all that is synced."""
        names = [pin.name for pin in self.copying.state.pins]
        self._seen = {name: seen for name, seen in self._seen.items() if name in names or seen.waiting}
        now, found = self._clock.now(), {}
        for name in names:
            seen = self._of(name)
            found[name] = 0.0 if seen.waiting else max(0.0, now - max(seen.caught_up, seen.applied))
        return found

    def totals(self) -> Mapping[str, float]:
        """For the self-metrics."""
        return {LAG + name.replace(".", "_"): lag for name, lag in self.known_lags().items()}

    def known_lags(self) -> dict[str, float]:
        """As `lags`; nothing of a store that nobody can follow."""
        try:
            return self.lags()
        except BadQuery:
            return {}


def check_name(name: object) -> str:
    """The name of a replica. BadQuery when it cannot be one."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BadQuery("name must be 1 to 64 letters, digits, dots, dashes and underscores")
    return name
