"""Where a command finds the token that it sends: never on the command line, where all see it."""

from __future__ import annotations

import argparse
import os
import stat
from pathlib import Path

from istat.cli import saying
from istat.errors import UsageError

#: For questions: any of the server's tokens.
TOKEN_VARIABLE = "ISTAT_TOKEN"
#: For what changes or deletes: the server's admin-token. Questions are never sent with it.
ADMIN_VARIABLE = "ISTAT_ADMIN_TOKEN"


def takes_token(parser: argparse.ArgumentParser, changes: bool) -> None:
    """The option of a command that asks a server; `changes`: it needs the admin token. `may_write` makes it one that
    the write token is enough for."""
    variables = f"{ADMIN_VARIABLE} or {TOKEN_VARIABLE}" if changes else TOKEN_VARIABLE
    which = "the server's admin-token" if changes else "a token of the server's, where it wants one"
    parser.add_argument("--token-file", type=Path, metavar="FILE",
                        help=f"file whose first line is {which}; else it is taken from {variables}")
    parser.set_defaults(changes=changes, open_to=False)


def may_write(parser: argparse.ArgumentParser) -> None:
    """The command, of `takes_token`, changes what the write token is enough for, or a server's setting opens to all."""
    parser.set_defaults(changes=True, open_to=True)


def token_of(arguments: argparse.Namespace) -> str:
    """The token to send, empty for none. UsageError when the command needs one and there is none, OSError when the file
    cannot be read."""
    if arguments.token_file is not None:
        with open(arguments.token_file, encoding="utf-8-sig") as file:      # an editor may have put its mark in front
            mode = os.fstat(file.fileno()).st_mode
            token = file.read().partition("\n")[0].strip()
        if stat.S_ISREG(mode) and mode & (stat.S_IROTH | stat.S_IWOTH):
            saying.warn(arguments, f"warning: the token in {arguments.token_file} is no secret, as everybody may read "
                        f"or write that file (mode {stat.S_IMODE(mode):04o}): chmod 600 {arguments.token_file}")
        if not token:
            raise UsageError(f"{arguments.token_file} has no token in its first line")
    else:
        names = (ADMIN_VARIABLE, TOKEN_VARIABLE) if arguments.changes else (TOKEN_VARIABLE,)
        token = next((os.environ[name] for name in names if os.environ.get(name)), "")
    if not token and arguments.changes and not arguments.open_to:
        raise UsageError(f"this needs the server's admin-token: in {ADMIN_VARIABLE}, or with --token-file FILE")
    if not token.isascii() or not token.isprintable():
        raise UsageError("the token has characters that HTTP cannot carry")
    return str(token)


def hint(arguments: argparse.Namespace) -> str:
    """What to add to a server's refusal for want of a right."""
    if arguments.changes and arguments.open_to:
        return f"istat takes a token from {ADMIN_VARIABLE}, {TOKEN_VARIABLE} or --token-file FILE"
    if arguments.changes:
        return f"istat takes it from {ADMIN_VARIABLE} or --token-file FILE"
    return f"istat takes a token from {TOKEN_VARIABLE} or --token-file FILE"
