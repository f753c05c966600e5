"""`istat ring info` and `istatd_fileinfo`: what the header of a ring file says. Never writes."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from istat.cli.istatd.alias import Alias, Given
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import IstatError
from istat.subcommands import SubCommand
from istat_server.foreign.ring import SLOT, Header
from istat_server.tools import dumpring
from istat_server.tools.ring.dumping import MORE
from istat_server.tools.ring.finding import find, words

FIELDS = ("cr_version", "rd_version", "cfg_interval", "unit", "page_size", "page_count", "first_bucket", "last_bucket",
          "last_time", "cumulative_sum", "cumulative_sum_sq", "cumulative_count", "last_cumulative_clear_time",
          "file_create_time", "lambda", "season", "fixed_count", "flags")
WIDTH = max(map(len, FIELDS))
MOST_STATUS = 255       # that a process can end with


def lines(header: Header) -> list[str]:
    """A line per field, as istatd's program prints them."""
    told = dict(dumpring.header_fields(header))
    texts: dict[str, str] = {name: dumpring.text(told[name]) for name in FIELDS}
    texts["last_time"] = f"{dumpring.date(header.last_time)} {header.last_time}"
    texts["flags"] = f"{header.flags:#x}"
    texts["bucketsize"] = str(SLOT.size)
    return [f"{name:>{WIDTH}}= {text}" for name, text in texts.items()]


def _alias(given: Given, clock: Clock) -> int:
    failed = 0
    for word in given.words:
        try:
            told = lines(find(Path(word), clock).header)
        except (IstatError, OSError) as error:
            print(words(error, Path(word)), file=sys.stderr)
            failed += 1
            continue
        print("\n".join([f"{printable(word)}:", *told]))
    return min(failed, MOST_STATUS)


ALIAS = Alias("istatd_fileinfo", "Print what the headers of ring files say", _alias, (), "FILE...", 1, 1_000_000,
              f"Its status is the number of files that could not be read. {MORE}",
              (("istatd_fileinfo /var/db/istatd/store/cpu/idle/*", "All levels of cpu.idle"),), files=True)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `istat ring info`."""
    parser.add_argument("files", metavar="FILE", type=Path, nargs="+",
                        help="a ring file, or a counter's level below a store")


def action(given: argparse.Namespace, clock: Clock) -> None:
    """Print the headers. The first that cannot be read ends it."""
    for path in given.files:
        header = find(path, clock).header
        if given.json:
            told = {name: value.decode("ascii", "backslashreplace") if isinstance(value, bytes) else value
                    for name, value in dumpring.header_fields(header)}
            print(json.dumps({"file": str(path), **told}))
        else:
            print("\n".join([f"{printable(str(path))}:", *lines(header)]))


COMMAND = SubCommand("Print what the headers of ring files say.", arguments, action, MORE,
                     (("istat ring info /var/lib/istatd/server/cpu/idle/10s", "The level 10s of cpu.idle"),))
