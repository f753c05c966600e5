"""The store on one machine: names, head, journal, StatFiles, and the work that keeps them in order.

The hub owns it: everything here but `_flush`, `_work` and what they call runs there. Those run in `background`
threads and meet the hub at two places only: `_commit` (one at a time; replaces the MANIFEST) and `_view`
(replaced whole under a lock that is never held over I/O). Knows no sockets and no HTTP.
"""
from __future__ import annotations

import logging
import os
import threading
import uuid as uuids
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istat.clock import Clock, SystemClock
from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.kernels import engine as engine_kernel
from istat.retention import Ladder
from istat_server.store import journal, manifest, namefiles, opening, planning
from istat_server.store.blockcache import BlockCache
from istat_server.store.catalogue import Catalogue, Learned
from istat_server.store.clockwatch import ClockWatch
from istat_server.store.interface import Child, Counter, Kind
from istat_server.store.jobs import Workshop
from istat_server.store.manifest import FileEntry, Manifest
from istat_server.store.pool import InlinePool, Pool, Work
from istat_server.store.reading import LiveFile, Question, View, select
from istat_server.store.statfile import StatFile

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

log = logging.getLogger(__name__)

# Samples may be this far ahead of the clock: gauges a minute (a wrong clock nearby), events one finest bucket [s].
GAUGE_AHEAD = 60
RETRY_SECONDS = 5.0         # between attempts to write files where the last one failed
FLUSH_ATTEMPTS = 3          # before the end, or one who asked for a flush, is told that it cannot be done
# Merges wait while less than this would be left: what is left is the journal's and the head's [bytes].
KEEP_FREE = 32 << 20
# Questions of at most this many rows of the finest level, and counters, are answered in the hub: some tenths of a
# millisecond's work, and a thread would cost as much again; each counter is a read in each file at worst.
ROWS_AT_ONCE = 4000
IDS_AT_ONCE = 4
FEED_BYTES = 64 << 10       # journal records handed over at once rather than at the next tick [bytes]


@dataclass(frozen=True)
class Options:
    """What an operator may set. Times in seconds, sizes in bytes."""

    cut_seconds: float = 120.0          # `flush`: the longest that rows stay in memory only
    cut_bytes: int = 32 << 20           # ... and how many of them
    journal_sync: float = 1.0
    max_counters: int = 10_000_000
    cache_bytes: int = 16 << 20         # unpacked blocks kept for the next question
    key: int | None = None              # of the name tables' hash; None: random


@dataclass(frozen=True)
class Held:
    """A head that was cut and is not in files yet. `segment` is the journal's first one that begins after it."""

    frozen: tuple[Any, ...]
    names: bytes
    segment: int


def _nothing() -> None:
    """What a greenlet waits for to let others have their turn."""


