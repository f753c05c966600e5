"""`istat fincore --watch`, `--save`, `--diff` and `--restore`: what is in memory now and at another time."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from istat.cli.pagecache import choosing, tables
from istat.cli.pagecache.choosing import Ending
from istat.cli.pagecache.fincore import rows
from istat.cli.pagecache.tables import Column
from istat.clock import Clock
from istat.errors import IstatError, UsageError
from istat.pagecache import ranges as page_ranges
from istat.pagecache.fleets import snapshots
from istat.pagecache.fleets.snapshots import Change, Entry, Snapshot
from istat.pagecache.ranges import Ranges
from istat.pagecache.scanning import Found

SHORTEST = 0.05         # [s] between two looks: less would only measure the looking
LONGEST = 366 * 86400   # [s] the same: no clock of a system counts for ever
WIDEST = 60             # columns that are kept free for a file's name, at most
GONE = "gone"           # the state of a file that is there no more
CHANGES = (Column("FILE", "path", "name"), Column("RES", "resident"), Column("+PAGES", "came"),
           Column("-PAGES", "went"), Column("CHURN", "churn", "share"), Column("CAME", "came_ranges", "ranges"),
           Column("WENT", "went_ranges", "ranges"), Column("STATE", "state", "text"))
TIME = Column("TIME", "time", "time")
SAVED = (Column("FILES", "files"), Column("PAGES", "pages"))


def save(arguments: argparse.Namespace, ending: Ending, clock: Clock) -> None:
    """Keep what is in memory."""
    def entries() -> Iterator[Entry]:
        for one in rows.scan(arguments, ending, pages=True):
            if one.residency.ranges is not None and one.residency.size is not None:
                yield Entry(one.path, one.residency.size, one.residency.ranges)

    _print_one(arguments, SAVED, snapshots.save(arguments.save, entries(), clock.now()))


def restore(arguments: argparse.Namespace, ending: Ending) -> None:
    """Let the kernel read what was in memory; it goes on reading when the command has ended."""
    files = pages = 0
    for entry in _meant(snapshots.load(arguments.restore), _names(arguments)):
        try:
            pages += snapshots.restore(entry)
            files += 1
        except OSError as error:
            ending.fail(entry.path, error.strerror or str(error))
    _print_one(arguments, SAVED, (files, pages))


def diff(arguments: argparse.Namespace, ending: Ending) -> None:
    """Print what came and went since a snapshot."""
    snapshot = snapshots.load(arguments.diff)
    names = _names(arguments)
    meant = {entry.path: entry.ranges for entry in _meant(snapshot, names)}
    looked_at = [path for path in meant if os.path.lexists(path)] if names is None else names
    changes = Changes(arguments)
    changed = list(changes.all(meant, rows.scan(arguments, ending, pages=True, names=iter(looked_at))))
    if arguments.json:
        _print_json({"since": snapshot.time, **changes.sums(), **_objects(arguments, changed)})
    else:
        bare = arguments.noheadings or arguments.csv or arguments.jsonl
        _print_rows(arguments, _columns(arguments), _shown(arguments, changed, () if bare else changes.total()))


def watch(arguments: argparse.Namespace, ending: Ending, clock: Clock) -> None:
    """Look again and again, and print what came and went. Ctrl-C ends it, which is no failure."""
    if not SHORTEST <= arguments.watch <= LONGEST:
        raise UsageError(f"--watch is a time from {SHORTEST} s to a year")
    names = list(choosing.names(arguments))     # a list that is read once
    before = _ranges(arguments, ending, names)
    try:
        for place in itertools.count() if arguments.count is None else range(arguments.count):
            time.sleep(arguments.watch)
            changes = Changes(arguments)
            changed = list(changes.all(before, _looked(arguments, names)))
            _print_round(arguments, changes, changed, clock.now(), first=not place)
            before = changes.now
    except KeyboardInterrupt:
        return


class Changes:
    """What came and went of files, one after the other, and in all."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._all, self._totals_only = arguments.verbose, arguments.total
        self.now: dict[str, Ranges] = {}
        self._came = self._went = self._stayed = 0

    def all(self, before: dict[str, Ranges], found: Iterable[Found]) -> Iterator[list[Any]]:
        """Rows of CHANGES, of files that changed."""
        seen = set()
        for one in found:
            path = os.path.abspath(one.path)
            seen.add(path)
            if one.residency.ranges is not None:
                self.now[path] = one.residency.ranges
                yield from self._row(snapshots.change(path, before.get(path, ()), one.residency.ranges),
                                     one.residency.state)
        for path, ranges in before.items():
            if path not in seen and not os.path.lexists(path):
                yield from self._row(snapshots.change(path, ranges, ()), GONE)

    def _row(self, one: Change, state: str) -> Iterator[list[Any]]:
        came, went = page_ranges.count(one.came), page_ranges.count(one.went)
        self._came, self._went, self._stayed = self._came + came, self._went + went, self._stayed + one.stayed
        if came or went or self._all:
            yield [one.path, one.stayed + came, came, went, one.churn, one.came, one.went, state]

    def sums(self) -> dict[str, Any]:
        """Of all files."""
        moved = self._came + self._went
        return {"resident": self._came + self._stayed, "came": self._came, "went": self._went,
                "churn": moved / (moved + self._stayed) if moved else 0.0}

    def widths(self) -> dict[str, int]:
        """Of columns, so that rounds of a watch stand below each other though each has other files."""
        longest = 0 if self._totals_only else max(map(len, self.now), default=0)
        return {"FILE": min(longest, WIDEST), "RES": len(str(self._came + self._stayed))}

    def total(self) -> list[list[Any]]:
        """The last row."""
        return [["total", *self.sums().values(), None, None, None]]


