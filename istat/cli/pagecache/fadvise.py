"""`istat fadvise`"""

from istat.cli.pagecache.running import RUN
from istat.errors import UsageError
from istat.subcommands import SubCommand


def _no(arguments, clock):
    raise UsageError("not yet")


COMMAND = SubCommand("Advise.", lambda command: None, _no, parts={"run": RUN})
