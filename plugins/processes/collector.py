"""How many processes there are, by state.

Source: /proc (proc(5)): `stat`, `loadavg`, and the third field of every process' `stat` file. Reading the
latter costs about 10 us a process, so it is left out, and said to be absent, above `max-scan` processes.
"""

from __future__ import annotations

import os
from collections import Counter

from istat.plugin import Config, Emit, Metric, Rates, Setting, collector

from ..naming import NAMING, Naming, renamed

MAX_SCAN = 1000  # processes; 10 ms of CPU, which is 0.1 % at an interval of 10 s
STATES = {  # letters of proc(5) -> our names
    "R": "running",
    "S": "sleeping",
    "D": "blocked",
    "T": "stopped",
    "t": "stopped",
    "Z": "zombie",
    "I": "idle",
}
THEIRS = {f"processes.{name}": f"localstat.process.{name}" for name in
          ("total", "running", "sleeping", "stopped", "zombie")}


@collector(
    help="Processes by state, threads, and new processes per second.",
    settings=[Setting("max-scan", int, MAX_SCAN, "above so many processes the states are not counted"), NAMING],
    metrics=[
        Metric("processes.total", "processes", "all that the agent can see"),
        Metric("processes.threads", "threads", "of the whole system"),
        Metric("processes.running", "processes", "running or ready to run, the agent included"),
        Metric("processes.sleeping", "processes", "waiting for something"),
        Metric("processes.blocked", "processes", "in uninterruptible sleep, mostly waiting for a disk"),
        Metric("processes.stopped", "processes", "stopped by a signal or a debugger"),
        Metric("processes.zombie", "processes", "ended, and not yet waited for by their parent"),
        Metric("processes.idle", "processes", "idle kernel threads"),
        Metric("processes.forks", "1/s", "new processes and threads"),
        *renamed(THEIRS.items(), "processes"),
    ],
)
class Processes:
    """Keeps the total of forks. `proc` is where the proc file system is."""

    def __init__(self, proc: str = "/proc") -> None:
        self._proc = proc
        self._name = Naming(THEIRS)
        self._max_scan = MAX_SCAN
        self._rates = Rates()

    def setup(self, config: Config) -> None:
        """Take the settings."""
        self._name.setup(config)
        self._max_scan = config["max-scan"]

    def collect(self, emit: Emit) -> None:
        """One reading."""
        pids = [entry for entry in os.listdir(self._proc) if entry.isdigit()]
        emit.gauge(self._name("processes.total"), len(pids))
        with open(os.path.join(self._proc, "loadavg"), encoding="ascii") as file:
            emit.gauge("processes.threads", int(file.read().split()[3].partition("/")[2]))
        for name, rate in self._rates.update(self._forks(), emit.monotonic).items():
            emit.gauge(name, rate)
        if len(pids) <= self._max_scan:
            counts = Counter(self._state(pid) for pid in pids)
            for state in dict.fromkeys(STATES.values()):
                emit.gauge(self._name(f"processes.{state}"), counts[state])

    def _forks(self) -> dict[str, float]:
        with open(os.path.join(self._proc, "stat"), encoding="ascii") as file:
            for line in file:
                if line.startswith("processes "):
                    return {"processes.forks": int(line.split()[1])}
        return {}

    def _state(self, pid: str) -> str | None:
        """Our name of a process' state; None when it is gone, dying, or in a state we do not know."""
        try:
            with open(os.path.join(self._proc, pid, "stat"), "rb") as file:
                text = file.read()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return None
        # The command's name stands in brackets and may itself hold brackets and blanks.
        letter = text[text.rfind(b")") + 2 :][:1].decode("ascii", "replace")
        return STATES.get(letter)
