"""`istat settings`: namespaces of a server, which istatd calls settings. A sub-command's module has its COMMAND."""

from functools import partial
from pkgutil import resolve_name

from istat.subcommands import Group

GROUP = Group("Look at and change what a server keeps for pages and people: keys and values in namespaces.", {
    name: partial(resolve_name, f"istat.cli.namespaces.{place}")
    for name, place in {"list": "looking:LIST", "get": "looking:GET", "versions": "looking:VERSIONS",
                        "set": "setting:SET", "delete": "setting:DELETE", "restore": "setting:RESTORE"}.items()})
