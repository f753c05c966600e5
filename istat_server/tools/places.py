"""Where an export reads from: a store's folder, or a running server. Knows rows and where they are, not what is
written."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from istat import owners
from istat.access import guarded
from istat.cli import asking
from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import NO_PATH, BadQuery, ServerUnreachable, StoreError, StoreLocked
from istat.kernels import columns
from istat.retention import Ladder
from istat_server.foreign.writers import Exported
from istat_server.query.walk import Mark, Walk
from istat_server.store.files import manifest
from istat_server.store.interface import Kind, NamePattern, Syntax
from istat_server.store.offline.appending import rules_for
from istat_server.store.statstore import StatStore

# A server makes some MB of answer at once [s].
TIMEOUT = 120.0
NOT_FOUND = 404     # what a server says that does not have this question


class Wanted(NamedTuple):
    """What is asked for: a pattern, and start <= time < end."""

    pattern: str
    start: int
    end: int


class Portion(NamedTuple):
    """Counters with all their rows, and the token with which what follows them is asked for; "" behind the last."""

    counters: list[Exported]
    token: str


class Place(Protocol):
    """Where buckets are read from."""

    def count(self) -> int:
        """How many counters there are in all."""

    def portions(self, wanted: Wanted, token: str) -> Iterator[Portion]:
        """The counters that fit and have rows, some at a time; from a token on, "" is the beginning."""


class StorePlace:
    """A store folder that no server has open."""

    def __init__(self, store: StatStore, rights: owners.Rights, now: int) -> None:
        """`rights`: those that root opens the store's files with."""
        self._store, self._rights, self._now = store, rights, now

    def count(self) -> int:
        """See Place.count."""
        return self._store.count()

    def portions(self, wanted: Wanted, token: str) -> Iterator[Portion]:
        """See Place.portions."""
        pattern = NamePattern(Syntax.GLOB, wanted.pattern.encode())
        steps = Walk(self._store, pattern, wanted.start, wanted.end, self._now).parts(Mark.read(token))
        gathered = Gathered()
        while True:
            with self._rights:
                step = next(steps, None)
            if step is None:
                return
            parts, after = step
            for part in parts:
                gathered.add(part.counter.name, part.counter.kind is Kind.EVENT, part.ladder, part.levels)
            if not after.begun:
                yield Portion(gathered.take(), after.text() if after != Mark() else "")


class ServerPlace:
    """A running server, asked over HTTP."""

    def __init__(self, client: QueryClient) -> None:
        self._client = client

    def count(self) -> int:
        """See Place.count."""
        return int(self._client.status().get("counters", 0))

    def portions(self, wanted: Wanted, token: str) -> Iterator[Portion]:
        """See Place.portions. The server makes the next page while this one is written."""
        gathered = Gathered()
        with ThreadPoolExecutor(1, "next page") as ahead:
            asked: Future[dict[str, Any]] | None = ahead.submit(self._ask, wanted, token)
            while asked is not None:
                answer = asked.result()
                asked = ahead.submit(self._ask, wanted, answer["token"]) if answer["truncated"] else None
                for told in answer["counters"]:
                    ladder = Ladder.parse(told["retention"])
                    rows = tuple(_rows(told["rows"].get(level.name, ())) for level in ladder.levels)
                    gathered.add(told["name"], told["kind"] == "event", ladder, rows)
                if not answer["unfinished"]:
                    yield Portion(gathered.take(), answer["token"])

    def _ask(self, wanted: Wanted, token: str) -> dict[str, Any]:
        """A page."""
        try:
            return self._client.rows(wanted.pattern, wanted.start, wanted.end, token)
        except (ServerUnreachable, BadQuery) as error:
            if NO_PATH not in str(error) and getattr(error, "status", 0) != NOT_FOUND:
                raise
            raise ServerUnreachable(f"the server at {self._client.url} is older than this istat and cannot be "
                                    "exported from: upgrade it, or use the istat that came with it") from error


class Gathered:
    """Counters whose rows come in one part or in several."""

    def __init__(self) -> None:
        self._counters: dict[str, Exported] = {}

    def add(self, name: str, event: bool, ladder: Ladder, levels: tuple[Any, ...]) -> None:
        """A part of a counter."""
        before = self._counters.get(name)
        if before is None or before.ladder != ladder:
            self._counters[name] = Exported(name, event, ladder, levels)
            return
        for rows, more in zip(before.levels, levels, strict=True):
            rows.extend(more)

    def take(self) -> list[Exported]:
        """All of them; there are none then."""
        taken, self._counters = list(self._counters.values()), {}
        return taken


def _rows(told: Any) -> Any:
    """The rows of a level as a server tells them."""
    made = columns.Columns()
    append = made.append
    for time, count, total, low, high, sdev in told:
        append(time, count, total, sdev * sdev * (count - 1), low, high)
    return made


@contextmanager
def place_of(arguments: argparse.Namespace, clock: Clock) -> Iterator[Place]:
    """The place that the options name. StoreError, ServerUnreachable."""
    if arguments.server:
        yield ServerPlace(asking.client_of(arguments, TIMEOUT))
        return
    guarded.check(arguments.store)
    rights = owners.Rights.of_owner(arguments.store)
    with rights:
        state, _problem = manifest.load(arguments.store)
    if state is None:
        raise StoreError(f"{arguments.store} holds no store")
    with owners.left_to_owner(arguments.store):     # opening and closing a store write to it
        try:
            with rights:
                store = StatStore.open(arguments.store, rules_for(state, None), clock)
        except StoreLocked as error:
            raise StoreLocked(f"{arguments.store} is in use by an istat-server: ask that one, with --server") from error
        try:
            yield StorePlace(store, rights, int(clock.now()))
        finally:
            with rights:
                store.close()
