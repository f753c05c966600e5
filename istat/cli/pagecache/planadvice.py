"""`istat cacheplan advise`: what to do about files of rings, with the numbers of this machine; and whether files that
there are have the advice RANDOM."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from textwrap import wrap

from istat.cli.figures import bytes_text, seconds_text
from istat.cli.pagecache.choosing import Ending, counted
from istat.cli.pagecache.planoptions import READ_AHEAD_KB, asked, takes_demand, timed
from istat.cli.pagecache.plantext import number
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import LayoutError, UsageError
from istat.pagecache import layouts, readahead
from istat.pagecache.fleets import peeking
from istat.pagecache.layouts import Layout, rrd
from istat.pagecache.model import planning
from istat.pagecache.model.planning import Demand, Kind, Plan
from istat.pagecache.ranges import Ranges
from istat.pagecache.scanning import Selection, scan, walk
from istat.pagecache.syscalls import PAGE
from istat.subcommands import SubCommand

WIDTH = 110             # columns
MARKS = {True: "do  ", False: "ok  ", None: "--  "}
TARGETS = 10_000        # of a poller: the paper's daemons had about so many
MOST_FILES = 1000       # that are looked at: enough to tell, and soon done
UNASKED = 0.25          # of the pages in memory that no update touched: above it something reads ahead, or reads whole
MOST_LAYOUTS = 4        # that are planned for: the most frequent ones
TREE = Selection(recurse=True)
HISTORY = 24 * 3600     # seconds of updates whose pages may well be in memory


@dataclass(frozen=True)
class Advice:
    """`what`: a word for scripts; `now`: whether it is to be done, None when that is not known."""

    what: str
    now: bool | None
    text: str


@dataclass(frozen=True)
class Looked:
    """Of files: how many there are, of RRD files if any was seen; RRD files with pages in memory among those that were
    looked at, these pages, and those that no update of a day touched; `read_ahead_kb` of their
    devices; how many are of which layout."""

    there: int
    files: int
    resident: int
    unasked: int
    read_ahead_kb: tuple[int, ...]
    layouts: tuple[tuple[Layout, int], ...] = ()

    @property
    def share(self) -> float:
        """Of pages in memory, those that nobody asked for."""
        return self.unasked / self.resident if self.resident else 0.0

    def kinds(self, interval: float | None) -> tuple[Kind, ...]:
        """What is to be planned for such files, as many as there are: the share of those that were looked at."""
        usual = layouts.parse("mrtg")[0]
        return tuple(Kind("mrtg" if layout == usual else f"RRD files of {bytes_text(layout.size)}",
                          timed(layout, interval), max(1, round(self.there * count / self.files)))
                     for layout, count in self.layouts[:MOST_LAYOUTS])

    def as_json(self) -> dict[str, object]:
        """Without layouts: the plan is made of them."""
        return {"there": self.there, "files": self.files, "resident": self.resident, "unasked": self.unasked,
                "read_ahead_kb": self.read_ahead_kb}


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("names", nargs="*", metavar="FILE", help=f"RRD files that there are, or a folder with "
                         f"such, to be looked at (the first {MOST_FILES:,} files); without --layout the plan is for "
                         "as many of them as there are")
    takes_demand(command)


def _advise(arguments: argparse.Namespace, clock: Clock) -> None:
    found = asked(arguments, clock)
    if not found.demand.kinds:
        raise UsageError("advice is about RRD and ring files: istatd's own store has its advice built in")
    ending = Ending(argparse.Namespace(**vars(arguments), quiet=False, verbose=False, recurse=True))
    looked = look(arguments.names, ending) if arguments.names else None
    demand = found.demand
    if looked is not None and not arguments.layout:
        demand = replace(demand, kinds=looked.kinds(arguments.interval))
    plans = planning.plan(demand).plans if demand.kinds else ()
    advice = [one for plan in plans for one in of_plan(demand, plan)] + list(of_files(looked))
    if arguments.json:
        print(json.dumps({"version": 1, "advice": [asdict(one) for one in advice],
                          "files": None if looked is None else looked.as_json()}))
    else:
        _print(advice)
    sys.stdout.flush()
    ending.end(found=looked is not None)


def _print(advice: Iterable[Advice]) -> None:
    for one in advice:
        print("\n".join(wrap(printable(one.text), WIDTH, initial_indent=MARKS[one.now], subsequent_indent="    ",
                             break_on_hyphens=False)))


def of_plan(demand: Demand, plan: Plan) -> Iterator[Advice]:
    """What follows from the figures of one kind of files."""
    name, count, cycle = plan.kind.name, plan.count, plan.work.interval
    yield Advice("stagger", None, (
        f"{name}: make files one by one, not all at once. Rows of files that were made together come to the ends of "
        f"their pages together: {plan.storm:,.0f} page-ins in one cycle of {seconds_text(cycle)} "
        f"({number(plan.storm / cycle)} a second, each {seconds_text(plan.storm_seconds)}) in place of "
        f"{number(count * plan.work.boundary / cycle)} a second all the time. rrdtool begins each archive at a row of "
        "its own; who writes files otherwise has to."))
    yield Advice("split", count > TARGETS, (
        f"{name}: {counted(-(-count // TARGETS), 'poller')} for {counted(count)}, about {TARGETS:,} a process: one "
        "that waits for the disk does not stop the others."))
    yield Advice("coalesce", plan.rate > demand.budget, f"{name}: {_coalescing(demand, plan)}")
    plain, worst = plan.cycles[0], max(plan.cycles, key=lambda one: one.dirty_bytes)
    if worst.dirty_bytes > plain.dirty_bytes:
        yield Advice("peaks", None, (
            f"{name}: {worst.slot} dirties {bytes_text(worst.dirty_bytes)} in one cycle, a plain one "
            f"{bytes_text(plain.dirty_bytes)}, and brings {number(worst.rate)} page-ins a second: leave that much room "
            "for dirty pages (vm.dirty_bytes), and have no other work then."))


def _coalescing(demand: Demand, plan: Plan) -> str:
    """Whether a journal is wanted, and how many updates it should hold."""
    now = f"{number(plan.rate)} page-ins a second; the budget is {number(demand.budget)}"
    if plan.rate <= demand.budget:
        return f"no journal is wanted to write several updates of a file at once: {now}."
    updates = planning.batch_wanted(demand, plan)
    if updates is None:
        return f"no journal keeps it within the budget, only more memory or fewer files do: {now}."
    return (f"keep updates in a journal, and write {updates:,} of a file at once (each "
            f"{seconds_text(updates * plan.work.interval)}), or have more memory: {now}.")


def of_files(looked: Looked | None) -> Iterator[Advice]:
    """What files that there are show; without any, how to find out."""
    if looked is None or not looked.files:
        named = "" if looked is None else (f"None of {counted(looked.there)} is an RRD file known to be in memory "
                                           "(--layout mrtg=20000 plans for so many). ")
        yield Advice("random", None, (
            f"{named}Are the files opened with the advice RANDOM? Name RRD files that are in memory, or see istat "
            "fincore --by-page: pages that no update touches should not be there."))
        if looked is None:
            yield Advice("read-ahead", None, "How far does the kernel read ahead on their device? Name some files.")
    else:
        yield from _seen(looked)
    yield Advice("backups", None, (
        "Whoever reads whole files, as backups do, puts out the pages that updates need: istat fincore --save SNAP "
        "before it, istat fadvise --keep-resident SNAP after."))


def _seen(looked: Looked) -> Iterator[Advice]:
    missing = looked.share > UNASKED
    cure = ("the program gives no advice RANDOM (fadvise for descriptors, madvise for mappings), or something reads "
            "whole files; istat fadvise run --random shows what advice would do." if missing else "the advice works.")
    yield Advice("random", missing, (
        f"{looked.share:.0%} of the {looked.resident:,} pages in memory of {looked.files:,} files are pages that no "
        f"update of a day touched: {cure}"))
    if looked.read_ahead_kb:
        most = max(looked.read_ahead_kb)
        yield Advice("read-ahead", missing and most > READ_AHEAD_KB, (
            f"The kernel reads {most:,} KiB ahead on their device (/sys/class/bdi/*/read_ahead_kb): without advice a "
            "missing page brings in as much."))
    else:
        yield Advice("read-ahead", None, "Their device does not tell how far the kernel reads ahead.")


def look(names: Sequence[str], ending: Ending) -> Looked:
    """Look at RRD files, of folders at those in and below them. What is none, is not in memory, or may not be known, is
    left out; `ending` hears of the latter, and of those that cannot be looked at."""
    resident = unasked = others = 0
    ahead: set[int] = set()
    kinds: Counter[Layout] = Counter()
    for name, found, _ in islice(scan(names, selection=TREE, pages=True), MOST_FILES):
        ending.see(name, found)
        if not found.ranges:
            continue
        try:
            head, kib = _head(name, found.ranges), readahead.readahead_kb(name)
        except OSError:     # it went while we were elsewhere
            continue
        if head is None:
            others += 1
            continue
        there = {page for first, last in found.ranges for page in range(first, last + 1)}
        resident, unasked = resident + len(there), unasked + len(there - _touched(head))
        kinds[head.layout] += 1
        if kib is not None:
            ahead.add(kib)
    files = sum(one.residency is None for one in walk(names, TREE))
    if kinds:       # of those in memory some may be something else, and so of all
        files = round(files * kinds.total() / (kinds.total() + others))
    return Looked(files, kinds.total(), resident, unasked, tuple(sorted(ahead)), tuple(kinds.most_common()))


def _head(name: str, resident: Ranges) -> rrd.Found | None:
    """What an RRD file's header says, of whose pages these are in memory; None for what is no RRD file. OSError."""
    try:
        return rrd.read(peeking.head_of(name, resident))
    except LayoutError:
        return None


