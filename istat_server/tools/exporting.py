"""`istat export`: buckets of a store, or of a running server, to CSV, Parquet or istatd's ring files."""
from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from istat import owners
from istat.access import guarded
from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import BadQuery, StoreError, StoreLocked, UsageError
from istat.kernels import columns
from istat.names import stored
from istat.retention import Ladder, Level, Rule, Rules
from istat.settings.types import Duration
from istat.subcommands import SubCommand
from istat_server.foreign.writers import CsvWriter, Exported, ParquetWriter, RingWriter, Writer
from istat_server.store.files import manifest
from istat_server.store.interface import Kind, NamePattern, Syntax
from istat_server.store.offline.appending import rules_for
from istat_server.store.statstore import StatStore
from istat_server.tools.progress import Progress

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

FORMATS = ("csv", "istatd", "parquet")
NAMES_AT_ONCE = 1000
# What a server answers at once (docs/formats/http-api.md): points of a counter, and numbers in all.
POINTS, NUMBERS = 10_000, 2_000_000
STATISTICS = ("count", "sum", "min", "max", "sdev")


class Named(NamedTuple):
    """A counter, as a place tells it."""

    name: str
    event: bool
    ladder: Ladder


class Place(Protocol):
    """Where buckets are read from."""

    def counters(self, pattern: str) -> Iterator[list[Named]]:
        """The counters that fit a pattern, in portions."""

    def read(self, counters: Sequence[Named], level: int, start: int, end: int) -> list[Columns]:
        """Final rows of a level with start <= time < end, of counters of one ladder."""


class StorePlace:
    """A store folder that no server has open."""

    def __init__(self, store: StatStore, rights: owners.Rights) -> None:
        """`rights`: those that root opens the store's files with."""
        self._store, self._rights = store, rights

    def counters(self, pattern: str) -> Iterator[list[Named]]:
        """See Place.counters."""
        wanted, token, more = NamePattern(Syntax.GLOB, pattern.encode()), "", True
        while more:
            page = self._store.match(wanted, NAMES_AT_ONCE, token)
            token, more = page.token, bool(page.token)
            yield [Named(counter.name, counter.kind is Kind.EVENT, self._store.ladder_of(counter.id))
                   for counter in page.items]

    def read(self, counters: Sequence[Named], level: int, start: int, end: int) -> list[Columns]:
        """See Place.read."""
        found = [self._store.find(counter.name.encode()) for counter in counters]
        with self._rights:
            return self._store.select([counter.id for counter in found if counter is not None], level, start, end)


