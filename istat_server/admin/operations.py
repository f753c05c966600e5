"""What commands of the admin port do to the server: its store, its senders, its namespaces, its clock.

Knows no words and no answers. What blocks, blocks the greenlet, never the hub.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from gevent.lock import RLock

from istat.clock import Clock, StoppedClock
from istat.daemon.turns import turn_of_the_hub
from istat.errors import IstatError, StoreError
from istat_server.roster import Roster
from istat_server.store.interface import NamePattern, Store, Syntax

# How long `flush` waits for samples that have come and are not read yet, on a server that is never done [s].
SETTLE_SECONDS = 1.0
# How long it waits for targets of `forward` to have what is on the disk by then; those that are away get it later [s].
FORWARD_SECONDS = 5.0
# Counters that are found and deleted at once: some milliseconds.
DELETED_AT_ONCE = 250
# Metrics of the replicas that follow, one each.
REPLICA = "replica.lag."
# How old the figures of `stats` may be [s]: they are gathered from all parts of the server.
FIGURES_SECONDS = 0.1


class Namespaces(Protocol):
    """What is wanted of the server's namespaces (keyvalue)."""

    def flush(self, name: str | None = None) -> None:
        """Everything that was written, to one of them or to all, is on the disk; its file is read again when it is
        asked for."""

    def load(self, name: str) -> None:
        """Read the file of this one again. IstatError where that cannot be."""


class Once:
    """An action that takes long, for several who want it at once: whoever comes while it runs waits for the next run,
    and all those share it."""

    def __init__(self, act: Callable[[], None]) -> None:
        self._act = act
        self._lock = RLock()
        self._begun = 0
        self._error: Exception | None = None        # what the last run ended by

    def run(self) -> None:
        """Return when a run that began after this call is over; raises what it raised."""
        wanted = self._begun + 1
        with self._lock:
            if self._begun < wanted:
                self._begun = wanted
                self._error = IstatError("it was broken off")
                try:
                    self._act()
                    self._error = None
                except Exception as error:  # noqa: BLE001 - raised below, for all who share this run
                    self._error = error
            if self._error is not None:
                raise self._error


class Operations:
    """The parts of a server that commands have to do with."""

    def __init__(self, store: Store, roster: Roster, clock: Clock, namespaces: Namespaces,
                 values: Callable[[], Mapping[str, float]], http_port: int, settle: Callable[[float], None],
                 feed_metrics: Callable[[], None], forward: Callable[[float], None] = lambda seconds: None,
                 replicas_may_come: bool = False, replica_of: str = "") -> None:
        """values: the self-metrics; settle: reads what has come; feed_metrics: makes samples of the self-metrics;
        forward: waits for the targets of what is forwarded; replica_of: the master's address, "" without one."""
        self._store, self._roster, self._clock, self._namespaces = store, roster, clock, namespaces
        self._values, self._http_port = values, http_port
        self._settle, self._feed_metrics, self._forward = settle, feed_metrics, forward
        self._replicas_may_come, self._replica_of = replicas_may_come, replica_of
        self._flushing = Once(self._write_all)
        self._figures: Mapping[str, float] = {}
        self._figures_until = 0.0

    def stats(self) -> Iterator[str]:
        """Lines `name=value` of what is switched on."""
        if self._http_port:
            yield f"http.port={self._http_port}"
            yield f"http.current={self._figure('http.current'):.0f}"
        if self._replicas_may_come:
            yield f"replicaServer.port={self._http_port}"
            yield f"replicaServer.current={self._count(REPLICA):.0f}"
        if self._replica_of:
            yield f"replicaOf.source={self._replica_of}"
            yield f"replicaOf.connected={self._figure('replica.following'):.0f}"
            yield "replicaOf.queue=0"
        if self.fake_time is not None:
            yield f"fakeTime.value={self.fake_time}"

    def _figure(self, name: str) -> float:
        return self._present().get(name, 0)

    def _count(self, prefix: str) -> int:
        return sum(name.startswith(prefix) for name in self._present())

    def _present(self) -> Mapping[str, float]:
        if time.monotonic() >= self._figures_until:
            self._figures = self._values()
            self._figures_until = time.monotonic() + FIGURES_SECONDS
        return self._figures

    def flush(self) -> None:
        """Write everything that has come so far to the disk, where questions see it, namespaces too, and let the
        targets have it where it is forwarded. StoreError."""
        self._flushing.run()

    def _write_all(self) -> None:
        self._settle(SETTLE_SECONDS)
        self._feed_metrics()
        try:
            self._store.flush()
            self._namespaces.flush()
        except OSError as error:
            raise StoreError(f"not all of it could be written: {error.strerror or error}") from error
        self._forward(FORWARD_SECONDS)

    def purge(self, keep: int, older: int) -> None:
        """Forget offline senders: see Roster.purge."""
        self._roster.purge(keep, older)

    @property
    def fake_time(self) -> int | None:
        """Where the clock stands, Unix seconds; None when it goes."""
        return int(self._clock.now()) if isinstance(self._clock, StoppedClock) else None

    def set_fake_time(self, now: int) -> None:
        """Let the stopped clock stand at another time, which the store knows at once."""
        if isinstance(self._clock, StoppedClock):
            self._clock.set(float(now))
            self._store.tick()

    def delete(self, names: Sequence[str]) -> Iterator[str]:
        """Delete the counters of these names, some at a time; gives back each name when its counter is gone, whether
        there was one or not. StoreError."""
        for at in range(0, len(names), DELETED_AT_ONCE):
            some = names[at:at + DELETED_AT_ONCE]
            found = [self._store.find(name.encode("utf-8", "replace")) for name in some]
            self._store.delete(list(dict.fromkeys(counter.id for counter in found if counter is not None)))
            turn_of_the_hub()
            yield from some

    def delete_matching(self, pattern: str) -> Iterator[str]:
        """Delete the counters that fit a pattern, some at a time; gives their names when they are. BadQuery."""
        token = ""
        while True:
            page = self._store.match(NamePattern(Syntax.ISTATD, pattern.encode("utf-8", "replace")), DELETED_AT_ONCE,
                                     token)
            self._store.delete([counter.id for counter in page.items])
            yield from (counter.name for counter in page.items)
            token = page.token
            if not token:
                return

    def flush_namespace(self, name: str) -> None:
        """Write a namespace to the disk, and read its file again when it is asked for. IstatError."""
        self._namespaces.flush(name)

    def load_namespace(self, name: str) -> None:
        """Read a namespace's file again. IstatError."""
        self._namespaces.load(name)
