"""The files of namespaces: found, read, replaced, appended to. All calls block, and belong into a thread.

Nothing of the folder is followed: a link, a pipe or a device in a file's place is refused. A file is replaced by one
that was written aside, under a name that nobody can foretell, and synced. Knows no syntax.
"""
from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from istat.access import guarded
from istat.access.replacing import FULL
from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.keyvalue.syntax import is_name
from istat_server.store import ondisk

VALUES, VERSIONS, ASIDE = ".set", ".versions", ".aside"
# Not of a namespace: what is declared of metrics lies beside them (istat_server/declared).
DECLARED = ".declared"
_OURS_ASIDE = re.compile(r"\.[0-9a-f]{16}\.aside")


@dataclass(frozen=True)
class Stamp:
    """By what a file that somebody has changed is known."""

    inode: int
    changed: int        # [ns]
    size: int

    @property
    def seconds(self) -> int:
        """When it was changed, Unix seconds."""
        return self.changed // 1_000_000_000


class Folder:
    """A folder of `.set` files, and of the `.versions` beside them. It is made when the first one is written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def check(self) -> None:
        """StoreError for a folder where others than its owner and group could lay files, OSError for a link of
        another's."""
        guarded.check(self.path)
        with suppress(FileNotFoundError):
            found = os.stat(self.path)
            if not stat.S_ISDIR(found.st_mode):
                raise StoreError(f"{self.path} is no folder; name another with --settings")
            if found.st_mode & stat.S_IWOTH:
                raise StoreError(f"everybody may write to {self.path}, so its files could be anyone's: say chmod o-w "
                                 f"{self.path}, or name another folder with --settings")

    def clear(self) -> None:
        """Remove what a crash left half written."""
        for entry in self._entries():
            if _OURS_ASIDE.fullmatch(entry.name):
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)

    def sizes(self, kind: str = VALUES) -> dict[str, int]:
        """The namespaces that have a file, and its size [bytes]."""
        found = {}
        for entry in self._entries():
            name = entry.name.removesuffix(kind)
            if name != entry.name and is_name(name):
                with suppress(FileNotFoundError):
                    found[name] = entry.stat(follow_symlinks=False).st_size
        return found

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(self.path) as entries:
                yield from entries
        except FileNotFoundError:
            return

    def place(self, name: str, kind: str = VALUES) -> Path:
        """Where a file of a namespace is. Its name is one by `syntax.is_name`, and so has no slash."""
        return self.path / f"{name}{kind}"

    def stamp(self, name: str, kind: str = VALUES) -> Stamp | None:
        """The present state of a file; None when there is none. For this no thread is needed. StoreError."""
        path = self.place(name, kind)
        try:
            return _stamp(os.lstat(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error

    def read(self, name: str, most: int, kind: str = VALUES) -> tuple[bytes, Stamp] | None:
        """A file's bytes; None when there is none. StoreCorrupt for one that is longer than `most`, or no file."""
        path = self.place(name, kind)
        try:
            with ownfiles.reading(path, Use.SMALL, ondisk.plain) as file:
                stamp = _stamp(os.fstat(file.fileno()))
                data = file.read(most + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EISDIR):
                raise StoreCorrupt(f"{path}: it is no plain file; move it away") from error
            raise StoreError(f"{path}: {error.strerror}") from error
        if len(data) > most:
            raise StoreCorrupt(f"{path}: it has {stamp.size:,} bytes, and {most:,} is the most; make it shorter, or "
                               "move it away")
        return data, stamp

    def write(self, name: str, data: bytes, kind: str = VALUES) -> Stamp:
        """Put a file in the place of another, or of none; it is on the disk then. StoreFull or StoreError."""
        path = self.place(name, kind)
        try:
            ondisk.make_folder(self.path)
            return self._replace(path, data)
        except OSError as error:
            raise _refused(path, error) from error

    def _replace(self, path: Path, data: bytes) -> Stamp:
        aside = self.path / f".{secrets.token_hex(8)}{ASIDE}"
        try:
            with ownfiles.writing(aside, ondisk.private, Use.SMALL) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                stamp = _stamp(os.fstat(file.fileno()))
            os.rename(aside, path)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        ondisk.sync_folder(self.path)
        return stamp

    def remove(self, name: str) -> None:
        """Remove a namespace's files, where they are. StoreError."""
        try:
            for kind in (VALUES, VERSIONS):
                self.place(name, kind).unlink(missing_ok=True)
        except OSError as error:
            raise _refused(self.place(name), error) from error

    def append(self, name: str, at: int, data: bytes) -> Stamp:
        """Write to the end of a `.versions` file, which is at `at`: what is behind it is the rest of a write that never
        ended. On the disk then. StoreFull or StoreError, and the file is what it was."""
        path = self.place(name, VERSIONS)
        try:
            handle = ownfiles.descriptor(path, os.O_WRONLY, Use.SMALL, ondisk.plain)
        except OSError as error:
            raise _refused(path, error) from error
        try:
            os.ftruncate(handle, at)
            _pour(handle, at, data)
            os.fsync(handle)
            return _stamp(os.fstat(handle))
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(handle, at)
            raise _refused(path, error) from error
        finally:
            os.close(handle)


def _pour(handle: int, at: int, data: bytes) -> None:
    while data:
        done = os.pwrite(handle, data, at)
        at, data = at + done, data[done:]


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)


def _refused(path: Path, error: OSError) -> StoreError:
    """The system's refusal to write, with what to do about it."""
    words = f"{path} cannot be written: {error.strerror}"
    if error.errno in FULL:
        return StoreFull(f"{words}; make room on its disk (df {path.parent}); nothing was changed")
    return StoreError(f"{words}; the folder must be the server's to write")
