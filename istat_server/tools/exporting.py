"""`istat export`: buckets of a store, or of a running server, to CSV, Parquet or istatd's ring files.

What was interrupted is gone on with by the same command, where the format can be: CSV to a file, and ring files.
"""
from __future__ import annotations

import argparse
import errno
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from istat import owners
from istat.access import guarded
from istat.cli import asking, saying
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache import ownfiles
from istat.pagecache.ownfiles import Use
from istat.settings.types import Duration
from istat.subcommands import SubCommand
from istat_server.foreign.writers import CsvWriter, ParquetWriter, RingWriter, Writer
from istat_server.tools.places import Place, Wanted, place_of
from istat_server.tools.progress import Progress

# What the system says of an output that takes no more.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORMATS = ("csv", "istatd", "parquet")
SUFFIX = ".resume"
# How often it is noted: what is read again after an interruption [s].
NOTE_SECONDS = 1.0
RESUMABLE = ("csv", "istatd")       # a Parquet file is written whole, and appears when it is


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="*", default=["*"], metavar="PATTERN", help="names, * and ? (default all)")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--store", type=Path, metavar="DIR", help="a store that no server has open")
    place.add_argument("--server", metavar="URL", help="a running server")
    asking.shows(parser)
    parser.add_argument("--format", choices=FORMATS, default="csv", help="default csv")
    parser.add_argument("--output", type=Path, metavar="PATH", help="a file, of istatd a folder (default: print CSV)")
    parser.add_argument("--from", dest="start", metavar="TIME", help="Unix seconds, ISO 8601, or as far back as 6h")
    parser.add_argument("--to", dest="end", metavar="TIME", help="up to then, exclusive (default now)")


@dataclass
class Progressed:
    """How far it is: which of the patterns, the token of what follows in it, how long the output is then [bytes], and
    what has been written. The range is that of the first run, of which `--from 1d` would be another each time."""

    question: dict[str, Any]
    start: int
    end: int
    pattern: int = 0
    token: str = ""
    size: int = 0
    totals: dict[str, int] = field(default_factory=dict)


class Note:
    """The note beside an output."""

    def __init__(self, output: Path) -> None:
        self.path = output.with_name(output.name + SUFFIX)
        self._aside = output.with_name(f".{output.name}{SUFFIX}.tmp")
        self.written = False        # by us
        self._last = float("-inf")

    def load(self, question: dict[str, Any]) -> Progressed | None:
        """How far this very command has come; None when it was another one, or there is no note."""
        try:
            text = ownfiles.content(self.path, Use.SMALL, guarded.open_file)
            found = Progressed(**json.loads(text))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return found if found.question == question else None

    def due(self, now: float) -> bool:
        """Whether it is time to note something again."""
        return now - self._last >= NOTE_SECONDS

    def save(self, progressed: Progressed, now: float) -> None:
        """Note how far it is."""
        with ownfiles.writing(self._aside, guarded.fresh, Use.SMALL) as file:
            file.write(json.dumps(asdict(progressed)).encode())
        os.rename(self._aside, self.path)
        self.written, self._last = True, now

    def remove(self) -> None:
        """It is done."""
        with suppress(FileNotFoundError):
            self.path.unlink()


