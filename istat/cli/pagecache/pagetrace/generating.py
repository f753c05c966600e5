"""`istat pagetrace generate`: a log of updates of files that need not exist, by what is known of their layout."""

from __future__ import annotations

import argparse

from istat.cli.pagecache.pagetrace.saving import save, takes_place
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache import layouts
from istat.pagecache.replay.fetching import READ_AHEAD_KB, RULES
from istat.pagecache.replay.generating import Plan
from istat.subcommands import SubCommand


def _arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    takes_place(command)
    add("--layout", default="mrtg", help=f"what the files are (default mrtg): {', '.join(layouts.KINDS)}")
    add("--files", type=int, default=1, metavar="N", help="so many files, or counters where a counter has several "
        "(default 1)")
    add("--days", type=float, default=30, metavar="D", help="so many days of updates (default 30)")
    add("--seed", type=int, default=1, metavar="S", help="for where the row pointers begin (default 1)")
    add("--synchronised", action="store_true", help="all row pointers begin at 0, as of files made at once")
    add("--readahead", default="random", choices=sorted(RULES), help="what comes in for the pages that are touched: "
        "random: only they (advice RANDOM); linux-2.6.9: as the paper saw it; mmap-now, read-now: as Linux does today "
        "without advice, for mapped and for read files (default random)")
    add("--read-ahead-kb", type=int, default=READ_AHEAD_KB, metavar="KB", help="how far the kernel reads ahead, as "
        f"/sys/class/bdi/*/read_ahead_kb tells (default {READ_AHEAD_KB})")
    add("--meta", action="store_true", help="with the inode and the indirect block of each file")
    add("--coalesce", type=int, default=0, metavar="SECONDS", help="updates of so many seconds are written at once, "
        "such as 3600 (default: each one; ring files each 300 s)")


def _generate(arguments: argparse.Namespace, clock: Clock) -> None:
    if not 0 <= arguments.read_ahead_kb <= 1 << 24 or arguments.coalesce < 0:
        raise UsageError("--read-ahead-kb and --coalesce are numbers from 0 on, and not beyond all measure")
    plan = Plan(layouts.parse(arguments.layout), arguments.files, arguments.days, arguments.seed, arguments.readahead,
                arguments.read_ahead_kb, arguments.meta, arguments.coalesce, arguments.synchronised)
    save(arguments, plan.header, plan.records())


COMMAND = SubCommand(
    "Write a log of updates of files that need not exist, by the layout of their rows.", _arguments, _generate,
    "Each update touches the header and the row of every archive whose turn it is; rrdtool does exactly so.",
    (("istat pagetrace generate mrtg.log.gz", "30 days of one file of MRTG, with advice RANDOM"),
     ("istat pagetrace generate old.log.gz --readahead linux-2.6.9 --meta", "The same as Linux did it in 2007"),
     ("istat pagetrace generate hourly.log.gz --files 60 --coalesce 3600", "60 files, written once an hour")),
)
