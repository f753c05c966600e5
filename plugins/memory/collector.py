"""Memory and swap, as psutil reports them.

Source: `psutil.virtual_memory()` and `psutil.swap_memory()`, on Linux /proc/meminfo and /proc/vmstat
(https://docs.kernel.org/filesystems/proc.html#meminfo). What a system does not report is absent.
"""

from __future__ import annotations

import warnings
from typing import Any

import psutil

from istat.plugin import Config, Emit, Metric, Rates, collector

from ..naming import NAMING, Naming, renamed

MEMORY = {  # psutil's field -> what it means
    "total": "memory of the machine without what the kernel keeps for itself from the start",
    "available": "what programs can get without swapping: the figure to watch",
    "used": "as psutil computes it: not free, not buffers or cache",
    "free": "used for nothing at all",
    "buffers": "cache of block devices",
    "cached": "page cache, with shared memory and tmpfs",
    "shared": "shared memory and tmpfs",
    "slab": "the kernel's own structures",
}
SWAP = {"total": "swap space", "used": "swap space in use", "free": "swap space not in use"}
THEIRS = {
    **{f"memory.{ours}_bytes": f"localstat.mem.{theirs}" for ours, theirs in (
        ("total", "total"), ("free", "free"), ("cached", "cache"))},
    **{f"swap.{field}_bytes": f"localstat.swap.{field}" for field in SWAP},
}
THEIR_USED = "localstat.mem.used"       # all that is not free; ours is without caches


@collector(
    help="Memory and swap space by use, and swap traffic.",
    settings=[NAMING],
    metrics=[
        *(Metric(f"memory.{field}_bytes", "bytes", text) for field, text in MEMORY.items()),
        Metric("memory.used_percent", "%", "share of the memory that is not available"),
        *(Metric(f"swap.{field}_bytes", "bytes", text) for field, text in SWAP.items()),
        Metric("swap.in_bytes", "bytes/s", "read from swap space"),
        Metric("swap.out_bytes", "bytes/s", "written to swap space"),
        *renamed(THEIRS.items(), "bytes"),
        Metric(THEIR_USED, "bytes", 'memory that is not free, caches included; with `naming = "istatd"`, beside ours'),
    ],
)
class Memory:
    """Stateless but for the swap rates, which the first reading lacks."""

    def __init__(self, source: Any = psutil) -> None:
        self._source = source
        self._name = Naming(THEIRS)
        self._rates = Rates()
        self._traffic = True

    def setup(self, config: Config) -> None:
        """See whether swap traffic can be known: psutil warns, and says 0, where /proc/vmstat lacks it."""
        self._name.setup(config)
        with warnings.catch_warnings(record=True) as missing:
            warnings.simplefilter("always")
            self._source.swap_memory()
        self._traffic = not missing

    def collect(self, emit: Emit) -> None:
        """One reading."""
        memory = self._source.virtual_memory()
        for field in MEMORY:
            value = getattr(memory, field, None)
            if value is not None:
                emit.gauge(self._name(f"memory.{field}_bytes"), value)
        if self._name.istatd:
            emit.gauge(THEIR_USED, memory.total - memory.free)
        if memory.total:
            emit.gauge("memory.used_percent", 100.0 * (memory.total - memory.available) / memory.total)
        swap = self._source.swap_memory()
        for field in SWAP:
            emit.gauge(self._name(f"swap.{field}_bytes"), getattr(swap, field))
        totals = {"swap.in_bytes": swap.sin, "swap.out_bytes": swap.sout} if self._traffic else {}
        for name, rate in self._rates.update(totals, emit.monotonic).items():
            emit.gauge(name, rate)
