"""`istat fincore FILE...`: which pages of files are in memory. Nothing of them is read."""

from __future__ import annotations

import argparse
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from istat.cli.pagecache import choosing, tables
from istat.cli.pagecache.choosing import Ending
from istat.cli.pagecache.fincore import comparing, picturing, rows
from istat.cli.pagecache.fincore.rows import Parts
from istat.cli.pagecache.tables import Column
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.fleets import heatmap
from istat.pagecache.fleets.distribution import ByPage, Histogram, Totals
from istat.pagecache.layouts import Layout
from istat.pagecache.residency import AUTO, BACKENDS, CACHESTAT
from istat.pagecache.scanning import Found
from istat.pagecache.syscalls import PAGE
from istat.subcommands import SubCommand

VERSION = 1             # of the JSON
HISTOGRAM = (Column("PAGES", "pages"), Column("FILES", "files"), Column("SHARE", "share", "share"),
             Column("CUM_SHARE", "cumulative_share", "share"))
BY_PAGE = (Column("PAGE", "pages", "ranges"), Column("FILES", "files"), Column("OF", "of"),
           Column("SHARE", "share", "share"), Column("PARTS", "parts", "text"))
# What is done instead of printing a row for each file: only one of these at a time.
MODES = ("hist", "by_page", "heatmap", "watch", "save", "diff", "restore")
LISTING = ("by_page", "heatmap", "watch", "save", "diff")      # what needs lists of pages
WHOLE = ("by_page", "heatmap", "save", "diff", "restore")       # what is about whole files
FILES = "files"         # the mode without any of MODES: a row for each file
# Options that only some modes heed. JSON of --hist and --by-page has the files, too.
HEEDED = {"rows": ("heatmap",), "cols": ("heatmap",), "count": ("watch",), "top": (FILES, "heatmap"),
          "sort": (FILES, "heatmap"), "total": (FILES, "watch", "diff")}


def _arguments(command: argparse.ArgumentParser) -> None:
    choosing.takes_files(command, "; with --diff and --restore all files of the snapshot without it")
    tables.takes_output(command)
    add = command.add_argument
    add("--backend", choices=BACKENDS, default=AUTO, help="who counts: cachestat(2), or mincore(2) where the kernel "
        "has none (auto, the default)")
    add("-p", "--pages", action="store_true", help="list the pages that are in memory")
    add("--cached", action="store_true", help="only files of which something is in memory")
    add("--min-pages", type=int, default=0, metavar="N", help="only files with so many pages in memory")
    add("--sort", metavar="COL", help="by this column, the largest first")
    add("--top", type=int, metavar="N", help="only so many files, those with the most pages in memory unless --sort "
        "says otherwise")
    add("--total", action="store_true", help="print the totals only, also of --diff and --watch")
    add("--hist", action="store_true", help="print how many files have how many pages in memory")
    add("--by-page", action="store_true", help="print of each page number how many files have it in memory")
    add("--layout", metavar="KIND", help="name the parts of a file that pages belong to: rrd or statfile (by each "
        "file's header), or a layout such as mrtg")
    add("--heatmap", metavar="OUT", help="draw pages as cells: to a file .svg, .png (cells only, without "
        "names, numbers and legend), or - for the terminal")
    add("--rows", type=int, metavar="N", help=f"of the picture, at most (default {heatmap.MOST}); more files than that "
        "share rows")
    add("--cols", type=int, metavar="N", help="of the picture, at most (default as many, or as the terminal has)")
    add("--cell", type=int, default=heatmap.CELL, metavar="N", help=f"pixels of a cell (default {heatmap.CELL})")
    add("--watch", type=float, metavar="SEC", help="look again every so many seconds, print what came and went")
    add("--count", type=int, metavar="N", help="so many times (default until Ctrl-C)")
    add("--save", metavar="SNAP", help="keep in this file which pages are in memory (packed when it ends with .gz)")
    add("--diff", metavar="SNAP", help="print what came and went since it was saved; CHURN: per cent of "
        "the pages in memory then or now that did either")
    add("--restore", metavar="SNAP", help="let the kernel read what was in memory when it was saved")


