"""Sub-commands of `istat` that work on a store or on files: each module has a COMMAND (istat/subcommands.py)."""

from functools import partial
from pkgutil import resolve_name

from istat.subcommands import Load

#: Sub-command -> where its COMMAND is; the same as the entry points in pyproject.toml.
COMMANDS = {
    "backup": "istat_server.tools.backing:BACKUP",
    "cacheplan": "istat.cli.pagecache.cacheplan:COMMAND",
    "cachesim": "istat.cli.pagecache.cachesim:COMMAND",
    "check": "istat_server.tools.checking:COMMAND",
    "dump": "istat_server.tools.dumping:COMMAND",
    "export": "istat_server.tools.exporting:COMMAND",
    "fadvise": "istat.cli.pagecache.fadvise:COMMAND",
    "fincore": "istat.cli.pagecache.fincore:COMMAND",
    "import": "istat_server.tools.importing:COMMAND",
    "restore": "istat_server.tools.backing:RESTORE",
    "retention": "istat_server.tools.retention:COMMAND",
}


def brought() -> dict[str, Load]:
    """Name -> how to load it: what installed entry points give, for where nothing is installed."""
    return {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
