"""Rows of `istat fincore`: which files it shows, what of each, in which order. Prints nothing."""

from __future__ import annotations

import argparse
import heapq
from collections.abc import Iterator
from functools import partial
from typing import Any

from istat.cli.pagecache import choosing
from istat.cli.pagecache.choosing import Ending
from istat.cli.pagecache.tables import Column
from istat.errors import LayoutError, UsageError
from istat.pagecache import scanning
from istat.pagecache.fleets import peeking
from istat.pagecache.fleets.distribution import Totals
from istat.pagecache.layouts import Layout
from istat.pagecache.residency import Residency
from istat.pagecache.scanning import Found
from istat.pagecache.syscalls import PAGE

COLUMNS = (
    Column("FILE", "path", "name"), Column("SIZE", "size", "bytes"), Column("TOTAL", "pages"),
    Column("RES", "resident"), Column("RESB", "resident_bytes", "bytes"), Column("PCT", "share", "share"),
    Column("DIRTY", "dirty"), Column("WB", "writeback"), Column("EVICTED", "evicted"),
    Column("RECENT", "recently_evicted"), Column("RANGES", "ranges", "ranges"), Column("PARTS", "parts", "text"),
    Column("BACKEND", "backend", "text"), Column("STATE", "state", "text"))
LISTED = ("RANGES", "PARTS")        # columns that are there only when pages are listed; the second of a layout


def columns(arguments: argparse.Namespace) -> list[Column]:
    """Those of a row."""
    without = {"RANGES": not arguments.pages, "PARTS": not (arguments.pages and arguments.layout)}
    return [column for column in COLUMNS if not without.get(column.name, False)]


def scan(arguments: argparse.Namespace, ending: Ending, pages: bool = False, dirty_pages: bool = False,
         names: Iterator[str] | None = None) -> Iterator[Found]:
    """The files that the options choose, counted. `ending` hears of all."""
    found = scanning.scan(choosing.names(arguments) if names is None else names, arguments.jobs,
                          choosing.selection(arguments), pages, arguments.range, arguments.backend, dirty_pages)
    least = max(arguments.min_pages, int(arguments.cached))
    for one in found:
        ending.see(one.path, one.residency)
        # What is unknown may well be in memory: it is not hidden.
        if one.residency.resident is None or one.residency.resident >= least:
            yield one


def arranged(found: Iterator[Found], arguments: argparse.Namespace) -> Iterator[Found]:
    """The order that --sort wants, and no more than --top; as they come without both."""
    if arguments.sort is None and arguments.top is None:
        return found
    key = partial(_rank, sorting(arguments))
    return iter(sorted(found, key=key) if arguments.top is None else heapq.nsmallest(arguments.top, found, key=key))


def sorting(arguments: argparse.Namespace) -> int:
    """The place in COLUMNS of the column to sort by. UsageError when there is none of that name."""
    wanted = (arguments.sort or "RES").upper()
    for place, column in enumerate(COLUMNS):
        if column.name == wanted and wanted not in LISTED:
            return place
    known = ", ".join(column.name for column in COLUMNS if column.name not in LISTED)
    raise UsageError(f"--sort {arguments.sort}: there is no such column to sort by; there are: {known}")


def _rank(place: int, one: Found) -> tuple[bool, Any, str]:
    """Numbers from the largest down, names and texts from the first on, what is unknown last."""
    value = row(one)[place]
    if value is None:
        return True, 0, one.path
    return False, value if COLUMNS[place].left else -value, one.path


def row(one: Found, parts: str | None = None) -> list[Any]:
    """All columns of a file."""
    found = one.residency
    size, share = None, None
    if found.resident is not None and found.pages is not None:
        size = found.resident * PAGE
        share = found.resident / found.pages if found.pages else None
    return [one.path, found.size, found.pages, found.resident, size, share, found.dirty, found.writeback,
            found.evicted, found.recently_evicted, found.ranges, parts, found.backend, found.state]


class Parts:
    """Names what is on a file's resident pages, by the layout that --layout gives; without it, nothing."""

    def __init__(self, layout: str | None) -> None:
        self._wanted = layout is not None
        self._given = peeking.given(layout) if layout is not None else None

    def layout(self, one: Found) -> Layout | None:
        """A file's layout; None when it is not of that kind, or its pages are not known."""
        if not self._wanted or one.residency.ranges is None:
            return None
        if self._given is not None:
            return self._given
        try:
            return peeking.layout_of(one.path, one.residency.ranges)
        except (LayoutError, OSError):
            return None

    def text(self, one: Found) -> str | None:
        """The names."""
        layout = self.layout(one)
        return None if layout is None else ", ".join(peeking.parts(layout, one.residency.ranges or ()))


TOTALS = (
    Column("FILES", "files"), Column("SIZE", "size", "bytes"), Column("TOTAL", "pages"), Column("RES", "resident"),
    Column("RESB", "resident_bytes", "bytes"), Column("PCT", "share", "share"), Column("DIRTY", "dirty"),
    Column("WB", "writeback"), Column("EVICTED", "evicted"), Column("RECENT", "recently_evicted"),
    Column("KNOWN", "known"), Column("UNKNOWN", "unknown"), Column("FAILED", "failed"), Column("SPECIAL", "special"),
    Column("EMPTY", "empty"), Column("CHANGED", "changed"))


def totals_row(totals: Totals) -> list[Any]:
    """All columns of TOTALS."""
    return [getattr(totals, column.key) for column in TOTALS]


def total_as_row(totals: Totals, backend: str | None = None) -> list[Any]:
    """The last row of a table of files."""
    sums = Residency(totals.size, totals.pages, totals.resident, totals.dirty, totals.writeback, totals.evicted,
                     totals.recently_evicted, None, "", backend)
    return row(Found(f"total of {totals.known:,} file{'s' * (totals.known != 1)}", sums, None))
