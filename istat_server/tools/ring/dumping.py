"""`istat ring dump` and `istatd_filedump`: a ring as text. Never writes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from istat.cli import saying
from istat.cli.istatd.alias import Alias, Flag, Given
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import IstatError
from istat.subcommands import SubCommand
from istat_server.foreign.ring import Ring, RingError
from istat_server.tools import dumpring
from istat_server.tools.ring.finding import find, words
from istat_server.tools.ring.guessing import guessed

MORE = ("Where the path leads below a store of ours, as STORE/foo/bar/10s, that level of the counter foo.bar is read; "
        "if the store is being served, from its server (ISTAT_URL). Nothing is written.")


def _read(path: Path, clock: Clock, force: bool) -> tuple[Ring, list[str]]:
    """The ring, and what was wrong and guessed."""
    try:
        return find(path, clock), []
    except RingError as error:
        if not force:
            raise
        read, notes = guessed(path)
        return read, [str(error), *notes]


def _lines(read: Ring, full: bool, fields: int | None = None) -> Iterator[str]:
    return dumpring.as_full(read, fields) if full else dumpring.as_csv(read)


def _alias(given: Given, clock: Clock) -> int:
    path = Path(given.words[0])
    try:
        read, notes = _read(path, clock, given["force"] and given["full"])
    except (IstatError, OSError) as error:
        print(words(error, path), file=sys.stderr)
        return 1
    for note in notes:
        print(printable(note), file=sys.stderr)
    for line in _lines(read, given["full"], dumpring.FIELDS_OF_ISTATD):
        print(line)
    return 0


ALIAS = Alias("istatd_filedump", "Print the buckets of a ring file as CSV", _alias,
              (Flag("--full", "the header, then every slot, in columns"),
               Flag("--force", "with --full: what is wrong in the header is guessed")), "FILE", 1, 1, MORE,
              (("istatd_filedump /var/db/istatd/store/cpu/idle/10s", "A line for each bucket"),), files=True)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="a ring file, or a counter's level below a store")
    parser.add_argument("--full", action="store_true", help="the header, then every slot")
    parser.add_argument("--force", action="store_true", help="what is wrong in the header is guessed")


def _action(arguments: argparse.Namespace, clock: Clock) -> None:
    read, notes = _read(arguments.file, clock, arguments.force)
    for note in notes:
        saying.warn(arguments, note)
    if arguments.json:
        for record in dumpring.as_records(read, arguments.full):
            print(json.dumps(record))
        return
    for line in _lines(read, arguments.full):
        print(line)


COMMAND = SubCommand("Print the buckets of a ring file, or of a counter's level.", _arguments, _action, MORE,
                     (("istat ring dump /var/lib/istatd/server/cpu/idle/10s", "The level 10s of cpu.idle"),))
