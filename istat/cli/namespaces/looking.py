"""`istat settings list`, `get` and `versions`: which namespaces there are, what is in them, and what was."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from istat.cli.asking import asks, client_of
from istat.cli.figures import bytes_text
from istat.cli.namespaces.asking import Asked, Row
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import BadQuery
from istat.subcommands import SubCommand

VALUE = 60      # signs of a value that are shown in a list


def _takes_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, metavar="N", help="so many at most (default all)")


def _print_rows(arguments: argparse.Namespace, key: str, rows: Iterator[Row], line: Callable[[Row], str]) -> int:
    """Rows as lines or as JSON; how many there were."""
    found = list(rows)
    if arguments.json:
        print(json.dumps({key: found}))
    else:
        sys.stdout.writelines(f"{line(row)}\n" for row in found)
    return len(found)


def _short(value: str) -> str:
    return printable(value if len(value) <= VALUE else f"{value[:VALUE]}... ({len(value):,} signs)")


def _list_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    _takes_limit(command)


def _list(arguments: argparse.Namespace, clock: Clock) -> None:
    _print_rows(arguments, "namespaces", Asked(client_of(arguments)).namespaces(arguments.limit),
                lambda row: f"{row['name'] or '(no name)':<30} {bytes_text(row['bytes']):>10}")


def _get_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("name", metavar="NAME", help="the namespace")
    command.add_argument("entry", metavar="KEY", nargs="?", default="*", help="a key, whose whole value is printed, or "
                         "a pattern with * or ? (default all keys)")
    _takes_limit(command)


def _get(arguments: argparse.Namespace, clock: Clock) -> None:
    rows = Asked(client_of(arguments)).keys(arguments.name, arguments.entry, arguments.limit)
    if "*" in arguments.entry or "?" in arguments.entry:
        found = _print_rows(arguments, "keys", rows, lambda row: f"{printable(row['key'])}={_short(row['value'])}")
    else:
        found = _print_rows(arguments, "keys", rows, _whole)
    if not found:
        raise BadQuery(f"no key of {arguments.name!r} fits {arguments.entry!r}", 404)


def _whole(row: Row) -> str:
    """A value as it is, for a script; on a terminal without signs that it would act upon."""
    value: str = row["value"]
    return printable(value) if sys.stdout.isatty() else value


def _versions_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("name", metavar="NAME", help="the namespace")
    command.add_argument("entry", metavar="KEY", help="a key, also one that was deleted")
    _takes_limit(command)


def _versions(arguments: argparse.Namespace, clock: Clock) -> None:
    rows = Asked(client_of(arguments)).versions(arguments.name, arguments.entry, arguments.limit)
    _print_rows(arguments, "versions", rows, _version)


def _version(row: Row) -> str:
    when = datetime.fromtimestamp(row["time"], UTC)
    return f"{row['version']:>8}  {when:%Y-%m-%dT%H:%M:%SZ}  " + (
        "(deleted)" if row["value"] is None else _short(row["value"]))


LIST = SubCommand(
    "List the namespaces of a server, with the sizes of their files.", _list_arguments, _list,
    "istatd calls them settings; its page keeps the users in `users`, and the dashboards of each in one of its own.",
    (("istat settings list", "Which are there?"),),
)
GET = SubCommand(
    "Print keys and values of a namespace.", _get_arguments, _get, "Of one key the whole value is printed.",
    (("istat settings get global", "All keys, with the beginning of each value"),
     ("istat settings get global dashboard.front", "One value, as it is")),
)
VERSIONS = SubCommand(
    "List what a key of a namespace was, and since when.", _versions_arguments, _versions,
    "The last one first. `istat settings restore` brings one back.",
    (("istat settings versions global dashboard.front", "Who changed it when can only be guessed"),),
)
