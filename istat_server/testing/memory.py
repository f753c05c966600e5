"""The model of a store: the whole contract in plain Python, in memory, nothing clever.

It says what real stores must answer, so that tests compare them with it; it serves tests of queries and of HTTP, and a
whole server. Every sample is kept as it came. It knows the interface alone: no files and no engine; it keeps
nothing after the process, and gets slow beyond some thousand counters.
"""

from __future__ import annotations

import re
from collections import Counter as Counts
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from istat.buckets import Bucket
from istat.clock import Clock, SystemClock
from istat.errors import BadQuery
from istat.kernels import lines
from istat.names import CARETS_ROOM, WIRE_NAME_ROOM, expand, munge, stored, written
from istat.retention import Ladder, Rules
from istat_server.store.interface import (
    METADATA,
    Accepted,
    Answer,
    Batch,
    Capability,
    Child,
    Counter,
    Deleted,
    Description,
    Function,
    Id,
    Kind,
    Left,
    Mark,
    Marked,
    NamePattern,
    Page,
    Question,
    Totals,
)
from istat_server.testing.samples import Samples, pooled

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

T = TypeVar("T")

KIND_OF = {code: name.lower() for name, code in lines.CODES.items()} | {lines.CODES["META"]: METADATA}
SAMPLE, EMPTY = lines.CODES["SAMPLE"], lines.CODES["EMPTY"]
KINDS = ("bad_fields", "bad_number", "not_finite", "reserved", "no_name", "name_refused", "name_too_long",
         "from_future", "from_past", "rejected", "too_coarse")
UNNAMED = ("no_name", "name_refused", "name_too_long")
MOST_COUNT = 1 << 62    # counts are less
MOST_SENDER = 255       # [bytes] of a sender's name in a mark
# The first part of a name: dots before it are its own, and those behind it where nothing follows.
PART = re.compile(rb"\.*[^.]*(?:\.+\Z)?")
TOLD = 32               # refused lines that one portion tells of


class _One(NamedTuple):
    """A sample of a line, or of a batch's row."""

    time: int
    bucket: Bucket
    interval: int = 0


