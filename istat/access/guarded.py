"""Files that are opened by names which others may have a hand in: no link of another user is followed.

A link is followed where it is root's or our own, such as /var/run; a file that has a second name elsewhere is refused
where others could have given it that. Knows names, owners and modes; not what the files are for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from istat import owners

Name = str | os.PathLike[str]
FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
MOST_LINKS = 40     # on the way to one file, as for the kernel (path_resolution(7))
OTHERS = stat.S_IWGRP | stat.S_IWOTH
KERNELS = "/proc"   # where links are the kernel's own


class Place:
    """Where a file is or is to be: its folder, held open, and its name there. A context manager.

    OSError (ELOOP) in words for people when a link of another user leads there.
    """

    def __init__(self, path: Name, friend: int = owners.ROOT) -> None:
        """`friend`: a user whose file it may be, besides root, ourselves and whose the folder is."""
        self.path, self._friend = os.fspath(path), friend
        with named(self.path):
            self._folder, self._name, self._free = _walk(self.path)

    def open(self, flags: int, mode: int = 0o640, special: bool = False) -> int:
        """Open the file. OSError too when it is no plain file (unless it may be `special`: a terminal, a pipe), or when
        others may have given another file this name."""
        nofollow = 0 if self._free else os.O_NOFOLLOW
        with named(self.path):
            handle = os.open(self._name, flags & ~os.O_TRUNC | nofollow | os.O_CLOEXEC | os.O_NOCTTY, mode,
                             dir_fd=self._folder)
        try:
            found = os.fstat(handle)
            self._check(found, special)
            if flags & os.O_TRUNC and stat.S_ISREG(found.st_mode):
                os.ftruncate(handle, 0)
        except BaseException:
            os.close(handle)
            raise
        return handle

    def make(self, flags: int, mode: int = 0o640) -> int:
        """Make the file new. FileExistsError when there is one, or a link."""
        return self.open(flags | os.O_CREAT | os.O_EXCL, mode)

    def give(self, user: owners.User) -> None:
        """Let what is there, a folder too, belong to a user, if it is root's so far."""
        handle = os.open(self._name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            if os.fstat(handle).st_uid == owners.ROOT:
                os.fchown(handle, user.uid, user.gid)
        finally:
            os.close(handle)

    def stat(self) -> os.stat_result:
        """What is there now."""
        return os.stat(self._name, dir_fd=self._folder, follow_symlinks=self._free)

    def unlink(self) -> None:
        """Remove what is there."""
        os.unlink(self._name, dir_fd=self._folder)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, found: os.stat_result, special: bool) -> None:
        if not stat.S_ISREG(found.st_mode):
            if not special:
                raise OSError(errno.EINVAL, "it is no plain file", self.path)
            return
        folder = os.fstat(self._folder)
        if found.st_nlink > 1 and not _ours(folder):
            raise OSError(errno.EMLINK, "it has a second name elsewhere, and others may write to its folder; remove "
                                        "it, or name another place", self.path)
        mine = (owners.ROOT, os.geteuid(), folder.st_uid, self._friend)
        if folder.st_mode & stat.S_IWOTH and found.st_uid not in mine:
            raise OSError(errno.EPERM, f"it belongs to the user {owners.name_of(found.st_uid)}, and everybody may "
                                       f"write to its folder; remove it, or name another place", self.path)


def open_file(path: Name, flags: int, mode: int = 0o640, special: bool = False) -> int:
    """Open a file as `Place.open` does."""
    with Place(path) as place:
        return place.open(flags, mode, special)


def fresh(path: str, flags: int, mode: int = 0o666) -> int:
    """An opener of a new file in place of what has its name, which is removed and not written to: it may be a link."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    return os.open(path, flags & ~os.O_TRUNC | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def check(path: Name) -> None:
    """OSError in words for people when a link of another user is on the way to a place, or is it. It may be missing."""
    with contextlib.suppress(FileNotFoundError):
        Place(path).close()


@contextlib.contextmanager
def named(path: str) -> Iterator[None]:
    """The system's refusals are about the whole path, not about one component of it."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise


def _walk(path: str) -> tuple[int, str, bool]:
    """(the folder, the name in it, whether that may be a link).

    One component after the other, since the kernel cannot tell whose links it is to follow. The name may be missing.
    """
    rest, links = _parts(path), 0
    at = os.open("/" if path.startswith("/") else ".", FOLDER)
    try:
        while True:
            name = rest.pop()
            if _is_kernels(at):
                return at, "/".join([name, *reversed(rest)]), True
            try:
                inode = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            except FileNotFoundError:
                if rest:
                    raise
                return at, name, False
            found = os.fstat(inode)
            if rest and not stat.S_ISLNK(found.st_mode):
                os.close(at)
                at = inode
                continue
            try:
                if not stat.S_ISLNK(found.st_mode):
                    return at, name, False
                links += 1
                _check_link(found, os.fstat(at), path, links)
                target = os.readlink("", dir_fd=inode)
            finally:
                os.close(inode)
            rest += _parts(target)
            if target.startswith("/"):
                os.close(at)
                at = os.open("/", FOLDER)
    except BaseException:
        os.close(at)
        raise


def _parts(path: str) -> list[str]:
    """The components, the last one first; of a folder such as "/" it is "."."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")] or ["."]


def _check_link(link: os.stat_result, folder: os.stat_result, path: str, links: int) -> None:
    if link.st_uid not in (owners.ROOT, os.geteuid()):
        raise OSError(errno.ELOOP, f"a link of the user {owners.name_of(link.st_uid)} is on the way there, and "
                                   f"{owners.user()} follows no link of others; name the place that is meant", path)
    if link.st_nlink > 1 and not _ours(folder):
        raise OSError(errno.ELOOP, "a link that has a second name elsewhere is on the way there; name the place that "
                                   "is meant", path)
    if links > MOST_LINKS:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _ours(folder: os.stat_result) -> bool:
    """Whether nobody else can give files names in a folder."""
    return folder.st_uid in (owners.ROOT, os.geteuid()) and not folder.st_mode & OTHERS


def _is_kernels(at: int) -> bool:
    try:
        return os.fstat(at).st_dev == os.stat(KERNELS).st_dev and os.path.ismount(KERNELS)
    except FileNotFoundError:
        return False
