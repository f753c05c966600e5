"""Answers made of buckets: several counters on one grid (ours), or one after the other as istatd gives them.

Which level misses nothing is the store's business (Store.read); where it answers from a coarser one than was asked for,
and the cells of the grid become longer by that, the question is asked again on the new grid. Asked for by its name, a
level answers with what it has. Knows a store's interface and the reductions, no HTTP and no JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from istat.errors import BadQuery
from istat.kernels import columns
from istat.retention import Ladder, Level
from istat_server.query.levels import Reach, covering_level, fit, fit_in, level_for
from istat_server.query.reduce import Grid, normalise, to_grid
from istat_server.query.zeros import Fill, Zeros, everywhere
from istat_server.store.interface import Counter, Question, Store

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

DEFAULT_SPAN = 900  # [s] what istatd answers when no range is asked
# Stored buckets in memory for one question at a time (48 bytes each); more are read in turns, which also
# bounds how long reducing them keeps the caller's thread.
ROWS_AT_ONCE = 500_000
# The year 5138: later times are typing mistakes, or milliseconds. [s]
LATEST = 10**11
NOTHING_FOUND: Mapping[int, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Series:
    """Counters and their buckets on one grid; `missing` are the names that no counter has."""

    grid: Grid
    found: list[Counter]
    rows: list[Columns]
    missing: list[str]


@dataclass(frozen=True, slots=True)
class Buckets:
    """One counter's buckets as istatd answers them, with the range and interval that they cover."""

    start: int
    end: int
    interval: int
    rows: Columns


def _go_on() -> None:
    """What is done between two turns when the caller does not say."""


def check_range(start: int, end: int) -> None:
    """BadQuery unless 0 <= start < end and both are believable Unix seconds."""
    if not 0 <= start < end:
        raise BadQuery("the range is empty: from must be at least 0 and less than to")
    if end > LATEST:
        raise BadQuery("times are Unix seconds; this looks like milliseconds")


def series(
    store: Store, names: Sequence[str], start: int, end: int, points: int, now: int,
    between: Callable[[], None] = _go_on, named: str = "", where: ZoneInfo | None = None,
) -> Series:  # fmt: skip
    """Buckets of several counters over [start, end) on one grid of about `points` cells, whatever their ladders.

    Each counter is answered once, under its stored name. `between` is called between the turns of a long
    question; `named` is the level wanted (such as a seasonal one), and counters without it have no buckets. `where`:
    the zone whose days cells of whole days are (None: UTC).
    BadQuery for an impossible range, or when no counter has that level.
    """
    check_range(start, end)
    found: dict[int, Counter] = {}
    missing: list[str] = []
    for name in names:
        counter = store.find(name.encode())
        if counter is None:
            missing.append(name)
        else:
            found[counter.id] = counter
    counters = list(found.values())
    if named:
        grid, read = _at_level(store, counters, start, end, points, now, between, named, where)
    else:
        grid, read = _at_best(store, counters, start, end, points, now, between, where)
    return Series(grid, counters, [read[counter.id] for counter in counters], missing)


def _at_level(
    store: Store, counters: Sequence[Counter], start: int, end: int, points: int, now: int,
    between: Callable[[], None], named: str, where: ZoneInfo | None,
) -> tuple[Grid, dict[int, Columns]]:  # fmt: skip
    """The buckets of a level by its name."""
    reaches = _by_levels(store, counters)
    levels = {reach: _named_level(reach.ladder, named) for reach in reaches or [Reach(store.ladder)]}
    intervals = [reach.ladder.stored[level].interval for reach, level in levels.items() if level is not None]
    if not intervals:
        raise BadQuery(f"none of these counters has a level called {named!r}")
    grid = fit_in(intervals, start, end, points, where)
    zeros = Zeros(store, now).fill
    read: dict[int, Columns] = {}
    for reach, some in reaches.items():
        if read:
            between()
        level = levels[reach]
        if level is None:
            rows = [_no_rows() for _ in some]
        else:
            rows, _ = _read(store, some, grid, reach.ladder, level, zeros, between, exact=True)
        read.update(zip((counter.id for counter in some), rows))
    return grid, read


def _at_best(
    store: Store, counters: Sequence[Counter], start: int, end: int, points: int, now: int,
    between: Callable[[], None], where: ZoneInfo | None,
) -> tuple[Grid, dict[int, Columns]]:  # fmt: skip
    """The buckets of the finest levels that miss nothing. All are read once more where one of them makes the grid
    coarser."""
    finest: dict[int, int] = {}
    grid = fit(_by_levels(store, counters) or [Reach(store.ladder)], start, end, points, now, where)
    zeros = Zeros(store, now).fill
    while True:
        read: dict[int, Columns] = {}
        for reach, some in _by_levels(store, counters, finest).items():
            if read:
                between()
            level = level_for(reach, grid, start, now)
            rows, coarser = _read(store, some, grid, reach.ladder, level, zeros, between)
            read.update(zip((counter.id for counter in some), rows))
            finest.update(coarser)
        fitting = fit(_by_levels(store, counters, finest) or [Reach(store.ladder)], start, end, points, now, where)
        if fitting == grid:
            return grid, read
        grid = fitting
        between()


