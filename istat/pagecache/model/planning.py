"""The whole answer to "how many files or counters fit on this machine, and what happens beyond": figures of each kind
of file, to be printed or drawn by others. Knows all parts of this room, and no words for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from istat.errors import UsageError
from istat.pagecache.layouts import PAGE, Layout
from istat.pagecache.model import fitting, rates, slots, unadvised, workload
from istat.pagecache.model.fitting import Cache, Fleet

MOST_COUNT = 1 << 40        # files of a kind; more is a mistake
PROBE = 100_000             # files of each kind with which the growth of several kinds is looked for
MOST_BATCH = 1024           # updates of a file that a journal holds: days of them
ROWS = 24                   # numbers of pages that are told one by one, at most; then only the whole file
PAGE_SIZES = tuple(1 << bits for bits in range(12, 17))     # of Linux' machines: 4 to 64 KiB


@dataclass(frozen=True)
class Kind:
    """Files of one layout. `name`: what people call them; `count`: how many there are, None: as many as fit."""

    name: str
    layout: Layout
    count: int | None = None


@dataclass(frozen=True)
class Demand:
    """What is wanted: kinds of files that share a cache, at most `budget` page-ins a second, `batch` updates written at
    once where they are coalesced, the device's `read_ahead_kb`, and bytes of a page of memory."""

    cache: Cache
    kinds: Sequence[Kind]
    budget: float
    batch: int = 12
    read_ahead_kb: int = 128
    page_size: int = PAGE


@dataclass(frozen=True)
class Fit:
    """So many files fit, if each has so many pages; then these are the faults an update, and page-ins a second of all.
    """

    pages: int
    files: int
    faults: float
    rate: float


@dataclass(frozen=True)
class Cycle:
    """One cycle of all files in a slot: page-ins, page-ins a second, bytes that it makes dirty."""

    slot: str
    page_ins: float
    rate: float
    dirty_bytes: float


@dataclass(frozen=True)
class Unadvised:
    """The same files without the advice RANDOM: pages that an update brings in, what must stay in memory (pages of each
    file) so that none does, how many files fit so, and page-ins a second of those that are asked for."""

    pages: float
    held: int
    files: int
    rate: float


@dataclass(frozen=True)
class Plan:
    """Of one kind. `asked`: whether the number of files was given (else it is the most that stay in the budget);
    `each`: pages that each file gets; `wanted`: pages that keep it in the budget, None when nothing does; `coalesced`:
    faults an update when batches are written; `storm`: page-ins of one cycle when all files were made at once, which
    comes again each `storm_seconds`; `paper`: faults an update by the paper's formula."""

    kind: Kind
    work: workload.Workload
    asked: bool
    count: int
    each: int
    faults: float
    paper: float
    rate: float
    wanted: int | None
    coalesced: float
    coalesced_rate: float
    cycles: tuple[Cycle, ...]
    unadvised: Unadvised
    storm: float
    storm_seconds: float


@dataclass(frozen=True)
class Answer:
    """Of all kinds: page-ins a second, the number of times as many files that stay in the budget, and each kind's plan.
    `most`: files of the only kind that stay in it."""

    demand: Demand
    plans: tuple[Plan, ...]
    rate: float
    growth: float
    most: int | None

    @property
    def fits(self) -> bool:
        """Whether what was asked for stays in the budget."""
        return self.rate <= self.demand.budget


def plan(demand: Demand) -> Answer:
    """The answer. UsageError for numbers that cannot be."""
    _check(demand)
    works = [workload.of_layout(kind.layout, demand.page_size) for kind in demand.kinds]
    most = fitting.knee(demand.cache, works[0], demand.budget) - 1 if len(works) == 1 else None
    fleets = [Fleet(work, PROBE if kind.count is None else kind.count) for work, kind in zip(works, demand.kinds)]
    open_count = any(kind.count is None for kind in demand.kinds)
    growth = fitting.growth(demand.cache, fleets, demand.budget) if most is None \
        else most / max(1, fleets[0].count)
    if open_count:
        fleets = [replace(fleet, count=max(1, most if most is not None else int(fleet.count * growth)))
                  for fleet in fleets]
        growth = 1.0
    given = fitting.shared(demand.cache, fleets)
    plans = tuple(_plan(demand, kind, fleet, pages) for kind, fleet, pages in zip(demand.kinds, fleets, given))
    return Answer(demand, plans, sum(one.rate for one in plans), growth, most)


