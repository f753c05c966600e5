"""Page logs of any list of accesses: lines `time,file,offset,length[,r|w|rw]` of CSV, as tracers can be made to print
them. Accesses of one file at one time become one record. Knows no caches."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator

from istat.errors import PageLogError
from istat.pagecache.replay.pagelog import MODES, MOST_LINE, MOST_PAGE, MOST_PAGES, MOST_TIME, Record

# Pages of all files at one time, which are kept until it is over: some 60 bytes each. A file takes as much as FILE
# pages.
MOST_HELD, FILE = 1 << 23, 8

Touched = dict[str, tuple[set[int], set[int]]]      # file -> pages, and those written


def records(lines: Iterable[str], page_size: int) -> Iterator[Record]:
    """The records, by time; lines must be by time too. PageLogError says which one is wrong."""
    now, touched, held = 0, Touched(), 0
    try:
        for number, row in enumerate(csv.reader(_bounded(lines)), 1):
            if not row or row[0].startswith("#") or (number == 1 and row[0].strip() == "time"):
                continue
            time, file, pages, written = _access(row, number, page_size)
            if time < now:
                raise PageLogError(f"line {number}: it is of an earlier time than the line before")
            if time > now:
                yield from _of_one_time(now, touched)
                now, touched, held = time, Touched(), 0
            held += 0 if file in touched else FILE
            known = touched.setdefault(file, (set(), set()))
            held -= len(known[0])
            known[0].update(pages)
            held += len(known[0])
            if written:
                known[1].update(pages)
            if len(known[0]) > MOST_PAGES or held > MOST_HELD:
                raise PageLogError(f"line {number}: at one time more than {MOST_PAGES} pages of one file, or "
                                   f"{MOST_HELD} of all")
    except csv.Error as error:
        raise PageLogError(f"it is no CSV: {error}") from error
    yield from _of_one_time(now, touched)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    """The same, none of them longer than a line of a log."""
    for number, line in enumerate(lines, 1):
        if len(line) > MOST_LINE:
            raise PageLogError(f"line {number}: it is longer than {MOST_LINE} characters")
        yield line


def _access(row: list[str], number: int, page_size: int) -> tuple[int, str, range, bool]:
    """time, file, pages, whether they are written."""
    try:
        time, file, offset, length = int(float(row[0])), row[1], int(row[2]), int(row[3])
        mode = row[4].strip() if len(row) > 4 else "r"
        if not 0 <= time < MOST_TIME or offset < 0 or length < 1 or not file or mode not in MODES:
            raise ValueError
    except (ValueError, IndexError, OverflowError):
        raise PageLogError(f"line {number}: it is no time,file,offset,length[,r|w|rw]") from None
    pages = range(offset // page_size, (offset + length - 1) // page_size + 1)
    if len(pages) > MOST_PAGES or pages[-1] > MOST_PAGE:
        raise PageLogError(f"line {number}: it has too many pages")
    return time, file, pages, "w" in mode


def _of_one_time(time: int, touched: Touched) -> Iterator[Record]:
    for file in sorted(touched):
        pages, written = touched[file]
        yield Record(time, file, tuple(sorted(pages)), tuple(sorted(written)))
