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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from istat.clock import Clock, SystemClock
from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.kernels import engine as engine_kernel
from istat.retention import Ladder
from istat_server.store import journal, manifest, opening, planning
from istat_server.store.blockcache import BlockCache
from istat_server.store.catalogue import Catalogue, Learned
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
# Names files before they are written together at the next start.
NAMES_FILES = 16
# Questions of at most this many rows are answered in the hub: a tenth of a millisecond's work, and a thread would
# cost as much again; also what one read from a slow disk costs stays well below what the hub may be held up.
ROWS_AT_ONCE = 4000
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
        self.catalogue = Catalogue(self.engine, options.max_counters)
        self.learn: Callable[[bytes], Learned] = self.catalogue.learn
        self._manifest = state
        self._blocks = BlockCache(options.cache_bytes)
        self._commit_lock = threading.Lock()
        self._view_lock = threading.Lock()
        self._numbers_lock = threading.Lock()
        self._next_number = state.next_seq
        self._names_at_cut = b""
        self._flushing: Work | None = None
        self._working: Work | None = None
        self._cut_at = clock.monotonic()
        self._plan_at = clock.monotonic()
        self._frame_clock = int(clock.now())
        self._closed = False
        self.totals = {"cuts": 0, "files_written": 0, "bytes_written": 0, "jobs": 0, "damaged_blocks": 0,
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
        """Names, files, journal. `careful`: an older MANIFEST is in use, so that nothing may be removed."""
        if fresh:
            manifest.save(self.folder, self._manifest)
        opening.load_names(self.folder, self._manifest, self.engine)
        live = tuple(LiveFile(entry, self._open_file(entry)) for entry in self._manifest.files)
        self._view = View(self._intervals, self.ladder.window(0), live, (None,) * len(self._intervals),
                          self._manifest.derived)
        if not careful:
            opening.remove_orphans(self.folder, self._manifest, self.ladder)
        damage = journal.Damage()
        last = opening.replay(self.folder, self._manifest, self.engine, self._set_limits, damage)
        self.totals["journal_skipped_bytes"] = damage.skipped_bytes
        self.totals["journal_torn_bytes"] = damage.torn_bytes
        self._gather_names()
        self._set_limits(self._clock.now())
        self.engine.take_journal()
        uuid = bytes.fromhex(self._manifest.uuid)
        self._journal = journal.Journal(self.folder / "journal", last + 1, uuid, self._options.journal_sync)

    def _gather_names(self) -> None:
        """Many names files become one with the next cut."""
        if len(self._manifest.names) > NAMES_FILES:
            self.engine.take_names()
            self._names_at_cut = self.engine.dump_names()
            self._manifest = replace(self._manifest, names=())

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
        self._problem = "" if self._journal.error is None else f"the journal cannot be written: {self._journal.error}"
        elapsed = self._clock.monotonic() - self._cut_at
        if self._flushing is not None and self._flushing.ready():
            self._finish_flush()
        if self._flushing is None and (elapsed >= self._options.cut_seconds or self._journal.needs_cut
                                       or self._rows_bytes() >= self._options.cut_bytes):
            self._cut()
        if self._clock.monotonic() >= self._plan_at:
            self._plan_at = self._clock.monotonic() + 1.0
            self._start_work()

    def after_feed(self) -> None:
        """After a portion of samples: keep the journal and the head within bounds, waiting if need be."""
        if self.engine.journal_size() < FEED_BYTES:
            return
        self._hand_over()
        if self._rows_bytes() >= self._options.cut_bytes:
            crowded = self._rows_bytes() >= 2 * self._options.cut_bytes
            if self._flushing is not None and (crowded or self._flushing.ready()):
                self._finish_flush()
            if self._flushing is None:
                self._cut()
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
        self.engine.set_limits(clock, clock + GAUGE_AHEAD, clock + self._intervals[0], oldest)

    # -- cut and flush

    def _cut(self) -> None:
        """Swap the head for an empty one, begin a journal segment, and write the head in the background."""
        self._hand_over()
        self._cut_at = self._clock.monotonic()
        frozen = tuple(self.engine.freeze())
        names = self._names_at_cut + self.engine.take_names()
        self._names_at_cut = names
        if not names and not any(frozen):
            if self._journal.needs_cut:
                self._journal.cut()
            return
        segment = self._journal.cut()
        with self._view_lock:
            self._view = replace(self._view, frozen=frozen)
        self._names_at_cut = b""
        self.totals["cuts"] += 1
        self._flushing = self._background.spawn(self._flush, frozen, names, segment)

    def _finish_flush(self) -> None:
        work, self._flushing = self._flushing, None
        self._finish(work)

    @staticmethod
    def _finish(work: Work | None) -> None:
        if work is not None:
            work.get()

    def flush(self) -> None:
        """Write all that is in memory to StatFiles and wait for it. Raises what went wrong."""
        self._finish_flush()
        self._cut()
        self._finish_flush()
        if self._journal.error is not None:
            raise StoreError(f"the journal cannot be written: {self._journal.error}")

    def _flush(self, frozen: Sequence[Any], names: bytes, segment: int) -> None:
        """In a thread: the frozen head becomes files. Tried until it succeeds; queries see the head meanwhile."""
        attempt = 0
        while True:
            try:
                self._flush_once(frozen, names, segment)
                return
            except Exception as error:  # noqa: BLE001 - whatever it was, these rows must not be forgotten
                attempt += 1
                self.totals["flush_errors"] += 1
                log.error("cannot write the head to %s: %r; trying again", self.folder, error,
                          exc_info=not isinstance(error, OSError))
                if self._closed and attempt >= 3:
                    raise StoreError(f"cannot write to {self.folder}: {error}; the journal keeps it") from error
                threading.Event().wait(min(30.0, attempt))

    def _flush_once(self, frozen: Sequence[Any], names: bytes, segment: int) -> None:
        written, spans = self._workshop().write_frozen(frozen)
        names_number: tuple[int, ...] = ()
        if names:
            number = self._manifest.next_names
            journal.write_names(journal.segment_path(self.folder / "names", number, "names"), number, self._uuid, names)
            names_number = (number,)

        def change(state: Manifest) -> Manifest:
            return state.with_files(
                written, derived=state.derived - spans, replay_from=segment, names=state.names + names_number,
                next_names=state.next_names + len(names_number))

        before = self._manifest.replay_from
        self._commit(change, written, (), flushed=True)
        for number in range(before, segment):
            journal.segment_path(self.folder / "journal", number).unlink(missing_ok=True)

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
            self._plan_at = self._clock.monotonic()
            self._working = self._background.spawn(self._work, job)

    def _next_job(self, force: bool = False) -> planning.Job | None:
        return planning.next_job(self._manifest, self.ladder, int(self._clock.now()), force, self._unreadable)

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
            self._commit(lambda state: self._after_job(state, job, result), result, job.inputs, derive=job)
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

    def _commit(self, change: Callable[[Manifest], Manifest], add: Iterable[FileEntry], drop: Iterable[FileEntry],
                flushed: bool = False, derive: planning.Job | None = None) -> None:
        """Replace the MANIFEST, then what queries see, then remove files that are live no more."""
        opened = {entry.path: self._open_file(entry) for entry in add}
        with self._commit_lock:
            state = change(self._manifest)
            state = replace(state, next_seq=self._next_number, saved=int(self._clock.now()))
            manifest.save(self.folder, state)
            self._manifest = state
            with self._view_lock:
                opened.update((live.entry.path, live.file) for live in self._view.files)
                live = tuple(LiveFile(entry, opened[entry.path]) for entry in state.files)
                empty = (None,) * len(self._intervals)
                frozen = empty if flushed else self._view.frozen
                self._view = View(self._intervals, self._view.span, live, frozen, state.derived)
        kept = {entry.path for entry in state.files}
        for path in [entry.path for entry in (*add, *drop)]:
            if path not in kept:
                (self.folder / path).unlink(missing_ok=True)
        for entry in add:
            self.totals["files_written"] += 1
            self.totals["bytes_written"] += entry.size

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
        rows = len(ids) * (question.end - question.start) // interval
        result: list[Columns] = answer() if rows <= ROWS_AT_ONCE else self._pool.apply(answer)
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
            "refusing": self._problem, **self.totals,
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
