"""The work that keeps the files in order: one job at a time, planned by the hub, carried out in a thread.

Knows when work may be done and what becomes of its result; `planning` decides what, `workshop` does it.
"""
from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from istat.clock import Clock, ClockWatch
from istat.errors import StoreError, StoreFull
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import FileEntry, Manifest
from istat_server.store.files.reserve import free_bytes
from istat_server.store.names.deletes import Deletes, with_dropped
from istat_server.store.names.tombstones import NOTHING_DUE, Due
from istat_server.store.pool import Pool, Work
from istat_server.store.work import planning
from istat_server.store.work.planning import Move
from istat_server.store.work.pressure import Pressure
from istat_server.store.work.workshop import Workshop

log = logging.getLogger(__name__)

PLAN_SECONDS = 1.0          # between two looks at what there is to do
RETRY_SECONDS = 5.0         # after a job that the disk refused
# A job lets ingest go first for at most this long between two portions, so that it ends some day [s].
GIVE_WAY_SECONDS = 2.0
GIVE_WAY_STEP = 0.02
# Merges wait while less than this would be left: what is left is the journal's and the head's [bytes].
KEEP_FREE = 32 << 20


class Interrupted(Exception):
    """The store closes: a job is left undone, and none of its files are kept."""


class Housekeeping:
    """Merging, deriving and expiring."""

    def __init__(self, files: LiveFiles, clock: Clock, background: Pool, policy_of: Callable[[int], int],
                 watch: ClockWatch, pressure: Pressure, deletes: Deletes,
                 old_by: Callable[[int], int] = lambda now: now) -> None:
        """policy_of: a counter's; pressure: of ingest, which jobs let go first when it is high; old_by: the time by
        which files are old, by now."""
        self.jobs = 0                           # done
        self.problem = ""                       # why work waits
        self.expiry_problem = ""
        self._files, self._clock = files, clock
        self._background, self._policy_of, self._watch = background, policy_of, watch
        self._pressure, self._deletes, self._old_by = pressure, deletes, old_by
        self._closing = False
        self._work: Work | None = None
        self._plan_at = clock.monotonic()

    def tick(self) -> None:
        """Begin the next job when it is time."""
        if self._clock.monotonic() < self._plan_at:
            return
        self._plan_at = self._clock.monotonic() + PLAN_SECONDS
        if self._work is not None:
            if not self._work.ready():
                return
            work, self._work = self._work, None
            work.get()
        job = self.next_job()
        if job is not None:
            self.problem = self._why_wait(job)
            if not self.problem:
                self._plan_at = self._clock.monotonic()
                self._work = self._background.spawn(self.do, job, self._deletes.drop_due())
        if self._work is None and self._files.reserve.due():
            self._work = self._background.spawn(self._files.reserve.make)

    def status(self) -> dict[str, object]:
        """What was done, and what cannot be."""
        return {"jobs": self.jobs, "work_problem": self.problem, "expiry_problem": self.expiry_problem}

    def finish(self) -> None:
        """Wait for the job under way."""
        work, self._work = self._work, None
        if work is not None:
            work.get()

    def close(self) -> None:
        """End the job under way at its next portion; it is done anew another time."""
        self._closing = True
        self.finish()

    def _give_way(self) -> None:
        """In a job, between two portions of work."""
        for _ in range(round(GIVE_WAY_SECONDS / GIVE_WAY_STEP)):
            if self._closing:
                raise Interrupted
            if not self._pressure.high():
                return
            time.sleep(GIVE_WAY_STEP)

    def compact(self) -> None:
        """Bring all files into their final form now, and wait for it."""
        self.finish()
        while job := self.next_job(force=True):
            self._background.apply(self.do, (job, self._deletes.drop_due(force=True)))

    def work_off(self) -> None:
        """Do what there is to do by now, and wait for it; what must wait for space is left."""
        self.finish()
        while (job := self.next_job()) and not self._why_wait(job):
            self._background.apply(self.do, (job, self._deletes.drop_due()))

    def next_job(self, force: bool = False) -> planning.Job | None:
        """What to do next, if anything. `force`: as if every file had been quiet for long."""
        doubt = self._watch.doubt()
        if bool(doubt) != bool(self.expiry_problem):
            log.warning("expiry: %s", doubt or "the clock is believed again; old data are removed")
        self.expiry_problem = doubt
        now = int(self._clock.now())
        return planning.next_job(self._files.manifest, now, force, self._files.unreadable, not doubt,
                                 self._deletes.due(force), self._old_by(now))

    def _why_wait(self, job: planning.Job) -> str:
        """Nothing, or that there is too little space to write files anew."""
        if isinstance(job, planning.Expire):
            return ""
        needed = KEEP_FREE + sum(entry.size for entry in job.inputs)
        free = free_bytes(self._files.folder)
        return "" if free >= needed else f"merging waits for {needed >> 20} MiB of free space; {free >> 20} are there"

    def do(self, job: planning.Job, due: Due = NOTHING_DUE) -> None:
        """In a thread: carry out one job and commit it."""
        files = self._files
        try:
            if isinstance(job, planning.Expire):
                files.reserve.use(lambda: files.commit(lambda state: _after(state, job, ()), ()))
                files.remove(entry.path for entry in job.inputs)    # room is wanted now, perhaps for the next MANIFEST
            else:
                workshop = Workshop(files, self._clock, self._policy_of, self._give_way)
                result = workshop.run(job, files.view, due)
                files.commit(lambda state: _after(with_dropped(state, due), job, result), result)
        except Interrupted:
            log.info("a job on %s was left undone", files.folder)
            return
        except (OSError, StoreFull) as error:
            log.error("background work on %s failed, to be tried again: %s", files.folder, error)
            threading.Event().wait(RETRY_SECONDS)
        except StoreError as error:
            log.error("files of %s are left as they are: %s", files.folder, error)
            files.unreadable |= {entry.path for entry in job.inputs}
        self.jobs += 1


def _after(state: Manifest, job: planning.Job, result: Sequence[FileEntry]) -> Manifest:
    """The MANIFEST with a job's result."""
    if isinstance(job, planning.Rollup):
        group = state.group(job.policy)
        if planning.overlapping(group.files, job.start, job.end) != job.inputs:
            return state            # late rows came meanwhile: what was derived is not complete
        return state.with_files(result).with_derived(job.policy, group.derived | {job.start})
    if isinstance(job, Move):
        done = replace(state.policy(job.policy), moved=job.end)
        return state.with_files(result, (entry.path for entry in job.inputs if entry.end <= job.end)).with_policy(done)
    return state.with_files(result, (entry.path for entry in job.inputs))