class Export:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace, clock: Clock) -> None:
        self._arguments, self._clock = arguments, clock
        output: Path | None = arguments.output
        # In a folder of another user root writes what that user may, and it is theirs.
        self._writing = owners.Rights.of_owner(output.absolute().parent) if output else owners.Rights(None)
        question: dict[str, object] = {name: str(getattr(arguments, name))
                                      for name in ("store", "server", "format", "start", "end")}
        question["patterns"] = list(arguments.pattern)
        self._note = None
        before = None
        if output is not None and arguments.format in RESUMABLE and (output.is_file() or not os.path.lexists(output)
                                                                      or output.is_dir()):
            self._note = Note(output)
            with self._writing:
                before = self._note.load(question) if os.path.exists(output) else None
            if before is not None and arguments.format == "csv" and output.stat().st_size < before.size:
                before = None       # it is another file by now
        self._resumed = before is not None
        self._at = before or Progressed(question, *_range(arguments, int(clock.now())))

    def run(self) -> Counter[str]:
        """Write it all; what was written."""
        quiet = self._arguments.json or (self._arguments.output is None and sys.stdout.isatty())
        with self._told_when_stopped(), place_of(self._arguments, self._clock) as place, self._writer() as writer:
            writer.totals.update(self._at.totals)
            if self._note is not None and not self._resumed:
                with self._writing:
                    self._note.remove()     # another command's, of what this one writes over
            if self._resumed:
                saying.warn(self._arguments, f"going on behind {writer.totals['counters']:,} counters, where it was")
            size = place.count() if self._arguments.pattern == ["*"] else None
            with Progress("exporting", size, quiet, counted=True) as progress:
                for number, pattern in enumerate(self._arguments.pattern):
                    if number >= self._at.pattern:
                        self._write(place, writer, number, pattern, progress)
            with self._writing:
                writer.finish()
        if self._note is not None:
            with self._writing:
                self._note.remove()
        return writer.totals

    def _write(self, place: Place, writer: Writer, number: int, pattern: str, progress: Progress) -> None:
        """All that fits one pattern."""
        token = self._at.token if number == self._at.pattern else ""
        for portion in place.portions(Wanted(pattern, self._at.start, self._at.end), token):
            with self._writing:
                for counter in portion.counters:
                    writer.write(counter)
                progress.show(writer.totals["counters"])
                if self._note is not None and portion.token and self._note.due(self._clock.monotonic()):
                    self._at.pattern, self._at.token = number, portion.token
                    self._at.size, self._at.totals = writer.safe(), dict(writer.totals)
                    self._note.save(self._at, self._clock.monotonic())

    @contextmanager
    def _told_when_stopped(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if isinstance(error, OSError) and error.errno in FULL and self._arguments.output is not None:
                error.filename = str(self._arguments.output)
            if self._note is not None and (self._note.written or self._resumed):
                saying.warn(self._arguments, f"stopped; the same command goes on with {self._arguments.output}")
            raise

    @contextmanager
    def _writer(self) -> Iterator[Writer]:
        output, form = self._arguments.output, self._arguments.format
        if output is None:
            if form != "csv":
                raise UsageError(f"--format {form} wants --output")
            yield CsvWriter(sys.stdout)
        elif form == "csv":
            flags = os.O_WRONLY | os.O_CREAT | (0 if self._resumed else os.O_TRUNC)
            with self._writing:
                handle = ownfiles.descriptor(output, flags, Use.WRITTEN,
                                             lambda path, flags: guarded.open_file(path, flags, 0o666, special=True))
            with os.fdopen(handle, "w", newline="") as file:
                if self._resumed:
                    file.seek(self._at.size)
                    file.truncate()
                yield CsvWriter(file, head=not self._resumed)
        else:
            guarded.check(output)
            with self._writing:
                writer = ParquetWriter(output) if form == "parquet" else RingWriter(output)
            yield writer


def _export(arguments: argparse.Namespace, clock: Clock) -> None:
    totals = Export(arguments, clock).run()
    if arguments.json:
        print(json.dumps(dict(totals)), file=sys.stdout if arguments.output else sys.stderr)
    elif arguments.output:
        for name, count in sorted(totals.items()):
            print(f"{name:<16} {count:>14,}")


def _range(arguments: argparse.Namespace, now: int) -> tuple[int, int]:
    start, end = _time(arguments.start, now, 0), _time(arguments.end, now, now + 1)
    if start >= end:
        raise UsageError("the range is empty: --from must be before --to")
    return start, end


def _time(text: str | None, now: int, default: int) -> int:
    if text is None:
        return default
    for read in (_unix, lambda text: now - int(Duration().parse(text))):
        try:
            return read(text)
        except (ValueError, OverflowError):
            continue
    raise UsageError(f"{text!r} is no time: write Unix seconds, 2012-01-01T08:00:00Z or 6h")


def _unix(text: str) -> int:
    """Unix seconds of a number or of ISO 8601, UTC unless it says otherwise. ValueError when it is neither."""
    try:
        return math.floor(float(text))
    except ValueError:
        when = datetime.fromisoformat(text)
        return math.floor((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp())


COMMAND = SubCommand(
    "Write buckets of a store or a server to CSV, Parquet or istatd's files.", _arguments, _export,
    "CSV and Parquet have each bucket once, at the finest level that holds it; istatd's files have every level whole. "
    "Parquet needs pyarrow. An export to a file or folder that was interrupted is gone on with by the same command.",
    (("istat export --server http://127.0.0.1:8000 --from 1d 'cpu.*' > cpu.csv", "A day of some counters, as CSV"),
     ("istat export --store /backup/istatd --format parquet --output all.parquet", "A whole store that is not in use")),
)
