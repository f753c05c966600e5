"""Whether files of tests can have leases, asked of the kernel and not of our own code."""

from __future__ import annotations

import fcntl
from pathlib import Path


def has_leases(folder: Path) -> bool:
    """Whether the file system of a folder has them."""
    path = folder / "lease"
    path.touch()
    try:
        with path.open("rb") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        path.unlink()
    return True
