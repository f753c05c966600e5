"""`istat retention --store DIR --plan LEVELS`: what another retention would do to a store, before it is done."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from istat import owners
from istat.access import guarded
from istat.cli.figures import bytes_text
from istat.clock import Clock
from istat.errors import UsageError
from istat.retention import Ladder, Rules, format_duration
from istat.settings.retentions import RetentionRules
from istat.subcommands import SubCommand
from istat_server.store.levels.policies import rules_of
from istat_server.store.offline.foretelling import Change, foretell, read_store


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--store", required=True, type=Path, metavar="DIR", help="the store; a server may have it open")
    parser.add_argument("--plan", metavar="LEVELS", help="the default retention as it would be (default: as it is)")
    parser.add_argument("--rules", metavar="RULES", help="the retention rules as they would be (default: as they are)")


def _retention(arguments: argparse.Namespace, clock: Clock) -> None:
    guarded.check(arguments.store)
    with owners.Rights.of_owner(arguments.store, only_looks=True):
        state, names = read_store(arguments.store)
    have = rules_of(state.policies)
    default = have.default if arguments.plan is None else Ladder.parse(arguments.plan)
    try:
        rules = have.rules if arguments.rules is None else RetentionRules().parse(arguments.rules)
    except ValueError as error:
        raise UsageError(f"--rules {error}") from error
    changes = foretell(state, names, Rules(default, rules), int(clock.now()))
    if arguments.json:
        json.dump({"rules": [asdict(change) for change in changes]}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    for change in changes:
        _tell(change)
    print("Nothing was changed. Start istat-server with this retention to do it; a server that runs goes on as it is.")


def _tell(change: Change) -> None:
    what = "goes" if not change.new else "is new" if not change.old else (
        "stays as it is" if change.old == change.new else f"changes from {change.old}")
    print(f"{change.rule or 'default'} = {change.new or change.old}: {what}")
    print(f"  counters            {change.counters}"
          + (f", of which {change.taken_over} from other rules, for new samples" if change.taken_over else ""))
    for label, amount in (("files not touched", change.stays), ("files taken over", change.adopted),
                          ("files written anew", change.moved), ("files dropped", change.dropped)):
        if amount.files:
            print(f"  {label:<19} {amount.files:,}, {bytes_text(amount.bytes)}")
    for level, seconds in change.until.items():
        print(f"  {'kept: ' + level:<19} {format_duration(seconds)}")
    for level, fate in change.goes.items():
        print(f"  {'goes: ' + level:<19} {fate}")


COMMAND = SubCommand(
    "Tell what another retention would do to a store.", _arguments, _retention,
    "Levels are written interval:time, finest first, such as 10s:10d,5m:1y9d; rules PATTERN = LEVELS, separated by "
    "semicolons. Nothing is changed: that is done by istat-server, started with them.",
    (("istat retention --store /var/lib/istatd/server --plan 10s:30d,5m:2y,1h:6y12d", "What would keeping more do?"),),
)
