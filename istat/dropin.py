"""Which files of a drop-in folder may be used: shared by the agent (`*.py`) and the plugin `exec` (scripts).

It looks at names, and at the first two bytes of what looks like a forgotten script; whether others could change a file
is for `istat.access.trust` to say, each time that it is loaded or run.
"""

from __future__ import annotations

import os
from collections.abc import Sequence


def python_files(folders: Sequence[str]) -> list[str]:
    """The `*.py` files: each is loaded as a plugin."""
    return [path for path in _files(folders) if path.endswith(".py")]


def scripts(folders: Sequence[str]) -> list[str]:
    """The executable files that are no `*.py`: each is run by `exec`."""
    return [path for path in _files(folders) if not path.endswith(".py") and os.access(path, os.X_OK)]


def not_executable(folders: Sequence[str]) -> list[str]:
    """The files that begin as scripts do, and that nobody made executable."""
    return [path for path in _files(folders)
            if not path.endswith(".py") and not os.access(path, os.X_OK) and _is_script(path)]


def _is_script(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == b"#!"
    except PermissionError:
        return False    # not for us


def _files(folders: Sequence[str]) -> list[str]:
    """Plain files by folder and name, without hidden ones, `_helpers.py` and editors' copies.

    A folder that is not there is an empty one; OSError when one cannot be read.
    """
    paths = []
    for folder in folders:
        try:
            entries = sorted(os.listdir(folder))
        except FileNotFoundError:
            continue
        paths += [os.path.join(folder, e) for e in entries if e[0] not in "._" and not e.endswith("~")]
    return [path for path in paths if os.path.isfile(path)]
