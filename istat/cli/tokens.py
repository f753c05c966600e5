"""Where a command that changes something finds the admin token: never on the command line, where all see it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from istat.errors import UsageError

TOKEN_VARIABLE = "ISTAT_ADMIN_TOKEN"


def needs_token(parser: argparse.ArgumentParser) -> None:
    """The option of a command that needs the token."""
    note = f"file whose first line is the server's admin-token; else it is taken from {TOKEN_VARIABLE}"
    parser.add_argument("--token-file", type=Path, metavar="FILE", help=note)


def token_of(arguments: argparse.Namespace) -> str:
    """The admin token. UsageError when there is none, OSError when the file cannot be read."""
    if arguments.token_file is not None:
        token = arguments.token_file.read_text().partition("\n")[0].strip()
    else:
        token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise UsageError(f"this needs the server's admin-token: in {TOKEN_VARIABLE}, or with --token-file FILE")
    if not token.isascii() or not token.isprintable():
        raise UsageError("the admin token has characters that HTTP cannot carry")
    return str(token)
