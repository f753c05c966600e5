"""How files and folders of ours are made, opened and brought safely to the disk.

Links are never written through: a folder of ours has none but itself and what an operator put on another disk. Knows
no format.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

from istat.access import guarded

log = logging.getLogger(__name__)


def private(path: str, flags: int) -> int:
    """An opener of new files that others may not read: names can tell a lot."""
    return guarded.fresh(path, flags, 0o640)


def plain(path: str, flags: int) -> int:
    """An opener of files that are there. OSError when there is a link, or anything but a file, in its place: somebody
    laid it there."""
    handle = at_once(path, flags | os.O_NOFOLLOW)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it is no plain file", path)
    return handle


def at_once(path: str, flags: int) -> int:
    """An opener that waits for nobody where a pipe or a terminal has a file's place, which is for the caller to see."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make renames and unlinks in a folder survive power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that it outlives a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(mode=0o750, exist_ok=True)
    try:
        sync_folder(folder.parent)
    except PermissionError:         # above ours: who made it there for us sees to it
        log.debug("%s cannot be synced", folder.parent)
