"""The store on one machine: names, head, journal, StatFiles, and the work that keeps them in order.

The hub owns it: everything here runs there. What runs in threads is `flushing` and `housekeeping`, which meet the hub
at `livefiles`. Knows no sockets and no HTTP.
"""
from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from istat.clock import Clock, ClockWatch
from istat.errors import StoreError
from istat.retention import Ladder, Rules
from istat_server.store import opening
from istat_server.store.accepting import Accepting
from istat_server.store.answering import Answering
from istat_server.store.batching import Batching
from istat_server.store.files import journal
from istat_server.store.files.livefiles import LiveFiles
from istat_server.store.files.manifest import Manifest
from istat_server.store.following import Following
from istat_server.store.interface import Accepted, Batch, Capability, Mark, Marked
from istat_server.store.levels import policies
from istat_server.store.levels.limits import Limits
from istat_server.store.levels.policies import Chooser
from istat_server.store.names import ancestors, reassigning
from istat_server.store.names.catalogue import Catalogue
from istat_server.store.names.changing import Changing
from istat_server.store.names.deletes import Deletes
from istat_server.store.names.idling import Idling
from istat_server.store.names.renames import Renames
from istat_server.store.options import Options
from istat_server.store.pool import Pool, given
from istat_server.store.work.copying import Copying
from istat_server.store.work.flushing import CutHead, Flushing, nothing
from istat_server.store.work.housekeeping import Housekeeping
from istat_server.store.work.journaling import Journal
from istat_server.store.work.marks import Marks
from istat_server.store.work.pinning import Pinning
from istat_server.store.work.pressure import HeadRoom, Pressure

log = logging.getLogger(__name__)

JOURNAL_SECONDS = 10.0      # that one who changes something waits for it to be written
SETTLE_SECONDS = 10.0       # that a flush waits for the marks to be synced that its segment does not keep any more
RESCUE_SECONDS = 5.0        # between two cuts because the journal cannot be written
FEED_BYTES = 64 << 10       # journal records handed over at once rather than at the next tick [bytes]


