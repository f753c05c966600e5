"""What this agent tells of its metrics: what collectors declare, and what scripts say of theirs. Each line once.

Knows neither wire nor server: whoever ships asks for `lines()`, and is told by `changed` that there are others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from istat.declared.lines import metric_line, metric_lines
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
        self._found: dict[str, tuple[Metric, bytes]] = {}     # of readings, by name, with their lines

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
            known = self._found.get(metric.name)
            if (known is None and len(self._found) >= MOST_FOUND) or (known is not None and known[0] == metric):
                continue
            self._found[metric.name] = metric, metric_line(metric)
            news = True
        if news:
            self.changed()

    def lines(self) -> list[bytes]:
        """All of them; what a reading has told comes last, and so is what holds."""
        return [*self._own, *(line for _, line in self._found.values() if line)] if self._found else self._own
