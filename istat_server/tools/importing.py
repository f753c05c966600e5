"""`istat import`: buckets of other systems into a store that no server has open.

Goes on where an interrupted import stopped; what is in the store is not imported again.
"""
from __future__ import annotations

import argparse
import atexit
import hashlib
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from istat import owners
from istat.access import guarded
from istat.cli import INTERRUPTED
from istat.clock import Clock
from istat.errors import StoreError, UsageError
from istat.kernels import names as names_kernel
from istat.names import munge
from istat.retention import Rules
from istat.subcommands import SubCommand
from istat_server.foreign.ring import is_ring
from istat_server.foreign.ringtree import RingTree
from istat_server.foreign.rrd import RrdTree
from istat_server.foreign.source import Naming, Problems, Source, plain, walk
from istat_server.foreign.table import Table
from istat_server.foreign.whisper import WhisperTree
from istat_server.store.files import manifest
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import Limits, place
from istat_server.store.offline.appending import Appender, Series, noted, open_store, rules_for
from istat_server.tools.progress import Progress

# However little is read, a commit comes after this: what an interruption costs [s].
COMMIT_SECONDS = 30.0
FORMATS = ("istatd", "whisper", "rrd", "csv")
SUFFIXES = {".wsp": "whisper", ".rrd": "rrd", ".xml": "rrd", ".csv": "csv"}


class Interrupted(StoreError):
    """The import was stopped by a signal; it can be gone on with."""

    exit_code = INTERRUPTED


@dataclass(frozen=True)
class Done:
    """A source and how far it was imported, before this run and now."""

    source: Source
    before: Import
    after: Import

    @property
    def totals(self) -> dict[str, int]:
        """What this run did."""
        if self.after is self.before:
            return {}
        return {key: count - self.before.totals.get(key, 0) for key, count in self.after.totals.items()}


class Sink(Protocol):
    """Where series go."""

    totals: Counter[str]

    @property
    def full(self) -> bool:
        """Whether it is time for a commit."""

    def append(self, series: Series) -> None:
        """Take one counter's buckets."""

    def commit(self, note: Import) -> Import:
        """Make them live, together with the note, to whose totals it adds."""


class Trial:
    """`--dry-run`: counts what would be taken and refused, and writes nothing."""

    full = False

    def __init__(self, rules: Rules, now: int) -> None:
        self.totals: Counter[str] = Counter()
        self._rules, self._now = rules, now
        self._names = names_kernel.NameTable()

    def append(self, series: Series) -> None:
        """See Sink.append."""
        name = munge(series.name)
        ladder = self._rules.ladder(self._rules.choose(name))
        oldest = tuple(self._now - level.keep for level in ladder.levels)
        placed = place(series.event, series.archives, ladder, Limits(oldest, self._now + ladder.finest.interval))
        self.totals.update({key: count for key, count in placed.refused.items() if count})
        if placed.taken:
            new = self._names.find(name) < 0
            if new:
                self._names.add(name)
            self.totals.update(counters=int(new), buckets=placed.taken, covered=placed.covered)

    def commit(self, note: Import) -> Import:
        """See Sink.commit."""
        note = replace(note, totals=dict(Counter(note.totals) + self.totals))
        self.totals.clear()
        return note


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH",
                        help="a folder or a file to import; - is CSV from the standard input")
    parser.add_argument("--store", required=True, type=Path, metavar="DIR", help="the store; made if it is missing")
    parser.add_argument("--from", choices=FORMATS, dest="format", help="what PATH holds (default: what it looks like)")
    parser.add_argument("--retention", metavar="LEVELS", help="of a new store (default 10s:10d,5m:1y9d,1h:6y12d)")
    parser.add_argument("--prefix", default="", help="put before every name, such as `graphite.`")
    parser.add_argument("--events", action="store_true", help="whisper: points are totals of events, not values")
    parser.add_argument("--interval", type=int, default=10, metavar="SECONDS",
                        help="CSV: of buckets that do not say it (default 10)")
    parser.add_argument("--dry-run", action="store_true", help="count what would be imported; write nothing")


def _import(arguments: argparse.Namespace, clock: Clock) -> None:
    sources = [_source(path, arguments, clock) for path in arguments.paths]
    if arguments.dry_run:
        state, _problem = manifest.load(arguments.store) if arguments.store.exists() else (None, "")
        trial = Trial(rules_for(state, arguments.retention), int(clock.now()))
        done = [_one(source, trial, state.imports if state else (), arguments, [], owners.Rights(None))
                for source in sources]
    else:
        guarded.check(arguments.store)
        with owners.left_to_owner(arguments.store):
            done = _all(sources, arguments, clock, owners.Rights.of_owner(arguments.store))
    _report(done, arguments)


def _all(sources: list[Source], arguments: argparse.Namespace, clock: Clock, rights: owners.Rights) -> list[Done]:
    """`rights`: those that root opens files of the store with; sources it reads with its own."""
    with rights:
        store = open_store(arguments.store, clock, arguments.retention)
    try:
        with rights:
            appender = Appender(store, clock)
        try:
            with _stoppable() as stopped:
                done = [_one(source, appender, store.files.manifest.imports, arguments, stopped, rights)
                        for source in sources]
        except BaseException:
            appender.abandon()
            raise
        with rights, Progress("merging", None, arguments.json):
            store.housekeeping.work_off()
        return done
    finally:
        with rights:
            store.close()


