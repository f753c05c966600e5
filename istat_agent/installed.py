"""Entry points of packages that pip or apt have installed. Knows no collectors.

Python's own reader of them brings e-mail and zip libraries, 2 MB of memory, and few machines have any of our group: so
it is asked only where some package's list of entry points has the group's name in it.
"""
from __future__ import annotations

import glob
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# Of the packaging standard, and what setuptools makes of a checkout.
LISTS = ("*.dist-info/entry_points.txt", "*.egg-info/entry_points.txt")


def entry_points(group: str) -> Sequence[EntryPoint]:
    """Those of a group, by name."""
    if not any(_mentions(place, group.encode()) for place in sys.path):
        return ()
    import importlib.metadata  # only now, see above

    return sorted(importlib.metadata.entry_points(group=group), key=lambda entry: entry.name)


def _mentions(place: str, group: bytes) -> bool:
    """Whether a package in this folder of modules may have entry points of the group. What is no folder, such as a zip
    file, may have anything."""
    folder = Path(place or ".")
    if folder.is_file():
        return True
    try:
        return any(group in (folder / name).read_bytes() for pattern in LISTS
                   for name in glob.glob(pattern, root_dir=folder))
    except OSError:     # Python's own reader tells what is wrong with a list that cannot be read
        return True
