"""Where an event counter has zeros: what did not come is nothing that happened only where somebody would have said so.

A zero is told from a counter's first sample on, until a while after its last one, and not where the server did not run.
Everything else is a gap. Knows a store's interface, no levels to choose from and no HTTP. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from istat.kernels import columns
from istat.retention import DAY, Ladder
from istat_server.query.levels import Reach, level_for
from istat_server.query.reduce import Grid, fine_buckets, to_grid
from istat_server.store.interface import Counter, Kind, Question, Store

if TYPE_CHECKING:
    from istat.kernels.python.columns import Columns

# How long after its last sample an event counter still counts [s]: nobody says that a sender has gone, and the slowest
# collectors send every five minutes. Then its line ends, until the next sample says that nothing happened meanwhile.
SILENCE = 300
# A gauge that the server sends itself every ten seconds: where it is missing for longer, there was no server [s].
WITNESS = b"istatd.app.uptime"
AWAY = 60
# What is named like this comes from the server itself, which is there.
OWN = "istatd."
# Most counters with samples before what was asked have one in this time before it [s]; of the others all is read.
RECENT = 30 * DAY
# Stored buckets in memory at a time, while it is looked for samples far from what was asked.
ROWS_AT_ONCE = 500_000


# Puts zeros among the rows of some counters of one ladder on a grid; the last list are the levels that they are of.
Fill = Callable[[Sequence[Counter], Ladder, Grid, Sequence["Columns"], Sequence[int]], list["Columns"]]


def everywhere(counters: Sequence[Counter], ladder: Ladder, grid: Grid, found: Sequence[Columns],
               levels: Sequence[int]) -> list[Columns]:
    """istatd's rule: its clients expect a bucket for each interval."""
    return [_with_zeros(rows, [(grid.start, grid.end)], grid, ladder, level) if counter.kind is Kind.EVENT else rows
            for counter, rows, level in zip(counters, found, levels)]


@dataclass(slots=True)
class Around:
    """What there is of a counter outside of a grid: when its last sample before it ended (None: there is none), and
    whether one came after it."""

    before: int | None = None
    after: bool = False


