"""`istat fadvise run --random|--no-advice -- CMD`: a program as it is, with other advice on its files."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from istat.cli import saying
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.preload import running
from istat.pagecache.preload.running import Mode
from istat.subcommands import SubCommand


def _arguments(command: argparse.ArgumentParser) -> None:
    # argparse's own has nothing but "..." for the program.
    command.usage = "%(prog)s [-h] [--json] (--random | --no-advice) -- CMD ..."
    how = command.add_mutually_exclusive_group(required=True)
    how.add_argument("--random", dest="mode", action="store_const", const=Mode.RANDOM, help="every file that it opens "
                     "or maps is read without reading ahead, whatever it advises itself")
    how.add_argument("--no-advice", dest="mode", action="store_const", const=Mode.NO_ADVICE, help="what it advises "
                     "itself is withheld: the kernel reads ahead as it likes")
    command.add_argument("words", nargs=argparse.REMAINDER, metavar="CMD", help="the program and its arguments, best "
                         "after --")


def _run(arguments: argparse.Namespace, clock: Clock) -> None:
    words = list(arguments.words)
    if words[:1] == ["--"]:
        del words[0]
    if not words:
        raise UsageError("which program? istat fadvise run --random -- CMD ARGUMENTS")
    found = shutil.which(words[0])
    reason = _unreached(found) if found else ""
    if reason:
        saying.warn(arguments, f"{reason}; it runs as it always does")
    sys.stdout.flush()
    running.start(arguments.mode, words, os.environ)


def _unreached(program: str) -> str:
    try:
        return running.unreached(Path(program))
    except OSError:         # it may be run and not read: nothing is known of it
        return ""


RUN = SubCommand(
    "Run a program with advice on all its files, or without its own advice.", _arguments, _run,
    "For showing what advice does to a program that is not to be changed. A small library is loaded before the "
    "program and all that it starts (LD_PRELOAD). The program takes this command's place; its exit status is the "
    "program's, or 125 when it cannot be started. What it asks for expressly (WILLNEED, DONTNEED) is still done with "
    "--random. Not reached, and warned of where it can be seen: programs that are linked statically or make system "
    "calls past the C library, such as those in Go, and programs with rights of their own.",
    (("istat fadvise run --no-advice -- rrdtool update if.rrd N:1:2", "What an update would bring in without rrdtool's "
      "own advice"),
     ("istat fadvise run --random -- ./poller.py", "The other way about: with advice that a program does not give")),
)
