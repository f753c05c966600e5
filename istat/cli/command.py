"""The command `istat`: look at a server, send a sample. Its own sub-commands go through istat.client; other packages
bring more (istat/subcommands.py).

istat ls 'cpu.*'            istat query cpu.user --last 6h
istat send queue.length 17  istat status
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from istat import __version__, owners
from istat.cli import (
    INTERRUPTED,
    changing,
    cubes,
    explaining,
    namespaces,
    output,
    report,
    saying,
    sending,
    systemctl,
    tokens,
)
from istat.cli.asking import ENVIRONMENT as ENVIRONMENT
from istat.cli.asking import again, asking, asks, client_of
from istat.cli.describing import describe, listing
from istat.cli.figures import figure, seconds_text
from istat.cli.pagecache import pagetrace
from istat.cli.replicas import replica
from istat.client import QueryClient
from istat.clock import Clock, SystemClock
from istat.errors import BadQuery, IstatError, ServerUnreachable, UnknownCounter, UsageError
from istat.settings.types import Duration
from istat.subcommands import Action, Load, SubCommand, asked_of, installed, wanted, with_parts

ABOUT = "Look at an istat-server, send a sample, and more."
GROUPS = {"cube": cubes.GROUP, "pagetrace": pagetrace.GROUP, "settings": namespaces.GROUP}
LAST_TIME = 1 << 62         # [s] later than any
HELP_WIDTH = 100            # columns of a sub-command's description

# Where argparse has sub-commands: its class has no public name.
Places = Any


def main(argv: Sequence[str] | None = None, clock: Clock | None = None,
         brought: Mapping[str, Load] | None = None) -> int:
    """Run one command; returns its exit status (that of the error, when it failed).

    `brought`: the sub-commands of other packages, by name; those that are installed unless given.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    as_json = "--json" in words

    def fail(text: str, status: int = IstatError.exit_code) -> int:
        return saying.fail(text, status, as_json)

    def body() -> int:
        try:
            others = installed() if brought is None else brought
            understood = parser(words, others)
            if not words:
                understood.print_help()
                return UsageError.exit_code
            _act(understood.parse_args(sending.values(_joined(words, sub_commands(words, others)))),
                 clock or SystemClock())
        except IstatError as error:
            return fail(str(error), error.exit_code)
        except MemoryError:
            return fail("there is not enough memory for that, or a limit on it: ask for less at once")
        except KeyboardInterrupt:
            return INTERRUPTED
        return 0

    return output.run(body, fail, lambda error: fail(_words(error)))


def _words(error: OSError) -> str:
    """What the system refused, and what helps."""
    told = error.strerror or str(error)
    if error.filename and error.strerror:
        told = f"{report.printable(str(error.filename))}: {told}"
    if isinstance(error, PermissionError) and error.filename:
        told += f"{owners.refused(error.filename)}; run it as that user, or as root"
    return told


def _act(arguments: argparse.Namespace, clock: Clock) -> None:
    """What the command does. A server that wants another token: it is told where a command finds one."""
    action: Action = arguments.action
    try:
        action(arguments, clock)
    except BadQuery as error:
        if error.status not in (401, 403) or not hasattr(arguments, "changes"):
            raise
        raise BadQuery(f"{error} ({tokens.hint(arguments)})", error.status) from error


class JsonParser(argparse.ArgumentParser):
    """argparse's, whose refusals are JSON where the answer would be."""

    def error(self, message: str) -> NoReturn:
        """See argparse."""
        raise UsageError(f"{message}; see {self.prog} --help")


def parser(words: Sequence[str], brought: Mapping[str, Load]) -> argparse.ArgumentParser:
    """The parser of all sub-commands that the words of a command line may mean (all of them when there are none)."""
    kind = JsonParser if "--json" in words else argparse.ArgumentParser
    made = kind(prog="istat", description=ABOUT)
    made.add_argument("--version", action="version", version=f"istat {__version__}")
    places = {"": made.add_subparsers(required=True, metavar="COMMAND")}
    for name, one in sub_commands(words, brought).items():
        group, _, last = name.rpartition(" ")
        if group not in GROUPS:     # a command of its own, or a part of one
            _place(places[""], name, one)
            continue
        if group not in places:
            places[group] = _group(places[""], group)
        _place(places[group], last, one)
    for group in GROUPS.keys() - places.keys():     # they are not asked for, and told by --help all the same
        _group(places[""], group)
    return made


def _joined(words: list[str], commands: Container[str]) -> list[str]:
    """The words with the first two as one, where that is a part of a command: argparse has sub-commands behind a word,
    or other arguments, not both."""
    both = " ".join(words[:2])
    return [both, *words[2:]] if len(words) > 1 and words[0] not in GROUPS and both in commands else words


def _group(places: Places, name: str) -> Places:
    help = GROUPS[name].help
    return places.add_parser(name, help=help, description=help).add_subparsers(required=True, metavar="COMMAND")


