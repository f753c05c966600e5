"""`istat ls`: the counters that fit a pattern; --long with their unit, kind, age and what they mean.

Knows HTTP through istat.client only. What is declared of a counter was written by strangers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from istat.cli import saying
from istat.cli.asking import asks, client_of
from istat.cli.figures import seconds_text
from istat.cli.report import printable
from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import BadQuery
from istat.subcommands import SubCommand

NAMES_AT_ONCE = 10_000      # what a server lists at once
DESCRIBED_AT_ONCE = 1000    # and what it tells of at once
NOT_FOUND = 404
DECLARED = ("metric", "unit", "help", "link")
NOTHING = {"metric": None, "unit": "", "help": "", "link": ""}
HEADS = ("name", "unit", "kind", "age", "help")


def _arguments(command: argparse.ArgumentParser) -> None:
    asks(command)
    command.add_argument("pattern", nargs="?", default="*", metavar="PATTERN", help="a name with * (default all)")
    command.add_argument("--regex", action="store_true", help="the pattern is a regular expression, found anywhere")
    command.add_argument("--limit", type=int, metavar="N", help="list so many at most (default all)")
    command.add_argument("--long", action="store_true", help="with unit, kind, how old the last sample is, and what "
                         "the counter means, as senders declare it")


def names(client: QueryClient, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All names that fit, by name: a server lists them in pages, and in an order of its own."""
    found: list[dict[str, Any]] = []
    token = ""
    while True:
        # A server of before has no tokens.
        where = {"token": token} if token else {"offset": len(found)} if found else {}
        answer = client.names(limit=NAMES_AT_ONCE, **where, **asked)
        found += answer["names"]
        token = answer.get("token", "")
        if not answer["truncated"] or not answer["names"]:
            return sorted(found, key=itemgetter("name"))


def shown(counter: Mapping[str, Any]) -> str:
    """A counter's name, that of events with a * before it."""
    name: str = counter["name"]
    return "*" + name if counter["kind"] == "event" and not name.startswith("*") else name


def _ls(arguments: argparse.Namespace, clock: Clock) -> None:
    client = client_of(arguments)
    found = names(client, {"regex" if arguments.regex else "match": arguments.pattern})
    listed = found if arguments.limit is None else found[:max(0, arguments.limit)]
    if arguments.long:
        listed = list(_described(arguments, client, listed))
    if arguments.json:
        json.dump({"names": listed, "truncated": len(listed) < len(found)}, sys.stdout)
        sys.stdout.write("\n")
    elif arguments.long:
        sys.stdout.writelines(f"{line}\n" for line in table(_rows(listed, clock.now()), HEADS))
    else:
        sys.stdout.writelines(f"{shown(counter)}\n" for counter in listed)
    if not found and not arguments.json:
        pattern = arguments.pattern
        wider = "" if arguments.regex or "*" in pattern else f"; try '{pattern}*' or '*{pattern}*'"
        saying.warn(arguments, f"no counter fits {pattern!r}{wider}")
    if len(listed) < len(found):
        saying.warn(arguments, f"{len(found) - len(listed):,} more fit; --limit is {arguments.limit}")


def _described(arguments: argparse.Namespace, client: QueryClient,
               counters: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The counters with what is declared of each, and when its `last` bucket began."""
    knows = True
    for start in range(0, len(counters), DESCRIBED_AT_ONCE):
        some = counters[start:start + DESCRIBED_AT_ONCE]
        asked = [counter["name"] for counter in some]
        lasts = {row["name"]: row["last"] for row in client.ends(asked)["counters"]}
        told: dict[str, dict[str, Any]] = {}
        if knows:
            try:
                told = {row["name"]: row for row in client.describe(asked)["counters"]}
            except BadQuery as error:
                if error.status != NOT_FOUND:
                    raise
                knows = False
                saying.warn(arguments, "the server is older, and knows nothing of units and meanings")
        for counter in some:
            row = told.get(counter["name"], NOTHING)
            yield {**counter, "last": lasts.get(counter["name"]), **{key: row[key] for key in DECLARED}}


def _rows(counters: Iterable[Mapping[str, Any]], now: float) -> Iterator[tuple[str, ...]]:
    for counter in counters:
        last = counter["last"]
        age = "-" if last is None else seconds_text(max(0, round(now - last)))
        yield (counter["name"], printable(counter["unit"]), counter["kind"], age, printable(counter["help"]))


def table(rows: Iterable[Sequence[str]], heads: Sequence[str]) -> list[str]:
    """Lines of columns that are as wide as their longest word; a dash stands for nothing, but in the last one."""
    cells = [heads, *([cell or "-" for cell in row[:-1]] + [row[-1]] for row in rows)]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads) - 1)]
    if len(cells) == 1:
        return []
    return ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths)), row[-1]]).rstrip() for row in cells]


COMMAND = SubCommand(
    "List counters whose names match a pattern with *.", _arguments, _ls,
    "All of them, by name. Event counters are listed with a * before it. --long tells of each what it is, as its "
    "sender declares it, and how old its last bucket is (`istat describe` tells more).",
    (("istat ls 'cpu.*'", "What is there of the CPU"),
     ("istat ls --long 'disk.*'", "And what is it, in which unit, and how old is the last sample"),
     ("istat ls --regex '[.]host[.]web[0-9]+$'", "All counters of web1, web2 and so on")),
)
