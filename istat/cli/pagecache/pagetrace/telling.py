"""`istat pagetrace info`: what is in a log."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field

from istat.cli.pagecache.simplots import log_name
from istat.cli.report import printable
from istat.clock import Clock
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.gathering import check_size
from istat.pagecache.replay.pagelog import PageLog
from istat.pictures import files as pictures
from istat.pictures.charts import STEPS, Axis, Chart, Line
from istat.subcommands import SubCommand


@dataclass
class Told:
    """Counts of a log. `histogram`: pages of a record -> records."""

    records: int = 0
    updates: int = 0
    references: int = 0
    written: int = 0
    first: int = 0
    last: int = 0
    files: dict[str, set[int]] = field(default_factory=dict)        # their distinct pages
    histogram: Counter[int] = field(default_factory=Counter)
    pages: int = 0                                                  # distinct ones of all files

    @property
    def mean(self) -> float:
        """Pages of an update."""
        return self.references / self.updates if self.updates else 0.0


def count(log: PageLog) -> Told:
    """Go through a log."""
    told = Told()
    for record in log.records:
        told.first = record.time if not told.records else told.first
        told.last = record.time
        told.records += 1
        told.updates += record.updates
        told.references += len(record.pages)
        told.written += len(record.written)
        pages = told.files.setdefault(record.file, set())
        before = len(pages)
        pages.update(record.pages)
        told.pages += len(pages) - before
        check_size(0, told.pages, len(told.files))
        told.histogram[len(record.pages)] += 1
    return told


def chart(named: dict[str, Told]) -> Chart:
    """Figure 12 of the paper: the share of updates that need at most so many pages."""
    lines = []
    most = max((pages for told in named.values() for pages in told.histogram), default=0)
    for name, told in named.items():
        points, seen = [(0.0, 0.0)], 0
        for pages, records in sorted(told.histogram.items()):
            seen += records
            points.append((float(pages), 100 * seen / told.records))
        lines.append(Line(log_name(name), [*points, (float(most), 100.0)] if told.records else points, STEPS))
    return Chart("Pages in memory after an update of a cold file", Axis("pages of a file", low=0),
                 Axis("% of updates, cumulated", low=0, high=100), lines)


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("logs", nargs="+", metavar="LOG", help="page logs; - is the standard input")
    command.add_argument("--plot", type=pictures.check, metavar="OUT", help="draw which share of updates "
                         "needs so many pages: a name that ends with .png or .svg, or - for the terminal")


def _tell(arguments: argparse.Namespace, clock: Clock) -> None:
    named, about = {}, []
    for name in arguments.logs:
        with pagelog.opened(name) as log:
            told = named[name] = count(log)
            about.append(_as_json(name, log, told))
    if arguments.json:
        print(json.dumps({"version": 1, "logs": about}))
    elif arguments.plot != pictures.TEXT:
        print("\n\n".join("\n".join(map(printable, _lines(one))) for one in about))
    if arguments.plot:
        pictures.save(chart(named), arguments.plot)


def _as_json(name: str, log: PageLog, told: Told) -> dict[str, object]:
    return {"log": name, "page_size": log.header.page_size, "interval": log.header.interval,
            "levels": list(log.header.levels), "about": dict(log.header.about), "files": len(told.files),
            "records": told.records, "updates": told.updates, "first": told.first, "last": told.last,
            "references": told.references, "pages": told.pages, "written": told.written, "mean": told.mean,
            "histogram": sorted(map(list, told.histogram.items()))}


def _lines(one: dict[str, object]) -> list[str]:
    about = one["about"]
    told = ", ".join(f"{key} {_said(value)}" for key, value in about.items()) if isinstance(about, dict) else ""
    lines = [f"{one['log']}: {told}" if told else str(one["log"]),
             f"  files       {one['files']:,}", f"  updates     {one['updates']:,} in {one['records']:,} records",
             f"  references  {one['references']:,}, {one['mean']:.3f} an update",
             f"  pages       {one['pages']:,} distinct", f"  written     {one['written']:,}", "", "  PAGES  RECORDS"]
    histogram = one["histogram"]
    if isinstance(histogram, list):
        lines += [f"  {pages:5}  {records:,}" for pages, records in histogram]
    return lines


def _said(value: object) -> str:
    """Of a log's first line, as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return " and ".join(map(str, value)) if isinstance(value, list) else str(value)


COMMAND = SubCommand(
    "Tell what is in page logs: files, updates, references, and how many pages an update needs.", _arguments, _tell,
    "",
    (("istat pagetrace info mrtg.log.gz", "How many pages does an update need?"),
     ("istat pagetrace info advice.log.gz without.log.gz --plot pages.svg", "With advice and without: a picture")),
)
