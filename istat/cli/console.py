"""What the program `istat` begins with: Ctrl-C ends it quietly also in the half second in which its modules are loaded.

Imports no module before that which takes time. Knows no command.
"""

from __future__ import annotations

from istat.cli import INTERRUPTED


def main() -> int:
    """Run the command line; returns its exit status."""
    try:
        from istat.cli.command import main as command
    except KeyboardInterrupt:
        return INTERRUPTED
    return command()
