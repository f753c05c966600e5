"""Heat maps of files: a row for each file or group of files, a column for each page or run of pages, a cell's colour
for the share that is in memory. Makes grids of istat.pictures; knows no kind of picture and no command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

from istat.errors import IstatError
from istat.pagecache.ranges import Range, Ranges
from istat.pagecache.residency import Residency
from istat.pictures.grids import FULL, MARKED, UNKNOWN, VOID, Grid, shade

MOST = 1024                 # rows, and columns, unless others are asked for: as much as a screen shows
CELL = 8                    # [pixels]
HALF = shade(0.5)


class _File(NamedTuple):
    path: str
    pages: int
    ranges: Ranges | None       # None: unknown
    dirty: Ranges


class HeatMap:
    """Files, in the order of their rows. Those of unknown residency have a row that says so; what is no file, or could
    not be opened, has none."""

    def __init__(self) -> None:
        self._files: list[_File] = []

    def add(self, path: str, found: Residency) -> None:
        """A file whose pages, also the dirty ones, were listed."""
        if found.pages is not None:
            self._files.append(_File(path, found.pages, found.ranges, found.dirty_ranges or ()))

    def grid(self, title: str = "", rows: int = MOST, columns: int = MOST, cell: int = CELL) -> Grid:
        """The picture, of at most so many rows and columns. IstatError when there is no page to show."""
        most = max((file.pages for file in self._files), default=0)
        if not most:
            raise IstatError("there is no page to draw: none of the files is known, or all are empty")
        per_column = -(-most // columns)
        groups = list(self._groups(rows))
        made = [_row(group, -(-most // per_column), per_column) for group in groups]
        across = "page" if per_column == 1 else f"page ({per_column:,} in each column)"
        return Grid(-(-most // per_column), made, [_label(group) for group in groups], title, across, _legend(made),
                    per_column, cell)

    def _groups(self, rows: int) -> Iterator[list[_File]]:
        """The files of each row, nearly as many in all of them."""
        many = len(self._files)
        rows = min(rows, many)
        for row in range(rows):
            yield self._files[row * many // rows:(row + 1) * many // rows]


def _label(group: list[_File]) -> str:
    return group[0].path if len(group) == 1 else f"{group[0].path} +{len(group) - 1:,}"


def _row(group: list[_File], columns: int, per_column: int) -> bytes:
    """The cells of some files."""
    known = [file for file in group if file.ranges is not None]
    there = _counted(((0, file.pages - 1) for file in known if file.pages), columns, per_column)
    hidden = (file for file in group if file.ranges is None and file.pages)
    unknown = _counted(((0, file.pages - 1) for file in hidden), columns, per_column)
    resident = _counted((one for file in known for one in file.ranges or ()), columns, per_column)
    dirty = _counted((one for file in known for one in file.dirty), columns, per_column)
    return bytes(map(_cell, there, unknown, resident, dirty))


def _cell(there: int, unknown: int, resident: int, dirty: int) -> int:
    """A cell by the numbers of pages that are in it."""
    if not there:
        return UNKNOWN if unknown else VOID
    made = shade(max(resident, dirty) / there)      # what became dirty meanwhile is in memory
    return made + MARKED if dirty else made


def _counted(ranges: Iterable[Range], columns: int, per_column: int) -> list[int]:
    """How many of the pages are in each column."""
    steps, parts = [0] * (columns + 1), [0] * columns       # columns that are full from here on; pages of others
    for first, last in ranges:
        one, other = first // per_column, last // per_column
        if one == other:
            parts[one] += last - first + 1
        else:
            parts[one] += (one + 1) * per_column - first
            parts[other] += last - other * per_column + 1
            steps[one + 1] += 1
            steps[other] -= 1
    return [part + full * per_column for part, full in zip(parts, accumulate(steps))]


def _legend(rows: list[bytes]) -> list[tuple[int, str]]:
    """What the kinds of cells mean, of which there is one."""
    there = frozenset(b"".join(rows))
    words = [(0, "not in memory", {0}), (HALF, "part of it", set(range(1, FULL))), (FULL, "in memory", {FULL}),
             (MARKED + FULL, "dirty", set(range(MARKED + 1, MARKED + FULL + 1))), (UNKNOWN, "unknown", {UNKNOWN})]
    return [(code, text) for code, text, cells in words if cells & there]
