"""Folders of RRD files and of their XML dumps. A file with several data sources gives `name.source` each.

Counters are gauges here, as RRD keeps rates whatever the type of its data source.
"""
from __future__ import annotations

import io
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from istat.pagecache import ownfiles
from istat_server.foreign.rrd import binary, dumps
from istat_server.foreign.rrd.tables import Rrd, RrdError
from istat_server.foreign.source import Found, Tree, parts_of
from istat_server.store.offline.appending import Series

SUFFIX, XML_SUFFIX = ".rrd", ".xml"
DUMP_SECONDS = 60.0             # however large a file is, rrdtool has read it by then
MOST_FILE = 1 << 30             # bounds what a strange file costs [bytes]
TOLD = {"no_average": "rows whose MIN, MAX or LAST is known, but not their AVERAGE",
        "not_finite": "infinite values", "forecasts": "archives of forecasts"}


def read(path: Path) -> Rrd:
    """Read an RRD file or a dump. RrdError when it cannot be read."""
    if path.suffix == XML_SUFFIX:
        with ownfiles.reading(path) as file:
            return dumps.read(file)
    with ownfiles.reading(path) as file:
        if os.fstat(file.fileno()).st_size > MOST_FILE:
            raise RrdError(f"is larger than {MOST_FILE >> 20} MiB")
        data = file.read()
    return binary.read(data) if binary.is_ours(data) else dump(path)


def dump(path: Path) -> Rrd:
    """Read an RRD file by way of rrdtool, which knows the files of its own machine and 11 digits of their values."""
    tool = shutil.which("rrdtool")
    if tool is None:
        raise RrdError("is of another kind of machine, or damaged: rrdtool is needed to read it (apt install rrdtool); "
                       "where it was made, `rrdtool dump a.rrd a.xml` makes a file that can be imported")
    try:
        done = subprocess.run([tool, "dump", os.path.abspath(path)], capture_output=True, timeout=DUMP_SECONDS,
                              check=False)
    except subprocess.TimeoutExpired as error:
        raise RrdError("rrdtool does not come to an end with it") from error
    if done.returncode:
        raise RrdError(done.stderr.decode(errors="replace").strip() or "rrdtool cannot read it")
    return dumps.read(io.BytesIO(done.stdout))


@dataclass
class RrdTree(Tree):
    """A tree of RRD files and XML dumps, or one of them."""

    kind = "rrd"
    suffixes = (SUFFIX, XML_SUFFIX)

    def series(self, after: str) -> Iterator[Series]:
        """See Source.series. A file's mark comes with the last of its data sources."""
        seen = parts_of(after)
        for found in self.files(seen[:-1], self.problems):
            made = self._read(found) if found.after(seen) or not after else None
            self.done += found.size
            if made is not None:
                yield from self._all(found, made)

    def _all(self, found: Found, made: Rrd) -> Iterator[Series]:
        stem, last = found.parts[-1].removesuffix(found.path.suffix.encode()), len(made.sources) - 1
        for number, source in enumerate(made.sources):
            parts = (*found.parts[:-1], stem) if last == 0 else (*found.parts[:-1], stem, source.encode())
            origin = found.mark if last == 0 else f"{found.mark}:{source}"
            for kind, rows in made.left_out(number).items():
                self.problems.add(kind, f"{found.path}: {source} has {rows} {TOLD[kind]}", rows)
            mark = found.mark if number == last else ""
            yield self.naming.series(parts, origin, False, made.archives(number), mark, found.path.suffix)

    def _read(self, found: Found) -> Rrd | None:
        try:
            if self._beside(found):
                self.problems.add("dumps", f"{found.path}: passed over, as {found.path.with_suffix(SUFFIX).name} is "
                                           f"beside it")
                return None
            return read(found.path)
        except RrdError as error:
            self.problems.add("damaged", f"{found.path}: {error}")
        except OSError as error:
            self.problems.add("unreadable", f"{found.path}: {error.strerror}")
        return None

    def _beside(self, found: Found) -> bool:
        """Whether a file of a folder is the dump of one that lies beside it and can be read."""
        whole = found.path.with_suffix(SUFFIX)
        if found.path.suffix != XML_SUFFIX or found.path == self.root or whole.is_symlink() or not whole.is_file():
            return False
        try:
            read(whole)
        except (RrdError, OSError):
            return False
        return True
