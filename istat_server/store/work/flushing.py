"""From a cut to files: the frozen head that is held until it is in StatFiles, and the attempts to write it.

A head that cannot be written is tried again and again; questions see it meanwhile and the journal keeps it.
Belongs to the hub, but for what `_attempt` calls. Knows no samples and decides no cuts.
"""
from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from istat.clock import Clock
from istat.errors import StoreError
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import Manifest
from istat_server.store.levels.policies import make_engine
from istat_server.store.names import namefiles
from istat_server.store.pool import Pool, Work
from istat_server.store.positions import Follows
from istat_server.store.work import planning
from istat_server.store.work.workshop import Workshop

if TYPE_CHECKING:
    from istat_server.store.files.view import FrozenHeads

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0         # between attempts to write files where the last one failed
FLUSH_ATTEMPTS = 3          # before the end, or one who asked for a flush, is told that it cannot be done


def nothing() -> None:
    """What is done where there is nothing to be waited for."""


@dataclass(frozen=True)
class CutHead:
    """A head that was cut and is not in files yet. `segment` is the journal's first one that begins after it."""

    frozen: FrozenHeads
    names: bytes
    segment: int
    gone: int = 0               # counters that are gone for good, of all ids ever given
    there: int = 0              # and those that are there
    cleaned: int = 0            # deletes up to this one have no rows in it
    settle: Callable[[], object] = nothing      # waits until what the next segment repeats of those before is safe
    follows: Follows | None = None              # a replica's: up to where it has its master's journal
    missed: Callable[[], bool] = lambda: False  # whether the journal may never have it, so that replicas would miss it


class Flushing:
    """At most one head on its way to files."""

    def __init__(self, files: LiveFiles, clock: Clock, background: Pool, policy_of: Callable[[int], int]) -> None:
        """policy_of: a counter's."""
        self.errors = 0
        self.problem = ""                       # why the last attempt failed
        self.seconds = 0.0                      # what the last successful one took
        self._files, self._clock = files, clock
        self._background, self._policy_of = background, policy_of
        self._held: CutHead | None = None
        self._work: Work | None = None          # the attempt that is under way
        self._retry_at = 0.0

    @property
    def holding(self) -> bool:
        """Whether a head is not in files yet; then no other may be cut."""
        return self._held is not None

    @property
    def cleaned(self) -> int | None:
        """Deletes up to this one have no rows in the head that is held; None when none is."""
        return None if self._held is None else self._held.cleaned

    def status(self) -> dict[str, object]:
        """How it went."""
        return {"flush_problem": self.problem, "flush_errors": self.errors, "flush_seconds": self.seconds}

    def ready(self) -> bool:
        """Whether an attempt has ended of which nobody has heard yet."""
        return self._work is not None and self._work.ready()

    def hold(self, held: CutHead) -> None:
        """Take a head and begin to write it."""
        assert self._held is None
        self._held = held
        self._files.freeze(held.frozen)
        self._begin()

    def tick(self) -> None:
        """Note what came of the last attempt; begin the next one when it is time."""
        if self.ready():
            self.finish()
        if self._held is not None and self._work is None and self._clock.monotonic() >= self._retry_at:
            self._begin()

    def finish(self) -> None:
        """Wait for the attempt under way, if there is one. Others may wait for the same: the first one back notes
        what came of it, and only then may the next head be cut."""
        work = self._work
        if work is None:
            return
        written = work.get()
        if self._work is work:
            self._work = None
            if written:
                self._held = None
            else:
                self._retry_at = self._clock.monotonic() + RETRY_SECONDS

    def finish_all(self) -> None:
        """Wait until no head is held any more. StoreError when it cannot be written."""
        self.finish()
        for _attempt in range(FLUSH_ATTEMPTS):
            if self._held is not None:
                self._begin()
                self.finish()
        if self._held is not None:
            raise StoreError(f"cannot write to {self._files.folder}: {self.problem}; the journal keeps it")

    def _begin(self) -> None:
        assert self._held is not None and self._work is None
        self._retry_at = float("inf")       # a pool may let us wait for a thread: nobody else begins meanwhile
        try:
            self._work = self._background.spawn(self._attempt, self._held)
        except BaseException:       # whoever waited for a thread was ended: the next tick begins
            self._retry_at = 0.0
            raise

    # -- in a thread

    def _attempt(self, held: CutHead) -> bool:
        """The head becomes files; whether it did."""
        began = self._clock.monotonic()
        try:
            self._files.reserve.use(lambda: self._write(held))
        except Exception as error:  # noqa: BLE001 - whatever it was, these rows must not be forgotten
            self.errors += 1
            if str(error) != self.problem:
                log.error("cannot write the head to %s: %r; trying every %g s", self._files.folder, error,
                          RETRY_SECONDS, exc_info=not isinstance(error, (OSError, StoreError)))
            self.problem = str(error) or repr(error)
            return False
        if self.problem:
            log.info("the head can be written again")
        self.problem = ""
        self.seconds = self._clock.monotonic() - began
        return True

    def _write(self, held: CutHead) -> None:
        files, workshop = self._files, Workshop(self._files, self._clock, self._policy_of)
        written, spans = workshop.write_frozen(held.frozen, held.cleaned)
        before = files.manifest
        names, next_names, names_gone = before.names, before.next_names, before.names_gone
        try:
            if namefiles.worth_compacting(held.gone, names_gone, held.there):
                names = namefiles.compact(files.folder, files.uuid, next_names, names, held.names,
                                          make_engine(before.policies, 0))
                next_names, names_gone = next_names + 1, held.gone
            elif held.names:
                names = namefiles.write(files.folder, files.uuid, next_names, names, held.names)
                next_names += 1
        except BaseException:
            workshop.discard(written)
            raise

        def change(state: Manifest) -> Manifest:
            for number, starts in spans.items():
                state = planning.without_late(state, number, starts)
            if held.follows is not None and state.follows is not None:
                state = replace(state, follows=held.follows)
            return state.with_files(written, replay_from=held.segment, names=names, next_names=next_names,
                                    names_gone=names_gone, revision=state.revision + held.missed())

        held.settle()
        files.commit(change, written, flushed=True)
