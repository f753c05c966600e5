"""What `istat cacheplan` says in words. Knows figures, no options."""

from __future__ import annotations

from istat.cli.figures import bytes_text, seconds_text
from istat.cli.pagecache.planoptions import Asked
from istat.pagecache.model import ourstore, rates, recency
from istat.pagecache.model.planning import Answer, Demand, Plan

SECTOR = 512            # bytes; what sar and iostat count
LEFT = "  "             # before what belongs to a line


def digits(value: float) -> float:
    """Four of them, which is what the models are good for."""
    short = float(round(value) if abs(value) >= 1000 else f"{value:.4g}")
    return int(short) if short.is_integer() else short


def number(value: float) -> str:
    """The same as people read it."""
    return f"{digits(value):,}"


def counted(count: int, what: str) -> str:
    """`1 page`, `2,000 pages`."""
    return f"{count:,} {what}" + "s" * (count != 1)


def heading(found: Asked) -> list[str]:
    """What is taken for granted."""
    cache = found.demand.cache
    whence = "" if found.memory_given else " (what is available here, less a reserve)"
    kernel = f"{cache.overhead.file:,} bytes of the kernel's for each file and {cache.overhead.page} for each page " \
        f"({found.overhead})" if cache.overhead.file else "nothing counted of the kernel's own"
    said = "" if found.device_iops is None else f" (the device does {number(found.device_iops)} reads)"
    return [f"Page cache of {bytes_text(cache.memory)}{whence}, {kernel}.",
            f"Model {cache.model}: {rates.MODELS[cache.model]}.",
            f"Budget: {number(found.demand.budget)} page-ins a second{said}."]


def about(plan: Plan) -> list[str]:
    """One kind of files."""
    work = plan.work
    return [f"{plan.kind.name}: {bytes_text(plan.kind.layout.size)} in {counted(work.pages, 'page')}; an update each "
            f"{seconds_text(work.interval)} touches {number(work.touched)} of them in the mean"]


def kind(demand: Demand, plan: Plan) -> list[str]:
    """What becomes of the files that there are, or that stay in the budget."""
    page, files = plan.work.page_size, counted(plan.count, "file")
    who = files if plan.asked else f"As many as stay in the budget, {files}"
    lines = [f"{who}: {counted(plan.each, 'page')} each, {number(plan.faults)} faults an update, "
             f"{number(plan.rate)} page-ins a second ({bytes_text(plan.rate * page)}/s, "
             f"{number(plan.rate * page / SECTOR)} sectors/s).",
             *_paper(demand, plan)]
    if plan.wanted is None:
        lines.append("No memory keeps it within the budget.")
    elif not plan.wanted:
        lines.append("They stay below the budget even if none of their pages stays in memory.")
    else:
        need = demand.cache.overhead.of_file(plan.wanted, page) * plan.count
        lines.append(f"To stay below the budget each wants {counted(plan.wanted, 'page')}: {bytes_text(need)} for all.")
    lines += _cycles(plan)
    lost = plan.unadvised
    more = f"; these {plan.count:,} would cost {number(lost.rate)} page-ins a second" if lost.rate else ""
    lines.append(f"Without advice (read-ahead of {demand.read_ahead_kb:,} KiB) an update brings in "
                 f"{number(lost.pages)} pages, and {lost.files:,} files fit{more}.")
    lines.append(f"{demand.batch:,} updates written at once: {number(plan.coalesced)} faults an update, "
                 f"{number(plan.coalesced_rate)} page-ins a second.")
    return lines


def _paper(demand: Demand, plan: Plan) -> list[str]:
    """How far the paper's formula, which is printed, is from what a cache does."""
    meta, work = demand.cache.meta, plan.work
    said = f"The paper's formula says {number(plan.paper)} faults an update, which is a lower bound"
    if not recency.possible(work):
        return [f"{said}."]
    times = {pages: rates.faults("lru", work, pages, meta) / least
             for pages in range(1 + meta, work.header + len(work.every) + meta)
             if (least := rates.faults("paper", work, pages, meta))}
    most = max(times, key=lambda pages: times[pages], default=0)
    more = f": plain LRU costs up to {times[most]:.1f} times as much (at {counted(most, 'page')})" if times else ""
    return [f"{said}{more}."]


def _cycles(plan: Plan) -> list[str]:
    """A line for each time of day."""
    wide = max(len(cycle.slot) for cycle in plan.cycles)
    return [f"{LEFT}{cycle.slot:<{wide}}  {number(cycle.rate):>8} page-ins/s  "
            f"{bytes_text(cycle.dirty_bytes):>9} dirtied in the cycle" for cycle in plan.cycles]


def verdict(answer: Answer) -> list[str]:
    """How many fit, and what the figures do not depend on."""
    budget = f"{number(answer.demand.budget)} page-ins a second"
    lines = []
    if len(answer.plans) > 1:
        lines.append(f"All together: {number(answer.rate)} page-ins a second. (FILES are those that fit where there "
                     "are no others.)")
    if answer.most is not None:
        lines.append(f"Up to {answer.most:,} such files stay within {budget}.")
    elif answer.plans[0].asked:
        lines.append(f"{number(answer.growth)} times as many of each stay within {budget}.")
    lines.append("Faults do not depend on how long a file is, only on its rings, their rows and its pages in memory. "
                 "Larger pages or smaller rows make page boundaries cost less.")
    if any(_copies(plan) for plan in answer.plans):
        lines.append("An archive MAX of single updates costs one of three pages, and holds what AVERAGE holds.")
    return lines


def _copies(plan: Plan) -> bool:
    """Whether a file has archives AVERAGE and MAX of single updates, as MRTG's have (`rra[0] AVERAGE/1`)."""
    single = {ring.name.rpartition(" ")[2] for ring in plan.kind.layout.rings if ring.every == 1}
    return {"AVERAGE/1", "MAX/1"} <= single


def store(memory: int, one: ourstore.Store) -> list[str]:
    """istatd's own store."""
    return [f"istatd's own store, {one.counters:,} counters kept {one.ladder.text}:",
            f"{LEFT}memory   {bytes_text(one.memory)} of the server; {bytes_text(memory)} are enough for "
            f"{ourstore.counters_that_fit(memory):,} counters",
            f"{LEFT}writing  no page cache and no page-ins: files are written once, and by nobody who reads them",
            f"{LEFT}         {bytes_text(one.written)}/s to the disk, journal and merges included",
            f"{LEFT}disk     {bytes_text(one.disk)} when all levels are full, with room for merges"]
