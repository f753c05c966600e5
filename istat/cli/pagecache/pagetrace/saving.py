"""Where a page log goes that a command of pagetrace makes: a file, or standard output. Knows no way to make one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable

from istat.cli.report import printable
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.pagelog import Header, Record

STANDARD = "-"


def takes_place(command: argparse.ArgumentParser) -> None:
    """The argument for it."""
    command.add_argument("log", metavar="LOG", help="where the log goes; packed when it ends with .gz; - is standard "
                         "output")


def save(arguments: argparse.Namespace, header: Header, records: Iterable[Record]) -> None:
    """Write it, and say how much it is."""
    if arguments.log == STANDARD:
        pagelog.write(sys.stdout.buffer, header, records)
        return
    count = pagelog.save(arguments.log, header, records)
    if arguments.json:
        print(json.dumps({"log": arguments.log, "records": count}))
    else:
        print(printable(f"{arguments.log}: {count:,} records"))
