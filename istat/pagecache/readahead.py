"""How far the kernel reads ahead on the device that a file is on. Every device has its own setting, and many systems
set it far above the kernel's 128 KiB: read it, never assume it."""

from __future__ import annotations

import os
from pathlib import Path

SYS = Path("/sys")


def readahead_kb(path: str | bytes | os.PathLike[str] | int, sys: Path = SYS) -> int | None:
    """`read_ahead_kb` [KiB] of a file's device (Documentation/ABI/testing/sysfs-class-bdi of the kernel); None where
    there is none, as on tmpfs. `sys`: where sysfs is. OSError when there is no such file."""
    device = os.stat(path).st_dev
    return of_device(os.major(device), os.minor(device), sys)


def of_device(major: int, minor: int, sys: Path = SYS) -> int | None:
    """The same of a device's number. A partition has the setting of its disk."""
    number = f"{major}:{minor}"
    block = sys / "dev" / "block" / number
    # A link leads to the device's own folder: the disk of a partition is above that, not above the link.
    own = block.resolve()
    for place in (sys / "class" / "bdi" / number / "read_ahead_kb", own / "queue" / "read_ahead_kb",
                  own.parent / "queue" / "read_ahead_kb"):
        try:
            return int(place.read_text())
        except (OSError, ValueError):
            continue
    return None
