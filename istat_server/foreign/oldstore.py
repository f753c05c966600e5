"""The store of an istatd of before, where our own is looked for: what is said of it, and that nothing in it is touched.

Knows ring files and which files make a folder a store of ours; opens neither.
"""
from __future__ import annotations

import os
import shlex
from itertools import islice
from pathlib import Path

from istat import owners
from istat.errors import IstatError, StoreError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.retention import DEFAULT_RETENTION, Ladder
from istat_server.foreign.ring import is_ring
from istat_server.foreign.ringtree import RingTree
from istat_server.foreign.source import Naming, Problems, walk
from istat_server.store.files import manifest

# Of a folder that holds other things so many files are looked at, no more.
LOOKED_AT = 100
OURS = ("FORMAT", manifest.NAME)


def refuse(store: Path, wanted: Ladder) -> None:
    """StoreError, with the command that imports it, where the folder of the store is a tree of ring files. `wanted`:
    for how long the new store is to keep what."""
    if holds_rings(store):
        new = store.with_name(f"{store.name}-2")
        retention = "" if wanted.text == DEFAULT_RETENTION else f" --retention {shlex.quote(wanted.text)}"
        raise StoreError(f"{store} holds ring files of istatd. They are imported once, into a store of its own, and "
                         f"stay as they are:\n  {import_command(store, new)}{retention}\n"
                         f"Then start with --store {quoted(new)}")


def holds_rings(store: Path) -> bool:
    """Whether a folder is a tree of ring files, and no store of ours. One that cannot be looked at is none."""
    try:
        with owners.Rights.of_owner(store, only_looks=True):
            if not store.is_dir() or any((store / name).exists() for name in OURS):
                return False
            return any(_is_ring(found.path) for found in islice(walk(store, Problems()), LOOKED_AT))
    except (OSError, IstatError):
        return False


def _is_ring(path: Path) -> bool:
    with ownfiles.reading(path, Use.SMALL) as file:
        return is_ring(file.read(16))


def not_imported(old: Path, store: Path) -> str:
    """What there is to do where an old store is not in ours yet; empty where it is, or there is none."""
    if not holds_rings(old):
        return ""
    try:
        state, _problem = manifest.load(store) if store.exists() else (None, "")
    except (OSError, IstatError):
        state = None
    note = RingTree(old, Naming()).known(state.imports if state else ())
    if note is not None and note.finished:
        return ""
    return (f"what istatd kept in {old} is not in the store {store}, and stays where it is; stop the server and import "
            f"it: {import_command(old, store)}")


def import_command(old: Path, store: Path) -> str:
    """The command that can be pasted."""
    return f"istat import --store {quoted(store)} {quoted(old)}"


def quoted(path: Path) -> str:
    """A path for a shell, from wherever."""
    return shlex.quote(os.path.abspath(path))