def _source(path: Path, arguments: argparse.Namespace, clock: Clock) -> Source:
    naming = Naming(arguments.prefix)
    if str(path) == "-":
        return _spooled(arguments, naming)
    if not path.exists():
        raise UsageError(f"there is no {path}")
    kind = arguments.format or _guess(path)
    if kind == "csv":
        return Table(path, arguments.interval, naming)
    if kind == "istatd":
        return RingTree(path, naming, now=int(clock.now()))
    if kind == "rrd":
        return RrdTree(path, naming)
    return WhisperTree(path, naming, event=arguments.events)


def _spooled(arguments: argparse.Namespace, naming: Naming) -> Source:
    """What comes on the standard input, as a file. It is known by what it holds, so that it is imported once."""
    if arguments.format not in (None, "csv"):
        raise UsageError("only CSV can be read from the standard input")
    hashed = hashlib.sha256()
    spool = tempfile.NamedTemporaryFile(prefix="istat-import-")     # it lives as long as the command  # noqa: SIM115
    while data := sys.stdin.buffer.read(1 << 20):
        hashed.update(data)
        spool.write(data)
    spool.flush()
    atexit.register(spool.close)
    return Table(Path(spool.name), arguments.interval, naming, name=hashed.hexdigest())


def _guess(path: Path) -> str:
    """What a path holds, by the first file in it that is known."""
    for found in walk(path, Problems()):
        if found.path.suffix in SUFFIXES:
            return SUFFIXES[found.path.suffix]
        with open(found.path, "rb") as file:
            if is_ring(file.read(16)):
                return "istatd"
    raise UsageError(f"{path} holds nothing that can be imported; if it does, say what it is with --from")


def _one(source: Source, sink: Sink, imports: tuple[Import, ...], arguments: argparse.Namespace,
         stopped: list[int], rights: owners.Rights) -> Done:
    """Import one source from its mark on."""
    note = noted(imports, source.key) or Import(source.key, "", "", False, 0)
    if not source.more(note):
        return Done(source, note, note)
    before, last, mark = note, time.monotonic(), note.mark
    told: Counter[str] = Counter()
    with Progress(source.key, source.size(), arguments.json) as progress:
        for series in source.series(note.mark):
            sink.append(series)
            progress.show(source.done)
            late = time.monotonic() - last >= COMMIT_SECONDS
            mark = series.mark or mark
            if series.mark and (sink.full or late or stopped):
                _add_problems(source, sink, told)
                note = replace(note, mark=mark, digest=source.digest(mark), finished=False)
                with rights:
                    note = sink.commit(note)
                last = time.monotonic()
                if stopped:
                    raise Interrupted(f"stopped; what was read of {plain(source.key)} is in the store, and the same "
                                      f"command goes on")
        _add_problems(source, sink, told)
        mark = source.last_mark(mark)
        note = replace(note, mark=mark, digest=source.digest(mark), finished=True)
        with rights:
            return Done(source, before, sink.commit(note))


def _add_problems(source: Source, sink: Sink, told: Counter[str]) -> None:
    """What could not be read stands in the note beside what was taken; `told`: what is in it already."""
    sink.totals.update(source.problems.counts - told)
    told.update(source.problems.counts - told)


@contextmanager
def _stoppable() -> Iterator[list[int]]:
    """SIGINT and SIGTERM fill the list, so that the import ends where it can be gone on with."""
    stopped: list[int] = []
    before = {number: signal.signal(number, lambda received, _frame: stopped.append(received))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _report(done: list[Done], arguments: argparse.Namespace) -> None:
    """Totals and refusals of each source."""
    if arguments.json:
        json.dump([_told(one, arguments.dry_run) for one in done], sys.stdout)
        sys.stdout.write("\n")
        return
    for one in done:
        before = one.before
        until = f"{datetime.fromtimestamp(before.saved, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if one.after is before:
            print(f"{plain(before.key)}: there is nothing new. Imported until {until}:")
        elif before.saved:
            print(f"{plain(before.key)}, beside what was imported until {until}:")
        else:
            print(f"{plain(before.key)}:{' (dry run: nothing was written)' if arguments.dry_run else ''}")
        totals = before.totals if one.after is before else one.totals
        for name in sorted({"counters", "buckets", *(name for name, count in totals.items() if count)}):
            print(f"  {name:<16} {totals.get(name, 0):>14,}")
        for text in one.source.problems.texts:
            print(f"istat: {text}", file=sys.stderr)


def _told(one: Done, dry_run: bool) -> dict[str, Any]:
    return {"source": one.before.key, "totals": one.totals, "problems": dict(one.source.problems.counts),
            "texts": one.source.problems.texts, "nothing_new": one.after is one.before,
            "before": one.before.totals, "dry_run": dry_run}


COMMAND = SubCommand(
    "Import buckets of other systems into a store that no server has open.", _arguments, _import,
    "It takes folders of istatd and of Graphite (whisper), RRD files (with rrdtool) and CSV. What was interrupted is "
    "gone on with by the same command; what is there already is not taken twice.",
    (("istat import --store /var/lib/istatd/server --dry-run /var/db/istatd", "What would come from istatd?"),
     ("istat import --store /var/lib/istatd/server --prefix graphite. /var/lib/graphite/whisper",
      "Graphite's counters, below a name of their own")),
)
