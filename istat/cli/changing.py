"""`istat delete`, `undelete` and `rename`: counters of a running server, by its admin token. Knows HTTP through
istat.client only.

Nothing is done before it was shown what: a person is asked, a script says --yes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from istat.cli import asking, saying
from istat.client import QueryClient
from istat.clock import Clock
from istat.errors import IstatError, UnknownCounter, UsageError
from istat.subcommands import SubCommand

SAMPLES = 10        # names that are shown of many
LISTED_AT_ONCE = 1000
# Deleting a million counters takes a server some seconds [s].
TIMEOUT = 300.0


def _client(arguments: argparse.Namespace) -> QueryClient:
    return asking.client_of(arguments, TIMEOUT)


def _ask(arguments: argparse.Namespace, question: str) -> bool:
    """Whether to go on: --yes, or a person's word. Elsewhere nothing is done."""
    if arguments.yes:
        return True
    if not sys.stdin.isatty() or arguments.json:
        return False
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _tell(arguments: argparse.Namespace, answer: dict[str, Any], text: str) -> None:
    """The answer as JSON, or its text, if there is one."""
    if arguments.json or text:
        print(json.dumps(answer) if arguments.json else text)


def _counters(count: int) -> str:
    return "1 counter" if count == 1 else f"{count:,} counters"


def _is_pattern(text: str) -> bool:
    return "*" in text[1:] or "?" in text or text == "*"


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs="*", metavar="PATTERN", help="a name, or a pattern with * or ?")
    parser.add_argument("--yes", action="store_true", help="do it; without, only show what would go")
    parser.add_argument("--list", action="store_true", help="list what was deleted and is not gone yet")


def _delete(arguments: argparse.Namespace, clock: Clock) -> None:
    client = _client(arguments)
    if arguments.list:
        _list(arguments, client)
        return
    if not arguments.patterns:
        raise UsageError("name what to delete, or --list what was")
    what = _meant(arguments.patterns)
    shown = client.delete(**what)
    count, missing = shown["count"], shown["missing"]
    for name in missing:
        saying.warn(arguments, f"there is no counter {name}")
    if not arguments.json:
        _show(shown["names"], count)
    done, undo = 0, True
    if count and _ask(arguments, f"Delete {_counters(count)}?"):
        did = client.delete(confirm=True, **what, **({"expected": count} if "match" in what else {}))
        done, undo = did["deleted"], did.get("undo", True)
    answer = {"count": count, "deleted": done, "missing": missing, "names": shown["names"]}
    _tell(arguments, answer, _done(done, undo) if done
          else f"{_counters(count)} would be deleted; say --yes to do it" if count else "")
    if not count:
        raise UnknownCounter("no counter fits")


def _meant(texts: Sequence[str]) -> dict[str, Any]:
    """Names and patterns in one question: what fits several of them is meant once."""
    patterns = [text for text in texts if _is_pattern(text)]
    names = [text for text in texts if not _is_pattern(text)]
    match = {"match": patterns if len(patterns) > 1 else patterns[0]} if patterns else {}
    return {**match, **({"names": names} if names else {})}


def _done(count: int, undo: bool) -> str:
    """What was deleted, and for how long it can come back."""
    them = "it" if count == 1 else "them"
    back = f"`istat undelete` brings {them} back for a day at least" if undo else "this server's store has no undelete"
    return f"{_counters(count)} deleted; {back}"


def _show(lines: list[str], count: int) -> None:
    for line in lines[:SAMPLES]:
        print(line)
    if count > SAMPLES:
        print(f"... and {count - min(SAMPLES, len(lines)):,} more")


def _list(arguments: argparse.Namespace, client: QueryClient) -> None:
    """What was deleted, the last first, each once whatever fits it."""
    found = {(row["time"], row["name"]): row for pattern in arguments.patterns or ["*"]
             for row in _deleted(client, pattern)}
    rows = [found[key] for key in sorted(found, key=lambda key: (-key[0], key[1]))]
    if arguments.json:
        print(json.dumps({"deleted": rows}))
        return
    for row in rows:
        when = datetime.fromtimestamp(row["time"], UTC)
        print(f"{when:%Y-%m-%dT%H:%M:%SZ}  {row['name']}" + (f"  (no undo: {row['reason']})" if row["reason"] else ""))


