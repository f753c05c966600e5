"""What this agent tells of its metrics: what collectors declare, and what scripts say of theirs. Each line once.

Knows neither wire nor server: whoever ships asks for `lines()`, and is told by `changed` that there are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from istat.declared.lines import metric_lines
from istat.metrics import Metric

__all__ = ["Declaring", "metric_lines"]

# Metrics that scripts may declare: a loop in one must not fill the memory (300 kB), nor an hour's datagrams.
MOST_FOUND = 1000


class Declaring:
    """The lines `#metric NAME JSON` of this agent."""

    def __init__(self, metrics: Iterable[Metric] = ()) -> None:
        """metrics: those that collectors declare."""
        self.changed: Callable[[], None] = lambda: None
        self._own = metric_lines(metrics)
        self._found: dict[str, Metric] = {}     # of readings, by name

    def plan(self, metrics: Iterable[Metric]) -> None:
        """Collectors declare these now, and no others."""
        lines = metric_lines(metrics)
        if lines != self._own:
            self._own = lines
            self.changed()

    def found(self, metrics: Iterable[Metric]) -> None:
        """A reading has told these. What was told before of the same names is told no more."""
        news = False
        for metric in metrics:
            if self._found.get(metric.name) == metric or (
                    metric.name not in self._found and len(self._found) >= MOST_FOUND):
                continue
            self._found[metric.name] = metric
            news = True
        if news:
            self.changed()

    def lines(self) -> list[bytes]:
        """All of them; what a reading has told comes last, and so is what holds."""
        return [*self._own, *metric_lines(self._found.values())] if self._found else self._own
