"""`istat check STORE`: reads every byte of a store and says what is wrong; `--repair` puts it right."""
from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

from istat import owners
from istat.access import guarded
from istat.cli.figures import bytes_text
from istat.clock import Clock
from istat.errors import StoreCorrupt
from istat.subcommands import SubCommand
from istat_server.keyvalue import offline
from istat_server.store.offline import checking, repairing
from istat_server.store.ondisk import NAMESPACES
from istat_server.tools.backing import takes_settings
from istat_server.tools.progress import Progress

LISTED = 20         # files in the sentence of an error; all are printed before


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", type=Path, metavar="STORE", help="the store's folder, in use or not")
    takes_settings(parser)
    parser.add_argument("--repair", action="store_true",
                        help="salvage what is whole; what cannot be read goes to damaged/. No server may have it open")


def _check(arguments: argparse.Namespace, clock: Clock) -> None:
    guarded.check(arguments.store)
    with owners.as_owner(arguments.store) if arguments.repair else nullcontext():
        repaired = repairing.repair(arguments.store) if arguments.repair else None
    with owners.Rights.of_owner(arguments.store, only_looks=True), Progress("check", None, arguments.json) as progress:
        report = checking.check(arguments.store, progress.show)
        _check_namespaces(arguments.settings or arguments.store / NAMESPACES, report)
    if arguments.json:
        answer = {"files": report.files, "bytes": report.bytes, "counters": report.counters,
                  "findings": [asdict(finding) for finding in report.findings]}
        print(json.dumps({**answer, "repaired": asdict(repaired) if repaired else None}))
    else:
        _print(report, repaired)
    if report.errors:
        files = sorted({finding.file for finding in report.errors})
        more = f" and {len(files) - LISTED} more" if len(files) > LISTED else ""
        count = len(report.errors)
        what = f"{', '.join(files[:LISTED])}{more}" if arguments.json else str(arguments.store)
        raise StoreCorrupt(f"{'one thing is' if count == 1 else f'{count:,} things are'} wrong in {what}"
                           + ("" if arguments.repair else "; `istat check --repair` saves what is whole"))


def _check_namespaces(folder: Path, report: checking.Report) -> None:
    """Add what is wrong with namespaces."""
    found = offline.check(folder)
    report.files, report.bytes = report.files + found.files, report.bytes + found.bytes
    for problem in found.problems:
        report.add(f"{folder.name}/{problem.file}", checking.NOTE if problem.harmless else checking.DAMAGED,
                   problem.text)


def _print(report: checking.Report, repaired: repairing.Repair | None) -> None:
    if repaired is not None:
        for text in repaired.done:
            print(f"repaired: {text}")
        for where in repaired.moved:
            print(f"moved aside: {where}")
        if repaired.lost_rows:
            print(f"lost: {repaired.lost_rows:,} rows")
    for finding in report.findings:
        print(f"{finding.kind}: {finding.file}: {finding.text}")
    errors = len(report.errors)
    print(f"{report.files:,} files, {bytes_text(report.bytes)}, {report.counters:,} counters: "
          + ("all sound" if not errors else "1 error" if errors == 1 else f"{errors:,} errors"))


COMMAND = SubCommand(
    "Read every byte of a store and say what is wrong with it.", _arguments, _check,
    "Ends with status 0 when all is sound and with 90 when something is wrong; each file is named.",
    (("istat check /var/lib/istatd/server", "Is all well? A server may run"),
     ("istat check --repair /var/lib/istatd/server", "Save what is whole, with the server stopped")),
)
