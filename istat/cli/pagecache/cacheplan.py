"""`istat cacheplan`: how many files or counters fit on this machine, and what happens beyond. `plantext` has the words,
`planadvice` what `istat cacheplan advise` says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from textwrap import wrap
from typing import Any

from istat.cli.figures import bytes_text
from istat.cli.pagecache import plantext, tables
from istat.cli.pagecache.planadvice import ADVISE
from istat.cli.pagecache.planoptions import BUDGET, READ_AHEAD_KB, SHARE, Asked, asked, takes_demand
from istat.clock import Clock
from istat.errors import UsageError
from istat.pagecache.model import fitting, ourstore, planning, recency
from istat.pagecache.model.planning import Answer, Fit
from istat.pictures import charts, files
from istat.subcommands import SubCommand

WIDTH = 110             # columns
VERSION = 1             # of the JSON document
CURVE = 240             # numbers of files that a curve is drawn from
BEYOND = 2.0            # so many times the most files that stay in the budget, a curve reaches

COLUMNS = (tables.Column("PAGES", "pages"), tables.Column("FILES", "files"),
           tables.Column("PER_UPDATE", "faults_per_update"), tables.Column("PAGES_S", "page_ins_per_second"),
           tables.Column("BYTES_S", "bytes_per_second", "bytes"), tables.Column("PAPER", "paper_faults_per_update"),
           tables.Column("OPT", "opt_faults_per_update"), tables.Column("LRU", "lru_faults_per_update"))


def _arguments(command: argparse.ArgumentParser) -> None:
    takes_demand(command)
    command.add_argument("--pages", type=int, metavar="N", help="in the table only what fits with so many pages of "
                         "each file")
    command.add_argument("--plot", type=files.check, metavar="OUT", help="draw page-ins a second over the "
                         "number of files: OUT.png, OUT.svg, or - for the terminal")
    tables.takes_output(command)


def _plan(arguments: argparse.Namespace, clock: Clock) -> None:
    tables.check(arguments)
    found = asked(arguments, clock)
    answer = planning.plan(found.demand) if found.demand.kinds else None
    if arguments.plot:
        if answer is None or len(answer.plans) != 1:
            raise UsageError("--plot draws one kind of files: give one --layout of RRD or ring files")
        files.save(chart(answer), arguments.plot)
        if arguments.plot == files.TEXT:
            return
    if arguments.json:
        print(json.dumps(document(found, answer, arguments.pages)))
    elif arguments.jsonl or arguments.csv or arguments.output:
        tables.write(arguments, COLUMNS, [row for one in (answer.plans if answer else ())
                                          for row in rows(found, one.work, arguments.pages)])
    else:
        _print(arguments, found, answer)


def _print(arguments: argparse.Namespace, found: Asked, answer: Answer | None) -> None:
    blocks = [plantext.heading(found)]
    for one in answer.plans if answer else ():
        made = rows(found, one.work, arguments.pages)
        table = list(tables.text_lines(COLUMNS, made, arguments))
        blocks += [[*plantext.about(one), *table], plantext.kind(found.demand, one)]
    if answer is not None:
        blocks.append(plantext.verdict(answer))
    blocks += [plantext.store(found.demand.cache.memory, one) for one in found.stores]
    print("\n\n".join("\n".join(line for one in block for line in _lines(one)) for block in blocks))


def _lines(text: str) -> list[str]:
    """A sentence in lines of a terminal; rows of tables as they are."""
    return [text] if text.startswith(" ") or "  " in text else wrap(text, WIDTH, break_on_hyphens=False) or [""]


def rows(found: Asked, work: Any, pages: int | None) -> list[tables.Row]:
    """The table of one kind: a row for each number of pages, or for the one that is asked for."""
    cache = found.demand.cache
    fits = planning.fits(cache, work) if pages is None else [planning.fit(cache, work, pages)]
    return [_row(cache, work, one) for one in fits]


def _row(cache: fitting.Cache, work: Any, one: Fit) -> tables.Row:
    models = (plantext.digits(replace(cache, model=model).faults(work, one.pages))
              if model != "lru" or recency.possible(work) else None for model in ("paper", "opt", "lru"))
    return (one.pages, one.files, plantext.digits(one.faults), plantext.digits(one.rate),
            round(one.rate * work.page_size), *models)


def document(found: Asked, answer: Answer | None, pages: int | None) -> dict[str, Any]:
    """What --json prints: all figures, not rounded."""
    cache = found.demand.cache
    made: dict[str, Any] = {
        "version": VERSION, "memory": cache.memory, "overhead": {"name": found.overhead, **asdict(cache.overhead)},
        "model": cache.model, "meta_pages": cache.meta, "budget": found.demand.budget,
        "read_ahead_kb": found.demand.read_ahead_kb, "device_iops": found.device_iops, "kinds": [], "stores": []}
    if answer is not None:
        made |= {"page_ins_per_second": answer.rate, "fits": answer.fits, "growth": answer.growth, "most": answer.most}
        made["kinds"] = [_kind(found, one, pages) for one in answer.plans]
    for one in found.stores:
        made["stores"].append({
            "counters": one.counters, "retention": one.ladder.text, "memory": one.memory, "disk": one.disk,
            "written_per_second": one.written, "page_ins_for_writing": 0,
            "counters_that_fit": ourstore.counters_that_fit(cache.memory)})
    return made


def _kind(found: Asked, one: planning.Plan, pages: int | None) -> dict[str, Any]:
    fits = planning.fits(found.demand.cache, one.work) if pages is None \
        else [planning.fit(found.demand.cache, one.work, pages)]
    return {
        "layout": one.kind.name, "file_bytes": one.kind.layout.size, "file_pages": one.work.pages,
        "interval": one.work.interval, "asked": one.asked, "files": one.count, "pages_each": one.each,
        "pages_wanted": one.wanted, "faults_per_update": one.faults, "paper_faults_per_update": one.paper,
        "page_ins_per_second": one.rate, "table": [asdict(fit) for fit in fits],
        "cycles": [asdict(cycle) for cycle in one.cycles], "unadvised": asdict(one.unadvised),
        "coalesced": {"updates": found.demand.batch, "faults_per_update": one.coalesced,
                      "page_ins_per_second": one.coalesced_rate},
        "boundary_storm": {"page_ins": one.storm, "every_seconds": one.storm_seconds}}


def chart(answer: Answer) -> charts.Chart:
    """Page-ins a second over the number of files: by the three models, and without advice."""
    demand, plan = answer.demand, answer.plans[0]
    most = max(2, int((answer.most or plan.count) * BEYOND), plan.count)
    counts: Sequence[int] = sorted({max(1, most * place // CURVE) for place in range(1, CURVE + 1)})
    models = ("lru", "opt", "paper") if recency.possible(plan.work) else ("opt", "paper")
    lines = [charts.Line(f"{model}, with advice", planning.curve(replace(demand.cache, model=model), plan.work, counts),
                         charts.STEPS) for model in models]
    unadvised = plan.unadvised
    lines.append(charts.Line("without advice", [
        (float(count), (count > unadvised.files) * unadvised.pages * count / plan.work.interval) for count in counts],
        charts.STEPS))
    lines.append(charts.Line("budget", [(float(counts[0]), demand.budget), (float(counts[-1]), demand.budget)]))
    memory = bytes_text(demand.cache.memory)
    return charts.Chart(f"{plan.kind.name} in {memory} of page cache", charts.Axis("files", low=0),
                        charts.Axis("page-ins a second", log=True), tuple(lines))


COMMAND = SubCommand(
    "Tell how many RRD files or counters fit into this machine's memory, and what happens beyond.", _arguments, _plan,
    "An update of a file touches the page of its header and a page of each ring that is due; what is not in memory is "
    "read from the disk first. The table has, for each number of pages that a file may keep in memory, how many files "
    "fit, faults an update and page-ins a second of all of them; PAPER is the formula of Plonka, Gupta and Carder (a "
    f"lower bound), OPT the best any cache could do, LRU what plain LRU does. The budget is --budget, else {SHARE:.0%} "
    f"of --device-iops, else {BUDGET} page-ins a second; read-ahead is taken as {READ_AHEAD_KB} KiB without "
    "--read-ahead. For istatd's own store it tells memory, disk and writes: it needs no page cache for writing.",
    (("istat cacheplan", "How many of MRTG's files does this machine bear?"),
     ("istat cacheplan --layout mrtg=320000 --memory 10G --plot knee.svg", "So many, in 10 GiB; and a picture of it"),
     ("istat cacheplan --layout statfile:10s:10d,5m:1y9d=100000", "Counters of istatd in ring files"),
     ("istat cacheplan --layout store=1000000", "The same in istatd's own store"),
     ("istat cacheplan --memory 10G --pages 8 --overhead none --json", "For a script")),
    parts={"advise": ADVISE},
)
