"""`istat pagetrace record`: a log of a real program, with real files."""

from __future__ import annotations

import argparse

from istat.cli.pagecache.pagetrace.saving import save, takes_place
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.replay.pagelog import Header
from istat.pagecache.replay.recording import Recipe, record
from istat.pagecache.syscalls import PAGE
from istat.subcommands import SubCommand

MOST_UPDATES = 10_000_000


def _arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    takes_place(command)
    add("files", nargs="+", metavar="FILE", help="the files, on a disk's file system")
    add("--cmd", required=True, metavar="COMMAND", help="what updates a file, in quotes: {f} is the file, {t} the time "
        "[Unix s], {v} the time and values with colons between, {n} the number of the update. No shell sees it")
    add("--updates", type=int, default=1, metavar="N", help="of each file (default 1)")
    add("--interval", type=int, default=300, metavar="SECONDS", help="from one update to the next, in what {t} and {v} "
        "say: nothing waits (default 300)")
    add("--begin", type=int, metavar="TIME", help="an interval before the first update [Unix s] (default: now)")
    add("--values", type=int, default=2, metavar="N", help="so many in {v} (default 2)")
    add("--levels", default="", metavar="N,...", help="updates after which rows are written, such as 1,6,24,288: for "
        "cachesim --by-slot")


def _record(arguments: argparse.Namespace, clock: Clock) -> None:
    if not 1 <= arguments.updates <= MOST_UPDATES or not 1 <= arguments.interval < 1 << 31:
        raise UsageError(f"--updates is a number from 1 to {MOST_UPDATES}, --interval one from 1 on")
    if not 1 <= arguments.values <= 1000:
        raise UsageError("--values is a number from 1 to 1000")
    try:
        levels = tuple(sorted({int(step) for step in arguments.levels.split(",")} if arguments.levels else ()))
    except ValueError:
        levels = (0,)
    if levels and levels[0] < 1:
        raise UsageError(f"--levels {arguments.levels}: numbers of updates, with commas between")
    now = int(clock.now())
    begin = now - now % arguments.interval if arguments.begin is None else arguments.begin
    recipe = Recipe.of(arguments.cmd, begin, arguments.interval, arguments.updates, arguments.values)
    header = Header(PAGE, arguments.interval, levels, {"command": arguments.cmd})
    save(arguments, header, record(arguments.files, recipe))


COMMAND = SubCommand(
    "Write a log of a real program: evict a file, run the update, list the pages that came in.", _arguments, _record,
    "The log has what the program needs of the page cache with the advice that it gives and the readahead of this "
    "machine. It changes the files: make copies.",
    (("istat pagetrace record if.log.gz if.rrd --updates 288 --cmd 'rrdtool update {f} {v}'",
      "A day of rrdtool's updates"),),
)
