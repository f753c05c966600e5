"""istatd's settings, dashboards and accounts among them, as namespaces in our store: each file as it is, once.

Reads the old folder and never writes to it. What is in the store already stays.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from istat import owners
from istat.errors import StoreCorrupt
from istat_server.keyvalue import syntax
from istat_server.keyvalue.bounds import LONGEST_NAME, Bounds
from istat_server.keyvalue.folder import Folder
from istat_server.store.ondisk import NAMESPACES

TAKEN, SAME, KEPT, BAD = "taken", "there already", "kept as it is here", "cannot be read"


class Copied(NamedTuple):
    """What became of a namespace."""

    name: str
    what: str
    keys: int
    why: str = ""


def copy(old: Path, store: Path, dry_run: bool) -> Iterator[Copied]:
    """Every namespace of a folder, and what becomes of it."""
    theirs, ours = Folder(old), Folder(store / NAMESPACES)
    for name in sorted(theirs.sizes()):
        if not name or len(name) > LONGEST_NAME:
            yield Copied(name, BAD, 0, "no namespace has such a name here")
            continue
        try:
            found = theirs.read(name, Bounds().file)
            values = syntax.decode(found[0]) if found else {}
        except StoreCorrupt as error:
            yield Copied(name, BAD, 0, str(error))
            continue
        if found is not None:
            with owners.Rights.of_owner(store):
                yield Copied(name, _put(ours, name, found[0], values, dry_run), len(values))


def _put(ours: Folder, name: str, data: bytes, values: dict[str, str], dry_run: bool) -> str:
    there = ours.read(name, Bounds().file)
    if there is not None:
        return SAME if syntax.decode(there[0]) == values else KEPT
    if not dry_run:
        ours.write(name, data)
    return TAKEN