def _place(places: Places, name: str, one: SubCommand) -> None:
    text = "\n".join(textwrap.wrap(f"{one.help} {one.more}".strip(), HELP_WIDTH))
    examples = "\n".join(f"# {purpose}\n{line}" for line, purpose in one.examples)
    place = places.add_parser(name, help=one.help, description=text, epilog=examples,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    place.add_argument("--json", action="store_true", help="print JSON")
    one.arguments(place)
    place.set_defaults(action=one.action)


def sub_commands(words: Sequence[str], brought: Mapping[str, Load]) -> dict[str, SubCommand]:
    """Our own sub-commands, and those of groups and of `brought` that the words may mean, by name."""
    return with_parts({**OWN, **asked_of(GROUPS, words), **wanted(brought, words, {*OWN, *GROUPS})})


def _query_arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("names", nargs="+", metavar="NAME", help="a counter's full name")
    command.add_argument("--last", default="1h", metavar="TIME", help="how far back (default 1h)")
    command.add_argument("--points", type=int, default=60, metavar="N", help="at most so many (default 60)")
    command.add_argument("--columns", default="avg,min,max", help="of count sum avg min max sdev (default avg,min,max)")
    command.add_argument("--tz", default="", metavar="ZONE", help="print times, and take days, of a time zone such as "
                         "Europe/Berlin (default UTC)")


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
    _add_last(client, answer, columns)
    if arguments.json:
        _print_json(answer)
    else:
        for series in answer["series"]:
            for line in _lines(answer, series, columns, (arguments.last, clock.now()), arguments.tz):
                print(line)
    if answer["missing"]:
        hint = "; `istat ls` lists the names that fit a pattern" if "*" in "".join(answer["missing"]) else ""
        raise UnknownCounter("there is no counter " + ", ".join(answer["missing"]) + hint)


def _add_last(client: QueryClient, answer: dict[str, Any], columns: Sequence[str]) -> None:
    """Add to series without data, and to those of events, when the last sample was: `last`, None for never."""
    asked = {series["name"]: series for series in answer["series"]
             if series["kind"] == "event" or all(value is None for column in columns for value in series[column])}
    if not asked:
        return
    try:
        known = client.ends(list(asked))["counters"]
    except (BadQuery, ServerUnreachable):       # an older server does not know
        return
    for counter in known:
        asked[counter["name"]]["last"] = counter["last"]


def _lines(answer: dict[str, Any], series: dict[str, Any], columns: Sequence[str], asked: tuple[str, float],
           tz: str = "") -> list[str]:
    """A counter's table; where there is nothing, since when. asked: how far back, and when that was."""
    head, (span, now), zone = f"# {series['name']} ({series['kind']})", asked, _zone(tz)
    heading = f"{f'# time ({zone})':<20}"
    rows = [row.ljust(len(heading)) + numbers for row, numbers in _rows(answer, series, columns, zone)]
    title = "".join([heading, *(f"{column:>15}" for column in columns)])
    table = [f"{head}, every {answer['interval']} s", title, *rows]
    last = series.get("last", answer["start"])
    if rows and last is not None and last >= answer["start"]:
        return table
    since = ""
    if "last" in series:
        since = "; nothing is kept of it" if last is None else (
            f"; the last sample was at {_when(last, zone)} {zone}, {seconds_text(max(0, round(now - last)))} ago")
    return [*(table if rows else ()), f"{head}: no data in the last {span}{since}"]


def _zone(tz: str) -> tzinfo:
    try:
        return ZoneInfo(tz) if tz else UTC
    except (LookupError, ValueError, OSError):      # the server knows it, this machine does not
        return UTC


def _when(time: int, zone: tzinfo) -> str:
    return f"{datetime.fromtimestamp(time, zone):%Y-%m-%dT%H:%M:%S}"


def _rows(answer: dict[str, Any], series: dict[str, Any], columns: Sequence[str],
          zone: tzinfo) -> Iterator[tuple[str, str]]:
    """Each point that is no gap: its time, and its numbers."""
    begins = answer.get("times") or range(answer["start"], LAST_TIME, answer["interval"])
    for index in range(answer["points"]):
        values = [series[column][index] for column in columns]
        if any(value is not None for value in values):
            numbers = ("-" if value is None else f"{value:.6g}" for value in values)
            yield _when(begins[index], zone), "".join(f"{number:>15}" for number in numbers)


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
        advice = "" if error.answered else "".join(
            f"\n  {line}" for line in report.unreachable(arguments.server, services))
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
            "A line for each point that has data. Points are as far apart as needed for no more than --points of them. "
            "Where there is no data, it says when the last sample was.",
            (("istat query cpu.user --last 6h", "The last six hours, in at most 60 points"),
             ("istat query shop.orders --last 7d --columns count,sum --json", "Counts of a week, for a script")),
        ),
        "ls": listing.COMMAND,
        "describe": describe.COMMAND,
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
        "replica": replica.COMMAND,
        **changes,
    }


OWN = _own()

if __name__ == "__main__":
    sys.exit(main())
