"""Of one file: how many of its pages are in memory, and which. Nothing of it is read.

Counts come from cachestat(2), lists of pages from mincore(2). The kernel tells only those who own a file or may write
it: cachestat refuses others, mincore tells them that all pages are there. So what one may not know is unknown here,
never a number. Knows one file; scanning.py knows many.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from istat.pagecache import ranges as page_ranges
from istat.pagecache import syscalls
from istat.pagecache.ranges import Range, Ranges
from istat.pagecache.syscalls import PAGE, CacheStat

AUTO, CACHESTAT, MINCORE = "auto", "cachestat", "mincore"
BACKENDS = (AUTO, CACHESTAT, MINCORE)
#: What `Residency.state` begins with. CHANGED: after counting its size was another one than before.
OK, CHANGED, EMPTY, SPECIAL = "ok", "changed", "empty", "special"
UNKNOWN, ERROR = "unknown(permission)", "error"

# Never wait for the writer of a pipe, never take a terminal: names may change what they mean at any moment.
OPENING = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Pages that are listed by one answer of mincore; larger parts are first asked whether there is anything: 256 MiB.
LISTED_AT_ONCE = 1 << 16
# Pages of which mincore alone is asked, some minute of work: a sparse file may have so many that it never ends: 16 TiB.
MOST_LISTED = 1 << 32
OVERLAYFS = 0x794C7630              # statfs(2): its magic number; containers have their files on it
CAP_FOWNER = 3                      # capabilities(7): its bit
PROC = Path("/proc")
WHOLE_MAP = ("0", "0", "4294967295")    # /proc/self/uid_map where every user has a number
_RUN = re.compile(rb"\x01+")

Name = str | bytes | os.PathLike[str] | os.PathLike[bytes]


class Residency(NamedTuple):
    """What is known of a file or of a range of it, in pages but for `size` [bytes]; None is unknown.

    `pages`: all that there are. `ranges`: those in memory, only when they were asked for. mincore knows no more than
    what is resident. cachestat counts pages that are still being read in and mincore does not: `resident` may be more
    than `ranges` for that moment. `dirty` is an upper bound where the file system uses large folios. `dirty_ranges`:
    which they are, only when they were asked for.
    """

    size: int | None
    pages: int | None
    resident: int | None
    dirty: int | None
    writeback: int | None
    evicted: int | None
    recently_evicted: int | None
    ranges: Ranges | None
    state: str
    backend: str | None
    dirty_ranges: Ranges | None = None

    @property
    def known(self) -> bool:
        """Whether there are numbers."""
        return self.resident is not None

    @property
    def failed(self) -> bool:
        """Whether the system refused to open or to count it."""
        return self.state.startswith(ERROR)


def residency(what: int | Name, pages: bool = False, range: tuple[int, int] | None = None, backend: str = AUTO,
              dirty_pages: bool = False) -> Residency:
    """Count a file by its name (links are followed) or descriptor. What the system refuses is told in `state`.

    `pages`: list the resident pages too. `range`: (offset, length) in bytes, length 0: up to the end; the pages that it
    touches are counted, by their numbers in the file. `dirty_pages`: list those too (cachestat only).
    """
    if isinstance(what, int):
        return measured(what, os.fstat(what), pages, range, backend, dirty_pages)
    try:
        if not stat.S_ISREG(os.stat(what).st_mode):     # opening a device may already do something
            return special()
        handle = opened(what)
    except OSError as error:
        return refused(error)
    try:
        return measured(handle, os.fstat(handle), pages, range, backend, dirty_pages)
    finally:
        os.close(handle)


def opened(path: Name, flags: int = 0) -> int:
    """A descriptor of a file, which leaves its time of access alone where one may ask for that. OSError."""
    try:
        return os.open(path, OPENING | os.O_NOATIME | flags)
    except PermissionError as error:
        if error.errno != errno.EPERM:      # EACCES: it may not be read at all; EPERM: it is another user's
            raise
    return os.open(path, OPENING | flags)


def measured(fd: int, about: os.stat_result, pages: bool = False, range: tuple[int, int] | None = None,
             backend: str = AUTO, dirty_pages: bool = False) -> Residency:
    """Count an open file; `about`: what fstat said of it. See `residency`."""
    if not stat.S_ISREG(about.st_mode):
        return special()
    size = about.st_size
    offset, length = _clipped(size, range)
    if not length:
        return Residency(size, 0, 0, 0, 0, 0, 0, () if pages else None, EMPTY, None, () if dirty_pages else None)
    total = (offset + length - 1) // PAGE - offset // PAGE + 1
    listed = dirty = None
    try:
        counted = None if backend == MINCORE else _cachestat(fd, offset, length, backend)
        # Older kernels let everybody count, but nobody list.
        if (pages or counted is None) and can_see(fd):
            listed = page_ranges.merged(_listed(fd, offset, length, counted is not None))
        if dirty_pages and counted is not None:
            dirty = _dirty(fd, offset, length, counted.dirty)
        state = OK if os.fstat(fd).st_size == size else CHANGED
    except OSError as error:
        return refused(error, size, total)
    found = listed if pages else None
    if counted is not None:
        return Residency(size, total, *counted, found, state, CACHESTAT, dirty)
    if listed is None:
        return Residency(size, total, None, None, None, None, None, None, UNKNOWN, None)
    return Residency(size, total, page_ranges.count(listed), None, None, None, None, found, state, MINCORE)


def special() -> Residency:
    """Of what is no plain file."""
    return Residency(None, None, None, None, None, None, None, None, SPECIAL, None)


def refused(error: OSError, size: int | None = None, pages: int | None = None) -> Residency:
    """Of what the system refuses to open or to count."""
    return Residency(size, pages, None, None, None, None, None, None, f"{ERROR}({error.strerror or error})", None)


def can_see(what: int | Name) -> bool:
    """Whether the kernel tells the truth about a file's pages: the caller owns it, may write it, or has CAP_FOWNER over
    its owner. OSError where it cannot be looked at."""
    owner = os.stat(what).st_uid
    path = f"/proc/self/fd/{what}" if isinstance(what, int) else what
    if os.access(path, os.W_OK, effective_ids=True):
        return True
    return (owner == os.geteuid() or _has(CAP_FOWNER)) and not _nameless(owner)


def _has(capability: int) -> bool:
    """Whether the caller has a capability, in its user namespace."""
    try:
        status = (PROC / "thread-self/status").read_text()
        return bool(int(status.partition("CapEff:")[2].split()[0], 16) >> capability & 1)
    except (OSError, ValueError, IndexError):       # no /proc: who cannot be asked is not believed
        return False


def _nameless(owner: int) -> bool:
    """Whether an owner may be any user without a number in the caller's user namespace: they all seem to be the
    overflow user, who may be the caller itself."""
    try:
        if owner != int((PROC / "sys/kernel/overflowuid").read_text()):
            return False
        return tuple((PROC / "self/uid_map").read_text().split()) != WHOLE_MAP
    except (OSError, ValueError):
        return True


def _clipped(size: int, part: tuple[int, int] | None) -> tuple[int, int]:
    """The part of a file of so many bytes that a range means."""
    if part is None:
        return 0, size
    offset, length = part
    if offset < 0 or length < 0:
        raise ValueError("a range has an offset and a length of 0 or more bytes")
    left = max(0, size - offset)
    return offset, min(left, length) if length else left


def _cachestat(fd: int, offset: int, length: int, backend: str) -> CacheStat | None:
    """What cachestat counts; None where it does not, and mincore is to be asked by those who may know. OSError."""
    try:
        found = syscalls.cachestat(fd, offset, length)
        # A mapping of such a file is one of the file below; cachestat asks the one above, which never has a page.
        below = backend != CACHESTAT and not any(found) and syscalls.filesystem_type(fd) == OVERLAYFS
        return None if below else found
    except OSError as error:
        # EPERM of a file that one may see is a filter of system calls, as older containers have it.
        forced = backend == CACHESTAT and (error.errno != errno.EPERM or can_see(fd))
        if forced or error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
        return None


def _listed(fd: int, offset: int, length: int, counts: bool) -> Iterator[Range]:
    """The resident pages of a part of a file. Where cachestat `counts`, large parts without any are not walked through:
    a sparse file may have more pages than one can list."""
    parts = [(offset // PAGE, (offset + length - 1) // PAGE)]
    if not counts and length // PAGE > MOST_LISTED:
        raise OSError(errno.EFBIG, "it is too large for mincore, which is asked page by page; give a part with --range")
    while parts:
        first, last = parts.pop()
        many = last - first + 1
        if many > LISTED_AT_ONCE:
            if not counts or syscalls.cachestat(fd, first * PAGE, many * PAGE).cache:
                middle = first + many // 2
                parts += [(middle, last), (first, middle - 1)]
            continue
        for run in _RUN.finditer(syscalls.resident(fd, first * PAGE, many * PAGE)):
            yield first + run.start(), first + run.end() - 1


def _dirty(fd: int, offset: int, length: int, count: int) -> Ranges:
    """Which pages of a part of a file are dirty, of which there are so many: halves are asked about until they are all
    dirty or not at all."""
    found = []
    parts = [(offset // PAGE, (offset + length - 1) // PAGE, count)]
    while parts:
        first, last, dirty = parts.pop()
        many = last - first + 1
        if dirty >= many:
            found.append((first, last))
        elif dirty:
            for start, end in ((first, first + many // 2 - 1), (first + many // 2, last)):
                parts.append((start, end, syscalls.cachestat(fd, start * PAGE, (end - start + 1) * PAGE).dirty))
    return page_ranges.merged(found)
