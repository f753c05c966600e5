"""`istat import`: buckets of other systems into a store that no server has open.

Goes on where an interrupted import stopped; what is in the store is not imported again.
"""
from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from istat import owners
from istat.access import guarded
from istat.cli import saying
from istat.clock import Clock
from istat.errors import IstatError, UsageError
from istat.subcommands import SubCommand
from istat_server.foreign.opening import FORMATS, Wish, sources
from istat_server.foreign.source import Naming, Source, plain
from istat_server.store.files import manifest
from istat_server.store.offline.appending import Appender, open_store, rules_for
from istat_server.tools.importrun import Done, Run, Trial, stoppable
from istat_server.tools.progress import Progress


class NothingTaken(IstatError):
    """Nothing of a source could be read: every line is bad, every file damaged, or none of the kind."""

    exit_code = 97


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH",
                        help="a folder or a file to import; - is CSV from the standard input")
    parser.add_argument("--store", required=True, type=Path, metavar="DIR", help="the store; made if it is missing")
    parser.add_argument("--from", choices=FORMATS, dest="format", help="what PATH holds (default: what it looks like)")
    parser.add_argument("--retention", metavar="LEVELS", help="of a new store (default 10s:10d,5m:1y9d,1h:6y12d)")
    parser.add_argument("--prefix", default="", help="put before every name, such as `graphite.`")
    parser.add_argument("--rename", action="append", default=[], metavar="OLD=NEW",
                        help="another name for what the source calls OLD (a path in it; CSV: a name); may be repeated; "
                             "OLD*=NEW* for all that begins with OLD")
    parser.add_argument("--events", action="store_true", help="whisper: points are totals of events, not values")
    parser.add_argument("--interval", type=int, default=10, metavar="SECONDS",
                        help="CSV: of buckets that do not say it (default 10)")
    parser.add_argument("--dry-run", action="store_true", help="count what would be imported; write nothing")


def _import(arguments: argparse.Namespace, clock: Clock) -> None:
    done = imported(arguments, clock)
    report(done, arguments)
    empty = [one for one in done if arguments.format not in (None, "csv") and one.empty]
    if empty:
        raise NothingTaken(f"{', '.join(plain(one.source.key) for one in empty)}: nothing of the kind "
                           f"{arguments.format} is there; without --from it is looked at what there is")
    nothing = [one for one in done if one.nothing_taken]
    if nothing:
        raise NothingTaken(f"nothing of {', '.join(plain(one.source.key) for one in nothing)} could be taken")


def imported(arguments: argparse.Namespace, clock: Clock) -> list[Done]:
    """What the options of the command ask for, done; `report` tells of it."""
    naming = Naming(arguments.prefix, tuple(map(_renaming, arguments.rename)))
    wish = Wish(naming, int(clock.now()), arguments.format or "", arguments.events, arguments.interval)
    found = sources(arguments.paths, wish)
    if arguments.dry_run:
        state, _problem = manifest.load(arguments.store) if arguments.store.exists() else (None, "")
        run = Run(Trial(rules_for(state, arguments.retention), int(clock.now())), owners.Rights(None), arguments.json)
        done = [run.all_of(source, state.imports if state else ()) for source in found]
    else:
        guarded.check(arguments.store)
        with owners.left_to_owner(arguments.store):
            done = _all(found, arguments, clock, owners.Rights.of_owner(arguments.store))
    return done


def _renaming(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new) or old.endswith("*") != new.endswith("*"):
        raise UsageError(f"--rename {text}: OLD=NEW is wanted, or OLD*=NEW* for all that begins with OLD")
    return old, new


def _all(found: list[Source], arguments: argparse.Namespace, clock: Clock, rights: owners.Rights) -> list[Done]:
    """`rights`: those that root opens files of the store with; sources it reads with its own."""
    with rights:
        store = open_store(arguments.store, clock, arguments.retention)
    try:
        with rights:
            appender = Appender(store, clock)
        try:
            with stoppable() as stopped:
                run = Run(appender, rights, arguments.json, stopped)
                done = [run.all_of(source, store.files.manifest.imports) for source in found]
        except BaseException:
            appender.abandon()
            raise
        with rights, Progress("merging", None, arguments.json):
            store.housekeeping.work_off()
        return done
    finally:
        with rights:
            store.close()


def report(done: list[Done], arguments: argparse.Namespace) -> None:
    """Totals and refusals of each source."""
    if arguments.json:
        json.dump([told(one, arguments.dry_run) for one in done], sys.stdout)
        sys.stdout.write("\n")
        return
    for one in done:
        before = one.before
        until = f"{datetime.fromtimestamp(before.saved, UTC):%Y-%m-%dT%H:%M:%SZ}"
        if one.after is before:
            print(f"{plain(before.key)}: there is nothing new. Imported until {until}:")
        elif before.saved:
            print(f"{plain(before.key)}, beside what was imported until {until}:")
        else:
            print(f"{plain(before.key)}:{' (dry run: nothing was written)' if arguments.dry_run else ''}")
        totals = before.totals if one.after is before else one.totals
        for name in sorted({"counters", "buckets", *(name for name, count in totals.items() if count)}):
            print(f"  {name:<16} {totals.get(name, 0):>14,}")
        for text in one.source.problems.texts:
            saying.warn(arguments, text)


def told(one: Done, dry_run: bool) -> dict[str, Any]:
    """A source as JSON."""
    return {"source": one.before.key, "totals": one.totals, "problems": dict(one.source.problems.counts),
            "texts": one.source.problems.texts, "nothing_new": one.after is one.before,
            "before": one.before.totals, "dry_run": dry_run}


COMMAND = SubCommand(
    "Import buckets of other systems into a store that no server has open.", _arguments, _import,
    "It takes folders of istatd and of Graphite (whisper), RRD files and CSV. What was interrupted is "
    "gone on with by the same command; what is there already is not taken twice.",
    (("istat import --store /var/lib/istatd/server --dry-run /var/db/istatd", "What would come from istatd?"),
     ("istat import --store /var/lib/istatd/server --prefix graphite. /var/lib/graphite/whisper",
      "Graphite's counters, below a name of their own")),
)
