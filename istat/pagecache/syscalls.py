"""The kernel's answers and commands about its page cache, one function for each system call, as Linux gives them:
numbers in, numbers out, OSError with the kernel's errno. Knows no names of files and no policy; residency.py says whom
to believe.

All calls let go of the interpreter's lock while the kernel works.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from typing import NamedTuple

#: Bytes of a page of memory: 4096 on most machines, 16384 or 65536 on some.
PAGE = os.sysconf("SC_PAGE_SIZE")

# cachestat(2), since Linux 6.5. It came after the numbers of new calls became the same on all architectures but alpha.
CACHESTAT_NUMBER = 451
# sync_file_range(2): wait for what is being written, write what is dirty, wait for that.
SYNC_WAIT = 1 | 2 | 4
# Room for struct statfs, whose first field is the type: 120 bytes on 64-bit machines. The field is a long, but on s390.
STATFS_BYTES = 256
_Type = ctypes.c_uint if os.uname().machine.startswith("s390") else ctypes.c_long
MAP_FAILED = ctypes.c_void_p(-1).value
MINCORE_RESIDENT = 1        # the bit of a page in mincore's answer; the others are reserved
# Pages that one call of mincore is asked about, so that its answer is never large: 1 GiB of a file.
MINCORE_PAGES = 1 << 18
MOST_BYTES = (1 << 63) - 1  # of a file: the last of its pages may not be a whole one (off_t)

_LOW_BIT = bytes(value & MINCORE_RESIDENT for value in range(256))
_libc = ctypes.CDLL(None, use_errno=True)
_Two, _Five = ctypes.c_uint64 * 2, ctypes.c_uint64 * 5
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_syscall.argtypes = (ctypes.c_long, ctypes.c_uint, _Two, _Five, ctypes.c_uint)
# Where a machine of 32 bits has offsets of 32 bits too, those of 64 are another function's.
_mmap = getattr(_libc, "mmap64", _libc.mmap)
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)
_munmap = _libc.munmap
_munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_mincore = _libc.mincore
_mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
_fstatfs = getattr(_libc, "fstatfs64", _libc.fstatfs)
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_char_p)
_sync_file_range = _libc.sync_file_range
_sync_file_range.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)


class CacheStat(NamedTuple):
    """What cachestat(2) counts, in pages. `cache`: in memory, also those that are just being read in; `dirty` is an
    upper bound where folios are larger than a page; `evicted`: gone under memory pressure and still remembered,
    `recently_evicted`: those of them whose coming back would be taken for a fault too many."""

    cache: int
    dirty: int
    writeback: int
    evicted: int
    recently_evicted: int


def cachestat(fd: int, offset: int = 0, length: int = 0) -> CacheStat:
    """Count the pages of a file, or of a range in bytes (0 bytes: up to the end), without reading any.

    OSError: ENOSYS before Linux 6.5, EPERM for a file that one neither owns nor may write (or where a filter of system
    calls forbids it), EOPNOTSUPP for huge pages.
    """
    found = _Five()
    if _syscall(CACHESTAT_NUMBER, fd, _Two(offset, length), found, 0):
        raise _error()
    return CacheStat._make(found[:])


def resident(fd: int, offset: int, length: int) -> bytes:
    """A byte for each page of a range, 1 where it is in memory and read, after mincore(2). Nothing is touched.

    `offset` is a multiple of PAGE. For a file that the caller neither owns nor may write the kernel says 1 for ALL
    pages: ask residency.can_see first. OSError of mmap(2) and mincore(2).
    """
    if length <= 0:
        return b""
    parts = []
    for start in range(offset, offset + length, MINCORE_PAGES * PAGE):
        parts.append(_mincore_part(fd, start, min(MINCORE_PAGES * PAGE, offset + length - start)))
    return b"".join(parts)


def _mincore_part(fd: int, offset: int, length: int) -> bytes:
    address = _mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, fd, offset)
    if address == MAP_FAILED:
        raise _error()
    try:
        pages = -(-length // PAGE)
        vector = ctypes.create_string_buffer(pages)
        if _mincore(address, length, vector):
            raise _error()
        return vector.raw.translate(_LOW_BIT)
    finally:
        _munmap(address, length)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system that a file is on, after fstatfs(2). OSError."""
    about = ctypes.create_string_buffer(STATFS_BYTES)
    if _fstatfs(fd, about):
        raise _error()
    return _Type.from_buffer(about).value


def fadvise(fd: int, offset: int, length: int, advice: int) -> None:
    """posix_fadvise(2) on a range in bytes (0 bytes: up to the end); `advice` is one of os.POSIX_FADV_*. OSError."""
    os.posix_fadvise(fd, offset, min(length, MOST_BYTES - offset), advice)


def madvise(mapping: mmap.mmap, advice: int, offset: int = 0, length: int | None = None) -> None:
    """madvise(2) on part of a mapping (default all of it); `advice` is one of mmap.MADV_*. What is said of a descriptor
    by `fadvise` has no effect on its mappings. OSError; ValueError for a range outside."""
    mapping.madvise(advice, offset, len(mapping) - offset if length is None else length)


def sync_range(fd: int, offset: int, length: int) -> None:
    """Write the dirty pages of a range in bytes (0 bytes: up to the end) and wait until they are written, by
    sync_file_range(2). Neither the file system's journal nor the disk's own cache is flushed: it is no promise against
    a power cut, but pages can be evicted after it. OSError."""
    if _sync_file_range(fd, offset, min(length, MOST_BYTES - offset), SYNC_WAIT):
        raise _error()


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