def _fincore(arguments: argparse.Namespace, clock: Clock) -> None:
    _check(arguments)
    ending = Ending(arguments)
    if arguments.heatmap is not None:
        picturing.draw(arguments, ending)
    elif arguments.watch is not None:
        comparing.watch(arguments, ending, clock)
    elif arguments.save is not None:
        comparing.save(arguments, ending, clock)
    elif arguments.diff is not None:
        comparing.diff(arguments, ending)
    elif arguments.restore is not None:
        comparing.restore(arguments, ending)
    elif arguments.json:
        _document(arguments, ending, clock)
    else:
        _tables(arguments, ending)
    ending.end(found=arguments.diff is None and arguments.restore is None)


def _check(arguments: argparse.Namespace) -> None:
    """UsageError where options contradict each other, or are for nothing."""
    tables.check(arguments)
    wanted = [] if arguments.output is None else [name.strip().upper() for name in arguments.output.split(",")]
    if "PARTS" in wanted and arguments.layout is None:
        raise UsageError("-o PARTS: which parts there are, --layout tells")
    arguments.pages = arguments.pages or not {"RANGES", "PARTS"}.isdisjoint(wanted) and not arguments.by_page
    given = [_option(mode) for mode in MODES if _said(arguments, mode)]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} are different things: choose one")
    if arguments.range is not None and given and given[0] in map(_option, WHOLE):
        raise UsageError(f"{given[0]} is about whole files: leave --range out")
    if arguments.backend == CACHESTAT and _lists(arguments):
        raise UsageError("cachestat counts pages, and does not list them: leave --backend out, mincore lists them then")
    for name in ("top", "rows", "cols", "cell", "count"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UsageError(f"{_option(name)} is a number from 1 on")
    if arguments.layout is not None and not (arguments.pages or arguments.by_page):
        raise UsageError("--layout names parts of pages: with --pages or --by-page")
    if arguments.sort is not None:
        rows.sorting(arguments)
    _check_heeded(arguments)


def _check_heeded(arguments: argparse.Namespace) -> None:
    """UsageError for an option that would change nothing."""
    mode = next((mode for mode in MODES if _said(arguments, mode)), FILES)
    if arguments.json and mode in ("hist", "by_page"):
        mode = FILES
    for name, heeded in HEEDED.items():
        if _said(arguments, name) and mode not in heeded:
            places = [_option(one) for one in heeded if one != FILES] + ["a row for each file"] * (FILES in heeded)
            raise UsageError(f"{_option(name)} is of no use here: it is for {' and '.join(places)}")


def _said(arguments: argparse.Namespace, name: str) -> bool:
    return getattr(arguments, name) not in (None, False)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _lists(arguments: argparse.Namespace) -> bool:
    """Whether pages have to be listed."""
    return bool(arguments.pages or any(_said(arguments, mode) for mode in LISTING))


class Gathering:
    """What all files are like together, summed up as they pass by."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.totals, self.histogram, self.shares = Totals(), Histogram(), ByPage()
        self.layout: Layout | None = None       # of the first file that has one
        self._parts = Parts(arguments.layout) if arguments.by_page and arguments.layout else None

    def passing(self, found: Iterable[Found]) -> Iterator[Found]:
        """The files, summed up."""
        for one in found:
            self.totals.add(one.residency)
            self.histogram.add(one.residency)
            self.shares.add(one.residency)
            if self._parts is not None and self.layout is None:
                self.layout = self._parts.layout(one)
            yield one

    def by_page(self) -> Iterator[list[Any]]:
        """Rows of BY_PAGE; pages of other parts are rows of their own."""
        layout = self.layout
        for one in self.shares.shares():
            runs = [(one.first, one.last, None)] if layout is None else _runs(layout, one.first, one.last)
            for first, last, names in runs:
                yield [((first, last),), one.files, one.of, one.share, names]


def _runs(layout: Layout, first: int, last: int) -> Iterator[tuple[int, int, str | None]]:
    """Pages first..last as runs of those that the same parts are on."""
    start, names = first, layout.names(first, PAGE)
    for page in range(first + 1, min(last, layout.pages(PAGE)) + 1):
        found = layout.names(page, PAGE)
        if found != names:
            yield start, page - 1, ", ".join(names)
            start, names = page, found
    yield start, last, ", ".join(names)


def _tables(arguments: argparse.Namespace, ending: Ending) -> None:
    """Text, CSV, lines of JSON."""
    gathered = Gathering(arguments)
    found = gathered.passing(rows.scan(arguments, ending, pages=_lists(arguments)))
    if not (arguments.total or arguments.hist or arguments.by_page):
        _files(arguments, gathered, found)
        return
    deque(found, maxlen=0)
    if arguments.total:
        tables.write(arguments, rows.TOTALS, [rows.totals_row(gathered.totals)])
    elif arguments.hist:
        tables.write(arguments, HISTOGRAM, gathered.histogram.buckets())
    else:
        tables.write(arguments, BY_PAGE if arguments.layout else BY_PAGE[:-1], gathered.by_page())


def _files(arguments: argparse.Namespace, gathered: Gathering, found: Iterator[Found]) -> None:
    """A row for each file, and below several the totals of all that were counted."""
    chosen = [rows.COLUMNS.index(column) for column in rows.columns(arguments)]
    parts = Parts(arguments.layout)
    last = not (arguments.csv or arguments.jsonl or arguments.noheadings)

    def made() -> Iterator[list[Any]]:
        for one in rows.arranged(found, arguments):
            yield rows.row(one, parts.text(one))
        if last and gathered.totals.files > 1:
            yield rows.total_as_row(gathered.totals)

    tables.write(arguments, rows.columns(arguments), ([row[place] for place in chosen] for row in made()))


def _document(arguments: argparse.Namespace, ending: Ending, clock: Clock) -> None:
    """One document of JSON, written as files are counted."""
    gathered = Gathering(arguments)
    found = gathered.passing(rows.scan(arguments, ending, pages=_lists(arguments)))
    head = {"version": VERSION, "time": clock.now(), "page_size": PAGE, "backend": arguments.backend}
    sys.stdout.write(json.dumps(head)[:-1])
    if arguments.total:
        deque(found, maxlen=0)
    else:
        sys.stdout.writelines(_objects(arguments, found))
    totals = gathered.totals
    rest: dict[str, Any] = {
        "totals": {**asdict(totals), "resident_bytes": totals.resident_bytes, "share": totals.share},
        "histogram": [[bucket.pages, bucket.files] for bucket in gathered.histogram.buckets()]}
    if arguments.by_page:
        columns = BY_PAGE if arguments.layout else BY_PAGE[:-1]
        rest["by_page"] = [tables.as_json(columns, row) for row in gathered.by_page()]
    sys.stdout.write(f", {json.dumps(rest)[1:]}\n")


def _objects(arguments: argparse.Namespace, found: Iterator[Found]) -> Iterator[str]:
    """The pieces of `"files": [...]`."""
    parts, columns = Parts(arguments.layout if arguments.pages else None), rows.columns(arguments)
    places = [rows.COLUMNS.index(column) for column in columns]
    before = ', "files": ['
    for one in rows.arranged(found, arguments):
        row = rows.row(one, parts.text(one))
        yield f"{before}\n{json.dumps(tables.as_json(columns, [row[place] for place in places]))}"
        before = ","
    yield before + "]" if before != "," else "\n]"


COMMAND = SubCommand(
    "Show which pages of files are in the machine's memory, without reading any.", _arguments, _fincore,
    "A file that is another user's, and that one may not write, is unknown and has no number: the kernel tells nobody "
    "else. SIZE is in bytes, TOTAL, RES, DIRTY and WB (being written) in pages; EVICTED are pages that were dropped "
    "when memory was short and are still remembered, RECENT those of them that would have been needed. DIRTY is an "
    "upper bound. Ends with 1 when a file could not be looked at, with 3 when of one it is unknown what is in memory.",
    (("istat fincore /srv/mrtg/*.rrd", "What of these files is in memory?"),
     ("istat fincore -r --total /srv/mrtg", "And of a whole tree"),
     ("istat fincore -r --hist /srv/mrtg", "How many files have how many pages in memory"),
     ("istat fincore -r --by-page --layout rrd /srv/mrtg", "Which blocks of RRD files are hot"),
     ("istat fincore -r --top 10 --sort DIRTY /srv", "Which ten files have the most to be written"),
     ("istat fincore -r --heatmap cache.png /srv/mrtg", "All of it as a picture"),
     ("istat fincore -r --save before.gz /srv/mrtg", "A backup that leaves the cache as it was: before it"),
     ("istat fincore --restore before.gz", "After it, and after istat fadvise -r --keep-resident before.gz /srv/mrtg: "
      "what it put out"),
     ("istat fincore -r --total --json /srv/mrtg", "For a script")),
)
