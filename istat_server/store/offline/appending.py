"""Buckets from elsewhere into a store that no server has open: names, fine and settled files, one commit a batch.

Memory is bounded: rows are coded into blocks as they come, and blocks wait for the commit. The commit names the files,
the counters and how far the source is read, all in one MANIFEST: what a crash leaves before it never counts, and what
comes after it is not appended again, as the importer goes on from the mark. Knows no source formats.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from istat.clock import Clock
from istat.errors import StoreError, StoreLocked
from istat.kernels import blocks, columns
from istat.names import munge
from istat.retention import Ladder, Rules
from istat_server.store.files import manifest
from istat_server.store.files.manifest import FINE, SETTLED, FileEntry, Import, Manifest
from istat_server.store.levels.placing import Archive, Known, Limits, place
from istat_server.store.levels.policies import rules_of
from istat_server.store.names import namefiles
from istat_server.store.names.catalogue import Learned
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from istat_server.store.work import planning
from istat_server.store.work.workshop import Workshop

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

# Rows that wait to be coded, in order of ids: 48 bytes each.
ROWS_AT_ONCE = 1 << 20
# Coded blocks that wait for a commit [bytes].
BLOCKS_AT_ONCE = 64 << 20
# Why a counter is not taken, as it is counted.
REFUSALS = {Learned.NOTHING: "name_empty", Learned.TOO_LONG: "name_too_long", Learned.FULL: "name_refused",
            Learned.KNOWN: "other_kind"}

Place = tuple[int, int, str]    # policy, level, kind of file


@dataclass(frozen=True)
class Series:
    """What a source has of one counter. `mark` tells the importer where to go on after it.

    `origin`: what the source calls it; `plainly`: nothing else there can have this name.
    """

    name: bytes                 # without a star; munged when it is taken
    event: bool
    archives: tuple[Archive, ...]
    mark: str
    origin: str = ""
    plainly: bool = True


class Appender:
    """Takes series, in any order, and commits them. Use `open_store` for the store."""

    def __init__(self, store: StatStore, clock: Clock) -> None:
        self.totals: Counter[str] = Counter()       # since the last commit
        self._store, self._clock = store, clock
        store.flush()                               # names and rows of the journal come first
        self._now = int(clock.now())
        self._rows: dict[int, dict[Place, Columns]] = {}
        self._waiting = 0
        self._last_id = -1
        self._writers: dict[Place, blocks.BlockWriter] = {}
        self._coded: list[tuple[Place, list[blocks.Block]]] = []    # finished: by ascending ids each
        self._open: dict[Place, list[blocks.Block]] = {}
        self._bytes = 0
        self._spans: dict[int, set[int]] = {}       # per policy
        self._records = b""                         # of names, that a commit took but could not write
        self._seen = bytearray()                    # per id: 1 when it was counted

    @property
    def full(self) -> bool:
        """Whether it is time for a commit."""
        return self._bytes >= BLOCKS_AT_ONCE

    def append(self, series: Series, new_only: bool = False) -> None:
        """Take one counter's buckets. What is not taken is counted in `totals`.

        `new_only`: of what the store has in a bucket already, only what is more is taken.
        """
        store, name = self._store, munge(series.name)
        policy = store.policy_for(name)
        ladder = store.ladders[policy]
        limits = Limits(tuple(store.limits.oldest(policy, self._now)), self._now + ladder.finest.interval)
        placed = place(series.event, series.archives, ladder, limits, self._known(name) if new_only else None)
        self.totals.update({key: count for key, count in placed.refused.items() if count})
        if not placed.taken:
            if placed.covered:
                self.totals["covered"] += placed.covered
            return
        id = store.catalogue.create(name, series.event)
        if isinstance(id, Learned):
            self.totals[REFUSALS[id]] += 1
            return
        store.engine.touch(id)
        self.totals["counters"] += self._first_time(id)
        self.totals["buckets"] += placed.taken
        self.totals["covered"] += placed.covered
        self._put(id, (policy, 0, FINE), placed.fine)
        for level, rows in placed.settled.items():
            self._put(id, (policy, level, SETTLED), rows)
        if self._waiting >= ROWS_AT_ONCE:
            self._code()

    def _known(self, name: bytes) -> Known | None:
        """What the store has of a counter; None when it is new."""
        store, id = self._store, self._store.engine.counters.find(name)
        if id < 0:
            return None
        return lambda level, start, end: store.select([id], level, start, end)[0]

    def _first_time(self, id: int) -> bool:
        """Whether this appender meets a counter for the first time."""
        if id >= len(self._seen):
            self._seen.extend(bytes(id + 1 - len(self._seen)))
        first = not self._seen[id]
        self._seen[id] = 1
        return first

    def _put(self, id: int, where: Place, rows: Columns) -> None:
        if len(rows):
            self._rows.setdefault(id, {}).setdefault(where, columns.Columns()).extend(rows)
            self._waiting += len(rows)

    def _code(self) -> None:
        """Rows become blocks; ids that descend begin new files."""
        if self._rows and min(self._rows) <= self._last_id:
            self._end_files()
        for id, places in sorted(self._rows.items()):
            event = self._store.engine.is_event(id)
            for (policy, level, kind), rows in places.items():
                if kind == SETTLED and event:
                    rows.fold_rates()
                else:
                    rows.fold(event)
                if kind == FINE:
                    span = self._store.ladders[policy].window(0)
                    self._spans.setdefault(policy, set()).update(row[0] for row in rows.reduce(0, span).rows())
                self._writer((policy, level, kind)).add_run(id, event, rows)
            self._last_id = id
        self._rows, self._waiting = {}, 0
        for where, writer in self._writers.items():
            self._keep(where, writer.take())

    def _writer(self, where: Place) -> blocks.BlockWriter:
        if where not in self._writers:
            policy, level, _kind = where
            interval = self._store.ladders[policy].levels[level].interval
            self._writers[where] = blocks.BlockWriter(interval=interval)
        return self._writers[where]

    def _keep(self, where: Place, made: list[blocks.Block]) -> None:
        self._open.setdefault(where, []).extend(made)
        self._bytes += sum(len(block.data) for block in made)

    def _end_files(self) -> None:
        for where, writer in self._writers.items():
            self._keep(where, writer.finish())
        self._coded += [(where, made) for where, made in self._open.items() if made]
        self._writers, self._open, self._last_id = {}, {}, -1

    def commit(self, note: Import) -> Import:
        """Make all that was appended live, together with the note, to whose totals it adds. The note as written.

        StoreFull or OSError: nothing of it is in the store; it may be tried again.
        """
        self._code()
        self._end_files()
        store, files = self._store, self._store.files
        workshop, sequence = Workshop(store.files, self._clock, store.engine.policy), files.number()
        added = Counter(note.totals)
        added.update(self.totals)
        note = replace(note, totals=dict(added), saved=int(self._clock.now()))
        written: list[FileEntry] = []
        names, next_names = files.manifest.names, files.manifest.next_names
        try:
            for where, coded in self._coded:
                made = workshop.write_blocks(*where, coded, sequence)
                # A deleted name got a new id.
                written += [replace(entry, cleaned=store.deletes.last) for entry in made]
            store.engine.take_journal()             # its name records stand in the names file instead
            self._records += store.engine.take_names()
            if self._records:
                names = namefiles.write(files.folder, files.uuid, next_names, names, self._records)
                next_names += 1
        except BaseException:
            workshop.discard(written)
            raise

        def change(state: Manifest) -> Manifest:
            for policy, starts in self._spans.items():
                state = planning.without_late(state, policy, starts)
            others = tuple(one for one in state.imports if one.key != note.key)
            return state.with_files(written, names=names, next_names=next_names, imports=(*others, note),
                                    revision=state.revision + 1)

        files.commit(change, written)
        self._coded, self._bytes, self._spans, self._records = [], 0, {}, b""
        self.totals.clear()
        return note

    def abandon(self) -> None:
        """Forget what was appended since the last commit, new names too. The store must then be closed."""
        self._rows, self._writers, self._open, self._coded = {}, {}, {}, []
        self._store.engine.take_journal()
        self._store.engine.take_names()


def open_store(folder: Path, clock: Clock, retention: str | None, options: Options | None = None) -> StatStore:
    """A store that no server has open, made if it is missing. StoreLocked says what to do when one has.

    StoreError when it is of another retention than the one given.
    """
    state, _problem = manifest.load(folder) if folder.exists() else (None, "")
    if state and retention and Ladder.parse(retention).text != state.default.retention:
        raise StoreError(f"{folder} has the retention {state.default.retention}; leave --retention out, or change it "
                         f"first by starting istat-server with another")
    try:
        return StatStore.open(folder, rules_for(state, retention), clock, options=options)
    except StoreLocked as error:
        raise StoreLocked(f"{folder} is in use by an istat-server: stop it (systemctl stop istat-server), import, and "
                          f"start it again; agents keep what they measure meanwhile") from error


def rules_for(state: Manifest | None, retention: str | None) -> Rules:
    """The rules of a store, or of one that is to be made; `retention` is another default."""
    rules = rules_of(state.policies) if state else Rules(Ladder.parse())
    return replace(rules, default=Ladder.parse(retention)) if retention else rules


def noted(imports: Iterable[Import], key: str) -> Import | None:
    """How far a source was imported, or None."""
    return next((one for one in imports if one.key == key), None)
