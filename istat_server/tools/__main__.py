"""`python -m istat_server.tools ...`: the command `istat` with our sub-commands, where nothing is installed."""

from __future__ import annotations

import sys
from functools import partial
from pkgutil import resolve_name

from istat import command
from istat_server.tools import COMMANDS

if __name__ == "__main__":
    sys.exit(command.main(brought={name: partial(resolve_name, place) for name, place in COMMANDS.items()}))
