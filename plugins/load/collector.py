"""Load averages and time since boot.

Source: /proc/loadavg and /proc/uptime (proc(5)), read directly: psutil would work out a load of its own in
a thread where a system has none.
"""

from __future__ import annotations

import os

from istat.plugin import Config, Emit, Metric, collector

from ..naming import NAMING, Naming, renamed

AVERAGES = ("min1", "min5", "min15")
THEIRS = {f"load.{name}": f"localstat.load.{name}" for name in AVERAGES}


@collector(
    help="Load averages, and the time since boot.",
    settings=[NAMING],
    metrics=[
        Metric("load.min1", "tasks", "running or waiting for CPU or disk, average of 1 minute"),
        Metric("load.min5", "tasks", "average of 5 minutes"),
        Metric("load.min15", "tasks", "average of 15 minutes"),
        Metric("load.uptime_seconds", "s", "since boot"),
        *renamed(THEIRS.items(), "tasks"),
    ],
)
class Load:
    """Stateless. `proc` is where the proc file system is."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._name = Naming(THEIRS)

    def setup(self, config: Config) -> None:
        """Take the setting."""
        self._name.setup(config)

    def collect(self, emit: Emit) -> None:
        """One reading."""
        with open(os.path.join(self._proc, "loadavg"), encoding="ascii") as file:
            averages = file.read().split()[:3]
        for name, value in zip(AVERAGES, averages):
            emit.gauge(self._name(f"load.{name}"), float(value))
        with open(os.path.join(self._proc, "uptime"), encoding="ascii") as file:
            emit.gauge("load.uptime_seconds", float(file.read().split()[0]))
