"""`istat describe`: what counters are, as their senders declare it. Knows HTTP through istat.client only."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from istat.cli import saying
from istat.cli.asking import asks, client_of
from istat.cli.describing.listing import DESCRIBED_AT_ONCE, NAMES_AT_ONCE, table
from istat.cli.report import printable
from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import UnknownCounter, UsageError
from istat.subcommands import SubCommand

WILD = ("*", "?")
HEADS = ("metric", "unit", "kind", "help")
SHOWN = (("unit", "unit"), ("help", "meaning"), ("metric", "declared as"), ("link", "more"))


def _arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("names", nargs="*", metavar="NAME", help="counters' names, events also as `istat ls` lists "
                         "them (*NAME); or one pattern with * for names of metrics as they are declared (default: all)")


def _describe(arguments: argparse.Namespace, clock: Clock) -> None:
    client, asked = client_of(arguments), arguments.names
    patterns = [name for name in asked if any(sign in name[1:] for sign in WILD) or name[:1] == "?" or name == "*"]
    if patterns and len(asked) > 1:
        raise UsageError(f"{patterns[0]} is a pattern: ask for it alone, or name counters")
    if patterns or not asked or (len(asked) == 1 and asked[0].startswith("*") and not _is_event(client, asked[0])):
        _list(arguments, client, asked[0] if asked else "*")
    else:
        _tell(arguments, client, asked)


def _is_event(client: QueryClient, name: str) -> bool:
    """Whether `*NAME` is a counter of events, as `istat ls` lists it; else it is a pattern."""
    return any(counter["kind"] == "event" for counter in client.describe([name])["counters"])


def _list(arguments: argparse.Namespace, client: QueryClient, pattern: str) -> None:
    found = list(_metrics(client, pattern))
    if arguments.json:
        print(json.dumps({"metrics": found}))
        return
    for line in table(((row["name"], *(printable(row[key]) for key in HEADS[1:])) for row in found), HEADS):
        print(line)
    if not found:
        saying.warn(arguments, "nothing is declared" + ("" if pattern == "*" else f" that fits {pattern!r}"))


def _metrics(client: QueryClient, pattern: str) -> Iterator[dict[str, Any]]:
    token = ""
    while True:
        page = client.metrics(pattern, NAMES_AT_ONCE, token)
        yield from page["metrics"]
        token = page["token"]
        if not token:
            return


def _tell(arguments: argparse.Namespace, client: QueryClient, asked: list[str]) -> None:
    counters: list[dict[str, Any]] = []
    missing: list[str] = []
    for start in range(0, len(asked), DESCRIBED_AT_ONCE):
        answer = client.describe(asked[start:start + DESCRIBED_AT_ONCE])
        counters += answer["counters"]
        missing += answer["missing"]
    if arguments.json:
        print(json.dumps({"counters": counters, "missing": missing}))
    else:
        print("\n\n".join("\n".join(_lines(counter)) for counter in counters), end="\n" if counters else "")
    if missing:
        raise UnknownCounter(f"there is no counter {', '.join(missing)}, and nothing is declared of it; `istat ls` "
                             "lists counters, `istat describe` what is declared")


def _lines(counter: Mapping[str, Any]) -> Iterator[str]:
    yield f"{counter['name']} ({counter['kind']})"
    if counter["metric"] is None:
        yield "  nothing is declared of it: who sends it can, by a line #metric"
        return
    for key, word in SHOWN:
        if counter[key]:
            yield f"  {word:<12} {printable(counter[key])}"


COMMAND = SubCommand(
    "Tell what counters are: unit, meaning and where to read more.", _arguments, _describe,
    "As senders declare it: collectors declare their metrics, programs may (StatClient.describe), scripts too (a "
    "line #metric). Without a NAME all that is declared is listed.",
    (("istat describe cpu.user.host.web1", "What is this?"),
     ("istat describe 'disk.*'", "What do collectors tell of disks?")),
)
