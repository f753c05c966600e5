"""Files for the tests of the page cache, brought into a known state: which pages are in memory is chosen by hand, with
nothing but the system's own calls."""
from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from istat.pagecache import ranges, syscalls
from istat.pagecache.ranges import Ranges
from istat.pagecache.residency import residency
from istat.pagecache.syscalls import PAGE

MRTG = 105_312          # bytes of MRTG's RRD file with two sources and eight archives: 26 pages of 4 KiB
PATIENCE = 20.0         # [s] that only a broken machine needs


def make(path: Path, size: int = MRTG, cached: bool = False) -> Path:
    """A file of so many bytes that is written to the disk; none of its pages are in memory unless they may stay."""
    with path.open("wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
    if not cached:
        evict(path)
    return path


def evict(path: Path) -> None:
    """Drop all pages. AssertionError when some stay: a test of them would mean nothing."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)

        def gone() -> bool:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            return not syscalls.cachestat(handle).cache

        until(gone)
    finally:
        os.close(handle)


def read_pages(path: Path, pages: Iterable[int]) -> None:
    """Read a byte of each page, and bring in nothing else."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for page in pages:
            os.pread(handle, 1, page * PAGE)
    finally:
        os.close(handle)


def map_page(path: Path, page: int, advice: int | None = None, descriptor: int | None = None) -> None:
    """Touch one page by a mapping. `advice` is given for the mapping (mmap.MADV_*), `descriptor` for the descriptor
    (os.POSIX_FADV_*)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        if descriptor is not None:
            os.posix_fadvise(handle, 0, 0, descriptor)
        with mmap.mmap(handle, 0, prot=mmap.PROT_READ) as mapping:
            if advice is not None:
                mapping.madvise(advice)
            assert len(mapping[page * PAGE:page * PAGE + 1]) == 1
    finally:
        os.close(handle)


def until(true: Callable[[], bool]) -> None:
    """Wait for something. AssertionError when it does not come."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.01)


def come_in(path: Path, number: int) -> Ranges:
    """Which pages of a file come in while one waits for so many. Some hosts of virtual machines have idle memory taken
    away before anybody needs it (DAMON's scheme `pageout`): a page that has been there at one look has come."""
    seen: set[int] = set()

    def all_seen() -> bool:
        for first, last in residency(path, pages=True).ranges or ():
            seen.update(range(first, last + 1))
        return len(seen) >= number

    until(all_seen)
    return ranges.of_pages(seen)
