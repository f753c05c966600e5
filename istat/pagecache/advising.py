"""Advice to the kernel about one open file, after posix_fadvise(2). Evicting, where one wants to know what became of
it, is in evicting.py.

Advice on how a file is read (normal, random, sequential, noreuse) belongs to the open file: it ends with the last
descriptor of it, and does not hold for mappings. WILLNEED and DONTNEED are done at once, and belong to the file itself.
"""

from __future__ import annotations

import errno
import os

from istat.pagecache import readahead, syscalls
from istat.pagecache.syscalls import PAGE

DONTNEED, WILLNEED = "dontneed", "willneed"
#: The word for an advice -> what the kernel calls it.
ADVICE = {
    DONTNEED: os.POSIX_FADV_DONTNEED,
    WILLNEED: os.POSIX_FADV_WILLNEED,
    "normal": os.POSIX_FADV_NORMAL,
    "random": os.POSIX_FADV_RANDOM,
    "sequential": os.POSIX_FADV_SEQUENTIAL,
    "noreuse": os.POSIX_FADV_NOREUSE,
}
#: Those that end with the descriptor through which they are given.
OF_DESCRIPTOR = frozenset(ADVICE.keys() - {DONTNEED, WILLNEED})
# What the kernel reads for one WILLNEED where the device does not say: its own default, 128 KiB.
DEFAULT_KB = 128


def advise(fd: int, how: str, offset: int = 0, length: int = 0) -> None:
    """Give one of ADVICE about a range in bytes (0 bytes: up to the end). OSError, such as ESPIPE for a pipe.

    WILLNEED goes in pieces: of a longer range the kernel reads only as much as it reads ahead on that device, 8 MiB of
    64 for example, and tells nobody.
    """
    if how != WILLNEED:
        syscalls.fadvise(fd, offset, length, ADVICE[how])
        return
    end = os.fstat(fd).st_size
    if length:
        end = min(end, offset + length)
    check_memory(max(0, end - offset) // PAGE)
    piece = piece_of(fd)
    for start in range(offset - offset % PAGE, end, piece):
        syscalls.fadvise(fd, start, min(piece, end - start), ADVICE[WILLNEED])


def check_memory(pages: int) -> None:
    """OSError when so many pages of one file are more than this machine's memory: the last would drive out the first,
    and those of a sparse file never end."""
    if pages > os.sysconf("SC_PHYS_PAGES"):
        raise OSError(errno.EFBIG, "that is more than this machine's memory; give a part of it with --range")


def piece_of(fd: int) -> int:
    """Bytes that one WILLNEED on this file surely brings in, a whole number of pages."""
    kilobytes = readahead.readahead_kb(fd) or DEFAULT_KB
    return max(1, kilobytes * 1024 // PAGE) * PAGE
