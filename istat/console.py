"""What the program `istat` begins with: Ctrl-C ends it quietly also in the half second in which its modules are loaded.

Imports nothing before that. Knows no command.
"""

from __future__ import annotations

INTERRUPTED = 130           # what shells say of SIGINT


def main() -> int:
    """Run the command line; returns its exit status."""
    try:
        from istat.command import main as command
    except KeyboardInterrupt:
        return INTERRUPTED
    return command()
