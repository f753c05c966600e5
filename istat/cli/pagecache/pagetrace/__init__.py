"""`istat pagetrace`: page logs made and looked at. A sub-command's module has its COMMAND; it is loaded when it is
asked for."""

from functools import partial
from pkgutil import resolve_name

from istat.subcommands import Group

GROUP = Group("Make logs of which pages updates of files need, for istat cachesim.", {
    name: partial(resolve_name, f"istat.cli.pagecache.pagetrace.{place}:COMMAND")
    for name, place in {"convert": "converting", "generate": "generating", "info": "telling",
                        "record": "recording"}.items()})
