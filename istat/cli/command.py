"""The command `istat`: look at a server, send a sample. Its own sub-commands go through istat.client; other packages
bring more (istat/subcommands.py).

istat ls 'cpu.*'            istat query cpu.user --last 6h
istat send queue.length 17  istat status
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from istat import __version__, owners
from istat.cli import INTERRUPTED, changing, explaining, report, sending, systemctl, tokens
from istat.cli.asking import ENVIRONMENT as ENVIRONMENT
from istat.cli.asking import again, asking, asks, client_of
from istat.cli.figures import figure
from istat.client import QueryClient
from istat.clock import Clock, SystemClock
from istat.errors import BadQuery, IstatError, ServerUnreachable, UnknownCounter, UsageError
from istat.settings.types import Duration
from istat.subcommands import Action, Load, SubCommand, installed, wanted

ABOUT = "Look at an istat-server, send a sample, and more."
NAMES_AT_ONCE = 10_000      # what a server lists at once
LAST_TIME = 1 << 62         # [s] later than any
HELP_WIDTH = 100            # columns of a sub-command's description


def main(argv: Sequence[str] | None = None, clock: Clock | None = None,
         brought: Mapping[str, Load] | None = None) -> int:
    """Run one command; returns its exit status (that of the error, when it failed).

    `brought`: the sub-commands of other packages, by name; those that are installed unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        understood = parser(words, installed() if brought is None else brought)
        if not words:
            understood.print_help()
            return UsageError.exit_code
        arguments = understood.parse_args(sending.values(words))
        _act(arguments, clock or SystemClock())
    except IstatError as error:
        print(f"istat: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # The reader, such as `head`, had enough. Keep Python from complaining at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        if isinstance(error, PermissionError) and error.filename:
            told += f"{owners.refused(error.filename)}; run it as that user, or as root"
        print(f"istat: {told}", file=sys.stderr)
        return IstatError.exit_code
    return 0


def _act(arguments: argparse.Namespace, clock: Clock) -> None:
    """What the command does. A server that wants another token: it is told where a command finds one."""
    action: Action = arguments.action
    try:
        action(arguments, clock)
    except BadQuery as error:
        if error.status not in (401, 403) or not hasattr(arguments, "changes"):
            raise
        raise BadQuery(f"{error} ({tokens.hint(arguments)})", error.status) from error


def parser(words: Sequence[str], brought: Mapping[str, Load]) -> argparse.ArgumentParser:
    """The parser of all sub-commands that the words of a command line may mean (all of them when there are none)."""
    made = argparse.ArgumentParser(prog="istat", description=ABOUT)
    made.add_argument("--version", action="version", version=f"istat {__version__}")
    places = made.add_subparsers(required=True, metavar="COMMAND")
    for name, one in sub_commands(words, brought).items():
        text = "\n".join(textwrap.wrap(f"{one.help} {one.more}".strip(), HELP_WIDTH))
        examples = "\n".join(f"# {purpose}\n{line}" for line, purpose in one.examples)
        place = places.add_parser(name, help=one.help, description=text, epilog=examples,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        place.add_argument("--json", action="store_true", help="print JSON")
        one.arguments(place)
        place.set_defaults(action=one.action)
    return made


def sub_commands(words: Sequence[str], brought: Mapping[str, Load]) -> dict[str, SubCommand]:
    """Our own sub-commands, and those of `brought` that the words may mean, by name."""
    return {**OWN, **wanted(brought, words, OWN)}


def _query_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("names", nargs="+", metavar="NAME", help="a counter's full name")
    command.add_argument("--last", default="1h", metavar="TIME", help="how far back (default 1h)")
    command.add_argument("--points", type=int, default=60, metavar="N", help="at most so many (default 60)")
    command.add_argument("--columns", default="avg,min,max", help="of count sum avg min max sdev (default avg,min,max)")
    command.add_argument("--tz", default="", metavar="ZONE", help="print times, and take days, of a time zone such as "
                         "Europe/Berlin (default UTC)")


def _ls_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="a name with * (default all)")
    command.add_argument("--regex", action="store_true", help="the pattern is a regular expression, found anywhere")
    command.add_argument("--limit", type=int, default=1000, metavar="N", help="list so many at most (default 1000)")


def _clock_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("what", choices=["confirm"], help="that the server's clock is right")


def _query(arguments: argparse.Namespace, clock: Clock) -> None:
    try:
        back = Duration().parse(arguments.last)
    except ValueError as error:
        raise UsageError(f"--last {error}") from None
    columns = arguments.columns.split(",")
    end = int(clock.now()) + 1  # with what came in this very second
    client = client_of(arguments)
    where = {"tz": arguments.tz} if arguments.tz else {}
    answer = client.series(arguments.names, end - back, end, arguments.points, columns, **where)
    if arguments.json:
        _print_json(answer)
    else:
        for series in answer["series"]:
            print(f"# {series['name']} ({series['kind']}), every {answer['interval']} s")
            for line in _table(answer, series, columns, arguments.tz):
                print(line)
    if answer["missing"]:
        hint = "; `istat ls` lists the names that fit a pattern" if "*" in "".join(answer["missing"]) else ""
        raise UnknownCounter("there is no counter " + ", ".join(answer["missing"]) + hint)


def _table(answer: dict[str, Any], series: dict[str, Any], columns: Sequence[str], tz: str = "") -> list[str]:
    """A line for the heading, then one for each point that is no gap."""
    try:
        zone = ZoneInfo(tz) if tz else UTC
    except (LookupError, ValueError, OSError):      # the server knows it, this machine does not
        zone = UTC
    begins = answer.get("times") or range(answer["start"], LAST_TIME, answer["interval"])
    heading = f"{f'# time ({zone})':<20}"
    lines = ["".join([heading, *(f"{column:>15}" for column in columns)])]
    for index in range(answer["points"]):
        values = [series[column][index] for column in columns]
        if any(value is not None for value in values):
            when = datetime.fromtimestamp(begins[index], zone)
            numbers = ("-" if value is None else f"{value:.6g}" for value in values)
            row = "".join(f"{number:>15}" for number in numbers)
            lines.append(f"{when:%Y-%m-%dT%H:%M:%S}".ljust(len(heading)) + row)
    return lines


def _names(client: QueryClient, limit: int, asked: Mapping[str, Any]) -> dict[str, Any]:
    """At most `limit` names, which may be more than a server lists at once; as QueryClient.names answers."""
    answer = client.names(limit=min(limit, NAMES_AT_ONCE), **asked)
    names = answer["names"]
    while len(names) < limit and answer.get("token"):
        answer = client.names(limit=min(limit - len(names), NAMES_AT_ONCE), token=answer["token"], **asked)
        names += answer["names"]
    return {**answer, "names": names}


def _ls(arguments: argparse.Namespace, clock: Clock) -> None:
    asked = {"regex" if arguments.regex else "match": arguments.pattern}
    answer = _names(client_of(arguments), arguments.limit, asked)
    if arguments.json:
        _print_json(answer)
        return
    for counter in answer["names"]:
        name = counter["name"]
        print("*" + name if counter["kind"] == "event" and not name.startswith("*") else name)
    if not answer["names"]:
        pattern = arguments.pattern
        wider = "" if arguments.regex or "*" in pattern else f"; try '{pattern}*' or '*{pattern}*'"
        print(f"istat: no counter fits {pattern!r}{wider}", file=sys.stderr)
    if answer["truncated"]:
        print(f"istat: there are more; see --limit (now {arguments.limit})", file=sys.stderr)


def _status_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("--all", action="store_true", help="print every figure, a line each")


def _status(arguments: argparse.Namespace, clock: Clock) -> None:
    client = client_of(arguments)
    services = systemctl.units() if report.is_local(arguments.server) else []
    try:
        status = client.status()
        senders = [] if arguments.json or arguments.all else client.agents()
    except ServerUnreachable as error:
        advice = "".join(f"\n  {line}" for line in report.unreachable(arguments.server, services))
        raise ServerUnreachable(f"{error}{advice}") from error
    if arguments.json:
        _print_json(status)
    elif arguments.all:
        for name, value in _flat(status, ""):
            print(f"{name:<40} {figure(name, value)}")
    else:
        for line in report.report(status, senders, services, arguments.server, clock.now(), again(arguments)):
            print(line)


def _confirm_clock(arguments: argparse.Namespace, clock: Clock) -> None:
    answer = client_of(arguments).confirm_clock()
    if arguments.json:
        _print_json(answer)
        return
    when = datetime.fromtimestamp(answer["time"], UTC)
    doubt = f" It was doubted: {answer['doubt']}" if answer["doubt"] else ""
    print(f"{when:%Y-%m-%d %H:%M:%S} UTC is believed.{doubt}")


def _flat(value: Any, prefix: str) -> list[tuple[str, Any]]:
    """Dotted names and plain values of nested objects."""
    if not isinstance(value, dict):
        return [(prefix, value)]
    pairs = []
    for key, inner in value.items():
        pairs += _flat(inner, f"{prefix}.{key}" if prefix else key)
    return pairs


def _print_json(value: Any) -> None:
    json.dump(value, sys.stdout)
    sys.stdout.write("\n")


def _own() -> dict[str, SubCommand]:
    """The sub-commands that need nothing but the library."""
    changes = {name: replace(one, arguments=asking(one.arguments)) for name, one in changing.COMMANDS.items()}
    return {
        "query": SubCommand(
            "Print what was recorded for counters.", _query_arguments, _query,
            "A line for each point that has data. Points are as far apart as needed for no more than --points of them.",
            (("istat query cpu.user --last 6h", "The last six hours, in at most 60 points"),
             ("istat query shop.orders --last 7d --columns count,sum --json", "Counts of a week, for a script")),
        ),
        "ls": SubCommand(
            "List counters whose names match a pattern with *.", _ls_arguments, _ls,
            "Event counters are listed with a * before the name.",
            (("istat ls 'cpu.*'", "What is there of the CPU"),
             ("istat ls --regex '[.]host[.]web[0-9]+$'", "All counters of web1, web2 and so on")),
        ),
        "send": sending.COMMAND,
        "explain": explaining.COMMAND,
        "status": SubCommand(
            "Tell in plain words how a server is: what it holds, refuses, lacks, and what to do next.",
            _status_arguments, _status,
            "Where systemd runs, it tells of our services too. --all prints every figure, --json too.",
            (("istat status", "How is it?"),
             ("istat status --server http://stats.example.net:8000", "How is the one over there?")),
        ),
        "clock": SubCommand(
            "Tell a server that its clock is right, so that old data may go again.",
            asking(_clock_arguments), _confirm_clock,
            "A server whose clock jumped keeps all data until it is sure of the time; `istat status` says so.",
            (("istat clock confirm --token-file token", "The time is right: go on"),),
        ),
        **changes,
    }


OWN = _own()

if __name__ == "__main__":
    sys.exit(main())
