"""The models by name, asked alike: faults an update, at so many pages of memory for each file."""

from __future__ import annotations

from istat.errors import UsageError
from istat.pagecache.model import bound, paper, recency, slots
from istat.pagecache.model.workload import Workload

MODELS = {"paper": "the paper's formula: a lower bound, 3 to 5 times too low in the middle",
          "opt": "the best that any policy could do",
          "lru": "what evicting the page that was used longest ago costs"}


def faults(model: str, work: Workload, pages: int, meta: int = 0) -> float:
    """Faults an update. `meta`: how many of the pages are for the inode and indirect blocks, 0 to 2. None from the
    whole file's pages on, where these are known. UsageError when there is no such model."""
    if work.pages and pages >= work.pages + meta:
        return 0.0
    if pages <= 0:
        return meta + work.touched + work.boundary      # no page stays; boundaries counted beside, as at one page
    if _known(model) == "lru":
        return recency.faults(work, pages, meta)
    # The formulas do not count these pages; where not even they fit, each of them is a fault of its own.
    found = (paper.faults if model == "paper" else bound.faults)(work, max(0, pages - meta))
    return found + max(0, meta - pages)


def by_slot(model: str, work: Workload, pages: int, meta: int = 0) -> list[float]:
    """Faults at an update of each slot, in the order of `slots.names`."""
    count = len(slots.names(work.levels, work.interval))
    if work.pages and pages >= work.pages + meta:
        return [0.0] * count
    if _known(model) == "lru":
        return recency.by_slot(work, max(0, pages), meta)
    levels = (paper.by_level if model == "paper" else bound.by_level)(work, max(0, pages - meta))
    missing = max(0, meta - max(0, pages))
    return [missing + levels[slots.level_of(place) - 1] for place in range(count)]


def coalesced(model: str, work: Workload, pages: int, updates: int, meta: int = 0) -> float:
    """Faults an update, when so many updates of a file are kept and written at once."""
    if work.pages and pages >= work.pages + meta:
        return 0.0
    batch = work.coalesced(updates)
    return (faults(model, batch, pages, meta) - batch.boundary) / updates + work.boundary


def _known(model: str) -> str:
    if model not in MODELS:
        raise UsageError(f"there is no model {model!r}; there are: {', '.join(MODELS)}")
    return model