def _touched(head: rrd.Found) -> set[int]:
    """The pages that a day of updates touches."""
    return _pages(head.layout, head.updates, head.starts)


def _pages(layout: Layout, last: int, starts: Sequence[int]) -> set[int]:
    """Pages of all updates of a day up to that one, and the last row of each ring."""
    found = set(range(-(-layout.touched_header // PAGE)))
    for ring, start in zip(layout.rings, starts):
        rows = min(ring.rows, HISTORY // (layout.interval * ring.every) + 1)
        newest = ring.row(last, start)
        oldest = newest - rows + 1
        # The latter are those before row 0, if there are such.
        for first, end in ((max(0, oldest), newest), (ring.rows + oldest, ring.rows - 1)):
            if first <= end:
                found.update(range(ring.pages(first, PAGE).start, ring.pages(end, PAGE).stop))
    return found


ADVISE = SubCommand(
    "Tell what to do about files of rings on this machine, with its numbers.", _arguments, _advise,
    "Lines begin with do (it is to be done), ok (it is done, or not needed) or -- (to be known, or to be found out).",
    (("istat cacheplan advise --layout mrtg=320000", "What is to be done for so many of MRTG's files"),
     ("istat cacheplan advise /var/lib/mrtg", "Do these have the advice RANDOM?")),
)
