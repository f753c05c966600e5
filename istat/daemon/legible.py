"""Whether the user that a daemon is to become can read the code that it runs: what is imported later is read then.

Knows modules and rights on files.
"""

from __future__ import annotations

import os
import sys

from istat import owners
from istat.errors import IstatError


def check(user: owners.User, name: str) -> None:
    """IstatError in a sentence when a user cannot read a folder that modules were imported from. For root only."""
    places = {os.path.dirname(file): file for file in map(_file, list(sys.modules.values())) if file}
    with owners.Rights(user):
        for folder, file in sorted(places.items()):
            try:
                os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            except PermissionError as error:
                refused = f"{folder}, where code of this program is: {error.strerror}"
                break
            except OSError:
                continue        # in an archive, or gone since: no matter of rights
        else:
            return
    raise IstatError(f"the user {name} cannot read {refused} ({_shut(file, user)}); install Python and istatd where "
                     f"that user can read them, such as /opt, or name another with --user")


def _file(module: object) -> str | None:
    found = getattr(module, "__file__", None)
    if not isinstance(found, str) or getattr(module, "__name__", "") == "__main__":
        return None
    return os.path.abspath(found)


def _shut(file: str, user: owners.User) -> str:
    """The first of a file and the folders above it that keeps a user out, told as `owners.about` does."""
    at = "/"
    for part in file.split("/")[1:]:
        nearer = os.path.join(at, part)
        with owners.Rights(user):
            try:
                os.stat(nearer)
            except PermissionError:
                break
        at = nearer
    return owners.about(at)
