"""`istat cube`: what is in frames of cubes (docs/cubes.md). A sub-command's module has its COMMAND; they are loaded
when one of them is asked for, as `istat ls` needs none of it."""

from functools import partial
from pkgutil import resolve_name

from istat.subcommands import Group

GROUP = Group("Look at cubes that programs have written: what is in them, merged or as it comes.", {
    name: partial(resolve_name, f"istat.cli.cubes.{place}:COMMAND")
    for name, place in {"check": "checking", "merge": "merging", "show": "showing", "size": "sizing",
                        "top": "following"}.items()})