def _ranges(arguments: argparse.Namespace, ending: Ending, names: list[str]) -> dict[str, Ranges]:
    return {os.path.abspath(one.path): one.residency.ranges
            for one in rows.scan(arguments, ending, pages=True, names=iter(names)) if one.residency.ranges is not None}


def _looked(arguments: argparse.Namespace, names: list[str]) -> Iterator[Found]:
    """The files once more. Who fails was told the first time."""
    quiet = argparse.Namespace(**{**vars(arguments), "quiet": True, "verbose": False})
    return rows.scan(arguments, Ending(quiet), pages=True, names=iter(names))


def _columns(arguments: argparse.Namespace) -> list[Column]:
    return [column for column in CHANGES if arguments.pages or column.kind != "ranges"]


def _shown(arguments: argparse.Namespace, changed: list[list[Any]], last: Iterable[list[Any]]) -> list[list[Any]]:
    """Rows of files and of the total, or the latter only."""
    return [*last] if arguments.total else [*changed, *last]


def _objects(arguments: argparse.Namespace, changed: Iterable[list[Any]]) -> dict[str, list[dict[str, Any]]]:
    """`"files": [...]`; nothing with --total."""
    if arguments.total:
        return {}
    columns = _columns(arguments)
    places = [CHANGES.index(column) for column in columns]
    return {"files": [tables.as_json(columns, [row[place] for place in places]) for row in changed]}


def _print_round(arguments: argparse.Namespace, changes: Changes, changed: list[list[Any]], now: float,
                 first: bool) -> None:
    if arguments.json or arguments.jsonl:
        _print_json({"time": now, **changes.sums(), **_objects(arguments, changed)})
        return
    again = argparse.Namespace(**{**vars(arguments), "noheadings": arguments.noheadings or not first})
    shown = _shown(arguments, changed, changes.total())
    _print_rows(again, [TIME, *_columns(arguments)], [[*row, now] for row in shown], changes.widths())
    sys.stdout.flush()


def _print_rows(arguments: argparse.Namespace, columns: list[Column], full: Iterable[list[Any]],
                least: Mapping[str, int] = MappingProxyType({})) -> None:
    """Those columns of rows that have all of CHANGES, and behind these the time. `least`: as of tables.write."""
    places = [(*CHANGES, TIME).index(column) for column in columns]
    tables.write(arguments, columns, ([row[place] for place in places] for row in full), least)


def _print_json(value: dict[str, Any]) -> None:
    print(json.dumps(value), flush=True)


def _print_one(arguments: argparse.Namespace, columns: tuple[Column, ...], row: Iterable[Any]) -> None:
    if arguments.json:
        _print_json(tables.as_json(columns, list(row)))
    else:
        tables.write(arguments, columns, [list(row)])


def _names(arguments: argparse.Namespace) -> list[str] | None:
    """The names that are given; None without."""
    return list(choosing.names(arguments)) if arguments.names or arguments.files_from is not None else None


def _meant(snapshot: Snapshot, names: list[str] | None) -> Iterator[Entry]:
    """The files of a snapshot, those with the names or below the folders that are given. IstatError for none."""
    tops = None if names is None else {os.path.abspath(name) for name in names}
    found = False
    for entry in snapshot.entries():
        if tops is None or not tops.isdisjoint((entry.path, *map(str, Path(entry.path).parents))):
            found = True
            yield entry
    if tops is not None and not found:
        raise IstatError("the snapshot has no file of these names, nor one in a folder of these names")
