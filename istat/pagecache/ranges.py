"""Sets of a file's pages as sorted ranges: tuples of (first, last) with both ends in, apart from each other, as fincore
prints and snapshots keep them. Knows no files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: First and last page, both in.
Range = tuple[int, int]
Ranges = tuple[Range, ...]

# A page may be any that a file of 2^63 bytes has; more digits than that are no page.
_PART = re.compile(r"([0-9]{1,19})(?:-([0-9]{1,19}))?", re.ASCII)


def merged(ranges: Iterable[Range]) -> Ranges:
    """The same pages, sorted; what touches or overlaps becomes one. ValueError: a range ends before it begins."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if not 0 <= first <= last:
            raise ValueError(f"{first}-{last} is no range of pages")
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return tuple(found)


def of_pages(pages: Iterable[int]) -> Ranges:
    """Single pages as ranges."""
    return merged((page, page) for page in pages)


def count(ranges: Iterable[Range]) -> int:
    """How many pages there are."""
    return sum(last - first + 1 for first, last in ranges)


def pages(ranges: Iterable[Range]) -> Iterator[int]:
    """Each page, in order."""
    for first, last in ranges:
        yield from range(first, last + 1)


def text(ranges: Iterable[Range]) -> str:
    """`0,3,14-16`; of no pages the empty string."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def parse(words: str) -> Ranges:
    """What `text` wrote, sorted and merged. ValueError for anything else."""
    found = []
    for word in words.split(",") if words else ():
        match = _PART.fullmatch(word)
        if match is None:
            raise ValueError(f"{word!r} is no page and no range of pages, such as 3 or 14-16")
        found.append((int(match[1]), int(match[2] or match[1])))
    return merged(found)


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """The pages of `ranges` that are not in `taken`; both merged."""
    left: list[Range] = []
    at = 0
    for first, last in ranges:
        while at < len(taken) and taken[at][1] < first:
            at += 1
        inside = at
        while inside < len(taken) and taken[inside][0] <= last:
            if taken[inside][0] > first:
                left.append((first, taken[inside][0] - 1))
            first = taken[inside][1] + 1
            inside += 1
        if first <= last:
            left.append((first, last))
    return tuple(left)


def common(ranges: Ranges, others: Ranges) -> Ranges:
    """The pages that both have; both merged."""
    return without(ranges, without(ranges, others))


def clipped(ranges: Ranges, first: int, last: int) -> Ranges:
    """The pages from first to last only."""
    return common(ranges, ((first, last),)) if first <= last else ()
