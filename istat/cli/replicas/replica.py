"""`istat replica`: how a replica follows its master, and making it one. Knows HTTP through istat.client only."""
from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from istat.cli.asking import asks, client_of
from istat.cli.figures import bytes_text, number_text
from istat.cli.report import lag_text
from istat.clock import Clock
from istat.errors import UsageError
from istat.subcommands import SubCommand

TIMEOUT = 60.0      # that a replica may take to become a master: it ends what it is pulling [s]


def _arguments(command: argparse.ArgumentParser) -> None:
    asks(command, changes=True)
    command.add_argument("what", choices=["status", "promote"], help="tell how it stands, or make it a master")
    command.add_argument("--yes", action="store_true", help="promote: do it without asking")


def _act(arguments: argparse.Namespace, clock: Clock) -> None:
    if arguments.what == "status":
        arguments.changes = False       # a question, as `istat status` asks it
        status = client_of(arguments).status()
        store = status.get("store", {})
        if arguments.json:
            found = {key: store.get(key) for key in ("replica", "term", "fenced", "deposed")}
            print(json.dumps({**found, "replicas": status.get("replicas", {})}))
        else:
            for line in (*lines(store), *replicas(status)):
                print(line)
        return
    _promote(arguments)


def _promote(arguments: argparse.Namespace) -> None:
    client = client_of(arguments, TIMEOUT)
    if not arguments.yes:
        print(f"{arguments.server} becomes a master, and its old master is told to take nothing any more, for good.\n"
              "Samples that the old one has and this one has not stay there. Go on? [y/N] ", end="", flush=True)
        if not sys.stdin.isatty() or sys.stdin.readline().strip().lower() not in ("y", "yes"):
            print()
            raise UsageError("nothing was done; say --yes to promote it")
    answer = client.promote()
    if arguments.json:
        print(json.dumps(answer))
        return
    print(f"It is a master now, of term {answer['term']}. Send to it from now on; {answer['deposed']} is told as soon "
          "as it can be reached, and takes nothing then (istat replica status).")
    if answer.get("retention"):
        print(f"Its retention is {answer['retention']}, as the old master's was. Its settings say "
              f"{answer['retention_of_settings']}, which would begin with its next start, and let go what that does "
              "not keep: set the first one there, unless that is wanted.")


def lines(store: Mapping[str, Any]) -> Iterable[str]:
    """How a server stands, from the `store` of its status."""
    replica = store.get("replica")
    if replica and replica.get("master"):
        yield f"A replica, {replica.get('name')}, of {replica['master']}"
        yield f"  {lag_text(replica.get('lag'))}"
        if replica.get("problem"):
            yield f"  It does not follow: {replica['problem']}"
        copying = replica.get("copying")
        if copying:
            yield f"  A new copy is made: {bytes_text(copying['bytes'])} of {bytes_text(copying['of'])}"
        yield (f"  {number_text(replica.get('frames', 0))} frames, {bytes_text(replica.get('bytes', 0))} since the "
               f"start; {number_text(replica.get('copies', 0))} new copies")
    elif store.get("fenced"):
        yield f"A former master, fenced: {store['fenced']} has taken its place. It takes nothing any more"
    else:
        yield "A master"
    yield f"  Term {number_text(store.get('term', 0))}"
    if store.get("deposed"):
        yield f"  The old master {store['deposed']} does not know yet that this server has taken its place"


def replicas(status: Mapping[str, Any]) -> Iterable[str]:
    """The replicas that a server knows of, and how far each is."""
    for name, lag in sorted(status.get("replicas", {}).items()):
        yield f"  Its replica {name}: {lag_text(lag)}"


COMMAND = SubCommand(
    "Tell how a replica follows its master, or make it a master.", _arguments, _act,
    "`promote` ends the following for good, and tells the old master, as long as that takes, to take no samples and no "
    "changes any more. Where it is not sure that the old one is down, stop it first.",
    (("istat replica status --server http://stats2:8000", "Does it follow, and how far is it behind?"),
     ("istat replica promote --server http://stats2:8000 --token-file token", "The master is lost: be it now")),
)
