"""Which ring a path means: a ring file, or STORE/foo/bar/10s for level 10s of the counter foo.bar in a store of ours.

A store that is being served is asked of its server, at ISTAT_URL. Reads only: nothing is written where the path leads.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from istat.cli import asking
from istat.client import URL_VARIABLE
from istat.clock import Clock
from istat.errors import IstatError, ServerUnreachable, StoreLocked, UsageError
from istat.names import munge, stored
from istat_server.foreign import ring
from istat_server.foreign.ring import COARSE, EVENT, Ring, RingError
from istat_server.foreign.writers import Exported
from istat_server.store.files.manifest import NAME as MANIFEST
from istat_server.tools.places import Place, ServerPlace, Wanted, place_of

HOW = "a path is STORE/foo/bar/10s for level 10s of the counter foo.bar"
EVER = 10**11           # [s] later than any bucket, and the latest that a server may be asked for


def find(path: Path, clock: Clock) -> Ring:
    """The ring. RingError for a damaged file, FileNotFoundError when nothing is there, errors of stores and servers."""
    within = None if path.exists() else store_of(path)
    if within is None:
        try:
            return ring.read(path)
        except RingError as error:
            raise RingError(f"{path} {error}") from error
    store, parts = within
    name, level = munge(os.fsencode(".".join(parts[:-1]))), parts[-1]
    return _ring(path, _counter(store, name, clock), level)


def store_of(path: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The store of ours that a path leads into, and what of it is below; None when there is none."""
    whole = Path(os.path.abspath(path))
    for folder in whole.parents:
        if (folder / MANIFEST).is_file():
            parts = whole.relative_to(folder).parts
            return (folder, parts) if len(parts) > 1 else None
    return None


def _counter(store: Path, name: bytes, clock: Clock) -> Exported:
    arguments = _asking(store)
    try:
        with place_of(arguments, clock) as place:
            found = _named(place, name)
    except StoreLocked:
        found = _named(_server_of(store, arguments), name)
    if found is None:
        raise UsageError(f"the store in {store} has no counter {os.fsdecode(name)} with buckets; {HOW}")
    return found


def _asking(store: Path) -> argparse.Namespace:
    """The options of who reads this store, and asks the server that the environment names where that is needed."""
    parser = argparse.ArgumentParser()
    asking.asks(parser)
    arguments = parser.parse_args([])
    arguments.url, arguments.server, arguments.store, arguments.json = arguments.server, "", store, False
    return arguments


def _server_of(store: Path, arguments: argparse.Namespace) -> Place:
    arguments.server = arguments.url
    client = asking.client_of(arguments)
    hint = f"{store} is in use by an istat-server: say where that one answers in {URL_VARIABLE}"
    try:
        folder = str(client.status().get("store", {}).get("folder", ""))
    except ServerUnreachable as error:
        raise StoreLocked(f"{hint} ({error})") from error
    if os.path.realpath(folder) != os.path.realpath(store):
        raise StoreLocked(f"{hint} (the one at {client.url} serves {folder or 'no folder'})")
    return ServerPlace(client)


def _named(place: Place, name: bytes) -> Exported | None:
    for portion in place.portions(Wanted(os.fsdecode(name), 0, EVER), ""):
        for counter in portion.counters:
            if stored(os.fsencode(counter.name)) == name:
                return counter
    return None


def _ring(path: Path, counter: Exported, level: str) -> Ring:
    base = counter.ladder.finest.interval
    for one, rows in zip(counter.ladder.levels, counter.levels, strict=True):
        if one.name == level:
            flags = 0
            if counter.event:
                flags = EVENT if one.interval == base else COARSE
            made, _ = ring.made(path, rows, one.interval, one.keep, flags, one.interval // base)
            return made
    known = ", ".join(one.name for one in counter.ladder.levels)
    raise UsageError(f"the counter {counter.name} has the levels {known}, not {level}; {HOW}")


def words(error: IstatError | OSError, path: Path) -> str:
    """Why a path cannot be read, as istatd's programs say it."""
    if isinstance(error, FileNotFoundError):
        return f"Cannot open: {path}"
    return f"Cannot open: {path}: {error.strerror}" if isinstance(error, OSError) else str(error)
