"""`istat fadvise`"""

import argparse

from istat.cli.pagecache.running import RUN
from istat.clock import Clock
from istat.errors import UsageError
from istat.subcommands import SubCommand


def _no(arguments: argparse.Namespace, clock: Clock) -> None:
    raise UsageError("not yet")


COMMAND = SubCommand("Advise.", lambda command: None, _no, parts={"run": RUN})
