"""CPU time by state.

Source: the `cpu` lines of /proc/stat
(https://docs.kernel.org/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat), in hundredths of a second
since boot; that of all CPUs as psutil reports it. Those of single CPUs we read ourselves: a CPU that is offline has no
line, and psutil counts lines and drops the numbers that stand in them. The kernel counts guests' time in `user` and
`nice` as well, so `guest` and `guest_nice` are left out: the states below add up to 100 %.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import psutil

from istat.plugin import Config, Emit, Metric, Setting, collector

from ..naming import NAMING, Naming, renamed

STATES = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
NOT_BUSY = ("idle", "iowait")
PERCENT = 100.0
THEIRS = {f"cpu.{ours}": f"localstat.cpu.{theirs}" for ours, theirs in (
    ("user", "user"), ("nice", "nice"), ("system", "kernel"), ("idle", "idle"), ("iowait", "iowait"))}


def percents(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """State -> share [%] of the time between two readings; empty when no time has passed, or that cannot be known.

    `iowait` is known to run backwards at times (see proc(5)): it has no share then, the others have those of the rest.
    When another state's total fell, it was set anew, and what it is a share of is not known: nothing has one.
    """
    steps = {s: after[s] - before[s] for s in STATES if s in before and s in after}
    if steps.get("iowait", 0) < 0:
        del steps["iowait"]
    total = sum(steps.values())
    if total <= 0 or min(steps.values()) < 0:
        return {}
    return {state: PERCENT * step / total for state, step in steps.items()}


def cores(proc: str) -> dict[str, dict[str, float]]:
    """`core0` and so on, as the kernel numbers CPUs -> state -> hundredths of a second; those that are online."""
    found = {}
    with open(os.path.join(proc, "stat"), encoding="ascii") as file:
        for line in file:
            name, *words = line.split()
            if not name.startswith("cpu"):
                break
            if name != "cpu":
                found[f"core{name.removeprefix('cpu')}"] = {s: float(word) for s, word in zip(STATES, words)}
    return found


@collector(
    help="Share of CPU time per state, over all CPUs and, if asked for, per CPU.",
    settings=[Setting("per-core", bool, False, "report each CPU as well, as cpu.core0.user and so on"), NAMING],
    metrics=[
        Metric(
            "cpu.<state>", "%", "share of all CPUs' time since the last reading; states: " + ", ".join(STATES)
        ),
        Metric("cpu.busy", "%", "all states but idle and iowait"),
        Metric("cpu.count", "CPUs", "logical CPUs in use by the system"),
        Metric("cpu.core<n>.<state>", "%", "the same of the CPU that the kernel calls cpu<n> (setting `per-core`)"),
        Metric("cpu.core<n>.busy", "%", "the same of one CPU (setting `per-core`)"),
        *renamed(THEIRS.items(), "%"),
    ],
)
class Cpu:
    """Keeps the last reading of each CPU; the first one reports no percentages."""

    def __init__(self, source: Any = psutil) -> None:
        self._source = source
        self._name = Naming(THEIRS)
        self._per_core = False
        self._before: dict[str, dict[str, float]] = {}

    def setup(self, config: Config) -> None:
        """Take the settings."""
        self._name.setup(config)
        self._per_core = config["per-core"]

    def collect(self, emit: Emit) -> None:
        """One reading."""
        times: dict[str, dict[str, float]] = {"cpu": self._source.cpu_times()._asdict()}
        if self._per_core:
            proc = getattr(psutil, "PROCFS_PATH", "/proc")
            times.update({f"cpu.{core}": states for core, states in cores(proc).items()})
        for prefix, after in times.items():
            shares = percents(self._before.get(prefix, {}), after)
            for state, share in shares.items():
                emit.gauge(self._name(f"{prefix}.{state}"), share)
            if shares:
                emit.gauge(f"{prefix}.busy", sum(v for state, v in shares.items() if state not in NOT_BUSY))
        self._before = times
        count = self._source.cpu_count()
        if count is not None:
            emit.gauge("cpu.count", count)
