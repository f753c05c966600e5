"""Follows a master: pulls its journal into a replica's store, for ever, and has a copy made anew where that cannot be.

One greenlet. What it cannot reach it tries again, ever less often; what only people can mend is told in a sentence and
tried again now and then. Knows the master and the store; that a copy is due is told by either of them.
"""
from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Protocol

import gevent
from gevent.event import Event
from gevent.lock import RLock

from istat.clock import Clock
from istat.errors import IstatError, StoreError
from istat_server.replica import basecopy
from istat_server.replica.frames import Frames
from istat_server.replica.master.answers import Piece
from istat_server.replica.refusals import CopyNeeded, OtherStore
from istat_server.replica.source import LONGEST_WAIT, Master
from istat_server.replica.store import ReplicaStore
from istat_server.store.following import Diverged
from istat_server.store.pool import Pool
from istat_server.store.positions import Position
from istat_server.store.statstore import StatStore

log = logging.getLogger(__name__)

FIRST_WAIT, MOST_WAIT, GROWTH = 1.0, 60.0, 1.5      # between tries [s], each with up to half more
ASK_SECONDS = 10.0          # between two looks at what else the master has: its final deletes, namespaces, senders
GRACE = 5.0                 # beyond what a master may wait, after which an answer is overdue [s]
TURN_SECONDS = 0.005        # that frames are taken before others have their turn


class Companion(Protocol):
    """What else comes from a master than its journal."""

    def pull(self, master: Master) -> None:
        """Have what it has. ServerUnreachable, ReplicaError, StoreError."""

    def end(self) -> None:
        """Nothing more comes from there."""


