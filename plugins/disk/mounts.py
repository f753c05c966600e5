"""Which file systems there are, and where: what `space` reports without being told. Knows nothing of their space."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable
from typing import Any

ROOT = "/"
DISC = "udf"  # full like an image where it is read-only, and an ordinary file system otherwise


def by_device(partitions: Iterable[Any], skip: re.Pattern[str], images: Collection[str]) -> dict[str, list[str]]:
    """Device -> its mount points, the shortest first: the others are bind mounts, of a sandbox or a container.

    `partitions`: as `psutil.disk_partitions` has them. `skip`: mount points to leave out. `images`: types of file
    systems to leave out. `/` is there always: in a container it lies on no device, and psutil leaves it out.
    """
    seen = {partition.mountpoint: partition for partition in partitions}  # what was mounted there last hides the others
    found: dict[str, list[str]] = {}
    for mount in sorted(seen, key=lambda mount: (len(mount), mount)):
        one = seen[mount]
        if not _is_image(one, images) and not skip.search(mount):
            found.setdefault(one.device, []).append(mount)
    if not any(ROOT in mounts for mounts in found.values()) and not (ROOT in seen and _is_image(seen[ROOT], images)):
        found[ROOT] = [ROOT]
    return found


def is_mounted(mount: str, partitions: Iterable[Any]) -> bool:
    """Whether a file system begins at this place. Where none does, its space is that of the one above. An automounter's
    may be on no list yet."""
    if any(partition.mountpoint == mount for partition in partitions):
        return True
    return os.stat(mount).st_dev != os.stat(os.path.dirname(mount)).st_dev


def _is_image(partition: Any, images: Collection[str]) -> bool:
    """Whether it was full when it was made: nothing can be written to it."""
    read_only = "ro" in partition.opts.split(",")
    return partition.fstype in images or (partition.fstype == DISC and read_only)