class StatStore:
    """A store folder, open. Make one with `StatStore.open`. Keeps `store.interface.Store`."""

    capabilities = frozenset(Capability)

    def __init__(self, folder: Path, rules: Rules, clock: Clock, pool: Pool, background: Pool, chores: Pool,
                 indexing: Pool, options: Options, lock: opening.Lock, state: Manifest) -> None:
        self.ladder = rules.default
        self.folder = folder
        self.ladders = {policy.number: policy.ladder for policy in state.policies if not policy.leaving}
        self._clock, self._pool, self._options, self._lock, self._chores = clock, pool, options, lock, chores
        key = options.key if options.key is not None else int.from_bytes(os.urandom(8), "little")
        self.engine = policies.make_engine(state.policies, key)
        self.engine.refuse_nan = options.refuse_nan
        self.head = HeadRoom(self.engine, options.cut_bytes)
        self._choose = Chooser(state.policies, rules)
        self.lineage = options.lineage or state.lineage
        self.catalogue = Catalogue(self.engine, options.max_counters, clock, pool, indexing, self._choose, self.lineage)
        self.watch = ClockWatch(clock, state.saved)
        self.files = LiveFiles(folder, self.watch.believed, options.cache_bytes, state)
        self.deletes = Deletes(self.engine, self.catalogue, clock, self.files, pool, options.undo_seconds)
        self.renames = Renames(self.engine)
        self._elders = ancestors.Elders(self.engine, self.files, self.catalogue, background, self.lineage)
        self.flushing = Flushing(self.files, clock, background, self.engine.policy)
        self.idling = Idling(self.engine, self.files, clock, background, self.watch)
        self._accepting = Accepting(self.engine, self.catalogue)
        self.marks = Marks()
        self._batching = Batching(self.engine, self._accepting, self.marks, lambda: pool.apply(nothing))
        self._answering = Answering(self.engine, self.catalogue, self.files, self.ladders, clock, pool)
        self.pinning = Pinning(self.files, clock, self.watch, pool, background)
        self.copying = Copying(self.files, self.pinning, pool, lambda: self._journal, self._final_deletes)
        self.position, self.replay_position = self.copying.position, self.copying.replay_position
        changing = Changing(self.deletes, self.renames, self.files, self.watch, pool, lambda: self.read_only,
                            lambda: self._written())
        self.confirm_clock = changing.confirm_clock
        # What the contract asks is answered where it is kept.
        names = self.catalogue
        self.learn, self.find, self.counter, self.count = names.learn, names.find, names.counter, names.count
        self.match, self.search, self.children = names.match, names.search, names.children
        self.deleted, self.deleted_called = self.deletes.deleted, self.deletes.deleted_called
        self.rename_problems = self.renames.problems
        self.delete, self.undelete, self.rename = changing.delete, changing.undelete, changing.rename
        self.totals, self.ladder_of = self._accepting.totals, self._answering.ladder_of
        self.knows, self.last_sequence, self.prepare = self.marks.knows, self.marks.last, self._batching.prepare
        self.select, self.read = self._answering.select, self._answering.read
        self.combine, self.describe = self._answering.combine, self._answering.describe
        self._cut_at, self._held_since = clock.monotonic(), 0
        self.limits = Limits(self.engine, self.ladders, self.files, clock.now())
        self.following = Following(self.engine, self.limits, self.marks, self.deletes, state.follows, self._hand_over,
                                   self._keep_bounds)
        self.apply = self.following.apply
        self._closed, self._problem = False, ""
        self.figures = {"cuts": 0, "journal_skipped_bytes": 0, "journal_torn_bytes": 0, "journal_lost_bytes": 0}

    # -- opening and closing

    @classmethod
    def open(cls, folder: Path, retention: Ladder | Rules, clock: Clock, pool: Pool | None = None,
             background: Pool | None = None, options: Options | None = None, chores: Pool | None = None,
             indexing: Pool | None = None) -> StatStore:
        """Open a store folder, made when it is missing; replays the journal. A Ladder is that of all counters; one that
        is not the store's begins to be. StoreLocked when another process has it, StoreCorrupt when no MANIFEST can be
        read, StoreError when it is of a newer version."""
        folder = Path(folder)
        rules = retention if isinstance(retention, Rules) else Rules(retention)
        opening.make_folders(folder, ())
        lock = opening.Lock(folder)
        try:
            opening.check_format(folder)
            before, problem = opening.load_manifest(folder, rules, (options or Options()).replica)
            state = policies.reconcile(before, rules)
            state = replace(state, epoch=max(state.epoch + 1, int(clock.now())),
                            revision=state.revision + (state is not before))
            store = cls(folder, rules, clock, given(pool), given(background),
                        given(chores, background), given(indexing, background),
                        options or Options(), lock, state)
            store._start(bool(problem))
            with store._let_go_on_failure():
                if state.reassign:
                    reassigning.reassign(store.engine, store.files, store.flush, policies.rules_of(before.policies),
                                         rules)
                ancestors.settle(store.engine, store.files, store.flush, store.lineage)
        except BaseException:
            lock.close()
            raise
        return store

    @contextmanager
    def _let_go_on_failure(self) -> Iterator[None]:
        """After a start that failed nobody may go on writing the journal: another start may have the folder."""
        try:
            yield
        except BaseException:
            self._journal.close()
            self.files.close()
            raise

    def _start(self, careful: bool) -> None:
        """Names, files, journal. All is read before anything is changed: what a newer istatd wrote stays as it is.

        `careful`: the previous MANIFEST is in use, so that nothing is removed.
        """
        state = self.files.manifest
        opening.load_names(self.folder, state, self.engine, self._pool)
        self.idling.load()
        self.deletes.names_loaded()
        damage = journal.Damage()
        last = opening.replay(self.folder, state, self.engine, self.limits.set, damage)
        self.marks.note(self.engine.take_marks())
        if damage.skipped_bytes or damage.lost_bytes:       # a replica may have read what is gone
            self.files.manifest = replace(state, revision=state.revision + 1)
        opening.take_over(self.files, careful)
        self.deletes.replayed()
        self.following.replayed(damage)
        self.figures["journal_skipped_bytes"] = damage.skipped_bytes
        self.figures["journal_torn_bytes"] = damage.torn_bytes
        self.figures["journal_lost_bytes"] = damage.lost_bytes
        self.limits.set(self._clock.now())
        self.engine.take_journal()
        self._journal = Journal(self.folder / "journal", last + 1, self.files.uuid, self._options.journal_sync,
                                self.files.reserve.room)
        self._pressure = Pressure(self._journal, self.flushing, self.head)
        self.housekeeping = Housekeeping(self.files, self._clock, self._chores, self.engine.policy, self.watch,
                                         self._pressure, self.deletes, self._old_by)

    def close(self) -> None:
        """Write everything that is in memory to StatFiles, then let go of the folder."""
        if self._closed:
            return
        self._closed = True
        with ExitStack() as stack:      # each of them happens, whatever becomes of the others; the last one first
            stack.callback(self._lock.close)
            stack.callback(self.files.close)
            stack.callback(self._journal.close)
            stack.callback(self.pinning.finish)
            stack.callback(self.housekeeping.close)
            stack.callback(self._elders.finish)
            self.flush()
            self.idling.finish()
            self.idling.save()

    # -- ticking

    @property
    def read_only(self) -> str:
        """Why nothing may be changed here, for good, or ""."""
        return self.copying.read_only or self.following.read_only

    @property
    def refusing(self) -> str:
        """Why samples are not taken now, or ""."""
        return self.read_only or self._problem

    def tick(self) -> None:
        """To be called about every 50 ms: hands the journal over, cuts when it is time, starts background work."""
        self._hand_over()
        self.limits.set(self._clock.now())
        self.flushing.tick()
        failing = self._journal.error is not None and self._rescue()
        elapsed = self._clock.monotonic() - self._cut_at
        if not self.flushing.holding and (elapsed >= self._options.cut_seconds or self._journal.needs_cut
                                          or self.head.full() or failing):
            self._cut()
        self._problem = self._pressure.problem
        self.catalogue.keep_up()
        self.housekeeping.tick()
        self.pinning.tick(self._journal.full)
        idle = self.idling.tick()
        if not self.following.active:       # else they go when they are gone there
            self.deletes.retire(self._elders.tick(idle))
        self.deletes.tick(self.flushing.cleaned)

    def _rescue(self) -> bool:
        """The journal cannot be written: what waits for it goes to files by a cut. Whether it is time for one."""
        self._skip_to(self.files.manifest.replay_from)
        return self._clock.monotonic() - self._cut_at >= RESCUE_SECONDS

    def after_feed(self) -> None:
        """After a portion of samples: keep the journal and the head within bounds, waiting if need be."""
        if self.engine.journal_size() < FEED_BYTES:
            return
        self._hand_over()
        self._keep_bounds()

    def _keep_bounds(self) -> None:
        if self.head.full():
            if self.head.crowded() or self.flushing.ready():
                self.flushing.finish()
            if not self.flushing.holding:
                self._cut()
            self._problem = self._pressure.problem
        if self._journal.crowded and self._journal.error is None:
            self._pool.apply(self._journal.drain, (10.0,))

    def _hand_over(self) -> None:
        if payload := self.engine.take_journal():
            self._journal.append(self.limits.clock, payload)

    # -- cut and flush

    def _cut(self) -> None:
        """Swap the head for an empty one, begin a journal segment, and write the head in the background."""
        self._hand_over()
        self._cut_at = self._clock.monotonic()
        frozen = self.engine.freeze()
        self._held_since, self.limits.since = self.limits.since, self.limits.clock
        names = self.engine.take_names()
        if not names and not any(map(any, frozen.values())):
            self.deletes.cut()
            if self._journal.needs_cut:
                self._begin_segment()
            elif self._journal.error is not None:       # all that waits for the old segment is in files
                self._skip_to(self._begin_segment())
            return
        self.figures["cuts"] += 1
        segment, handed = self._begin_segment(), self._journal.handed
        settle = partial(self._journal.sync, handed, SETTLE_SECONDS) if self.marks else nothing
        self.flushing.hold(CutHead(frozen, names, segment, self.deletes.gone, self.count(), self.deletes.cut(),
                                   settle, self.following.at_cut(), partial(self._journal.misses, handed)))

    def _old_by(self, now: int) -> int:
        """The time by which files are old. Rows in memory, and of a replica those that are still to come, were taken
        when the finest level had their time: to lose the files of that span first would lose them for the others."""
        if self.flushing.holding:
            now = min(now, self._held_since)
        elif any(map(len, self.engine.heads)):
            now = min(now, self.limits.since)
        return min(now, self.following.clock) if self.following.active else now

    def _skip_to(self, segment: int) -> None:
        """What waits for the segments before this one need not be written any more. Replicas miss it there."""
        if self._journal.skip_to(segment):
            self.files.revise()

    def _begin_segment(self) -> int:
        """The number of the journal's next segment, which begins with the marks of those before it: they may go."""
        segment = self._journal.cut()
        if self.marks:
            self._journal.append(self.limits.clock, self.marks.records())
        return segment

    def flush(self) -> None:
        """Write all that is in memory to StatFiles and wait for it. Raises what went wrong."""
        self.flushing.finish_all()
        self._cut()
        self.flushing.finish_all()
        if self._journal.error is None:     # what waits is the previous MANIFEST's, as long as it can be written
            return
        self._skip_to(self.files.manifest.replay_from)
        if self._journal.error is not None and self._journal.pending:
            raise StoreError(f"the journal cannot be written: {self._journal.error}")

    def compact(self) -> None:
        """Write the head and bring all files into their final form now. Waits for it."""
        self.flush()
        self.housekeeping.compact()
        # What was merged is still there for the MANIFEST before this one; another lets go of it.
        self._pool.apply(self.files.commit, (lambda state: state, ()))

    # -- the store's interface

    def policy_for(self, name: bytes) -> int:
        """The policy of a counter's stored name: what it has, or what it would get."""
        id = self.engine.counters.find(name)
        policy = self.engine.policy(id) if id >= 0 else self._choose(name)
        return self.files.manifest.default.number if policy is None else policy

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        """Take the whole lines of view[start:end]. May wait until less is to be written."""
        accepted = self._accepting.lines(view, start, end)
        self.after_feed()
        return accepted

    def accept_batch(self, batch: Batch) -> Accepted:
        """Take the rows of a batch. Blocks the greenlet until one with a mark is written, since its sender lets go of
        it then. ValueError when it cannot be one, StoreError when nothing is taken now."""
        if self.refusing:
            raise StoreError(f"no batch is taken now: {self.refusing}")
        accepted = self._batching.take(batch)
        self.after_feed()
        if batch.mark is not None:
            self._written()
        return accepted

    def accept_marked(self, view: memoryview, start: int, end: int, clock: int, interval: int, mark: Mark) -> Marked:
        """Take the lines of a batch, with its mark. May wait until less is to be written, not until these are."""
        accepted, refused = self._batching.lines(view[start:end], clock, interval, mark)
        ticket = self.ticket
        self.after_feed()
        return Marked(refused, accepted.left, ticket)

    @property
    def ticket(self) -> int:
        """The number of the journal's frame that what was taken last is in, or will be."""
        return self._journal.handed + (self.engine.journal_size() > 0)

    @property
    def written(self) -> int:
        """Up to which frame the journal is written."""
        return self._journal.done

    def hurry(self) -> None:
        """Hand over what is taken, unless the journal has not done with what it was given before."""
        if not self._journal.pending:
            self._hand_over()

    def _final_deletes(self) -> int:
        """Deletes up to this one cannot be undone any more, and those that were are synced; 0: not known now. Blocks
        the greenlet."""
        final = self.deletes.final
        self._hand_over()
        return final if self._pool.apply(self._journal.sync, (self._journal.handed, JOURNAL_SECONDS)) else 0

    @property
    def trouble(self) -> str:
        """Why nothing more can be taken now, by whatever way, or ""."""
        return self._problem

    @property
    def progress(self) -> tuple[int, int]:
        """See Journal.progress."""
        return self._journal.progress

    def _written(self) -> None:
        """Wait until what changed is in the journal. StoreError when it cannot be written now; it is still to come."""
        self._hand_over()
        if not self._pool.apply(self._journal.drain, (JOURNAL_SECONDS,)):
            raise StoreError(f"done, but not written yet: {self._journal.error or 'the disk is slow'}")

    def status(self) -> dict[str, object]:
        """What the store consists of and has done."""
        samples = self.engine.tally()["samples"]
        written = self._journal.written + self.files.totals["bytes_written"]
        return {
            "folder": str(self.folder), "retention": self.ladder.text, "counters": self.count(),
            "ids": len(self.engine.counters), "routes": len(self.engine.routes), **self.catalogue.status(),
            **self.head.status(), "memory_bytes": self.engine.memory() + self.catalogue.memory(),
            "written_per_sample": written / samples if samples else 0.0,
            "refusing": self.refusing, "deleted_waiting": self.deletes.waiting,
            "counters_renamed": self.renames.total, "pins": self.pinning.status(),
            "marks": len(self.marks), "marks_forgotten": self.marks.forgotten,
            "damaged_blocks": self._answering.damaged_blocks, **self.copying.status(), **self.files.status(),
            **self._journal.status(), **self.flushing.status(), **self.housekeeping.status(),
            **{f"counters_{what}": count for what, count in self.deletes.totals.items()}, **self.figures,
        }
