"""Sub-commands of `istat` that work on a store or on files: each module has a COMMAND (istat/subcommands.py). And which
programs there are under names of istatd's (istat/cli/istatd/alias.py)."""

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
    "loadtest": "istat.cli.istatd.loadtest:COMMAND",
    "migrate": "istat_server.migration.command:COMMAND",
    "restore": "istat_server.tools.backing:RESTORE",
    "retention": "istat_server.tools.retention:COMMAND",
    "ring": "istat_server.tools.ring.command:COMMAND",
    "stat": "istat.cli.istatd.admin:STAT_COMMAND",
}
#: Program -> where its Alias is; its `main` is the same as the script in pyproject.toml.
ALIASES = {
    "istatd_delete_counters": "istat.cli.istatd.admin:DELETE",
    "istatd_filedump": "istat_server.tools.ring.dumping:ALIAS",
    "istatd_filegen": "istat_server.tools.ring.making:ALIAS",
    "istatd_fileinfo": "istat_server.tools.ring.info:ALIAS",
    "istatd_flush": "istat.cli.istatd.admin:FLUSH",
    "istatd_import": "istat_server.tools.ring.filling:IMPORT",
    "istatd_lint": "istat_server.tools.ring.lint:ALIAS",
    "istatd_loadtest": "istat.cli.istatd.loadtest:ALIAS",
    "istatd_netcat": "istat.cli.istatd.small:NETCAT",
    "istatd_nums2file": "istat_server.tools.ring.filling:NUMS2FILE",
    "istatd_purge": "istat.cli.istatd.admin:PURGE",
    "istatd_query": "istat.cli.istatd.query:QUERY",
    "istatd_query.py": "istat.cli.istatd.query:QUERY_PY",
    "istatd_sleep": "istat.cli.istatd.small:SLEEP",
    "istatd_stat": "istat.cli.istatd.admin:STAT",
    "istatd_transplant": "istat_server.tools.ring.transplant.command:ALIAS",
    "random_numbers": "istat.cli.istatd.small:RANDOM",
    "splitd": "istat.cli.istatd.split:ALIAS",
}


def brought() -> dict[str, Load]:
    """Name -> how to load it: what installed entry points give, for where nothing is installed."""
    return {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
