"""What the same files cost when nobody tells the kernel that they are read here and there: it reads ahead around each
page that is missing, and keeps what nobody asked for. Also pages of updates as a layout has them, in the mean of many
files. Knows the kernel's rule for mapped files (Linux 6.18), no formulas.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from istat.pagecache.layouts import PAGE, Layout
from istat.pagecache.model import slots

FILES = 40          # files with row pointers anywhere, over which means are taken
SEED = 1            # the same answer each time
MOST_RINGS = 256    # that are sampled; with more, all of the file counts as touched


@dataclass(frozen=True)
class Readahead:
    """Of one kind of file, in the mean. `pages`: what an update of a cold file brings in; `held`: what has to stay in
    memory so that updates bring in nothing."""

    pages: float
    held: int


def window(page: int, ahead: int, pages: int) -> range:
    """What a fault at a page of a mapped file brings in: `ahead` pages around it, cut at the end of the file."""
    first = max(0, page - ahead // 2)
    return range(first, min(pages, first + ahead))


def brought(touched: Iterable[int], ahead: int, pages: int) -> set[int]:
    """What an update that touches these pages brings into an empty memory."""
    there: set[int] = set()
    for page in touched:
        if page not in there:
            there.update(window(page, ahead, pages))
    return there


def unadvised(layout: Layout, read_ahead_kb: int, page_size: int = PAGE) -> Readahead:
    """Of files of a layout, with the device's read_ahead_kb. With 0 the kernel reads what was touched only."""
    ahead, pages = max(1, read_ahead_kb * 1024 // page_size), layout.pages(page_size)
    if len(layout.rings) > MOST_RINGS:
        return Readahead(float(pages), pages)
    source = random.Random(SEED)
    plain, held = 0, 0
    for _ in range(FILES):
        starts = layout.random_starts(source)
        plain += len(brought(layout.touched(1, starts, page_size), ahead, pages))
        now = {page for ring, start in zip(layout.rings, starts) for page in ring.pages(start, page_size)}
        held = max(held, len(brought(sorted({0, *now}), ahead, pages)))
    return Readahead(plain / FILES, held)


def dirtied(layout: Layout, page_size: int = PAGE) -> list[float]:
    """Pages that an update of a file writes in each slot, in the mean, in the order of `slots.names`."""
    levels = tuple(sorted({1, *(ring.every for ring in layout.rings)}))
    count = len(slots.names(levels, layout.interval))
    if len(layout.rings) > MOST_RINGS:
        return [float(layout.pages(page_size))] * count
    source = random.Random(SEED)
    starts = [layout.random_starts(source) for _ in range(FILES)]
    found = []
    for place in range(count):
        step = levels[slots.level_of(place) - 1]
        # An update at which the rings of that level are due and, if it can be, none of a coarser one.
        update = next((step * times for times in range(1, 64) if not any(
            step * times % coarse == 0 for coarse in levels if coarse > step)), step)
        found.append(sum(len(layout.touched(update, one, page_size)) for one in starts) / FILES)
    return found
