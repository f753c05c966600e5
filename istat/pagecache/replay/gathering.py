"""A page log as numbers for the kernels: each page of each file is a number from 0 on, each reference one of them.
Knows records and how they are ordered, no policies.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from istat.errors import PageLogError
from istat.kernels import replay as kernel
from istat.pagecache.replay.generating import with_meta
from istat.pagecache.replay.pagelog import Record

# What a log may make of our memory: a page takes about 100 bytes here, a file 300. 320,000 files have 8 million pages.
MOST_FILES, MOST_PAGES = 1 << 22, 1 << 24
# Lists of pages that are remembered, as they come again and again: so many, of at most so many pages.
MOST_KNOWN, LONGEST_KNOWN = 1 << 18, 64


@dataclass
class Gathered:
    """All records of a log. Of each record: its file, time, end of its references, updates, pages written."""

    names: list[str] = field(default_factory=list)
    pages: int = 0              # distinct ones
    references: array[int] = field(default_factory=lambda: array("i"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    files: array[int] = field(default_factory=lambda: array("i"))
    times: array[int] = field(default_factory=lambda: array("q"))
    updates: array[int] = field(default_factory=lambda: array("i"))
    written: array[int] = field(default_factory=lambda: array("i"))

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def most_pages(self) -> int:
        """Distinct pages of the file that has most of them."""
        return max(self.pages_of_files(), default=0)

    def pages_of_files(self) -> list[int]:
        """Of each file, its distinct pages."""
        seen: list[set[int]] = [set() for _ in self.names]
        start = 0
        for end, file in zip(self.ends, self.files):
            seen[file].update(self.references[start:end])
            start = end
        return [len(pages) for pages in seen]


@dataclass(frozen=True)
class Arranged:
    """References in the order of their replay; bounds: where a new cache begins; groups: of each reference, one
    byte."""

    references: array[int]
    bounds: array[int]
    groups: bytes


def gather(records: Iterable[Record], meta: bool = False) -> Gathered:
    """All records. `meta`: add inode and indirect block to those that have none. PageLogError when they are too
    many."""
    gathered = Gathered()
    files: dict[str, int] = {}
    numbers: list[dict[int, int]] = []                          # of each file: page -> its number
    known: dict[tuple[int, tuple[int, ...]], array[int]] = {}
    for record in records:
        file = files.setdefault(record.file, len(files))
        if file == len(numbers):
            numbers.append({})
        key = file, record.pages
        found = known.get(key)
        if found is None:
            found = _numbered(with_meta(record.pages) if meta else record.pages, numbers[file], gathered)
            if len(known) >= MOST_KNOWN:
                known.clear()
            if len(found) <= LONGEST_KNOWN:
                known[key] = found
        gathered.references.extend(found)
        gathered.ends.append(len(gathered.references))
        gathered.files.append(file)
        gathered.times.append(record.time)
        gathered.updates.append(record.updates)
        gathered.written.append(len(record.written))
        check_size(len(gathered.references), gathered.pages, len(files))
    gathered.names = list(files)
    return gathered


def _numbered(pages: Sequence[int], numbers: dict[int, int], gathered: Gathered) -> array[int]:
    """The numbers of a file's pages; new ones get the next."""
    found = array("i")
    for page in pages:
        number = numbers.setdefault(page, gathered.pages)
        gathered.pages += number == gathered.pages
        found.append(number)
    return found


def check_size(references: int, pages: int, files: int) -> None:
    """PageLogError when a log has too many."""
    if references > kernel.MOST_REFERENCES or pages > MOST_PAGES or files > MOST_FILES:
        raise PageLogError(f"the log has more than {kernel.MOST_REFERENCES} references, {MOST_PAGES} pages or "
                           f"{MOST_FILES} files: make it of fewer files or days")


def arranged(gathered: Gathered, by_file: bool, group: Callable[[int], int]) -> Arranged:
    """References by time, and of one time by the file's name, in one cache; or by file, a cache for each. `group`: of a
    record by its number, below 8."""
    if by_file:
        # A stable sort: records of a file stay in the order of time.
        order: Sequence[int] = sorted(range(len(gathered)), key=lambda record: gathered.files[record])
    else:
        order = _by_time(gathered)
    references, groups = array("i"), bytearray()
    bounds = array("q", [0])
    before = None
    for record in order:
        start = gathered.ends[record - 1] if record else 0
        if by_file and before is not None and gathered.files[record] != before:
            bounds.append(len(references))
        before = gathered.files[record]
        references.extend(gathered.references[start:gathered.ends[record]])
        groups += bytes((group(record),)) * (gathered.ends[record] - start)
    bounds.append(len(references))
    return Arranged(references, bounds, bytes(groups))


def _by_time(gathered: Gathered) -> Sequence[int]:
    """Logs that are generated have this order already."""
    places = {name: place for place, name in enumerate(sorted(gathered.names))}
    rank = [places[name] for name in gathered.names]
    return sorted(range(len(gathered)), key=lambda record: (gathered.times[record], rank[gathered.files[record]]))


def first_counted(gathered: Gathered, times: int) -> int:
    """The time from which on records count, when those of so many times are for warming up."""
    distinct = sorted(set(gathered.times))
    if times >= len(distinct):
        raise PageLogError(f"the log has updates of {len(distinct)} times: none are left after {times}")
    return distinct[times]
