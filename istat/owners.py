"""Who a file belongs to and who we are, for messages about permissions. Knows users, groups and modes only."""

from __future__ import annotations

import grp
import os
import pwd


def user() -> str:
    """The name of the user that this process runs as."""
    return _user(os.geteuid())


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
        return (f" (this is the user {user()}; {at} belongs to {_user(found.st_uid)}:{_group(found.st_gid)}, "
                f"mode {found.st_mode & 0o7777:04o})")


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