def _check(demand: Demand) -> None:
    counts = [kind.count for kind in demand.kinds if kind.count is not None]
    if not demand.kinds or not all(1 <= count <= MOST_COUNT for count in counts) or demand.budget <= 0 \
            or not 1 <= demand.batch <= 100_000 or not 0 <= demand.cache.meta <= 2 \
            or demand.page_size not in PAGE_SIZES:
        raise UsageError(f"there is at least one kind of files, 1 to {MOST_COUNT:,} of each, a budget above 0, batches "
                         "of 1 to 100,000 updates, 0 to 2 pages for inode and indirect blocks, and pages of 4 to 64 "
                         "KiB")
    if counts and len(counts) < len(demand.kinds):
        raise UsageError("say how many files there are of each kind, or of none")


def _plan(demand: Demand, kind: Kind, fleet: Fleet, pages: int) -> Plan:
    cache, work = demand.cache, fleet.work
    cycle = fleet.count / work.interval
    faults = cache.faults(work, pages)
    coalesced = rates.coalesced(cache.model, work, pages, demand.batch, cache.meta)
    often = min(work.every)         # rings that are written most often: their pages end first
    return Plan(kind, work, kind.count is not None, fleet.count, pages, faults, rates.faults(
        "paper", work, pages, cache.meta), faults * cycle, fitting.pages_wanted(cache, fleet, demand.budget), coalesced,
        coalesced * cycle, _cycles(cache, kind, fleet, pages), _unadvised(demand, kind, fleet),
        float(work.every.count(often) * fleet.count), work.rows_a_page * often * work.interval)


def _cycles(cache: Cache, kind: Kind, fleet: Fleet, pages: int) -> tuple[Cycle, ...]:
    work = fleet.work
    found = zip(slots.names(work.levels, work.interval), rates.by_slot(cache.model, work, pages, cache.meta),
                unadvised.dirtied(kind.layout, work.page_size))
    return tuple(Cycle(name, faults * fleet.count, faults * fleet.count / work.interval,
                       dirty * fleet.count * work.page_size) for name, faults, dirty in found)


def _unadvised(demand: Demand, kind: Kind, fleet: Fleet) -> Unadvised:
    found = unadvised.unadvised(kind.layout, demand.read_ahead_kb, fleet.work.page_size)
    files = demand.cache.overhead.files(demand.cache.memory, found.held + demand.cache.meta, fleet.work.page_size)
    over = fleet.count > files
    return Unadvised(found.pages, found.held, files, over * found.pages * fleet.count / fleet.work.interval)


def batch_wanted(demand: Demand, plan: Plan) -> int | None:
    """The fewest updates, in doubles of 2, that are to be written at once so that the files stay in the budget; None
    when no number of them up to MOST_BATCH does."""
    updates = 2
    while updates <= MOST_BATCH:
        faults = rates.coalesced(demand.cache.model, plan.work, plan.each, updates, demand.cache.meta)
        if faults * plan.count / plan.work.interval <= demand.budget:
            return updates
        updates *= 2
    return None


def fits(cache: Cache, work: workload.Workload) -> list[Fit]:
    """For each number of pages a file, up to that at which all rings fit, and for the whole file: how many files fit,
    and what they cost."""
    most = fitting.most_pages(work, cache.meta)
    rings = min(most, work.header + len(work.every) + cache.meta, ROWS)
    return [fit(cache, work, pages) for pages in sorted({*range(1, rings + 1), most})]


def fit(cache: Cache, work: workload.Workload, pages: int) -> Fit:
    """The same for one number of pages."""
    if not 1 <= pages <= fitting.MOST_PAGES:
        raise UsageError(f"a file has from 1 to {fitting.MOST_PAGES:,} pages in memory")
    files = cache.overhead.files(cache.memory, pages, work.page_size)
    return Fit(pages, files, cache.faults(work, pages), cache.rate(Fleet(work, files), pages))


def curve(cache: Cache, work: workload.Workload, files: Sequence[int]) -> list[tuple[float, float]]:
    """(files, page-ins a second of them)."""
    return [(float(count), cache.rate(Fleet(work, count), cache.each(Fleet(work, count)))) for count in files]