class MemoryStore:
    """A store without files. `refusing` may be set, and capabilities may be taken away."""

    def __init__(self, retention: Ladder | Rules | None = None, clock: Clock | None = None,
                 max_counters: int = 10_000_000) -> None:
        self.capabilities = frozenset(Capability) - {Capability.ANCESTORS}
        self.refusing = self.read_only = ""
        self.refused = dict.fromkeys(KINDS, 0)
        self._rules = retention if isinstance(retention, Rules) else Rules(retention or Ladder.parse())
        self.ladder = self._rules.default
        self._clock, self._max = clock or SystemClock(), max_counters
        self._samples = self._lines = 0
        self._by_name: dict[bytes, Id] = {}             # of counters that can be found
        self._counters: list[Counter] = []              # by id, for ever
        self._kept: list[Samples] = []                  # of each of them
        self._deleted: dict[Id, int] = {}               # -> the number of its delete
        self._marks: dict[tuple[bytes, int], int] = {}  # the last sequence of each sender and epoch
        self.ticket = self.written = 0                  # nothing is ever to be written

    # --- samples come in ---------------------------------------------------------------------------

    def accept(self, view: memoryview, start: int, end: int) -> Accepted:
        """See Store.accept."""
        return self._lines_of(bytes(view[start:end]), int(self._clock.now()), 0)

    def prepare(self, text: bytes, clock: int, interval: int) -> Iterator[None]:
        """See Store.prepare. Nothing takes long."""
        return iter(())

    def accept_marked(self, view: memoryview, start: int, end: int, clock: int, interval: int, mark: Mark) -> Marked:
        """See Store.accept_marked."""
        if not (0 < len(mark.sender) <= MOST_SENDER and min(mark[1:]) >= 0):
            raise ValueError(f"a mark is a sender of 1 to {MOST_SENDER} bytes and two numbers")
        if self.knows(mark):
            return Marked(0, (), self.ticket)
        accepted = self._lines_of(bytes(view[start:end]), clock, interval)
        self._marks[mark[:2]] = mark.sequence
        refused = sum(left.times for left in accepted.left if left.kind != METADATA)
        return Marked(refused, accepted.left, self.ticket)

    def hurry(self) -> None:
        """See Store.hurry. There is nowhere to write to."""

    def knows(self, mark: tuple[bytes, int, int]) -> bool:
        """See Store.knows."""
        return mark[2] <= self._marks.get(mark[:2], -1)

    def last_sequence(self, sender: bytes, epoch: int) -> int:
        """See Store.last_sequence."""
        return self._marks.get((sender, epoch), 0)

    def _lines_of(self, text: bytes, now: int, interval: int) -> Accepted:
        used = text.rfind(b"\n") + 1
        left = [one for line in text[:used].split(b"\n")[:-1] for one in self._line(line, now, interval)]
        refused = [one for one in left if one.kind != METADATA]
        more = Counts(one.kind for one in refused[TOLD:])
        return Accepted(used, [one for one in left if one.kind == METADATA] + refused[:TOLD] + [
            Left(kind, b"", count) for kind, count in more.items()])

    def _line(self, line: bytes, now: int, interval: int) -> Iterator[Left]:
        """Take one line; what is to be told of it."""
        parsed = lines.parse(line)
        if parsed[0] == EMPTY:
            return
        if parsed[0] != SAMPLE:
            yield self._refuse(KIND_OF[parsed[0]], line)
            return
        _code, name, fields, time, total, sumsq, low, high, count = parsed     # type: ignore[misc]
        bucket = Bucket.from_sumsq(count, total, sumsq, low, high)
        if not bucket.finite:
            yield self._refuse("not_finite", line)
            return
        problem = self._take(name, _One(now if time is None else time, bucket, interval if fields == 7 else 0))
        if problem not in UNNAMED:
            self._lines += 1
        if problem:
            yield Left(problem, line)

    def _refuse(self, kind: str, text: bytes) -> Left:
        if kind != METADATA:
            self.refused[kind] += 1
        return Left(kind, text)

    def accept_batch(self, batch: Batch) -> Accepted:
        """See Store.accept_batch."""
        rows = list(zip(batch.names, batch.times, *batch.fields, strict=True))
        if batch.mark is not None:
            if self.knows(batch.mark):
                return Accepted(len(rows))
            self._marks[batch.mark[:2]] = batch.mark.sequence
        left = []
        for name, time, *fields in rows:
            bucket = Bucket(*fields)
            if not bucket.finite:
                problem = "not_finite"
            elif not 0 <= bucket.count < MOST_COUNT:
                problem = "bad_number"
            else:
                problem = self._take(name, _One(time, bucket, batch.interval))
                if problem in UNNAMED:
                    left.append(Left(problem, name))
                continue
            left.append(self._refuse(problem, name))
        return Accepted(len(rows), left[:TOLD])

    def add(self, wire: str, time: float | None, value: float, *rest: float) -> int:
        """One sample, for tests: a value, or sum, sum of squares, min, max and count. How many counters took it."""
        when = int(self._clock.now() if time is None else time)
        bucket = Bucket.from_sumsq(int(rest[3]), value, *rest[:3]) if rest else Bucket.of(value)
        before = self._samples
        self._take(wire.encode(), _One(when, bucket))
        return self._samples - before

    def _take(self, wire: bytes, one: _One) -> str:
        """One sample to all counters of its wire name; why that name cannot be, or a counter refused it, or ""."""
        expansion = expand(wire)
        problem = self._unnamed(wire, expansion.names)
        if problem:
            return self._refuse(problem, wire).kind
        for name in expansion.names:
            kept = self._kept[self._by_name[name]] if name in self._by_name else self._samples_of(name, expansion.event)
            refusal = kept.take(one.time, one.bucket, one.interval, int(self._clock.now()))
            if refusal:
                problem = self._refuse(refusal, wire).kind
            else:
                self._add(name, expansion.event, kept)      # what is refused makes no counter
                self._samples += 1
        return problem

    def _unnamed(self, wire: bytes, names: Sequence[bytes]) -> str:
        """Why a wire name, which means these names, can have no counters, or ""."""
        if len(wire) > WIRE_NAME_ROOM or wire.count(b"^") > CARETS_ROOM:
            return "name_too_long"
        if not names:
            return "no_name"
        if len(self._by_name) + sum(name not in self._by_name for name in names) > self._max:
            return "name_refused"
        return ""

    def create(self, name: bytes, event: bool) -> Counter:
        """The counter of a stored name; the kind counts only when it is new."""
        return self._add(name, event, self._samples_of(name, event))

    def _samples_of(self, name: bytes, event: bool) -> Samples:
        return Samples(event, self._rules.ladder(self._rules.choose(name)))

    def _add(self, name: bytes, event: bool, kept: Samples) -> Counter:
        if name not in self._by_name:
            id = self._by_name[name] = len(self._counters)
            self._counters.append(Counter(id, written(name).decode(), Kind.EVENT if event else Kind.GAUGE))
            self._kept.append(kept)
        return self._counters[self._by_name[name]]

    def totals(self) -> Totals:
        """See Store.totals."""
        return Totals(self._samples, self._lines, dict(self.refused))

    # --- names -------------------------------------------------------------------------------------

    def find(self, name: bytes) -> Counter | None:
        """See Store.find."""
        id = self._by_name.get(stored(name))
        return None if id is None else self._counters[id]

    def counter(self, id: Id) -> Counter:
        """See Store.counter."""
        return self._counters[id]

    def ladder_of(self, id: Id) -> Ladder:
        """See Store.ladder_of."""
        return self._kept[id].ladder

    def count(self) -> int:
        """See Store.count."""
        return len(self._by_name)

    def describe(self, ids: Sequence[Id]) -> list[Description]:
        """See Store.describe."""
        return [Description(self._counters[id], self._kept[id].ladder, *self._kept[id].ends(int(self._clock.now())))
                for id in ids]

    def match(self, pattern: NamePattern, limit: int, token: str = "") -> Page[Counter]:
        """See Store.match: by id."""
        fits = pattern.compiled().fits
        found = sorted(id for name, id in self._by_name.items() if fits(name))
        return _page("match", [(f"{id:010}", self._counters[id]) for id in found], limit, token)

    def search(self, words: Sequence[bytes], limit: int, token: str = "") -> Page[Counter]:
        """See Store.search."""
        wanted = [munge(word) for word in words]
        found = [self._counters[id] for name, id in self._by_name.items() if all(word in name for word in wanted)]
        ranked = sorted((f"{len(one.name):04}{one.name}", one) for one in found)
        return _page("search", ranked, limit, token)

    def children(self, prefix: bytes, limit: int, token: str = "") -> Page[Child]:
        """See Store.children."""
        stem = prefix + b"." if prefix else b""
        found: dict[bytes, Child] = {}
        for name, id in self._by_name.items():
            rest = name[len(stem):]
            if name.startswith(stem) and (not stem or rest.strip(b".")):
                label = PART.match(rest)[0]     # type: ignore[index]
                told = written(stem + label).decode()
                before = found.get(label) or Child(told[len(written(stem)):], told, None, False)
                here = label == rest
                found[label] = replace(before, counter=self._counters[id]) if here else replace(before, branches=True)
        rows = [(label.decode(), child) for label, child in sorted(found.items())]
        return _page("children", rows, limit, token)

    # --- buckets -----------------------------------------------------------------------------------

    def read(self, question: Question) -> list[Answer]:
        """See Store.read."""
        return [self._kept[id].read(question, int(self._clock.now())) for id in question.ids]

    def select(self, ids: Sequence[Id], level: int, start: int, end: int) -> list[Columns]:
        """Rows of a level and no other, start <= time < end, for tests that compare."""
        question = Question(ids, start, end, level, exact=True)
        return [answer.rows.slice(start, end) for answer in self.read(question)]

    def combine(self, question: Question, groups: Sequence[Sequence[Id]], function: Function) -> list[Answer]:
        """See Store.combine."""
        if not set(question.ids).issuperset(id for group in groups for id in group):
            raise ValueError("a group has counters that the question does not name")
        return [self._combined(replace(question, ids=group)) for group in groups]

    def _combined(self, question: Question) -> Answer:
        answers = self.read(question)
        level = max((answer.level for answer in answers), default=question.level)
        if level > question.level:
            return self._combined(replace(question, level=level))
        return Answer(level, pooled([self._kept[id] for id in question.ids], [one.rows for one in answers], level))

    # --- changes -----------------------------------------------------------------------------------

    def delete(self, ids: Sequence[Id]) -> int:
        """See Store.delete."""
        there = [id for id in dict.fromkeys(ids) if self._by_name.get(self._name(id)) == id]
        number = max(int(self._clock.now()), 1 + max(self._deleted.values(), default=0))
        for id in there:
            del self._by_name[self._name(id)]
            self._deleted[id] = number
        return len(there)

    def _name(self, id: Id) -> bytes:
        return stored(self._counters[id].name.encode())

    def undelete(self, ids: Sequence[Id]) -> list[Deleted]:
        """See Store.undelete."""
        refused = []
        for id in ids:
            problem = self._undo_problem(id)
            if problem:
                refused.append(Deleted(self._counters[id], self._deleted.get(id, 0), problem))
            else:
                self._by_name[self._name(id)] = id
                del self._deleted[id]
        return refused

    def _undo_problem(self, id: Id) -> str:
        if id not in self._deleted:
            return "it is not deleted"
        return "its name was taken by a counter that came since" if self._name(id) in self._by_name else ""

    def deleted(self, pattern: NamePattern, limit: int, behind: tuple[int, Id] | None = None) -> list[Deleted]:
        """See Store.deleted."""
        fits = pattern.compiled().fits
        last = None if behind is None else (-behind[0], behind[1])
        ordered = sorted((-number, id) for id, number in self._deleted.items() if fits(self._name(id)))
        return list(self._gone(id for number, id in ordered if last is None or (number, id) > last))[:limit]

    def deleted_called(self, names: Collection[bytes]) -> list[Deleted]:
        """See Store.deleted_called."""
        last = {self._name(id): id for id in self._deleted}
        return list(self._gone(last[name] for name in names if name in last))

    def _gone(self, ids: Iterable[Id]) -> Iterator[Deleted]:
        return (Deleted(self._counters[id], self._deleted[id], self._undo_problem(id)) for id in ids)

    def rename(self, pairs: Sequence[tuple[Id, bytes]]) -> None:
        """See Store.rename."""
        for problem in self.rename_problems(pairs):
            raise BadQuery(problem, 409)
        for id, name in pairs:
            del self._by_name[self._name(id)]
            self._by_name[name] = id
            self._counters[id] = replace(self._counters[id], name=written(name).decode())

    def rename_problems(self, pairs: Sequence[tuple[Id, bytes]]) -> Iterator[str]:
        """See Store.rename_problems."""
        wanted = [name for _id, name in pairs]
        for _id, name in pairs:
            if name in self._by_name or wanted.count(name) > 1:
                yield f"there is a counter {name.decode('ascii', 'replace')} already"
            elif not name or munge(name) != name or len(name) > WIRE_NAME_ROOM:
                yield f"{name.decode('ascii', 'replace')!r} is no stored name"

    def confirm_clock(self) -> str:
        """See Store.confirm_clock. Nothing is removed here, so nothing is doubted."""
        return ""

    # --- life --------------------------------------------------------------------------------------

    def status(self) -> dict[str, object]:
        """See Store.status."""
        rules = [{"number": number, "rule": rule.pattern, "retention": rule.ladder.text, "leaving": False}
                 for number, rule in enumerate(self._rules.rules, 1)]
        return {"kind": "memory", "retention": self.ladder.text, "policies": rules, "counters": self.count(),
                "ids": len(self._counters), "refusing": self.refusing}

    def tick(self) -> None:
        """See Store.tick. Nothing goes by itself."""

    def flush(self) -> None:
        """See Store.flush. There is nowhere to write to."""

    def close(self) -> None:
        """See Store.close."""


def _page(kind: str, found: Sequence[tuple[str, T]], limit: int, token: str) -> Page[T]:
    """A page of (place, item) in order of places; tokens hold the last place."""
    told, _colon, place = token.partition(":")
    if token and told != kind:
        raise BadQuery("this token is of no list like this one; ask for the first page without any")
    left = [(where, item) for where, item in found if not token or where > place]
    more = f"{kind}:{left[limit - 1][0]}" if len(left) > limit else ""
    return Page([item for _where, item in left[:limit]], more)
