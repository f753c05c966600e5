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

MOST_FILES = 10_000_000
MOST_KNOWN = 1 << 20            # lists of pages that are remembered


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
    numbers: dict[tuple[int, int], int] = {}                    # (file, page) -> its number
    known: dict[tuple[int, tuple[int, ...]], array[int]] = {}   # pages of a file come again and again
    for record in records:
        file = files.setdefault(record.file, len(files))
        key = file, record.pages
        found = known.get(key)
        if found is None:
            pages = with_meta(record.pages) if meta else record.pages
            found = array("i", [numbers.setdefault((file, page), len(numbers)) for page in pages])
            if len(known) >= MOST_KNOWN:
                known.clear()
            known[key] = found
        gathered.references.extend(found)
        gathered.ends.append(len(gathered.references))
        gathered.files.append(file)
        gathered.times.append(record.time)
        gathered.updates.append(record.updates)
        gathered.written.append(len(record.written))
        if (len(gathered.references) > kernel.MOST_REFERENCES or len(numbers) > kernel.MOST_PAGES
                or len(files) > MOST_FILES):
            raise PageLogError(f"the log has more than {kernel.MOST_REFERENCES} references, {kernel.MOST_PAGES} pages "
                               f"or {MOST_FILES} files: make it of fewer files or days")
    gathered.names, gathered.pages = list(files), len(numbers)
    return gathered


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