class Zeros:
    """The zeros of one question's event counters, asked at `now`."""

    def __init__(self, store: Store, now: int) -> None:
        self._store, self._now = store, now
        self._away: dict[Grid, list[tuple[int, int]]] = {}

    def fill(self, counters: Sequence[Counter], ladder: Ladder, grid: Grid, found: Sequence[Columns],
             levels: Sequence[int]) -> list[Columns]:
        """See Fill."""
        holed = [counter for counter, rows in zip(counters, found)
                 if counter.kind is Kind.EVENT and len(rows) < grid.points]
        around = self._around(holed, ladder, grid, dict(zip((one.id for one in counters), found)))
        return [_with_zeros(rows, self._known(counter, rows, grid, around[counter.id]), grid, ladder, level)
                if counter.id in around else rows for counter, rows, level in zip(counters, found, levels)]

    def _known(self, counter: Counter, rows: Columns, grid: Grid, around: Around) -> list[tuple[int, int]]:
        """Whole cells in which a counter would have been heard of, as (start, end)."""
        last = _ceiling(grid, rows.row(len(rows) - 1)[0] + 1) if len(rows) else around.before
        if last is None:
            return []
        begin = grid.start if around.before is not None else rows.row(0)[0]
        end = _ceiling(grid, self._now + 1)     # nothing is claimed about what is to come
        if not around.after and not counter.name.startswith(OWN):
            end = min(end, max(last, _floor(grid, last + SILENCE)))
        return list(_without(begin, end, self._outages(grid)))

    def _outages(self, grid: Grid) -> list[tuple[int, int]]:
        """Cells in which there was no server, as (start, end): between two signs of life of its own. What was before
        the first of them, as data that were imported, and what is since the last one, is taken to be fine."""
        if grid not in self._away:
            witness = self._store.find(WITNESS)
            self._away[grid] = [] if witness is None else list(self._absences(witness, grid))
        return self._away[grid]

    def _absences(self, witness: Counter, grid: Grid) -> Iterator[tuple[int, int]]:
        ladder = self._store.ladder_of(witness.id)
        level = level_for(Reach(ladder), grid, grid.start, self._now)
        ((used, rows),) = self._store.read(Question([witness.id], grid.start, grid.end, level))
        length = ladder.stored[used].interval
        coarse = not grid.divided_by(length)    # its buckets are longer than cells
        if not coarse:
            rows = to_grid(rows, witness.kind, grid, ladder, used)
        around = self._around([witness], ladder, grid, {witness.id: rows})[witness.id]
        last = around.before
        times = [int(row[0]) for row in rows.rows()] + ([grid.end] if around.after else [])
        for time in times:
            if last is not None and time - last >= AWAY:
                start, end = _ceiling(grid, last), _floor(grid, time)
                if start < end:
                    yield start, end
            last = time + length if coarse else _ceiling(grid, time + 1)

    def _around(self, counters: Sequence[Counter], ladder: Ladder, grid: Grid,
                found: dict[int, Columns]) -> dict[int, Around]:
        """By id, what there is before and after a grid; asked only where its cells there are empty."""
        around = {counter.id: Around() for counter in counters}
        early = [id for id in around if not len(found[id]) or found[id].row(0)[0] > grid.start]
        last = _floor(grid, grid.end - 1)
        late = [id for id in around if not len(found[id]) or found[id].row(len(found[id]) - 1)[0] < last]
        far = ladder.coarsest.interval      # the finest level is asked until one of the coarsest begins
        for id in around.keys() - early:
            around[id].before = grid.start
        for id, rows, length in self._read(early, ladder, 0, grid.start - far, grid.start):
            if len(rows):
                around[id].before = min(grid.start, rows.row(len(rows) - 1)[0] + length)
        coarsest = len(ladder.levels) - 1
        edge = grid.start - grid.start % far
        for back in (RECENT, ladder.coarsest.keep):
            unknown = [id for id in early if around[id].before is None]
            start = max(edge - back, self._now - ladder.coarsest.keep)
            for id, rows, length in self._read(unknown, ladder, coarsest, start, edge, True):
                if len(rows):
                    around[id].before = min(grid.start, rows.row(len(rows) - 1)[0] + length)
        if grid.end > self._now:
            return around
        for id, rows, _ in self._read(late, ladder, 0, grid.end, grid.end + far):
            around[id].after = bool(len(rows.slice(grid.end, grid.end + far)))
        unknown = [id for id in late if not around[id].after]
        for id, rows, _ in self._read(unknown, ladder, coarsest, grid.end + -grid.end % far, self._now + far, True):
            around[id].after = bool(len(rows))
        return around

    def _read(self, ids: Sequence[int], ladder: Ladder, level: int, start: int, end: int,
              exact: bool = False) -> Iterator[tuple[int, Columns, int]]:
        """Id, rows that begin in start <= time < end, and how long each of these is [s]."""
        if start >= end:
            return
        turn = max(1, ROWS_AT_ONCE // max(1, (end - start) // ladder.levels[level].interval))
        for first in range(0, len(ids), turn):
            some = ids[first:first + turn]
            for id, (used, rows) in zip(some, self._store.read(Question(some, max(0, start), end, level, exact))):
                yield id, rows.slice(max(0, start), end), ladder.stored[used].interval


def _with_zeros(rows: Columns, known: Sequence[tuple[int, int]], grid: Grid, ladder: Ladder, level: int) -> Columns:
    """Rows of a level on a grid, with zeros in the cells that are known."""
    made: Columns = columns.Columns()
    done = grid.start
    for begin, end in known:
        made.extend(rows.slice(done, begin))
        for even in grid.stretches:
            start, stop = max(begin, even.start), min(end, even.end)
            if start < stop:
                made.extend(rows.fill_zero(start, stop, even.interval, fine_buckets(even, ladder, level)))
        done = end
    made.extend(rows.slice(done, grid.end))
    return made


def _without(start: int, end: int, away: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """[start, end) less the spans of `away`, which are in order."""
    for begin, stop in away:
        if start < min(begin, end):
            yield start, min(begin, end)
        start = max(start, stop)
    if start < end:
        yield start, end


def _floor(grid: Grid, time: int) -> int:
    """The last moment until `time` at which a cell begins or ends; not outside of the grid."""
    for even in grid.stretches:
        if time < even.end:
            return even.start + max(0, (time - even.start) // even.interval) * even.interval
    return grid.end


def _ceiling(grid: Grid, time: int) -> int:
    """The first such moment from `time` on."""
    for even in grid.stretches:
        if time <= even.end:
            return even.start + max(0, -(-(time - even.start) // even.interval)) * even.interval
    return grid.end
