"""The layout of a file that is there, by its header, read such that what is in memory stays as it was."""

from __future__ import annotations

import os

from istat.errors import LayoutError
from istat.pagecache import layouts, syscalls
from istat.pagecache import ranges as page_ranges
from istat.pagecache.layouts import Layout, rrd
from istat.pagecache.ranges import Ranges
from istat.pagecache.residency import opened
from istat.pagecache.syscalls import PAGE


def layout_of(path: str, resident: Ranges) -> Layout:
    """The layout of a file of a known kind, of whose pages these are in memory. LayoutError, OSError."""
    return layouts.of_head(head_of(path, resident))


def head_of(path: str, resident: Ranges) -> bytes:
    """How a file begins, of whose pages these are in memory: of an RRD file the header. LayoutError, OSError."""
    handle = opened(path)
    try:
        # Without this advice the kernel would read on beyond the header.
        syscalls.fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        head = os.pread(handle, rrd.STAT_HEAD, 0)
        if head.startswith(rrd.MAGIC):
            head = os.pread(handle, min(rrd.header_bytes(head), layouts.HEAD), 0)
        _forget(handle, len(head), resident)
        return head
    finally:
        os.close(handle)


def _forget(handle: int, length: int, resident: Ranges) -> None:
    """Evict what reading has brought in."""
    if length:
        for first, last in page_ranges.without(((0, (length - 1) // PAGE),), resident):
            syscalls.fadvise(handle, first * PAGE, (last - first + 1) * PAGE, os.POSIX_FADV_DONTNEED)


def parts(layout: Layout, resident: Ranges) -> list[str]:
    """The names of what is on these pages, each once, by place."""
    found: dict[str, None] = {}
    for part in layout.parts:
        first, last = part.offset // PAGE, (part.offset + part.length - 1) // PAGE
        if part.length and page_ranges.clipped(resident, first, last):
            found[part.name] = None
    return list(found)


def given(words: str) -> Layout | None:
    """The layout that a command line names; None for `rrd` and `statfile`, which each file tells by its header.
    LayoutError."""
    if words in ("rrd", "statfile"):
        return None
    found = layouts.parse(words)
    if len(found) != 1:
        names = ", ".join(one.name for one in found)
        raise LayoutError(f"{words!r} means several files ({names}): give one level, or `statfile` to look at each")
    return found[0]
