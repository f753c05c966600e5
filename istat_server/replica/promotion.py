"""A replica becomes a master, and tells the old one until that has heard it: it is fenced then, for good.

The MANIFEST says first that it is a master, of a higher term, and whom it has deposed; so nothing that comes between
makes it forget. Belongs to the hub. Knows neither who asks for it nor why.
"""
from __future__ import annotations

import contextlib
import logging
import random
from collections.abc import Callable
from dataclasses import replace

import gevent
from gevent.event import Event

from istat.errors import BadQuery, IstatError, StoreError
from istat_server.replica.refusals import OtherStore, Superseded
from istat_server.replica.source import Master
from istat_server.store.files.manifest import Manifest
from istat_server.store.levels.policies import rules_of
from istat_server.store.pool import Pool
from istat_server.store.positions import Deposed
from istat_server.store.statstore import StatStore

log = logging.getLogger(__name__)

FIRST_WAIT, MOST_WAIT, GROWTH = 1.0, 30.0, 1.5      # between two tries to tell the old master [s]


class Promotion:
    """A service of every server that follows another or has followed one: `start`, `stop`."""

    name = "telling the old master"

    def __init__(self, store: Callable[[], StatStore], pool: Pool, ask: Callable[[str, int], Master], url: str,
                 stop_following: Callable[[], None] = lambda: None, retention: str = "") -> None:
        """`store`: the one that is open; `ask`: makes a Master of an address and a term; `url`: where we
        can be asked; `retention`: of the settings here, "": the master's."""
        self.problem = ""
        self._store, self._pool, self._ask, self._url = store, pool, ask, url
        self._stop_following, self._retention = stop_following, retention
        self._ended = Event()
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """See Service: goes on with what an earlier life could not say."""
        if self._store().files.manifest.deposed is not None:
            self._greenlet = gevent.spawn(self._tell)

    def stop(self) -> None:
        """See Service."""
        self._ended.set()
        if self._greenlet is not None:
            self._greenlet.kill()

    def promote(self, master: Master) -> dict[str, object]:
        """Be a master from now on, in place of this one. BadQuery (409) when the store follows none, or is fenced;
        StoreError when that cannot be written: then nothing has changed but that the replica stands still."""
        inner = self._store()
        state = inner.files.manifest
        if state.follows is None:
            raise BadQuery("this server is no replica: it is a master already", 409)
        if state.fenced:
            raise BadQuery(f"this server is fenced: {state.fenced} has taken its place", 409)
        self._stop_following()
        term = max(state.term, master.term) + 1
        deposed = Deposed(state.follows.position.store, master.url)
        self._commit(inner, lambda now: replace(now, follows=None, term=term, deposed=deposed))
        inner.following.end()
        log.warning("this server has become a master, of term %d; %s is told until it has heard it", term, master.url)
        self._greenlet = gevent.spawn(self._tell)
        return {"term": term, "deposed": master.url, **self._retentions(rules_of(state.policies).default.text)}

    def _retentions(self, now: str) -> dict[str, object]:
        """Where the settings here say another retention than the master had: a start would change it, and what only the
        master's keeps would be let go."""
        if self._retention in ("", now):
            return {}
        log.warning("the retention stays as it was at the master, %s, until the next start: the settings here say %s, "
                    "and what that does not keep would be let go then; set retention = %s to keep it", now,
                    self._retention, now)
        return {"retention": now, "retention_of_settings": self._retention}

    def _commit(self, inner: StatStore, change: Callable[[Manifest], Manifest]) -> None:
        try:
            self._pool.apply(inner.files.commit, (change, ()))
        except OSError as error:
            raise StoreError(f"it cannot be written: {error}") from error

    # -- telling the old master

    def _tell(self) -> None:
        wait = FIRST_WAIT
        while not self._ended.is_set():
            deposed, term = self._store().files.manifest.deposed, self._store().files.manifest.term
            if deposed is None:
                return
            try:
                self._tell_once(deposed, term)
            except (Superseded, OtherStore) as error:       # that does not change by itself
                self._note(f"the old master cannot be fenced: {error}; see to it that only one of the two is sent to")
                wait = MOST_WAIT
            except (IstatError, OSError) as error:
                self._note(f"the old master does not know yet that this server has taken its place: {error}")
            self._ended.wait(wait * (1 + random.random() / 2))      # noqa: S311 - no secret
            wait = min(wait * GROWTH, MOST_WAIT)

    def _tell_once(self, deposed: Deposed, term: int) -> None:
        master = self._ask(deposed.url, 0)
        try:
            master.fence(deposed.store, term, self._url or "another server")
            with contextlib.suppress(IstatError, OSError):      # else it ends by itself, an hour later
                master.release()
        finally:
            master.close()
        self._commit(self._store(), lambda now: replace(now, deposed=None))
        self.problem = ""
        log.warning("the old master %s is fenced", deposed.url)

    def _note(self, problem: str) -> None:
        if problem != self.problem:
            log.error("%s", problem)
        self.problem = problem

    def status(self) -> dict[str, object]:
        """How it goes."""
        state = self._store().files.manifest
        return {"term": state.term, "deposed": state.deposed.url if state.deposed is not None else "",
                "problem": self.problem}
