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
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from istat import __version__, changing, tokens
from istat.client import DEFAULT_STAT_PORT, DEFAULT_URL, QueryClient, StatClient
from istat.clock import Clock, SystemClock
from istat.errors import IstatError, ServerUnreachable, UnknownCounter, UsageError
from istat.figures import figure
from istat.lines import sample_line
from istat.setting_types import Address, Duration
from istat.subcommands import Action, Load, installed, wanted

URL_VARIABLE = "ISTAT_URL"
INTERRUPTED = 130           # what shells say of SIGINT


def main(argv: Sequence[str] | None = None, clock: Clock | None = None,
         brought: Mapping[str, Load] | None = None) -> int:
    """Run one command; returns its exit status (that of the error, when it failed).

    `brought`: the sub-commands of other packages, by name; those that are installed unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(words, installed() if brought is None else brought).parse_args(words)
        action: Action = arguments.action
        action(arguments, clock or SystemClock())
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
        print(f"istat: {told}", file=sys.stderr)
        return IstatError.exit_code
    return 0


def _parser(words: Sequence[str], brought: Mapping[str, Load]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="istat", description="Look at an istat-server, send a sample, and more.")
    parser.add_argument("--version", action="version", version=f"istat {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, action: Action, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--json", action="store_true", help="print JSON")
        command.set_defaults(action=action)
        return command

    def asks(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
        url = os.environ.get(URL_VARIABLE, DEFAULT_URL)
        note = f"default {url}; also from {URL_VARIABLE}"
        command.add_argument("--server", default=url, metavar="URL", help=note)
        return command

    query = asks(add("query", _query, "Print what was recorded for counters."))
    query.add_argument("names", nargs="+", metavar="NAME")
    query.add_argument("--last", default="1h", metavar="TIME", help="how far back (default 1h)")
    query.add_argument("--points", type=int, default=60, metavar="N", help="at most so many (default 60)")
    query.add_argument("--columns", default="avg,min,max", help="of count sum avg min max sdev")
    ls = asks(add("ls", _ls, "List counters whose names match a pattern with *."))
    ls.add_argument("pattern", nargs="?", default="*")
    ls.add_argument("--regex", action="store_true", help="the pattern is a regular expression, found anywhere")
    ls.add_argument("--limit", type=int, default=1000, metavar="N")
    send = add("send", _send, "Send one sample. A name that begins with * is an event counter.")
    send.add_argument("name", metavar="NAME")
    send.add_argument("value", type=float, metavar="VALUE")
    send.add_argument("--to", default=f"127.0.0.1:{DEFAULT_STAT_PORT}", metavar="HOST:PORT")
    send.add_argument("--time", type=int, metavar="UNIX", help="its time (default: now)")
    asks(add("status", _status, "Print the server's figures."))
    clock = asks(add("clock", _confirm_clock, "Tell a server that its clock is right, so that old data may go again."))
    clock.add_argument("what", choices=["confirm"])
    tokens.needs_token(clock)
    for name, change in changing.COMMANDS.items():
        change.arguments(asks(add(name, change.action, change.help)))
    for name, more in wanted(brought, words, commands.choices).items():
        more.arguments(add(name, more.action, more.help))
    return parser


def _query(arguments: argparse.Namespace, clock: Clock) -> None:
    try:
        back = Duration().parse(arguments.last)
    except ValueError as error:
        raise UsageError(f"--last {error}") from None
    columns = arguments.columns.split(",")
    end = clock.now()
    client = QueryClient(arguments.server)
    answer = client.series(arguments.names, end - back, end, arguments.points, columns)
    if arguments.json:
        _print_json(answer)
    else:
        for series in answer["series"]:
            print(f"# {series['name']} ({series['kind']}), every {answer['interval']} s")
            for line in _table(answer, series, columns):
                print(line)
    if answer["missing"]:
        hint = "; `istat ls` lists the names that fit a pattern" if "*" in "".join(answer["missing"]) else ""
        raise UnknownCounter("there is no counter " + ", ".join(answer["missing"]) + hint)


def _table(answer: dict[str, Any], series: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """A line for the heading, then one for each point that is no gap."""
    lines = ["".join([f"{'# time (UTC)':<20}", *(f"{column:>15}" for column in columns)])]
    for index in range(answer["points"]):
        values = [series[column][index] for column in columns]
        if any(value is not None for value in values):
            when = datetime.fromtimestamp(answer["start"] + index * answer["interval"], UTC)
            numbers = ("-" if value is None else f"{value:.6g}" for value in values)
            lines.append(f"{when:%Y-%m-%dT%H:%M:%S} " + "".join(f"{number:>15}" for number in numbers))
    return lines


def _ls(arguments: argparse.Namespace, clock: Clock) -> None:
    asked = {"regex" if arguments.regex else "match": arguments.pattern}
    answer = QueryClient(arguments.server).names(limit=arguments.limit, **asked)
    if arguments.json:
        _print_json(answer)
        return
    for counter in answer["names"]:
        print(("*" if counter["kind"] == "event" else "") + counter["name"])
    if answer["truncated"]:
        print(f"istat: there are more; see --limit (now {arguments.limit})", file=sys.stderr)


def _send(arguments: argparse.Namespace, clock: Clock) -> None:
    try:
        target = Address(DEFAULT_STAT_PORT).parse(arguments.to)
    except ValueError as error:
        raise UsageError(f"--to {error}") from None
    if target is None:
        raise UsageError("--to wants an address")
    line = sample_line(arguments.name, arguments.value, arguments.time)
    with StatClient(target.host, target.port, transport="tcp", clock=clock) as client:
        client.send(line)
    if client.dropped:
        raise ServerUnreachable(f"cannot connect to {target}: the sample was not sent")
    if arguments.json:
        _print_json({"sent": line.decode().rstrip()})


def _status(arguments: argparse.Namespace, clock: Clock) -> None:
    status = QueryClient(arguments.server).status()
    if arguments.json:
        _print_json(status)
        return
    for name, value in _flat(status, ""):
        print(f"{name:<40} {figure(name, value)}")


def _confirm_clock(arguments: argparse.Namespace, clock: Clock) -> None:
    answer = QueryClient(arguments.server, token=tokens.token_of(arguments)).confirm_clock()
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


if __name__ == "__main__":
    sys.exit(main())
