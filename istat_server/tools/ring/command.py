"""`istat ring`: what there is behind it. With files alone it is `istat ring info`."""

from __future__ import annotations

from istat.cli.istatd import admin
from istat.subcommands import SubCommand
from istat_server.tools.ring import dumping, filling, info, lint, making
from istat_server.tools.ring.transplant import command as transplant

PARTS = {
    "dump": dumping.COMMAND,
    "flush": admin.FLUSH_COMMAND,
    "gen": making.COMMAND,
    "import": filling.IMPORT_COMMAND,
    "info": info.COMMAND,
    "lint": lint.COMMAND,
    "nums2file": filling.NUMBERS_COMMAND,
    "purge": admin.PURGE_COMMAND,
    "transplant": transplant.COMMAND,
}
COMMAND = SubCommand("Look at istatd's ring files, make and fill them.", info.arguments, info.action,
                     f"Behind it may stand {', '.join(PARTS)}; without one of them it prints the headers of files, as "
                     "`istat ring info` does.", (("istat ring data/foo/10s", "What its header says"),), PARTS)
