"""What one job may take: values of a reading, different names, CPU time. What is above is refused, counted and told.

Knows neither clocks nor threads: it is told what a reading brought and cost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from istat.plugin import MAX_CPU, MAX_NAMES, Emit

READINGS = 10  # over which CPU time is looked at: a single one may have much to do
MOST_KNOWN = 2 * MAX_NAMES  # names that are remembered where there is no bound, so that they can be counted
LONGEST_STRETCH = 300.0  # seconds between two readings of what takes too much
PERCENT = 100.0


@dataclass(frozen=True)
class Budget:
    """The bounds."""

    samples: int | None = None  # of a reading; None: as many as an Emit takes
    names: int | None = None  # different ones since it began; None: no bound
    cpu: float = MAX_CPU  # percent of a core, over the last readings

    @staticmethod
    def of(settings: Mapping[str, Any], default_names: int | None) -> Budget:
        """What a collector's settings say."""
        names = settings["max-names"]
        return Budget(settings["max-samples"], default_names if names is None else names, settings["max-cpu"])


class Spent:
    """What a job has taken of its budget."""

    def __init__(self, budget: Budget, interval: int) -> None:
        """interval: of the job [s]."""
        self.budget, self._interval = budget, interval
        self.names: set[str] = set()
        self.said = ""  # what is above, in a sentence; of CPU time, as long as it is
        self._cpu: deque[float] = deque(maxlen=READINGS)  # seconds of each of the last readings
        self._news: dict[str, str] = {}  # setting -> sentence that nobody has been told yet
        self._told: set[str] = set()  # settings of which it was told

    def take(self, emit: Emit) -> None:
        """A reading's values: those above the budget are taken out of it, and counted as refused."""
        if emit.refused and len(emit.readings) >= emit.most:
            self._say("max-samples", f"{emit.refused} values refused: max-samples = {emit.most} of a reading")
        most = MOST_KNOWN if self.budget.names is None else self.budget.names
        new = {reading.name for reading in emit.readings if reading.name not in self.names}
        if len(self.names) + len(new) <= most:
            self.names |= new
            return
        for reading in emit.readings:  # the first ones have it
            if len(self.names) >= most:
                break
            self.names.add(reading.name)
        if self.budget.names is None:
            return
        kept = [reading for reading in emit.readings if reading.name in self.names]
        self._say("max-names", f"{len(emit.readings) - len(kept)} values refused: max-names = {most} different ones")
        emit.refused += len(emit.readings) - len(kept)
        emit.readings = kept

    def ran(self, cpu: float) -> float:
        """A reading took so much CPU time [s]; seconds that are to pass from one reading to the next, 0: as ever."""
        self._cpu.append(cpu)
        mean = self.cpu_ms / 1000
        share = PERCENT * mean / self._interval
        if len(self._cpu) < READINGS or share <= self.budget.cpu:
            if self.said.startswith("takes"):
                self.said = ""
            return 0.0
        pause = min(LONGEST_STRETCH, PERCENT * mean / self.budget.cpu)
        self._say("max-cpu", f"takes {share:.0f} % of a core, max-cpu is {self.budget.cpu:g}: read less often")
        return pause

    @property
    def cpu_ms(self) -> float:
        """CPU time of a reading, the mean of the last ones [ms]."""
        return 1000 * sum(self._cpu) / len(self._cpu) if self._cpu else 0.0

    def news(self) -> list[str]:
        """Sentences to be told, each kind once."""
        news, self._news = list(self._news.values()), {}
        return news

    def _say(self, setting: str, sentence: str) -> None:
        self.said = sentence
        if setting not in self._told:
            self._told.add(setting)
            self._news[setting] = sentence
