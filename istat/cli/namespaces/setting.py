"""`istat settings set`, `delete` and `restore`: keys of a namespace of a running server, by its write token."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from istat.cli import tokens
from istat.cli.asking import asks, client_of
from istat.cli.namespaces.asking import Asked
from istat.clock import Clock
from istat.errors import BadQuery, UsageError
from istat.subcommands import SubCommand

STANDARD_INPUT = "-"


def _changes(command: argparse.ArgumentParser) -> None:
    asks(command, changes=True)
    tokens.may_write(command)
    command.add_argument("name", metavar="NAME", help="the namespace; it is made where there is none")


def _takes_expected(command: argparse.ArgumentParser) -> None:
    command.add_argument("--expected", type=int, metavar="N", help="only if its version is this one still (0: if there "
                         "is no such key)")


def _set_arguments(command: argparse.ArgumentParser) -> None:
    _changes(command)
    command.add_argument("entry", metavar="KEY", help="the key")
    command.add_argument("value", metavar="VALUE", help=f"its value; {STANDARD_INPUT} reads it from standard input")
    _takes_expected(command)


def _set(arguments: argparse.Namespace, clock: Clock) -> None:
    value = arguments.value if arguments.value != STANDARD_INPUT else _read()
    if not value:
        raise UsageError("an empty value would delete the key; `istat settings delete` does that")
    _change(arguments, {arguments.entry: value})


def _read() -> str:
    """Standard input, but for the line feed that an editor puts at its end."""
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise UsageError("standard input is no UTF-8") from None


def _delete_arguments(command: argparse.ArgumentParser) -> None:
    _changes(command)
    command.add_argument("keys", metavar="KEY", nargs="+", help="a key")


def _delete(arguments: argparse.Namespace, clock: Clock) -> None:
    _change(arguments, dict.fromkeys(arguments.keys))


def _change(arguments: argparse.Namespace, changes: dict[str, str | None]) -> None:
    expected = getattr(arguments, "expected", None)
    answer = Asked(client_of(arguments)).change(
        arguments.name, changes, {} if expected is None else dict.fromkeys(changes, expected))
    missing = [key for key, value in changes.items() if value is None and key not in answer["versions"]]
    _tell(arguments, answer)
    if missing:
        raise BadQuery(f"there is no key {', '.join(missing)} in {arguments.name!r}", 404)


def _tell(arguments: argparse.Namespace, answer: dict[str, Any]) -> None:
    if arguments.json:
        print(json.dumps(answer))
        return
    for key, number in answer["versions"].items():
        print(f"{key}: version {number}")
    if not answer["versions"]:
        print("nothing changed")


def _restore_arguments(command: argparse.ArgumentParser) -> None:
    _changes(command)
    command.add_argument("entry", metavar="KEY", help="the key, also one that was deleted")
    command.add_argument("version", metavar="VERSION", type=int, help="the number of `istat settings versions`")


def _restore(arguments: argparse.Namespace, clock: Clock) -> None:
    _tell(arguments, Asked(client_of(arguments)).restore(arguments.name, arguments.entry, arguments.version))


SET = SubCommand(
    "Set a key of a namespace.", _set_arguments, _set,
    "It is on the server's disk when the command ends. The version before is kept.",
    (("istat settings set global dashboard.front -", "A value that is read from standard input"),
     ("istat settings set ops oncall alice --expected 12", "Only if nobody has changed it since")),
)
DELETE = SubCommand(
    "Delete keys of a namespace.", _delete_arguments, _delete,
    "What they were is kept: `istat settings versions`, `istat settings restore`.",
    (("istat settings delete ops oncall", "Delete one"),),
)
RESTORE = SubCommand(
    "Bring an earlier version of a key back.", _restore_arguments, _restore, "It becomes a new version.",
    (("istat settings restore global dashboard.front 7", "As it was in version 7"),),
)
