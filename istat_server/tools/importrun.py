"""One pass over each source of an import: from where the last one stopped, or for what is new since it was complete."""
from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol

from istat import owners
from istat.cli import INTERRUPTED
from istat.errors import StoreError
from istat.kernels import names as names_kernel
from istat.names import WIRE_NAME_ROOM, munge
from istat.retention import Rules
from istat_server.foreign.source import Claims, Source, plain
from istat_server.store.files.manifest import Import
from istat_server.store.levels.placing import Limits, place
from istat_server.store.offline.appending import Series
from istat_server.tools.progress import Progress

# However little is read, a commit comes after this: what an interruption costs [s].
COMMIT_SECONDS = 30.0
# What is counted of what could not be read, and of what could, even if it is not taken.
UNREADABLE = ("bad_line", "damaged", "unreadable", "name_unknown")
READ = ("buckets", "covered", "from_past", "from_future", "too_coarse", "name_taken")


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

    @property
    def empty(self) -> bool:
        """Whether there was nothing at all, neither now nor before."""
        return not any(self.after.totals.values()) and not any(self.source.problems.counts.values())

    @property
    def nothing_taken(self) -> bool:
        """Whether there was something, in this run or (where there is nothing new) before, but nothing readable."""
        totals = self.before.totals if self.after is self.before else self.totals
        return any(totals.get(kind) for kind in UNREADABLE) and not any(totals.get(kind) for kind in READ)


class Sink(Protocol):
    """Where series go."""

    totals: Counter[str]

    @property
    def full(self) -> bool:
        """Whether it is time for a commit."""

    def append(self, series: Series, new_only: bool = False) -> None:
        """Take one counter's buckets; `new_only`: only what is more than there is."""

    def commit(self, note: Import) -> Import:
        """Make them live, together with the note, to whose totals it adds."""


class Trial:
    """`--dry-run`: counts what would be taken and refused, and writes nothing. What the store has it does not know."""

    full = False

    def __init__(self, rules: Rules, now: int) -> None:
        self.totals: Counter[str] = Counter()
        self._rules, self._now = rules, now
        self._names = names_kernel.NameTable()

    def append(self, series: Series, new_only: bool = False) -> None:
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


@dataclass
class Run:
    """How a command imports: where to, with whose rights, and whether it was asked to stop."""

    sink: Sink
    rights: owners.Rights
    quiet: bool = False
    stopped: list[int] = field(default_factory=list)

    def all_of(self, source: Source, imports: Iterable[Import]) -> Done:
        """Import what is left of a source. `imports`: what the store knows of earlier ones."""
        note = source.known(imports) or Import(source.key, "", "", False, 0)
        if not source.more(note):
            return Done(source, note, note)
        return _Pass(self, source, note, source.overlaps(imports)).made()


@dataclass
class _Pass:
    """One source being read. A complete one that has changed is read again from its beginning, for what is new."""

    run: Run
    source: Source
    note: Import
    new_only: bool
    _told: Counter[str] = field(default_factory=Counter)
    _claims: Claims = field(default_factory=Claims)

    def made(self) -> Done:
        run, source, before = self.run, self.source, self.note
        again = self.new_only and before.finished
        last, mark = time.monotonic(), "" if again else before.mark
        with Progress(source.key, source.size(), run.quiet) as progress:
            for series in source.series(mark):
                if self._named(series):
                    run.sink.append(series, self.new_only)
                progress.show(source.done)
                late = time.monotonic() - last >= COMMIT_SECONDS
                mark = series.mark or mark
                if series.mark and (run.sink.full or late or run.stopped):
                    if not again:
                        self.note = replace(self.note, mark=mark, digest=source.digest(mark), finished=False)
                    self._commit()
                    last = time.monotonic()
                    if run.stopped:
                        raise Interrupted(f"stopped; what was read of {plain(source.key)} is in the store, and the "
                                          f"same command goes on")
            mark = source.last_mark(mark)
            self.note = replace(self.note, mark=mark, digest=source.digest(mark), finished=True)
            self._commit()
        return Done(source, before, self.note)

    def _commit(self) -> None:
        """What could not be read stands in the note beside what was taken."""
        problems = self.source.problems.counts
        self.run.sink.totals.update(problems - self._told)
        self._told.update(problems - self._told)
        with self.run.rights:
            self.note = self.run.sink.commit(self.note)

    def _named(self, series: Series) -> bool:
        """Whether a counter has a name that it can have, and that no other one of its source has."""
        stored = munge(series.name)
        if not 0 < len(stored) <= WIRE_NAME_ROOM:
            return True                     # the store counts it
        origin, problems = series.origin, self.source.problems
        rename = f"give it another name: --rename '{origin}=NAME'"
        if b"^" in stored:
            problems.add("name_odd", f"{origin}: the caret in its name would make several of it; {rename}")
            return False
        other = self._claims.other(stored, origin, series.plainly)
        if other:
            problems.add("name_taken",
                         f"{origin} would become {stored.decode()}, as {other} did, and was not taken; {rename}")
        return not other


@contextmanager
def stoppable() -> Iterator[list[int]]:
    """SIGINT and SIGTERM fill the list, so that the import ends where it can be gone on with."""
    stopped: list[int] = []
    before = {number: signal.signal(number, lambda received, _frame: stopped.append(received))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
