"""`istat pagetrace convert`: a log of any list of accesses."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from istat.cli.pagecache.pagetrace.saving import STANDARD, save, takes_place
from istat.clock import Clock
from istat.pagecache.replay.accesses import records
from istat.pagecache.replay.pagelog import MOST_LINE, Header
from istat.pagecache.syscalls import PAGE
from istat.subcommands import SubCommand


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("accesses", metavar="CSV", help="lines time,file,offset,length and, if you like, r, w or rw; "
                         "by time; - is the standard input")
    takes_place(command)


def _convert(arguments: argparse.Namespace, clock: Clock) -> None:
    header = Header(PAGE, None, (), {"from": "accesses"})
    place = sys.stdin.fileno() if arguments.accesses == STANDARD else arguments.accesses
    with open(place, encoding="utf-8", errors="backslashreplace", newline="",
              closefd=place is arguments.accesses) as file:
        # One sign more than a line may have: where there is no end of a line, not all is read before that is found out.
        save(arguments, header, records(iter(partial(file.readline, MOST_LINE + 1), ""), PAGE))


COMMAND = SubCommand(
    "Write a log of any list of accesses: lines of time, file, offset and length.", _arguments, _convert,
    "Accesses of one file at one time become one update.",
    (("istat pagetrace convert reads.csv reads.log.gz", "Of what a tracer has printed"),),
)
