"""`istat cachesim LOG`: what caches of these sizes and policies would miss of a page log."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from istat.cli.pagecache import choosing, simplots, tables
from istat.cli.pagecache.tables import Column
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.replay import pagelog
from istat.pagecache.replay.gathering import gather
from istat.pagecache.replay.simulating import POLICIES, Outcome, Simulation
from istat.pictures import files as pictures
from istat.subcommands import SubCommand

MOST_SIZES = 10_000         # of one run
MOST_DEFAULT = 32           # frames of each file that are tried when no sizes are given
MOST_NUMBER = 1 << 40
_PART = re.compile(r"([0-9]{1,13})(?:-([0-9]{1,13}))?", re.ASCII)
COMPARED = ("lru", "fifo", "clock", "2q", "arc", "s3-fifo", "linux2", "mglru", "lirs", "opt")
COLUMNS = (
    Column("LOG", "log", "name"), Column("POLICY", "policy", "text"), Column("FILES", "files"),
    Column("FRAMES", "frames"), Column("SLOT", "slot", "text"), Column("UPDATES", "updates"),
    Column("REFS", "references"), Column("MISSES", "misses"), Column("COLD", "cold"),
    Column("PER_UPDATE", "per_update", "decimal"), Column("PAGES_S", "pages_per_second", "decimal"),
    Column("MB_S", "megabytes_per_second", "decimal"), Column("OUT_PER_UPDATE", "written_per_update", "decimal"),
)
ALL = "all"                 # the slot that stands for all times of day


@dataclass(frozen=True)
class Case:
    """A cache to be tried: so many files at last, and frames in all or for each file."""

    files: int
    frames: int


@dataclass(frozen=True)
class Answer:
    """What came out, of one log and case."""

    log: str
    case: Case
    simulation: Simulation
    outcome: Outcome

    def rows(self, by_slot: bool) -> Iterator[list[Any]]:
        """A row of COLUMNS for all updates, or one for each time of day that there is."""
        simulation, outcome = self.simulation, self.outcome
        if not by_slot:
            yield self._row(ALL, sum(simulation.updates), sum(outcome.misses), sum(outcome.cold),
                            sum(simulation.written))
            return
        for place, slot in enumerate(simulation.slots):
            if simulation.updates[place]:
                yield self._row(slot, simulation.updates[place], outcome.misses[place], outcome.cold[place],
                                simulation.written[place])

    def _row(self, slot: str, updates: int, misses: int, cold: int, written: int) -> list[Any]:
        simulation = self.simulation
        each = misses / updates
        pages = simulation.pages_a_second(each, self.case.files)
        return [self.log, self.outcome.policy, self.case.files, self.outcome.frames, slot, updates,
                self.outcome.references if slot == ALL else None, misses, cold, _short(each), _short(pages),
                _short(pages * simulation.header.page_size / 1e6), _short(written / updates)]


def _arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("logs", nargs="+", metavar="LOG", help="page logs, as istat pagetrace makes them; - is the standard "
        "input")
    add("--policy", metavar="NAME,...", help="which page goes, several with commas between, or all (default lru; with "
        f"--compare all): {', '.join(POLICIES)}")
    how = command.add_mutually_exclusive_group()
    how.add_argument("--frames", metavar="N,...", help="pages that all files share, such as 180,300-310")
    how.add_argument("--frames-per-file", metavar="N,...", help="pages of a cache that each file has for itself, such "
                     f"as 3-12 (default: from 1 to what a file has, at most {MOST_DEFAULT})")
    how.add_argument("--memory", type=choosing.size, metavar="SIZE", help="memory, such as 10G: shared by the log's "
                     "files; with --files, each file's share of it")
    add("--files", metavar="N,...", help="what would this be for so many files? For PAGES_S, MB_S and --memory "
        "(default: those in the log)")
    add("--warm-up", type=int, default=0, metavar="N", help="the updates of the first N times fill the cache, and do "
        "not count")
    add("--meta", action="store_true", help="add the inode and the indirect block of each file, where the log has none")
    add("--by-slot", action="store_true", help="tell times of day apart: plain updates, those just after an "
        "aggregation, half hour, two hours, midnight")
    add("--compare", action="store_true", help="a table of misses an update: a row for each size, a column for each "
        "policy")
    add("--plot", type=pictures.check, metavar="OUT", help="draw misses an update by frames; with "
        "--by-slot bars by time of day, of the first size: a name that ends with .png or .svg, or - for the terminal")
    tables.takes_output(command)


def _simulate(arguments: argparse.Namespace, clock: Clock) -> None:
    tables.check(arguments)
    if arguments.warm_up < 0:
        raise UsageError("--warm-up is a number of updates, 0 or more")
    answers = [answer for log in arguments.logs for answer in _of_log(log, arguments)]
    if arguments.plot:
        pictures.save(simplots.by_slot(answers) if arguments.by_slot else simplots.by_frames(answers), arguments.plot)
        if arguments.plot == pictures.TEXT:
            return
    if arguments.json:
        print(json.dumps(_as_json(answers, arguments.by_slot)))
    elif arguments.compare:
        tables.write(arguments, *_compared(answers))
    else:
        several = len(arguments.logs) > 1
        kept = [column for column in COLUMNS if (several or column.key != "log")
                and (arguments.by_slot or column.key != "slot")]
        places = [COLUMNS.index(column) for column in kept]
        tables.write(arguments, kept, ([row[place] for place in places] for answer in answers
                                       for row in answer.rows(arguments.by_slot)))


def _of_log(name: str, arguments: argparse.Namespace) -> Iterator[Answer]:
    with pagelog.opened(name) as log:
        gathered = gather(log.records, arguments.meta)
    if not len(gathered.references):
        raise UsageError(f"{name}: there is no reference to a page in this log")
    shared = arguments.frames is not None or (arguments.memory is not None and arguments.files is None)
    simulation = Simulation(gathered, log.header, not shared, arguments.warm_up)
    for policy in _policies(arguments):
        for case in _cases(arguments, simulation):
            yield Answer(name, case, simulation, simulation.outcome(policy, case.frames))


def _policies(arguments: argparse.Namespace) -> Sequence[str]:
    wanted: str = arguments.policy if arguments.policy is not None else "all" if arguments.compare else "lru"
    if wanted == "all":
        return COMPARED
    chosen = [name.strip().lower() for name in wanted.split(",")]
    for name in chosen:
        if name not in POLICIES:
            raise UsageError(f"--policy {name}: there is no such policy; there are: {', '.join(POLICIES)}")
    return chosen


def _cases(arguments: argparse.Namespace, simulation: Simulation) -> list[Case]:
    """The caches to be tried, by what the options say."""
    fleet = numbers("--files", arguments.files) if arguments.files else [len(simulation.gathered.names)]
    if arguments.memory is not None:
        pages = arguments.memory // simulation.header.page_size
        shares = [(files, pages // files if arguments.files else pages) for files in fleet]
        if any(not frames for _, frames in shares):
            raise UsageError("--memory has not one page for each file")
        return [Case(files, frames) for files, frames in shares]
    if arguments.frames or arguments.frames_per_file:
        sizes = numbers("--frames" if arguments.frames else "--frames-per-file",
                        arguments.frames or arguments.frames_per_file)
    else:
        sizes = list(range(1, min(MOST_DEFAULT, simulation.gathered.most_pages) + 1))
    return [Case(files, frames) for files in fleet for frames in sizes]


def numbers(option: str, text: str) -> list[int]:
    """`3-12,16` as numbers. UsageError when they are none, or too many."""
    found: list[int] = []
    for word in text.split(","):
        match = _PART.fullmatch(word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last <= MOST_NUMBER or last - first >= MOST_SIZES:
            raise UsageError(f"{option} {text}: write numbers from 1 on, and ranges, such as 3-12,16; at most "
                             f"{MOST_SIZES}")
        found.extend(range(first, last + 1))
    if len(found) > MOST_SIZES:
        raise UsageError(f"{option}: at most {MOST_SIZES} numbers")
    return found


def _short(value: float) -> float:
    """Six digits: no more is known of it."""
    return float(f"{value:.6g}")


def _compared(answers: Sequence[Answer]) -> tuple[list[Column], list[list[Any]]]:
    """Columns and rows of --compare."""
    policies = list(dict.fromkeys(answer.outcome.policy for answer in answers))
    cells: dict[tuple[str, Case], dict[str, float]] = {}
    for answer in answers:
        each = sum(answer.outcome.misses) / sum(answer.simulation.updates)
        cells.setdefault((answer.log, answer.case), {})[answer.outcome.policy] = round(each, 4)
    columns = [Column("LOG", "log", "name"), Column("FILES", "files"), Column("FRAMES", "frames"),
               *(Column(policy.upper(), policy, "decimal") for policy in policies)]
    rows = [[log, case.files, case.frames, *(found.get(policy) for policy in policies)]
            for (log, case), found in cells.items()]
    return columns, rows


def _as_json(answers: Sequence[Answer], by_slot: bool) -> dict[str, Any]:
    logs = {answer.log: answer.simulation for answer in answers}
    return {"version": 1, "logs": [
        {"log": printable(name), "page_size": one.header.page_size, "interval": one.interval,
         "files": len(one.gathered.names), "updates": sum(one.updates), "references": one.references,
         "pages": one.gathered.pages, "cache": "each file" if one.private else "shared"} for name, one in logs.items()],
        "results": [dict(zip((column.key for column in COLUMNS), row)) for answer in answers
                    for row in answer.rows(by_slot)]}


COMMAND = SubCommand(
    "Tell what caches of some sizes and policies would miss of a page log.", _arguments, _simulate,
    "Each page of the log that is not in the cache is brought in; what is read ahead is in the log. Misses include "
    "cold ones: pages that were never there. PER_UPDATE are misses, OUT_PER_UPDATE written pages of an update; PAGES_S "
    "and MB_S are what all --files bring in. linux2 and mglru imitate the kernel: what they say is a hint.",
    (("istat cachesim mrtg.log.gz", "Misses by the pages that the cache has for each file"),
     ("istat cachesim mrtg.log.gz --memory 10G --files 160000,320000,480000",
      "What fits into 10 GiB, and what happens beyond"),
     ("istat cachesim fleet.log.gz --frames 180,300 --policy lru,lirs,opt --warm-up 289", "Policies beside each other"),
     ("istat cachesim advice.log.gz without.log.gz --plot misses.svg", "With advice and without: a picture"),
     ("istat cachesim mrtg.log.gz --frames-per-file 8 --by-slot --plot -", "By time of day, on the terminal")),
)
