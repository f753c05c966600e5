"""Cores of both builds for tests, and all that one holds as plain values, to be compared."""
from __future__ import annotations

import importlib
from types import SimpleNamespace

NAMES = ("Guard", "Cell", "KeyBatch", "LATE", "TOUCHED", "OVERFLOW", "NOT_FOUND", "Core", "Histogram", "Shape",
         "HyperLogLog", "xxh64", "encoded", "decoded", "any_updates", "merge_alike", "reset_all")
MOST, LEAST = 2**63 - 1, -2**63       # of a counter


def room(build):
    """What tests need of a build's kernels; None where they are not all there."""
    try:
        whole = importlib.import_module(f"istat.kernels.{build}.cubes")
        return SimpleNamespace(build=build, **{name: getattr(whole, name) for name in NAMES})
    except (ImportError, AttributeError):
        return None


ROOMS = [found for found in map(room, ("python", "native")) if found is not None]


def value(core, metric, key):
    """What a metric has in the cell of a key."""
    slot = core.find(key)
    return metric.value(slot) if slot >= 0 else "no cell"


def filled(room, mode="comprehensive", max_cells=1000, overflow_cell=False, tick=5, origin=7):
    """A core with a metric of each kind."""
    core = room.Core(("method", "status"), room.Guard(origin, tick))
    core.add_counter("n")
    core.add_gauge("g", "sum")
    core.add_histogram("h", room.Shape(1, 100_000, precision=5))
    core.add_hll("u", 8)
    core.sample(mode, max_cells, ranking(core, mode), overflow_cell)
    return core


def ranking(core, mode):
    """The metric of such a core that ranks its cells."""
    return {"topk": core.metrics[0], "top_cardinality": core.metrics[3]}.get(mode)


def plain(value):
    """A value of a metric as what can be compared."""
    if hasattr(value, "percentile"):
        return value.count, value.sum, value.min, value.max, value.m2, tuple(value.percentiles([1, 25, 50, 75, 99]))
    return value.packed() if hasattr(value, "packed") else value


def dump(core):
    """All that can be seen of a core."""
    slots = core.slots(True)
    cells = [(core.key_bytes(slot), core.marks(slot), core.inherited(slot), core.floor(slot),
              *(plain(metric.value(slot)) for metric in core.metrics)) for slot in slots]
    kept = core.overflow_slot
    return {
        "cells": cells, "stats": core.stats(),
        "totals": [plain(getattr(metric, "total", None)) for metric in core.metrics],
        "overflow": [plain(metric.value(kept)) for metric in core.metrics] if kept >= 0 else None,
        "stamps": [metric.stamp(slot) for metric in core.metrics if metric.kind == "gauge" for slot in slots],
    }  # fmt: skip
