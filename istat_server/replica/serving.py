"""What a server runs because its store is a replica's, or was one: the services, and what is told of them.

Assembled here, from a server's parts; knows neither hooks nor routes.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from istat.clock import Clock
from istat_server.declared.declared import Declared
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.replica.companions import DeclaredPull, NamespacePull, RosterPull
from istat_server.replica.following import Companion, Follower
from istat_server.replica.opening import master_of
from istat_server.replica.promotion import Promotion
from istat_server.replica.source import Master
from istat_server.replica.store import ReplicaStore
from istat_server.roster import Roster
from istat_server.store.pool import Pool
from istat_server.store.statstore import StatStore

Fault = Callable[[str, BaseException], object]


class Running(Protocol):
    """A service (hookspecs.Service)."""

    name: str

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""


@dataclass(frozen=True)
class Replication:
    """What runs, and its metrics."""

    services: tuple[Running, ...]
    totals: Callable[[], Mapping[str, float]]


def replication(store: object, settings: Mapping[str, Any], clock: Clock, pool: Pool, namespaces: Namespaces,
                roster: Roster, declared: Declared, fault: Fault) -> Replication:
    """For this store; `pool`: threads; `fault`: is told of what nobody expected."""

    def ask(url: str, term: int) -> Master:
        return master_of(settings, url, term)

    if isinstance(store, ReplicaStore):
        companions = NamespacePull(namespaces), DeclaredPull(declared), RosterPull(roster)
        return _of_replica(store, settings, clock, pool, companions, fault)
    if isinstance(store, StatStore):        # one that was promoted may have something to tell yet
        return Replication((Promotion(lambda: store, pool, ask, settings["replica-url"]),), dict)
    return Replication((), dict)


def _of_replica(store: ReplicaStore, settings: Mapping[str, Any], clock: Clock, pool: Pool,
                companions: tuple[Companion, ...], fault: Fault) -> Replication:
    master = master_of(settings, store.master, store.inner.files.manifest.term)
    follower = Follower(store, master, Path(settings["store"]), clock, pool, fault, companions)
    promotion = Promotion(lambda: store.inner, pool, lambda url, term: master_of(settings, url, term),
                          settings["replica-url"], follower.stop, settings["retention"].text)

    def told() -> Mapping[str, object]:
        return follower.status() if store.follows else {}

    def totals() -> Mapping[str, float]:
        if not store.follows:
            return {}
        # What is not known is at least as long ago as the start, and not none.
        behind = follower.lag if follower.lag >= 0 else monotonic() - follower.began
        return {"replica.behind": behind, "replica.following": float(not follower.problem),
                "replica.frames": follower.frames, "replica.bytes": follower.bytes, "replica.copies": follower.copies}

    store.told, store.promote = told, lambda: promotion.promote(follower.master)
    return Replication((follower, promotion), totals)