def free_bytes(folder: Path) -> int:
    """What may still be written to the disk that a folder is on."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class StatStore:
    """A store folder, open. Make one with `StatStore.open`."""

    def __init__(self, folder: Path, ladder: Ladder, clock: Clock, pool: Pool, background: Pool,
                 options: Options, lock: int, state: Manifest) -> None:
        self.ladder = ladder
        self.folder = folder
        self._clock, self._pool, self._background, self._options, self._lock = clock, pool, background, options, lock
        self._intervals = tuple(level.interval for level in ladder.levels)
        key = options.key if options.key is not None else int.from_bytes(os.urandom(8), "little")
        self.engine = engine_kernel.Engine(self._intervals, key)
        self.catalogue = Catalogue(self.engine, options.max_counters, lambda: pool.apply(_nothing))
        self.learn: Callable[[bytes], Learned] = self.catalogue.learn
        self._manifest = state
        self._blocks = BlockCache(options.cache_bytes)
        self._commit_lock = threading.Lock()
        self._view_lock = threading.Lock()
        self._numbers_lock = threading.Lock()
        self._next_number = state.next_seq
        self._held: Held | None = None
        self._flushing: Work | None = None      # the attempt to write it that is under way
        self._retry_at = 0.0
        self._flush_problem = self._work_problem = ""
        self._leaving: set[str] = set()         # files that only the previous MANIFEST needs
        self._bare_until = 0
        self._watch = ClockWatch(clock, state.saved)
        self._expiry_problem = ""
        self._working: Work | None = None
        self._cut_at = clock.monotonic()
        self._plan_at = clock.monotonic()
        self._frame_clock = int(clock.now())
        self._closed = False
        self.totals = {"cuts": 0, "files_written": 0, "bytes_written": 0, "jobs": 0, "damaged_blocks": 0,
                       "damaged_files": 0,
                       "journal_skipped_bytes": 0, "journal_torn_bytes": 0, "flush_errors": 0}
        self._problem = ""
        self._unreadable: set[str] = set()      # inputs of merges that failed: not tried again in this life

    # -- opening and closing

    @classmethod
    def open(cls, folder: Path, ladder: Ladder, clock: Clock, pool: Pool | None = None,
             background: Pool | None = None, options: Options | None = None) -> StatStore:
        """Open a store folder, made when it is missing; replays the journal.

        StoreLocked when another process has it, StoreCorrupt when no MANIFEST can be read, StoreError when it is
        of another retention or a newer version.
        """
        folder = Path(folder)
        opening.make_folders(folder, ladder)
        lock = opening.take_lock(folder)
        try:
            opening.check_format(folder)
            state, problem = manifest.load(folder)
            if problem:
                log.error("%s; going on from the MANIFEST before it", problem)
            fresh = state is None
            if state is None:
                state = Manifest(uuid=uuids.uuid4().hex, retention=ladder.text)
            if state.retention != ladder.text:
                raise StoreError(f"{folder} was made with retention {state.retention}; start with that, or with "
                                 f"another store folder")
            store = cls(folder, ladder, clock, pool or InlinePool(), background or InlinePool(),
                        options or Options(), lock, state)
            store._start(fresh, bool(problem))
        except BaseException:
            os.close(lock)
            raise
        return store

    def _start(self, fresh: bool, careful: bool) -> None:
        """Names, files, journal. `careful`: the previous MANIFEST is in use, so that nothing is removed."""
        if careful and (self.folder / manifest.NAME).exists():
            os.rename(self.folder / manifest.NAME, self.folder / (manifest.NAME + ".damaged"))
        if fresh or careful:
            manifest.save(self.folder, self._manifest)
        previous = manifest.load_previous(self.folder) or self._manifest
        opening.load_names(self.folder, self._manifest, self.engine)
        self._view = View(self._intervals, self.ladder.window(0), tuple(self._open_files()),
                          (None,) * len(self._intervals), self._manifest.derived)
        self._bare_until = planning.bare_until(self._manifest, self.ladder)
        if not careful:
            opening.remove_orphans(self.folder, (self._manifest, previous), self.ladder)
            self._leaving = opening.references(previous) - opening.references(self._manifest)
        damage = journal.Damage()
        keep_from = 0 if careful else min(previous.replay_from, self._manifest.replay_from)
        last = opening.replay(self.folder, self._manifest, self.engine, self._set_limits, damage, keep_from)
        self.totals["journal_skipped_bytes"] = damage.skipped_bytes
        self.totals["journal_torn_bytes"] = damage.torn_bytes
        self._set_limits(self._clock.now())
        self.engine.take_journal()
        uuid = bytes.fromhex(self._manifest.uuid)
        self._journal = journal.Journal(self.folder / "journal", last + 1, uuid, self._options.journal_sync)

    def _open_files(self) -> Iterator[LiveFile]:
        """The live files. One that is damaged or gone is told of and left alone; the others are served."""
        for entry in self._manifest.files:
            try:
                file = self._open_file(entry)
            except (StoreCorrupt, FileNotFoundError) as error:
                log.error("%s; answers are without it", error)
                self._unreadable.add(entry.path)
                self.totals["damaged_files"] += 1
            else:
                yield LiveFile(entry, file)

    def close(self) -> None:
        """Write everything that is in memory to StatFiles, then let go of the folder."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush()
        finally:
            self._finish(self._working)
            self._journal.close()
            for live in self._view.files:
                live.file.close()
            os.close(self._lock)

    # -- ticking (hub)

    @property
    def refusing(self) -> str:
        """Why samples are not taken now, or ""."""
        return self._problem

    def tick(self) -> None:
        """To be called about every 50 ms: hands the journal over, cuts when it is time, starts background work."""
        now = self._clock.now()
        self._hand_over()
        self._set_limits(now)
        elapsed = self._clock.monotonic() - self._cut_at
        if self._flushing is not None and self._flushing.ready():
            self._finish_flush()
        if self._held is not None:
            if self._flushing is None and self._clock.monotonic() >= self._retry_at:
                self._write_held()
        elif (elapsed >= self._options.cut_seconds or self._journal.needs_cut
              or self._rows_bytes() >= self._options.cut_bytes):
            self._cut()
        self._problem = self._why_refuse()
        if self._clock.monotonic() >= self._plan_at:
            self._plan_at = self._clock.monotonic() + 1.0
            self._start_work()

    def _why_refuse(self) -> str:
        if self._journal.error is not None:
            return f"the journal cannot be written: {self._journal.error}; it goes on by itself once it can be"
        if self._flush_problem and self._rows_bytes() >= self._options.cut_bytes:
            return f"memory is full and cannot be written: {self._flush_problem}"
        return ""

    def after_feed(self) -> None:
        """After a portion of samples: keep the journal and the head within bounds, waiting if need be."""
        if self.engine.journal_size() < FEED_BYTES:
            return
        self._hand_over()
        if self._rows_bytes() >= self._options.cut_bytes:
            crowded = self._rows_bytes() >= 2 * self._options.cut_bytes
            if self._flushing is not None and (crowded or self._flushing.ready()):
                self._finish_flush()
            if self._held is None:
                self._cut()
            self._problem = self._why_refuse()
        if self._journal.crowded and self._journal.error is None:
            self._pool.apply(self._journal.drain, (10.0,))

    def _rows_bytes(self) -> int:
        return sum(head.bytes() for head in self.engine.heads)

    def _hand_over(self) -> None:
        payload = self.engine.take_journal()
        if payload:
            self._journal.append(self._frame_clock, payload)

    def _set_limits(self, now: float) -> None:
        """The engine's acceptance at a clock; a frame's samples are all taken at one clock, kept with it."""
        clock = int(now)
        self._frame_clock = clock
        oldest = [clock - level.keep for level in self.ladder.levels]
        oldest[0] = max(oldest[0], self._bare_until)
        self.engine.set_limits(clock, clock + GAUGE_AHEAD, clock + self._intervals[0], oldest)

    # -- cut and flush

    def _cut(self) -> None:
        """Swap the head for an empty one, begin a journal segment, and write the head in the background."""
        self._hand_over()
        self._cut_at = self._clock.monotonic()
        frozen = tuple(self.engine.freeze())
        names = self.engine.take_names()
        if not names and not any(frozen):
            if self._journal.needs_cut:
                self._journal.cut()
            return
        segment = self._journal.cut()
        with self._view_lock:
            self._view = replace(self._view, frozen=frozen)
        self.totals["cuts"] += 1
        self._held = Held(frozen, names, segment)
        self._write_held()

    def _write_held(self) -> None:
        assert self._held is not None and self._flushing is None
        self._flushing = self._background.spawn(self._flush, self._held)

    def _finish_flush(self) -> None:
        """Wait for the attempt under way, if there is one. Others may wait for the same: the first one back notes
        what came of it, and only then may the next head be cut."""
        work = self._flushing
        if work is None:
            return
        written = work.get()
        if self._flushing is work:
            self._flushing = None
            if written:
                self._held = None
            else:
                self._retry_at = self._clock.monotonic() + RETRY_SECONDS

    @staticmethod
    def _finish(work: Work | None) -> None:
        if work is not None:
            work.get()

    def flush(self) -> None:
        """Write all that is in memory to StatFiles and wait for it. Raises what went wrong."""
        self._settle()
        self._cut()
        self._settle()
        if self._journal.error is not None:
            raise StoreError(f"the journal cannot be written: {self._journal.error}")

    def _settle(self) -> None:
        """Wait until no head is held any more."""
        self._finish_flush()
        for _attempt in range(FLUSH_ATTEMPTS):
            if self._held is not None:
                self._write_held()
                self._finish_flush()
        if self._held is not None:
            raise StoreError(f"cannot write to {self.folder}: {self._flush_problem}; the journal keeps it")

    def _flush(self, held: Held) -> bool:
        """In a thread: the frozen head becomes files; whether it did. It is tried until it does, and queries see
        the head meanwhile."""
        try:
            self._flush_once(held)
        except Exception as error:  # noqa: BLE001 - whatever it was, these rows must not be forgotten
            self.totals["flush_errors"] += 1
            if str(error) != self._flush_problem:
                log.error("cannot write the head to %s: %r; trying every %g s", self.folder, error, RETRY_SECONDS,
                          exc_info=not isinstance(error, (OSError, StoreError)))
            self._flush_problem = str(error) or repr(error)
            return False
        if self._flush_problem:
            log.info("the head can be written again")
        self._flush_problem = ""
        return True

    def _flush_once(self, held: Held) -> None:
        workshop = self._workshop()
        written, spans = workshop.write_frozen(held.frozen)
        names, next_names = self._manifest.names, self._manifest.next_names
        try:
            if held.names:
                names = namefiles.write(self.folder, self._uuid, next_names, names, held.names)
                next_names += 1
        except BaseException:
            workshop.discard(written)
            raise

        def change(state: Manifest) -> Manifest:
            # Late rows make a span underived, but for one whose other rows of the finest level are gone.
            late = {start for start in spans if start >= planning.bare_until(state, self.ladder)}
            return state.with_files(written, derived=state.derived - late, replay_from=held.segment, names=names,
                                    next_names=next_names)

        self._commit(change, written, flushed=True)

    def _workshop(self) -> Workshop:
        return Workshop(self.folder, self.ladder, self._number, int(self._clock.now()), self._manifest.uuid)

    @property
    def _uuid(self) -> bytes:
        return bytes.fromhex(self._manifest.uuid)

    def _number(self) -> int:
        """The next sequence number; never given twice."""
        with self._numbers_lock:
            self._next_number += 1
            return self._next_number - 1

    # -- background work

    def _start_work(self) -> None:
        if self._working is not None:
            if not self._working.ready():
                return
            work, self._working = self._working, None
            work.get()
        job = self._next_job()
        if job is not None:
            self._work_problem = self._why_wait(job)
            if not self._work_problem:
                self._plan_at = self._clock.monotonic()
                self._working = self._background.spawn(self._work, job)

    def _why_wait(self, job: planning.Job) -> str:
        """Nothing, or that there is too little space to write files anew."""
        if isinstance(job, planning.Expire):
            return ""
        needed = KEEP_FREE + sum(entry.size for entry in job.inputs)
        free = free_bytes(self.folder)
        return "" if free >= needed else f"merging waits for {needed >> 20} MiB of free space; {free >> 20} are there"

    def _next_job(self, force: bool = False) -> planning.Job | None:
        doubt = self._watch.doubt()
        if bool(doubt) != bool(self._expiry_problem):
            log.warning("expiry: %s", doubt or "the clock has gone on steadily for a day; old data are removed again")
        self._expiry_problem = doubt
        return planning.next_job(self._manifest, self.ladder, int(self._clock.now()), force, self._unreadable,
                                 not doubt)

    def compact(self) -> None:
        """Write the head and bring all files into their final form now. Waits for it."""
        self.flush()
        self._finish(self._working)
        self._working = None
        while job := self._next_job(force=True):
            self._background.apply(self._work, (job,))

    def _work(self, job: planning.Job) -> None:
        """In a thread: carry out one job and commit it."""
        try:
            live = {live.entry.path: live.file for live in self._view.files}
            result = self._workshop().run(job, live)
            self._commit(lambda state: self._after_job(state, job, result), result)
            if isinstance(job, planning.Expire):        # room is wanted now, perhaps for the very next MANIFEST
                self._remove(entry.path for entry in job.inputs)
        except (OSError, StoreFull) as error:
            log.error("background work on %s failed, to be tried again: %s", self.folder, error)
            threading.Event().wait(RETRY_SECONDS)
        except StoreError as error:
            log.error("files of %s are left as they are: %s", self.folder, error)
            self._unreadable |= {entry.path for entry in job.inputs}
        self.totals["jobs"] += 1

    @staticmethod
    def _after_job(state: Manifest, job: planning.Job, result: Sequence[FileEntry]) -> Manifest:
        if isinstance(job, planning.Derive):
            if planning.overlapping(state.files, job.start, job.end) != job.inputs:
                return state            # late rows came meanwhile: what was derived is not complete
            return state.with_files(result, derived=state.derived | {job.start})
        return state.with_files(result, (entry.path for entry in job.inputs))

    def _commit(self, change: Callable[[Manifest], Manifest], add: Sequence[FileEntry], flushed: bool = False) -> None:
        """Replace the MANIFEST, then what queries see, then remove files that no MANIFEST needs any more.

        An exception means that nothing has changed, and the files in `add` are gone again.
        """
        with self._commit_lock:
            before = self._manifest
            try:
                opened = {entry.path: self._open_file(entry) for entry in add}
                state = change(before)
                state = replace(state, next_seq=self._next_number, saved=int(self._clock.now()))
                bare_until = planning.bare_until(state, self.ladder)
                manifest.save(self.folder, state)
            except BaseException:
                self._remove(entry.path for entry in add)
                raise
            self._manifest, self._bare_until = state, bare_until
            with self._view_lock:
                opened.update((live.entry.path, live.file) for live in self._view.files)
                live = tuple(LiveFile(entry, opened[entry.path]) for entry in state.files if entry.path in opened)
                empty = (None,) * len(self._intervals)
                frozen = empty if flushed else self._view.frozen
                self._view = View(self._intervals, self._view.span, live, frozen, state.derived)
            # What this one dropped is the previous MANIFEST's now; what that one had dropped can go.
            needed = opening.references(state)
            self._remove(self._leaving | {entry.path for entry in add if entry.path not in needed})
            journal_of = (str(journal.segment_path(Path("journal"), number))
                          for number in range(before.replay_from, state.replay_from))
            self._leaving = (opening.references(before) - needed) | set(journal_of)
        for entry in add:
            self.totals["files_written"] += 1
            self.totals["bytes_written"] += entry.size

    def _remove(self, paths: Iterable[str]) -> None:
        """Remove files of this store; one that cannot be is left for the next start."""
        for path in paths:
            if path in self._unreadable:
                continue                    # someone may want to look at it
            try:
                (self.folder / path).unlink(missing_ok=True)
            except OSError as error:
                log.error("%s cannot be removed: %s", self.folder / path, error.strerror)

    def _open_file(self, entry: FileEntry) -> StatFile:
        return StatFile.open(self.folder / entry.path, self._blocks)

    # -- the store's interface

    def find(self, name: bytes) -> Counter | None:
        """The counter of a name in any spelling."""
        return self.catalogue.find(name)

    def counter(self, id: int) -> Counter:
        """The counter of an id."""
        return self.catalogue.counter(id)

    def count(self) -> int:
        """How many counters there are."""
        return len(self.catalogue)

    def match(self, pattern: bytes, limit: int, after: int = -1) -> list[Counter]:
        """Counters with ids above `after` whose whole name fits an istatd pattern."""
        return self.catalogue.match(pattern, limit, after)

    def search(self, words: list[bytes], limit: int) -> list[Counter]:
        """Counters whose name has all the words in it."""
        return self.catalogue.search(words, limit)

    def children(self, prefix: bytes, limit: int = 10_000) -> list[Child]:
        """What follows a dotted prefix."""
        return self.catalogue.children(prefix, limit)

    def select(self, ids: Sequence[int], level: int, start: int, end: int) -> list[Columns]:
        """Final buckets of a level per id with start <= time < end; gaps absent. Blocks the greenlet only."""
        interval = self._intervals[level]
        start = max(start, int(self._clock.now()) - self.ladder.levels[level].keep)
        events = tuple(self.counter(id).kind is Kind.EVENT for id in ids)
        question = Question(tuple(ids), events, level, start - start % interval, -(-end // interval) * interval)
        answer = select(self.engine, self._view, question, self._damaged)
        # Of a coarser level, what is not derived yet is read from the finest one.
        rows = len(ids) * (question.end - question.start) // self._intervals[0]
        small = rows <= ROWS_AT_ONCE and len(ids) <= IDS_AT_ONCE
        result: list[Columns] = answer() if small else self._pool.apply(answer)
        return result

    def _damaged(self, error: StoreCorrupt) -> None:
        self.totals["damaged_blocks"] += 1
        log.error("%s; the answer is without it", error)

    def status(self) -> dict[str, object]:
        """What the store consists of and has done."""
        state, files = self._manifest, self._view.files
        return {
            "folder": str(self.folder), "retention": self.ladder.text, "counters": self.count(),
            "routes": len(self.engine.routes), "rows_in_memory": sum(len(head) for head in self.engine.heads),
            "memory_bytes": self.engine.memory(), "files": len(files),
            "file_bytes": sum(live.entry.size for live in files), "rows_in_files": sum(f.entry.rows for f in files),
            "journal_segment": self._journal.number, "replay_from": state.replay_from,
            "journal_bytes": self._journal.written, "journal_pending": self._journal.pending,
            "cache_hits": self._blocks.hits, "cache_misses": self._blocks.misses,
            "refusing": self._problem, "flush_problem": self._flush_problem, "work_problem": self._work_problem,
            "expiry_problem": self._expiry_problem,
            **self.totals,
        }


def compact(folder: Path, clock: Clock | None = None) -> None:
    """Bring the files of a store that no server has open into their final form."""
    state, _problem = manifest.load(Path(folder))
    if state is None:
        raise StoreError(f"{folder} holds no store")
    store = StatStore.open(folder, Ladder.parse(state.retention), clock or SystemClock())
    try:
        store.compact()
    finally:
        store.close()