def _deleted(client: QueryClient, pattern: str) -> Iterator[dict[str, Any]]:
    """All pages of what a server lists."""
    token, more = "", True
    while more:
        answer = client.deleted(pattern, LISTED_AT_ONCE, token)
        yield from answer["deleted"]
        token = answer.get("token", "")
        more = bool(token)


def _undelete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs="+", metavar="PATTERN", help="a name, or a pattern with * or ?")


def _undelete(arguments: argparse.Namespace, clock: Clock) -> None:
    client = _client(arguments)
    done, refused, unknown = 0, [], 0
    for text in sorted(arguments.patterns, key=_is_pattern):    # what a pattern brought back is deleted no more
        answer = client.undelete(**({"match": text} if _is_pattern(text) else {"names": [text]}))
        done += answer["undeleted"]
        refused += answer["refused"]
        if not answer["undeleted"] and not answer["refused"] and len(arguments.patterns) > 1 and not _is_pattern(text):
            unknown += 1
            saying.warn(arguments, f"there is no deleted counter {text}")
    for row in refused:
        saying.warn(arguments, f"{row['name']} stays deleted: {row['reason']}")
    _tell(arguments, {"undeleted": done, "refused": refused}, f"{_counters(done)} came back" if done else "")
    if done and (refused or unknown):
        raise IstatError(f"{_counters(len(refused) + unknown)} did not come back")
    if not done:
        raise IstatError("nothing came back" + ("" if refused else ": no deleted counter fits; `istat delete --list` "
                                                                   "shows which there are"))


def _rename_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="a name, or a prefix as in old.prefix.*")
    parser.add_argument("new", metavar="NEW", help="its new name, or new.prefix.*")
    parser.add_argument("--yes", action="store_true", help="do it; without, only show what would be renamed")


def _rename(arguments: argparse.Namespace, clock: Clock) -> None:
    client = _client(arguments)
    answer = client.rename(arguments.old, arguments.new)
    count = answer["count"]
    if not arguments.json:
        _show([f"{old} -> {new}" for old, new in answer["names"]], count)
    for problem in answer["problems"]:
        saying.warn(arguments, problem)
    if answer["problems"]:
        _tell(arguments, answer, "")
        raise IstatError("nothing was renamed")
    if count and _ask(arguments, f"Rename {_counters(count)}?"):
        answer = client.rename(arguments.old, arguments.new, expected=count)
    done = answer.get("renamed", 0)
    _tell(arguments, answer, f"{_counters(done)} renamed" if done
          else f"{_counters(count)} would be renamed; say --yes to do it" if count else "")
    if not count:
        raise UnknownCounter("no counter fits")


COMMANDS = {
    "delete": SubCommand(
        "Delete counters; shows which first.", _delete_arguments, _delete,
        "Nobody finds them any more; they can be brought back for a day. A person is asked before; a script "
        "says --yes.",
        (("istat delete 'old.host7.*'", "See what would go, and be asked"),
         ("istat delete --list", "What was deleted and is not gone yet")),
    ),
    "undelete": SubCommand(
        "Bring deleted counters back.", _undelete_arguments, _undelete,
        "It can be done for a day at least, unless there is a new counter of the name.",
        (("istat undelete 'old.host7.*'", "Bring back all of them"),),
    ),
    "rename": SubCommand(
        "Rename a counter, or all below a prefix; shows which first.", _rename_arguments, _rename,
        "All of them or none; refused where a name is taken. A sample of the old name makes a new counter, so change "
        "the senders first.",
        (("istat rename 'web.*' 'front.web.*'", "All counters below web., data and all"),),
    ),
}
