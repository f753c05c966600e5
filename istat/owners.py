"""Who a file belongs to and who we are: for messages about permissions, and for what root writes in another's folder.

Knows users, groups and modes only.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import contextmanager

ROOT = 0


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
        return (f" (this is the user {user()}; {at} belongs to {name_of(found.st_uid)}:{name_of_group(found.st_gid)}, "
                f"mode {found.st_mode & 0o7777:04o})")


@contextmanager
def left_to_owner(folder: str | os.PathLike[str]) -> Iterator[None]:
    """What root makes meanwhile in a folder of another user is that user's afterwards, who could not read it otherwise.

    A folder that is missing, or root's own, stays as it is.
    """
    owner = None
    if os.geteuid() == ROOT and os.path.isdir(folder):
        found = os.stat(folder)
        owner = (found.st_uid, found.st_gid) if found.st_uid != ROOT else None
    try:
        yield
    finally:
        if owner is not None:
            _give(folder, *owner)


def _give(folder: str | os.PathLike[str], uid: int, gid: int) -> None:
    """Root's folders and files in a folder become the user's. Links are left alone: they could be made by that user
    to files elsewhere."""
    for _, _, names, at in os.fwalk(folder):
        if os.fstat(at).st_uid == ROOT:
            os.fchown(at, uid, gid)
        for name in names:
            if not stat.S_ISREG(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                continue
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
            try:
                found = os.fstat(file)
                if found.st_uid == ROOT and found.st_nlink == 1 and stat.S_ISREG(found.st_mode):
                    os.fchown(file, uid, gid)
            finally:
                os.close(file)


def name_of(number: int) -> str:
    """The name of a user, or the number of one without."""
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
