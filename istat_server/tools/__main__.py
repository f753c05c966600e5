"""`python -m istat_server.tools ...`: the command `istat` with our sub-commands, where nothing is installed."""

from __future__ import annotations

import sys

from istat.cli import command
from istat_server.tools import brought

if __name__ == "__main__":
    sys.exit(command.main(brought=brought()))