def _named_level(ladder: Ladder, name: str) -> int | None:
    return next((index for index, level in enumerate(ladder.stored) if level.name == name), None)


def _no_rows() -> Columns:
    made: Columns = columns.Columns()
    return made


def _by_levels(
    store: Store, counters: Sequence[Counter], finest: Mapping[int, int] = NOTHING_FOUND
) -> dict[Reach, list[Counter]]:
    """The counters by the levels that they have; `finest`: id -> the first of them that may be asked."""
    found: dict[Reach, list[Counter]] = {}
    for counter in counters:
        reach = Reach(store.ladder_of(counter.id), finest.get(counter.id, 0))
        found.setdefault(reach, []).append(counter)
    return found


def _read(
    store: Store, counters: Sequence[Counter], grid: Grid, ladder: Ladder, level: int, zeros: Fill,
    between: Callable[[], None], exact: bool = False,
) -> tuple[list[Columns], dict[int, int]]:  # fmt: skip
    """The buckets of counters of one ladder on a grid, read in turns of about ROWS_AT_ONCE stored buckets; and those
    that the store answered from a coarser level: id -> that level. Where its buckets do not fit into the grid's cells
    there are none."""
    stored_each = max(1, (grid.end - grid.start) // ladder.stored[level].interval)
    turn = max(1, ROWS_AT_ONCE // stored_each)
    read: list[Columns] = []
    coarser: dict[int, int] = {}
    for first in range(0, len(counters), turn):
        if first:
            between()
        some = counters[first : first + turn]
        answers = store.read(Question([counter.id for counter in some], grid.start, grid.end, level, exact))
        found: list[Columns] = []
        for counter, (used, rows) in zip(some, answers):
            interval = ladder.stored[used].interval
            if used != level:
                coarser[counter.id] = used
            if grid.start % interval or grid.end % interval:
                # istatd's rule for a single bucket can give a range that is not aligned to the level; so can zones.
                rows = rows.slice(grid.start, grid.end)
            fits = used == level or grid.divided_by(interval)
            found.append(to_grid(rows, counter.kind, grid, ladder, used) if fits else _no_rows())
        read += zeros(some, ladder, grid, found, [used for used, _ in answers])
    return read, coarser


def buckets(
    store: Store, counters: Sequence[Counter], start: int, end: int, most: int, now: int,
    between: Callable[[], None] = _go_on, trailing: bool = False,
) -> list[Buckets]:  # fmt: skip
    """istatd's answer (parts 7.4 A to D) for each counter: those of one ladder share one range, and
    one level unless it misses something.

    `most` is the number of buckets wanted; 0 is all. Empty ranges still read one bucket. BadQuery for a
    range that cannot be.
    """
    if not 0 <= start <= end:
        raise BadQuery("Start must be before stop")
    if end > LATEST:
        raise BadQuery("times are Unix seconds; this looks like milliseconds")
    read: dict[int, Buckets] = {}
    reaches = list(_by_levels(store, counters).items())
    while reaches:
        reach, some = reaches.pop()
        if read:
            between()
        ladder = reach.ladder
        index = _season_covering(ladder, start, now) if trailing else covering_level(reach, start, now)
        if index is None:
            # istatd gives the interval of its longest seasonal file, and that of a level where there is none.
            longest = max(ladder.seasons, key=lambda season: season.season, default=ladder.coarsest)
            from_, to, interval = normalise(start, end, longest.interval, most)
            read.update((counter.id, Buckets(from_, to, interval, _no_rows())) for counter in some)
            continue
        grid, last = _istatd_grid(ladder.stored[index], start, end, most)
        rows, coarser = _read(store, some, grid, ladder, index, everywhere, between)
        read.update(
            (counter.id, Buckets(grid.start, last, grid.interval, its)) for counter, its in zip(some, rows)
        )
        again = [counter for counter in some if counter.id in coarser]
        reaches += _by_levels(store, again, coarser).items()
    return [read[counter.id] for counter in counters]


def _season_covering(ladder: Ladder, start: int, now: int) -> int | None:
    """The first seasonal level whose season reaches back to `start`."""
    fitting = (index for index, season in enumerate(ladder.seasons) if season.season >= now - start)
    found = next(fitting, None)
    return None if found is None else len(ladder.levels) + found


def _istatd_grid(level: Level, start: int, end: int, most: int) -> tuple[Grid, int]:
    """istatd's cells for a range, and the end that it gives with them."""
    start, end, interval = normalise(start, end, level.interval, most)
    # At most what the level can hold: a range of years must not become a million zeros.
    return Grid(start, interval, min(max(1, (end - start) // interval), level.samples)), end


def buckets_at_most(
    store: Store, counters: Sequence[Counter], start: int, end: int, most: int, now: int, trailing: bool = False
) -> int:
    """How many buckets `buckets` may give in all, so that a caller can refuse too much beforehand."""
    total = 0
    for reach, some in _by_levels(store, counters).items():
        index = _season_covering(reach.ladder, start, now) if trailing else covering_level(reach, start, now)
        if index is not None:
            total += len(some) * _istatd_grid(reach.ladder.stored[index], start, end, most)[0].points
    return total
