"""What a path holds, and the source that reads it. Knows all formats, no store of ours."""
from __future__ import annotations

import atexit
import hashlib
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from istat.errors import UsageError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat_server.foreign.ring import is_ring
from istat_server.foreign.ringtree import RingTree
from istat_server.foreign.rrd.tree import SUFFIX as RRD
from istat_server.foreign.rrd.tree import XML_SUFFIX, RrdTree
from istat_server.foreign.source import Naming, Problems, Source, walk
from istat_server.foreign.table import Table
from istat_server.foreign.whisper import SUFFIX as WHISPER
from istat_server.foreign.whisper import WhisperTree

FORMATS = ("istatd", "whisper", "rrd", "csv")
SUFFIXES = {WHISPER: "whisper", RRD: "rrd", XML_SUFFIX: "rrd", ".csv": "csv", ".csv.gz": "csv"}


@dataclass(frozen=True)
class Wish:
    """What is asked of all paths of a command."""

    naming: Naming
    now: int                    # Unix seconds
    format: str = ""            # "": what the path looks like
    events: bool = False        # whisper: points are totals of events
    interval: int = 10          # CSV: of buckets that do not say it [s]


def sources(paths: list[Path], wish: Wish) -> list[Source]:
    """A source for each path. UsageError when there is none, or two are the same."""
    for path in paths:
        whole = path.with_suffix(RRD)
        if path.suffix == XML_SUFFIX and any(whole == other for other in paths):
            raise UsageError(f"{path} is a dump of {whole}, it seems: import one of them")
    return [_source(path, wish) for path in paths]


def _source(path: Path, wish: Wish) -> Source:
    if str(path) == "-":
        return _spooled(wish)
    if not path.exists():
        raise UsageError(f"there is no {path}")
    kind = wish.format or _guess(path)
    if kind == "csv":
        if path.is_dir():
            raise UsageError(f"{path} is a folder: CSV files are named one by one")
        return Table(path, wish.interval, wish.naming)
    if kind == "istatd":
        return RingTree(path, wish.naming, now=wish.now)
    if kind == "rrd":
        return RrdTree(path, wish.naming)
    return WhisperTree(path, wish.naming, event=wish.events, now=wish.now)


def _spooled(wish: Wish) -> Source:
    """What comes on the standard input, as a file. It is known by what it holds, so that it is imported once."""
    if wish.format not in ("", "csv"):
        raise UsageError("only CSV can be read from the standard input")
    hashed = hashlib.sha256()
    spool = tempfile.NamedTemporaryFile(prefix="istat-import-")     # it lives as long as the command  # noqa: SIM115
    while data := sys.stdin.buffer.read(1 << 20):
        hashed.update(data)
        spool.write(data)
    spool.flush()
    atexit.register(spool.close)
    return Table(Path(spool.name), wish.interval, wish.naming, name=hashed.hexdigest())


def _guess(path: Path) -> str:
    """What a path holds, by the first file in it that is known."""
    for found in walk(path, Problems()):
        for suffix, kind in SUFFIXES.items():
            if found.path.name.endswith(suffix):
                return kind
        with ownfiles.reading(found.path, Use.SMALL) as file:
            if is_ring(file.read(16)):
                return "istatd"
    raise UsageError(f"{path} holds nothing that can be imported; if it does, say what it is with --from")
