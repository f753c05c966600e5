"""`istat export`: buckets of a store, or of a running server, to CSV, Parquet or istatd's ring files."""
from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import BadQuery, StoreError, StoreLocked, UsageError
from istat.kernels import columns
from istat.retention import Ladder
from istat.setting_types import Duration
from istat.subcommands import SubCommand
from istat_server.foreign.writers import CsvWriter, Exported, ParquetWriter, RingWriter, Writer
from istat_server.store import manifest
from istat_server.store.interface import Kind
from istat_server.store.statstore import StatStore
from istat_server.tools.progress import Progress

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

FORMATS = ("csv", "istatd", "parquet")
NAMES_AT_ONCE = 1000
# What a server answers at once (docs/formats/http-api.md): points of a counter, and numbers in all.
POINTS, NUMBERS = 10_000, 2_000_000
STATISTICS = ("count", "sum", "min", "max", "sdev")


class Place(Protocol):
    """Where buckets are read from."""

    ladder: Ladder

    def counters(self, pattern: str) -> Iterator[list[tuple[str, bool]]]:
        """Name and whether it is an event counter, of those that fit a pattern, in portions."""

    def read(self, names: Sequence[tuple[str, bool]], level: int, start: int, end: int) -> list[Columns]:
        """Final rows of a level with start <= time < end."""


class StorePlace:
    """A store folder that no server has open."""

    def __init__(self, store: StatStore) -> None:
        self.ladder = store.ladder
        self._store = store

    def counters(self, pattern: str) -> Iterator[list[tuple[str, bool]]]:
        """See Place.counters."""
        after = -1
        while found := self._store.match(pattern.encode(), NAMES_AT_ONCE, after):
            after = found[-1].id
            yield [(counter.name, counter.kind is Kind.EVENT) for counter in found]

    def read(self, names: Sequence[tuple[str, bool]], level: int, start: int, end: int) -> list[Columns]:
        """See Place.read."""
        found = [self._store.find(name.encode()) for name, _ in names]
        return self._store.select([counter.id for counter in found if counter is not None], level, start, end)


class ServerPlace:
    """A running server, asked over HTTP."""

    def __init__(self, url: str, now: int) -> None:
        self._client, self._now = QueryClient(url, timeout=60.0), now
        retention = self._client.status().get("store", {}).get("retention")
        if not isinstance(retention, str):
            raise StoreError(f"the server at {url} does not say what it keeps")
        self.ladder = Ladder.parse(retention)

    def counters(self, pattern: str) -> Iterator[list[tuple[str, bool]]]:
        """See Place.counters."""
        offset, more = 0, True
        while more:
            answer = self._client.names(pattern, NAMES_AT_ONCE, offset)
            offset, more = offset + NAMES_AT_ONCE, answer["truncated"]
            yield [(counter["name"], counter["kind"] == "event") for counter in answer["names"]]

    def read(self, names: Sequence[tuple[str, bool]], level: int, start: int, end: int) -> list[Columns]:
        """See Place.read. What has become too old meanwhile is left out."""
        interval = self.ladder.levels[level].interval
        start = max(start, self._now - self.ladder.levels[level].keep + interval)
        start += -start % interval
        made: list[Columns] = [columns.Columns() for _ in names]
        for first in range(start, end, POINTS * interval):
            until = min(end, first + POINTS * interval)
            points = -(-(until - first) // interval)
            turn = max(1, NUMBERS // (points * len(STATISTICS)))
            for at in range(0, len(names), turn):
                self._ask(names[at : at + turn], made[at : at + turn], first, first + points * interval, interval)
        return made

    def _ask(self, names: Sequence[tuple[str, bool]], into: Sequence[Columns], start: int, end: int,
             interval: int) -> None:
        answer = self._client.series([name for name, _ in names], start, end, (end - start) // interval, STATISTICS)
        if answer["interval"] != interval:
            raise BadQuery(f"the server answers buckets of {answer['interval']} s where {interval} s were wanted")
        found = {series["name"]: series for series in answer["series"]}
        for (name, event), rows in zip(names, into, strict=True):
            if name in found:
                _add(rows, found[name], answer["start"], interval, event, (start, end))


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
    parser.add_argument("--format", choices=FORMATS, default="csv")
    parser.add_argument("--output", type=Path, metavar="PATH", help="a file, of istatd a folder (default: print CSV)")
    parser.add_argument("--from", dest="start", metavar="TIME", help="Unix seconds, ISO 8601, or as far back as 6h")
    parser.add_argument("--to", dest="end", metavar="TIME", help="up to then, exclusive (default now)")


def _export(arguments: argparse.Namespace, clock: Clock) -> None:
    now = int(clock.now())
    start = _time(arguments.start, now, 0)
    end = _time(arguments.end, now, now + 1)
    if start >= end:
        raise UsageError("the range is empty: --from must be before --to")
    with _place(arguments, clock) as place, _writer(arguments, place.ladder) as writer:
        with Progress("exporting", None, arguments.json or arguments.output is None) as progress:
            done = 0
            for pattern in arguments.pattern:
                for names in place.counters(pattern):
                    for counter in _exported(place, names, start, end):
                        writer.write(counter)
                        done += 1
                        progress.show(done)
        writer.finish()
    if arguments.json:
        json.dump(dict(writer.totals), sys.stdout if arguments.output else sys.stderr)
        print(file=sys.stdout if arguments.output else sys.stderr)
    elif arguments.output:
        for name, count in sorted(writer.totals.items()):
            print(f"{name:<16} {count:>14,}")


def _exported(place: Place, names: Sequence[tuple[str, bool]], start: int, end: int) -> Iterator[Exported]:
    """Counters with their rows, a few at a time: the levels of one can be some ten megabytes."""
    buckets = sum(level.samples for level in place.ladder.levels)
    turn = max(1, NUMBERS // buckets)
    for at in range(0, len(names), turn):
        some = names[at : at + turn]
        levels = [place.read(some, number, start - start % level.interval, end)
                  for number, level in enumerate(place.ladder.levels)]
        for (name, event), *rows in zip(some, *levels, strict=True):
            yield Exported(name, event, tuple(rows))


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
    state, _problem = manifest.load(arguments.store)
    if state is None:
        raise StoreError(f"{arguments.store} holds no store")
    try:
        store = StatStore.open(arguments.store, Ladder.parse(state.retention), clock)
    except StoreLocked as error:
        raise StoreLocked(f"{arguments.store} is in use by an istat-server: ask that one, with --server") from error
    try:
        yield StorePlace(store)
    finally:
        store.close()


@contextmanager
def _writer(arguments: argparse.Namespace, ladder: Ladder) -> Iterator[Writer]:
    if arguments.format == "csv" and arguments.output is None:
        yield CsvWriter(sys.stdout, ladder)
    elif arguments.output is None:
        raise UsageError(f"--format {arguments.format} wants --output")
    elif arguments.format == "csv":
        with open(arguments.output, "w", newline="") as file:
            yield CsvWriter(file, ladder)
    elif arguments.format == "parquet":
        yield ParquetWriter(arguments.output, ladder)
    else:
        yield RingWriter(arguments.output, ladder)


COMMAND = SubCommand("Write buckets of a store or a server to CSV, Parquet or istatd's files.", _arguments, _export)