class ServerPlace:
    """A running server, asked over HTTP."""

    def __init__(self, url: str, now: int) -> None:
        self._client, self._now = QueryClient(url, timeout=60.0), now
        store = self._client.status().get("store", {})
        told = [one for one in store.get("policies", ()) if not one["leaving"]]
        if not isinstance(store.get("retention"), str):
            raise StoreError(f"the server at {url} does not say what it keeps")
        self._rules = Rules(Ladder.parse(store["retention"]), tuple(
            Rule(one["rule"], Ladder.parse(one["retention"])) for one in told if one["rule"]))

    def counters(self, pattern: str) -> Iterator[list[Named]]:
        """See Place.counters. Ladders are those of the rules that names fit now."""
        offset, token, more = 0, "", True
        while more:
            answer = self._client.names(pattern, NAMES_AT_ONCE, offset, token=token)
            offset += NAMES_AT_ONCE             # a server of before has no tokens
            token, more = answer.get("token", ""), answer["truncated"]
            yield [Named(counter["name"], counter["kind"] == "event",
                         self._rules.ladder(self._rules.choose(stored(counter["name"].encode()))))
                   for counter in answer["names"]]

    def read(self, counters: Sequence[Named], level: int, start: int, end: int) -> list[Columns]:
        """See Place.read. What has become too old meanwhile is left out."""
        kept = counters[0].ladder.levels[level]
        start = max(start, self._now - kept.keep + kept.interval)
        start += -start % kept.interval
        made: list[Columns] = [columns.Columns() for _ in counters]
        for first in range(start, end, POINTS * kept.interval):
            points = -(-(min(end, first + POINTS * kept.interval) - first) // kept.interval)
            turn = max(1, NUMBERS // (points * len(STATISTICS)))
            for at in range(0, len(counters), turn):
                self._ask(counters[at : at + turn], made[at : at + turn], first, points, kept)
        return made

    def _ask(self, counters: Sequence[Named], into: Sequence[Columns], start: int, points: int,
             level: Level) -> None:
        interval = level.interval
        end = start + points * interval
        answer = self._client.series([counter.name for counter in counters], start, end, points, STATISTICS, level.name)
        if answer["interval"] != interval:
            raise BadQuery(f"the server answers buckets of {answer['interval']} s where {interval} s were wanted")
        found = {series["name"]: series for series in answer["series"]}
        for counter, rows in zip(counters, into, strict=True):
            if counter.name in found:
                _add(rows, found[counter.name], answer["start"], interval, counter.event, (start, end))


def _add(rows: Columns, series: dict[str, Any], start: int, interval: int, event: bool, span: tuple[int, int]) -> None:
    """The rows of one answered series. Where no event came the server says 0, and we say nothing."""
    for at, fields in enumerate(zip(*(series[name] for name in STATISTICS))):
        count, total, low, high, sdev = fields
        time = start + at * interval
        if count and span[0] <= time < span[1] and not (event and low == high == 0):
            rows.append(time, int(count), total, sdev * sdev * (count - 1), low, high)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="*", default=["*"], metavar="PATTERN", help="names, * and ? (default all)")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--store", type=Path, metavar="DIR", help="a store that no server has open")
    place.add_argument("--server", metavar="URL", help="a running server")
    parser.add_argument("--format", choices=FORMATS, default="csv", help="default csv")
    parser.add_argument("--output", type=Path, metavar="PATH", help="a file, of istatd a folder (default: print CSV)")
    parser.add_argument("--from", dest="start", metavar="TIME", help="Unix seconds, ISO 8601, or as far back as 6h")
    parser.add_argument("--to", dest="end", metavar="TIME", help="up to then, exclusive (default now)")


def _export(arguments: argparse.Namespace, clock: Clock) -> None:
    now = int(clock.now())
    start = _time(arguments.start, now, 0)
    end = _time(arguments.end, now, now + 1)
    if start >= end:
        raise UsageError("the range is empty: --from must be before --to")
    # In a folder of another user root writes what that user may, and it is theirs.
    writing = owners.Rights.of_owner(arguments.output.absolute().parent) if arguments.output else owners.Rights(None)
    with _place(arguments, clock) as place, _writer(arguments, writing) as writer:
        with Progress("exporting", None, arguments.json or arguments.output is None) as progress:
            done = 0
            for pattern in arguments.pattern:
                for names in place.counters(pattern):
                    for counter in _exported(place, names, start, end):
                        with writing:
                            writer.write(counter)
                        done += 1
                        progress.show(done)
        with writing:
            writer.finish()
    if arguments.json:
        json.dump(dict(writer.totals), sys.stdout if arguments.output else sys.stderr)
        print(file=sys.stdout if arguments.output else sys.stderr)
    elif arguments.output:
        for name, count in sorted(writer.totals.items()):
            print(f"{name:<16} {count:>14,}")


def _exported(place: Place, named: Sequence[Named], start: int, end: int) -> Iterator[Exported]:
    """Counters with their rows, a few at a time: the levels of one can be some ten megabytes."""
    for ladder, group in groupby(named, lambda counter: counter.ladder):
        some = list(group)
        turn = max(1, NUMBERS // sum(level.samples for level in ladder.levels))
        for at in range(0, len(some), turn):
            now = some[at : at + turn]
            levels = [place.read(now, number, start - start % level.interval, end)
                      for number, level in enumerate(ladder.levels)]
            for counter, *rows in zip(now, *levels, strict=True):
                yield Exported(counter.name, counter.event, ladder, tuple(rows))


def _time(text: str | None, now: int, default: int) -> int:
    if text is None:
        return default
    for read in (_unix, lambda text: now - int(Duration().parse(text))):
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    raise UsageError(f"{text!r} is no time: write Unix seconds, 2012-01-01T08:00:00Z or 6h")


def _unix(text: str) -> int:
    """Unix seconds of a number or of ISO 8601, UTC unless it says otherwise. ValueError when it is neither."""
    try:
        return math.floor(float(text))
    except ValueError:
        when = datetime.fromisoformat(text)
        return math.floor((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


@contextmanager
def _place(arguments: argparse.Namespace, clock: Clock) -> Iterator[Place]:
    if arguments.server:
        yield ServerPlace(arguments.server, int(clock.now()))
        return
    guarded.check(arguments.store)
    rights = owners.Rights.of_owner(arguments.store)
    with rights:
        state, _problem = manifest.load(arguments.store)
    if state is None:
        raise StoreError(f"{arguments.store} holds no store")
    with owners.left_to_owner(arguments.store):     # opening and closing a store write to it
        try:
            with rights:
                store = StatStore.open(arguments.store, rules_for(state, None), clock)
        except StoreLocked as error:
            raise StoreLocked(f"{arguments.store} is in use by an istat-server: ask that one, with --server") from error
        try:
            yield StorePlace(store, rights)
        finally:
            with rights:
                store.close()


@contextmanager
def _writer(arguments: argparse.Namespace, writing: owners.Rights) -> Iterator[Writer]:
    output: Path | None = arguments.output
    if output is None:
        if arguments.format != "csv":
            raise UsageError(f"--format {arguments.format} wants --output")
        yield CsvWriter(sys.stdout)
    elif arguments.format == "csv":
        with writing:
            handle = guarded.open_file(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666, special=True)
        with open(handle, "w", newline="") as file:
            yield CsvWriter(file)
    else:
        guarded.check(output)
        with writing:
            writer = ParquetWriter(output) if arguments.format == "parquet" else RingWriter(output)
        yield writer


COMMAND = SubCommand(
    "Write buckets of a store or a server to CSV, Parquet or istatd's files.", _arguments, _export,
    "CSV and Parquet have each bucket once, at the finest level that holds it; istatd's files have every level whole. "
    "Parquet needs pyarrow.",
    (("istat export --server http://127.0.0.1:8000 --from 1d 'cpu.*' > cpu.csv", "A day of some counters, as CSV"),
     ("istat export --store /backup/istatd --format parquet --output all.parquet", "A whole store that is not in use")),
)
