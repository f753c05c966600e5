"""CPU time by state, as psutil reports it.

Source: `psutil.cpu_times()`, on Linux the `cpu` lines of /proc/stat
(https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat), in
hundredths of a second since boot. The kernel counts guests' time in `user` and `nice` as well, so `guest`
and `guest_nice` are left out: the states below add up to 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psutil

from istat.plugin import Config, Emit, Metric, Setting, collector

STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
NOT_BUSY = ("idle", "iowait")
PERCENT = 100.0


def percents(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """State -> share [%] of the time between two readings; empty when no time has passed.

    `iowait` is known to run backwards at times (see proc(5)): such a step counts as none.
    """
    steps = {s: max(0.0, after[s] - before[s]) for s in STATES if s in before and s in after}
    total = sum(steps.values())
    return {state: PERCENT * step / total for state, step in steps.items()} if total > 0 else {}


@collector(
    help="Share of CPU time per state, over all CPUs and, if asked for, per CPU.",
    settings=[Setting("per-core", bool, False, "report each CPU as well, as cpu.core0.user and so on")],
    metrics=[
        Metric(
            "cpu.<state>", "%", "share of all CPUs' time since the last reading; states: " + ", ".join(STATES)
        ),
        Metric("cpu.busy", "%", "all states but idle and iowait"),
        Metric("cpu.count", "CPUs", "logical CPUs in use by the system"),
        Metric("cpu.core<n>.<state>", "%", "the same of one CPU (setting `per-core`)"),
        Metric("cpu.core<n>.busy", "%", "the same of one CPU (setting `per-core`)"),
    ],
)
class Cpu:
    """Keeps the last reading of each CPU; the first one reports no percentages."""

    def __init__(self, source: Any = psutil) -> None:
        self._source = source
        self._per_core = False
        self._before: dict[str, dict[str, float]] = {}

    def setup(self, config: Config) -> None:
        """Take the settings."""
        self._per_core = config["per-core"]

    def collect(self, emit: Emit) -> None:
        """One reading."""
        times = {"cpu": self._source.cpu_times()._asdict()}
        cores = self._source.cpu_times(percpu=True) if self._per_core else []
        times.update({f"cpu.core{i}": core._asdict() for i, core in enumerate(cores)})
        for prefix, after in times.items():
            shares = percents(self._before.get(prefix, {}), after)
            for state, share in shares.items():
                emit.gauge(f"{prefix}.{state}", share)
            if shares:
                emit.gauge(f"{prefix}.busy", sum(v for state, v in shares.items() if state not in NOT_BUSY))
        self._before = times
        count = self._source.cpu_count()
        if count is not None:
            emit.gauge("cpu.count", count)
