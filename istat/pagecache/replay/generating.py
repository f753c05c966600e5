"""Page logs from layouts: what updates of so many files need over so many days, by the rule of `Layout.touched`. Knows
no files and no caches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from istat.errors import PageLogError
from istat.pagecache.layouts import PAGE, Layout
from istat.pagecache.replay.fetching import READ_AHEAD_KB, RULES
from istat.pagecache.replay.pagelog import FIRST_INDIRECT, INDIRECT, INODE, Header, Record

#: Midnight UTC (2023-11-14) before the first update: which day it is makes no difference [Unix s].
BEGIN = 1_699_920_000
DAY = 86_400                    # s
FLUSH = 300                     # s: istatd writes ring files so often
MOST_FILES, MOST_DAYS = 10_000_000, 40_000
MOST_KNOWN = 1 << 16            # lists of pages that are remembered: they come again and again


@dataclass(frozen=True)
class Plan:
    """What to generate. `layouts`: the files of one target; `targets`: how many there are of each; `flush`: updates of
    so
    many seconds are written at once, 0: each one, but ring files of finer intervals each 300 s; `meta`: with inode and
    indirect block; `synchronised`: all row pointers begin at 0, else anywhere, by the seed."""

    layouts: Sequence[Layout]
    targets: int
    days: float
    seed: int = 1
    readahead: str = "random"
    read_ahead_kb: int = READ_AHEAD_KB
    meta: bool = False
    flush: int = 0
    synchronised: bool = False
    page_size: int = PAGE

    def __post_init__(self) -> None:
        if not 1 <= self.targets <= MOST_FILES or not 0 < self.days <= MOST_DAYS:
            raise PageLogError(f"a log has 1 to {MOST_FILES} targets, and at most {MOST_DAYS} days")
        if self.readahead not in RULES:
            raise PageLogError(f"{self.readahead!r} is no readahead; there are: {', '.join(RULES)}")
        for one in self.files:
            if one.seconds % one.layout.interval:
                raise PageLogError(f"{one.seconds} s are no whole number of updates of {one.layout.interval} s")

    @property
    def files(self) -> list[_File]:
        """One for each layout: how it is written."""
        return [_File(layout, max(layout.interval, self.flush or FLUSH)) for layout in self.layouts]

    @property
    def header(self) -> Header:
        """What the log begins with."""
        steps = {ring.every for layout in self.layouts for ring in layout.rings}
        interval = min(max(layout.interval, FLUSH) for layout in self.layouts)
        about = {"layout": [layout.name for layout in self.layouts], "targets": self.targets, "days": self.days,
                 "seed": self.seed, "readahead": self.readahead, "meta": self.meta}
        return Header(self.page_size, interval, tuple(sorted(steps)), about)

    def records(self) -> Iterator[Record]:
        """All records, by time, then by file."""
        files = self.files
        width = len(str(self.targets))
        source = Random(self.seed)      # as the paper's numbers: file by file, a start for each ring
        fleet = []
        for number in range(1, self.targets + 1):
            for one in files:
                starts = one.layout.zero_starts() if self.synchronised else one.layout.random_starts(source)
                level = f"/{one.layout.rings[0].name.rpartition(' ')[2]}" if len(files) > 1 else ""
                fleet.append((f"r{number:0{max(6, width)}}{level}", one, starts))
        step = min(one.seconds for one in files)
        for time in range(BEGIN + step, BEGIN + int(self.days * DAY) + 1, step):
            for name, one, starts in fleet:
                if time % one.seconds == 0:
                    yield self._record(time, name, one, starts)

    def _record(self, time: int, name: str, file: _File, starts: list[int]) -> Record:
        layout, count = file.layout, file.seconds // file.layout.interval
        latest = (time - BEGIN) // layout.interval
        touched = layout.touched(latest, starts, self.page_size)
        if count > 1:
            touched = sorted({*touched, *(page for update in range(latest - count + 1, latest)
                                          for page in layout.touched(update, starts, self.page_size))})
        written = tuple(touched)
        pages = file.known.get(written)
        if pages is None:
            pages = self._brought(written, layout)
            if len(file.known) >= MOST_KNOWN:
                file.known.clear()
            file.known[written] = pages
        return Record(time, name, pages, written, file.seconds // max(layout.interval, FLUSH) or 1)

    def _brought(self, touched: tuple[int, ...], layout: Layout) -> tuple[int, ...]:
        """All that comes in for the touched pages."""
        ahead = max(1, self.read_ahead_kb * 1024 // self.page_size)
        pages = tuple(sorted(RULES[self.readahead](touched, layout.pages(self.page_size), ahead)))
        return with_meta(pages) if self.meta else pages


@dataclass(frozen=True)
class _File:
    """A layout; how many seconds of updates are written at once; what comes in for touched pages, as far as known."""

    layout: Layout
    seconds: int
    known: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)


def with_meta(pages: Sequence[int]) -> tuple[int, ...]:
    """Pages with the inode before them, and the indirect block where it is needed to find them."""
    if pages and pages[0] < 0:
        return tuple(pages)
    return (INODE, INDIRECT, *pages) if pages and pages[-1] >= FIRST_INDIRECT else (INODE, *pages)
