"""Who a file belongs to and who we are: for messages about permissions, and for what root does in another's folder.

In a folder of another user root works with that user's rights: a link that is laid there leads root nowhere where that
user could not go, and what is made is that user's. Knows users, groups and modes only.
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import NamedTuple

from istat.errors import IstatError

ROOT = 0
WITH_RIGHTS = "with whose rights root works there"     # why root is refused something


class User(NamedTuple):
    """A user as the kernel knows one."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def user() -> str:
    """The name of the user that this process runs as."""
    return name_of(os.geteuid())


def refused(path: str | os.PathLike[str]) -> str:
    """The words " (this is the user ann; /x/y belongs to bob:staff, mode 0640)" for what the system refused us.

    Where the path cannot be seen, the nearest folder above that can be.
    """
    at = os.path.abspath(path)
    while True:
        try:
            found = os.stat(at)
        except OSError:
            if at == os.path.dirname(at):
                return f" (this is the user {user()})"
            at = os.path.dirname(at)
            continue
        return f" (this is the user {user()}; {_about(at, found)})"


def about(path: str) -> str:
    """The words "/x/y belongs to bob:staff, mode 0640"."""
    return _about(path, os.stat(path))


def _about(path: str, found: os.stat_result) -> str:
    return (f"{path} belongs to {name_of(found.st_uid)}:{name_of_group(found.st_gid)}, "
            f"mode {found.st_mode & 0o7777:04o}")


def identity(user: str) -> User:
    """A user by name or number. KeyError when there is none of that name."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
    except KeyError:
        if user.isdigit():
            return User(int(user), int(user), ())
        raise
    return User(entry.pw_uid, entry.pw_gid, tuple(sorted(os.getgrouplist(entry.pw_name, entry.pw_gid))))


def owner_of(folder: str | os.PathLike[str]) -> User:
    """Whose a folder is; of one that is missing, whose the nearest folder above it is."""
    at = os.path.abspath(folder)
    while not os.path.isdir(at) and at != os.path.dirname(at):
        at = os.path.dirname(at)
    found = os.stat(at)
    try:
        name = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        return User(found.st_uid, found.st_gid, ())
    return User(found.st_uid, found.st_gid, tuple(sorted(os.getgrouplist(name, found.st_gid))))


class Rights:
    """A context in which this thread has a user's rights on files, where it is root; any number of times. Threads that
    begin in it keep them."""

    def __init__(self, user: User | None) -> None:
        """None: those that we have anyway."""
        self._user = user if os.geteuid() == ROOT else None
        self._before: list[User] = []

    @classmethod
    def of_owner(cls, folder: str | os.PathLike[str], only_looks: bool = False) -> Rights:
        """Those of the owner of a folder. Where that user cannot even get there, they are root's: IstatError when
        another has a hand in the way there, who could lead root elsewhere meanwhile. `only_looks`: that does not
        matter, as nothing is written, and what is read is shown to root alone."""
        if os.geteuid() != ROOT:
            return cls(None)
        rights = cls(owner_of(folder))
        with rights:
            reached = _can_enter(folder)
        if reached:
            return rights
        if not only_looks:
            _check_way(os.path.realpath(folder))
        return cls(User(ROOT, ROOT, ()))

    def __enter__(self) -> Rights:
        if self._user is None:
            return self
        self._before.append(User(_set_fsuid(-1), _set_fsgid(-1), tuple(os.getgroups())))
        if self._user.uid == ROOT:      # who needs no groups; and not every root may set them
            _set_fsgid(self._user.gid)
            _set_fsuid(ROOT)
            return self
        try:
            _take(self._user)
        except IstatError:
            _take(self._before.pop())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._user is None:
            return
        _take(self._before.pop())
        if isinstance(error, PermissionError) and self._user.uid != ROOT and WITH_RIGHTS not in str(error.strerror):
            error.strerror = f"{error.strerror} to the user {name_of(self._user.uid)}, {WITH_RIGHTS}"


@contextmanager
def as_owner(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Meanwhile root has the rights of a folder's owner, to whom all belongs that root makes there."""
    with left_to_owner(folder), Rights.of_owner(folder):
        yield


@contextmanager
def left_to_owner(folder: str | os.PathLike[str]) -> Iterator[None]:
    """What root made and makes in a folder of another user is that user's, who could not read it otherwise.

    A folder that is missing, or root's own, stays as it is.
    """
    if os.geteuid() != ROOT or not os.path.isdir(folder):
        yield
        return
    with held(folder) as handle:
        owner = os.fstat(handle)
        if owner.st_uid != ROOT:
            give(handle, owner.st_uid, owner.st_gid)
        try:
            yield
        finally:
            if owner.st_uid != ROOT:
                give(handle, owner.st_uid, owner.st_gid)


@contextmanager
def held(folder: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor of a folder: wherever its name leads by and by, it stays that folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def give(folder: int, uid: int, gid: int) -> None:
    """Root's folders and files in a folder (a descriptor, as its name may lead elsewhere by now) become the user's, or
    with the uid -1 the group's. Links are left alone: they could be made by that user to files elsewhere."""
    for _, _, names, at in os.fwalk(".", dir_fd=folder):
        if os.fstat(at).st_uid == ROOT:
            os.fchown(at, uid, gid)
        for name in names:
            with suppress(FileNotFoundError):       # a server is at work there
                _give_file(name, at, uid, gid)


def _give_file(name: str, at: int, uid: int, gid: int) -> None:
    if not stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
        return
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
    try:
        found = os.fstat(file)
        if found.st_uid == ROOT and found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
            os.fchown(file, uid, gid)
    finally:
        os.close(file)


def _check_way(folder: str) -> None:
    """IstatError when a folder above this one is another user's, or others may put something else in its place."""
    at = folder
    while at != os.path.dirname(at):
        at = os.path.dirname(at)
        found = os.stat(at)
        others = found.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if found.st_gid != ROOT else 0))
        if found.st_uid != ROOT or (others and not found.st_mode & stat.S_ISVTX):
            raise IstatError(f"{_about(at, found)}, and the user {name_of(owner_of(folder).uid)}, with whose rights "
                             f"root would work in {folder}, cannot get there; let that user enter it, or name another "
                             f"place")


def _can_enter(folder: str | os.PathLike[str]) -> bool:
    try:
        os.stat(os.path.join(folder, "."))
    except PermissionError:
        return False
    except OSError:
        return True             # it is to be made, or no folder: that is told elsewhere
    return True


def _take(user: User) -> None:
    """Have a user's rights on files: setfsuid(2), which is of the thread and leaves the way back."""
    if set(os.getgroups()) != set(user.groups):
        with suppress(PermissionError):     # as in `unshare -r`, and in containers
            os.setgroups(user.groups)       # of all threads: root itself needs none
    _set_fsgid(user.gid)
    _set_fsuid(user.uid)
    if (_set_fsuid(-1), _set_fsgid(-1), set(os.getgroups())) != (user.uid, user.gid, set(user.groups)):
        raise IstatError(f"root cannot take the rights of the user {name_of(user.uid)} here; run it as that user")


def _set_fsuid(uid: int) -> int:
    return int(ctypes.CDLL(None).setfsuid(uid))


def _set_fsgid(gid: int) -> int:
    return int(ctypes.CDLL(None).setfsgid(gid))


def name_of(number: int) -> str:
    """A user's name, or the number where there is none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def name_of_group(number: int) -> str:
    """The name of a group, or the number of one without."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
