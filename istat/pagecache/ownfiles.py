"""How istatd opens files of its own data: each for a use, and each use with its advice to the page cache.

A store reads a few pages of many large files, and whole files when it merges, checks, copies or imports them. Without
advice the first brings in pages that nobody asked for (read-ahead), and the second puts out what queries need. So
every open of the store, of imports and exports goes through `descriptor`, which a test counts on. Knows descriptors
and pages; not what is in the files, nor whose they are: for that, callers bring an opener.
"""
from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from istat.pagecache import syscalls

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

Name = str | os.PathLike[str]
Opener = Callable[[str, int], int]

RWF_DONTCACHE = 0x80        # preadv2: leave nothing in the page cache (Linux 6.14; the os module has no name for it)
NO_CALL = (errno.ENOSYS, errno.EPERM)   # a kernel that was built without the system call, a filter that forbids it
REFUSED = (errno.EOPNOTSUPP, errno.EINVAL, *NO_CALL)    # also by kernels before, and by file systems that cannot
PIECE = 1 << 20             # read at once of a whole file [bytes]
LONG = 1 << 20              # what is read of a file at random and is more than this is told of beforehand [bytes]
AHEAD = 128 << 10           # the kernel's default read-ahead, and so the least that one WILLNEED brings in [bytes]


class Use(Enum):
    """What a file is opened for."""

    PARTS = "read here and there"       # RANDOM: no read-ahead, as a question reads an index page and a block
    WHOLE = "read once, to its end"     # reads that leave nothing in the cache but what was there before
    WRITTEN = "written once"            # none while it grows; `put_away` drops the pages once they are on the disk
    SMALL = "a page or two"             # none: it is read whole, and may stay


def descriptor(path: Name, flags: int, use: Use, opener: Opener | None = None, mode: int = 0o640) -> int:
    """Open a file and give the advice of its use; the one place where our data files are opened. OSError as of open."""
    handle = os.open(path, flags | os.O_CLOEXEC, mode) if opener is None else opener(os.fspath(path), flags)
    if use is Use.PARTS:
        with _closed_on_failure(handle):
            _advise(handle, 0, 0, os.POSIX_FADV_RANDOM)
    return handle


def reading(path: Name, use: Use = Use.WHOLE, opener: Opener | None = None) -> io.BufferedReader:
    """A file for reading. What is no plain file, such as a pipe, is read as ever."""
    handle = descriptor(path, os.O_RDONLY, use, opener)
    with _closed_on_failure(handle):        # it may be a folder
        if use is Use.WHOLE and stat.S_ISREG(os.fstat(handle).st_mode):
            return io.BufferedReader(_Once(handle, os.fspath(path)), PIECE)
        return os.fdopen(handle, "rb")


def content(path: Name, use: Use = Use.WHOLE, opener: Opener | None = None) -> bytes:
    """All bytes of a file."""
    with reading(path, use, opener) as file:
        return file.read()


def writing(path: Name, opener: Opener | None = None, use: Use = Use.WRITTEN) -> io.BufferedWriter:
    """A file for writing: a new one, where the opener makes it. To be put away when it is written."""
    return os.fdopen(descriptor(path, os.O_WRONLY, use, opener), "wb")


def put_away(handle: int) -> None:
    """Bring what was written of a file to the disk, and let its pages go."""
    os.fdatasync(handle)
    let_go(handle)


def let_go(handle: int) -> None:
    """Let the pages of a file go that is on the disk, and is not read soon."""
    _advise(handle, 0, 0, os.POSIX_FADV_DONTNEED)


def _advise(handle: int, offset: int, length: int, advice: int) -> None:
    """posix_fadvise, where there is one: nothing is wrong with data that is read without advice. OSError."""
    try:
        os.posix_fadvise(handle, offset, length, advice)
    except OSError as error:
        if error.errno not in NO_CALL:
            raise


def read_ahead(handle: int, ranges: list[tuple[int, int]]) -> None:
    """Have the kernel begin to read (offset, length)s that are about to be read, if they are much. In pieces: of a
    longer one it brings in only as much as it reads ahead."""
    if sum(length for _offset, length in ranges) <= LONG:
        return
    for offset, length in ranges:
        for at in range(offset, offset + length, AHEAD):
            _advise(handle, at, min(AHEAD, offset + length - at), os.POSIX_FADV_WILLNEED)


@contextmanager
def _closed_on_failure(handle: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(handle)
        raise


def read_once(handle: int, offset: int, length: int) -> bytes:
    """Up to so many bytes, without leaving them in the page cache; less at the end of the file."""
    buffer = bytearray(length)
    return bytes(memoryview(buffer)[:_into(handle, offset, memoryview(buffer))])


def _into(handle: int, offset: int, buffer: memoryview) -> int:
    try:
        return os.preadv(handle, [buffer], offset, RWF_DONTCACHE)
    except (OSError, NotImplementedError) as error:     # the latter: Python for a glibc before 2.26
        if isinstance(error, OSError) and error.errno not in REFUSED:
            raise
    _advise(handle, 0, 0, os.POSIX_FADV_RANDOM)         # or the next piece is there before it is looked for
    absent = [*_absent(handle, offset, len(buffer))]
    data = os.pread(handle, len(buffer), offset)        # os.preadv is preadv2, too, which may be what is forbidden
    buffer[:len(data)] = data
    for start, length in absent:
        _advise(handle, start, length, os.POSIX_FADV_DONTNEED)
    return len(data)


def _absent(handle: int, offset: int, length: int) -> Iterator[tuple[int, int]]:
    """(offset, length) of the pages of a range that are not in memory. None where that cannot be known: of a file of
    another user the kernel says that all are, and what others brought in is not ours to drop."""
    begin = offset - offset % syscalls.PAGE
    end = min(offset + length, os.fstat(handle).st_size)
    if begin >= end:
        return
    try:
        pages = syscalls.resident(handle, begin, end - begin)
    except OSError:
        return
    at = 0
    while (first := pages.find(b"\0", at)) >= 0:
        at = pages.find(b"\1", first)
        at = len(pages) if at < 0 else at
        yield begin + first * syscalls.PAGE, (at - first) * syscalls.PAGE


class _Once(io.RawIOBase):
    """A plain file that is read to its end, by `read_once`."""

    def __init__(self, handle: int, name: str) -> None:
        self.name = name
        self._handle, self._at = handle, 0

    def fileno(self) -> int:
        return self._handle

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        got = _into(self._handle, self._at, memoryview(buffer).cast("B"))
        self._at += got
        return got

    def readall(self) -> bytes:
        whole = io.BytesIO()        # its memory becomes the answer; parts that are joined would be there twice
        piece = memoryview(bytearray(PIECE))
        while got := _into(self._handle, self._at, piece):
            whole.write(piece[:got])
            self._at += got
        return whole.getvalue()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._handle).st_size}[whence]
        if start + offset < 0:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), self.name)
        self._at = start + offset
        return self._at

    def close(self) -> None:
        if not self.closed:
            os.close(self._handle)
        super().close()
