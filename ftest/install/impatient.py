"""A program: `istat-agent plugins --control-path PATH`, which waits a moment only for an answer."""

import sys

from istat_agent.control import commands

if __name__ == "__main__":
    commands.ANSWER_SECONDS = 0.2
    sys.exit(commands.main(["plugins", "--control-path", sys.argv[1]]))