class Follower:
    """A service: `start`, `stop`."""

    name = "following the master"

    def __init__(self, store: ReplicaStore, master: Master, folder: Path, clock: Clock, pool: Pool,
                 fault: Callable[[str, Exception], object], companions: tuple[Companion, ...] = ()) -> None:
        """`folder`: the store's; `pool`: threads for what blocks; `fault`: told of what nobody expected."""
        self.master, self.problem = master, "not asked yet"
        self.copies = self.frames = self.bytes = 0
        self.began = monotonic()
        self.copying: tuple[int, int] | None = None     # bytes done and in all of the copy that is made
        self._store, self._folder, self._clock, self._pool = store, folder, clock, pool
        self._fault, self._companions = fault, companions
        self._swapping = RLock()                # held while copies change places: nobody may end that
        self._ended = Event()
        self._greenlet: gevent.Greenlet | None = None
        self._frames: Frames | None = None
        self._applied: int | None = None        # clock of the last frame [Unix s]
        self._caught_up = False                 # by the master's last answer
        self._asked = 0.0                       # when the last one was asked for, by monotonic()
        self._ahead = 0.0                       # by how much the master's clock is ahead of ours [s]
        self._wait = FIRST_WAIT
        self._between = FIRST_WAIT              # between two copies, where they follow each other [s]
        self._copied_at = float("-inf")         # when the last copy was made (monotonic)
        self._ask_at = 0.0
        self._final: tuple[Position, int] | None = None     # deletes that are final once this position is reached
        self._durable = self._pending = (0, 0)  # (bytes of our journal, segment of the master's): synced; to be

    # -- a service

    def start(self) -> None:
        """See Service."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """See Service. What was taken is taken; the rest is pulled by the next start."""
        self._ended.set()
        with self._swapping:
            if self._greenlet is not None:
                self._greenlet.kill()
                self._greenlet = None
        self.master.close()
        for one in self._companions:
            one.end()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.turn()
                self.problem, self._wait = "", FIRST_WAIT
            except (CopyNeeded, Diverged) as error:
                self._forget()
                self._tell(str(error))
                self._space_out()
                self._try(self._copy_anew)
            except (IstatError, OSError) as error:
                self._forget()
                self._tell(str(error))
                self._pause()
            except Exception as error:  # noqa: BLE001 - a replica that stands still unseen is worse than one that tries
                self._forget()
                self._fault(self.name, error)
                self._tell(repr(error))
                self._pause()

    def _space_out(self) -> None:
        """Wait where a copy was made just now: one that cannot be followed for long is dear, and the next may be no
        better."""
        if monotonic() - self._copied_at > MOST_WAIT:
            self._between = FIRST_WAIT
        else:
            self._rest(self._between)
            self._between = min(self._between * GROWTH, MOST_WAIT)

    def _try(self, act: Callable[[], None]) -> None:
        try:
            act()
        except (IstatError, OSError) as error:
            self._tell(str(error))
            self._pause()
        except Exception as error:  # noqa: BLE001 - as in _run
            self._fault(self.name, error)
            self._tell(repr(error))
            self._pause()

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("following %s: %s", self.master.url, problem)
        self.problem = problem

    def _pause(self) -> None:
        self._rest(self._wait)
        self._wait = min(self._wait * GROWTH, MOST_WAIT)

    def _rest(self, seconds: float) -> None:
        self._ended.wait(seconds * (1 + random.random() / 2))       # noqa: S311 - no secret

    def _forget(self) -> None:
        """Begin anew at what the store has."""
        self._frames, self._caught_up = None, False

    # -- the journal

    def turn(self, wait: float = LONGEST_WAIT) -> None:
        """Pull once, and take what came. Errors are the master's and the store's."""
        self._store.open_again()
        inner = self._store.inner
        at = inner.following.position
        if at is None or not at.known:
            raise CopyNeeded("it is not known what this replica has of the master's journal")
        if inner.trouble:       # else memory would take what the disk does not
            raise StoreError(f"this replica cannot write: {inner.trouble}")
        if self._frames is None:
            self._frames = Frames(at)
        self._look_around(inner)
        self._asked = monotonic()
        piece = self.master.journal(self._frames.wanted, inner.following.revision, wait, keep=self._keep(inner, at),
                                    applied=self._applied)
        self._ahead = piece.time - self._clock.now()
        self._caught_up = False
        self._take(inner, self._frames, piece)
        self._caught_up = not piece.left
        self._note_final(inner)

    def _take(self, inner: StatStore, frames: Frames, piece: Piece) -> None:
        began = monotonic()
        for clock, payload, position in frames.take(piece.data, piece.next):
            inner.apply(payload, clock, position)
            self._applied = clock
            self.frames += 1
            if monotonic() - began > TURN_SECONDS:
                gevent.sleep(0)
                began = monotonic()
        self.bytes += len(piece.data)

    def _keep(self, inner: StatStore, at: Position) -> int:
        """The oldest segment of the master's that we may have to ask for again: what we have of it is not safe yet."""
        synced, handed = inner.progress
        if self._durable[1] == 0:       # as of the start all that our journal has is safe
            self._durable = self._pending = (handed, at.segment)
        elif synced >= self._pending[0]:
            self._durable, self._pending = self._pending, (handed, at.segment)
        return self._durable[1]

    # -- what else there is

    def _look_around(self, inner: StatStore) -> None:
        if monotonic() < self._ask_at:
            return
        self._ask_at = monotonic() + ASK_SECONDS
        state = self.master.state()
        if self._final is None and state.final:
            self._final = (state.position, state.final)
        if self.master.term > inner.files.manifest.term:        # so that a start follows none of a lower one
            term = self.master.term
            self._pool.apply(inner.files.commit, (lambda now: replace(now, term=max(now.term, term)), ()))
        for one in self._companions:
            one.pull(self.master)

    def _note_final(self, inner: StatStore) -> None:
        """Deletes that the master had let go of are so here once all is taken that came before: undone ones, too."""
        at = inner.following.position
        if self._final is None or at is None:
            return
        there, final = self._final      # its epoch means nothing: what is read late has the master's present one
        if (at.segment, at.offset) >= (there.segment, there.offset):
            inner.deletes.ceiling, self._final = final, None

    # -- a copy anew

    def _copy_anew(self) -> None:
        """Copy beside while the store serves what it has, then put it in its place. OtherStore where that would put a
        stranger's data in the place of what we have."""
        self._check_store()
        log.warning("a new copy of %s is made: %s", self.master.url, self.problem)
        try:
            basecopy.copy(self.master, self._folder, self._show)
        finally:
            self.copying = None
        with self._swapping:        # what is known of the store before says nothing of the new one, if that opens later
            self._copied_at, self._final = monotonic(), None
            self._durable = self._pending = (0, 0)
            self._store.exchange(lambda: self._pool.apply(basecopy.swap, (self._folder,)))
        self.copies += 1
        log.info("the new copy of %s is in use", self.master.url)

    def _check_store(self) -> None:
        """A replica that is a master to us has another store after each copy; a master has always the same."""
        follows = self._store.inner.files.manifest.follows
        state = self.master.state()
        known = state.store if follows is None else follows.position.store
        if state.follows is None and known != state.store:
            raise OtherStore(f"{self.master.url} has another store ({state.store}) than the one that this replica is a "
                             f"copy of ({known}); if that one is to be followed, move this replica's store away and "
                             "start anew")

    def _show(self, done: int, total: int) -> None:
        self.copying = (done, total)

    # -- figures

    @property
    def lag(self) -> float:
        """How old what the replica has is [s]: now at the master less the clock of the last frame that was taken; 0
        when all is taken that the master has synced."""
        if self._caught_up and monotonic() - self._asked < LONGEST_WAIT + GRACE:     # else it would have answered
            return 0.0
        if self._applied is None:
            return 0.0 if not self.problem else -1.0
        return max(0.0, self._clock.now() + self._ahead - self._applied)

    def status(self) -> dict[str, object]:
        """How it goes."""
        told: dict[str, object] = {"master": self.master.url, "name": self.master.name, "lag": self.lag,
                                   "following": not self.problem, "problem": self.problem, "frames": self.frames,
                                   "bytes": self.bytes, "copies": self.copies, "term": self.master.term}
        if self.copying is not None:
            told["copying"] = {"bytes": self.copying[0], "of": self.copying[1]}
        return told
