"""How many samples a second come in from others. Knows a clock, and no store."""

from __future__ import annotations

from collections import deque

from istat.clock import Clock

# Spans between two feeds of self-metrics that are looked back over: a minute, as some send no more often than that.
SPANS = 6
# A shorter span [s] is one with that behind it: it is looked back over half a minute however often metrics are fed.
SHORT_SECONDS = 5.0


class Rate:
    """Samples a second over the last spans between two feeds of self-metrics, which do not count."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._total = 0
        self._spans: deque[tuple[float, int]] = deque(maxlen=SPANS)     # seconds, samples

    @property
    def value(self) -> float | None:
        """Samples a second; None before the first span has ended."""
        seconds = sum(seconds for seconds, _ in self._spans)
        return sum(samples for _, samples in self._spans) / seconds if self._spans else None

    def end(self, total: int) -> None:
        """So many samples there were when a span ended."""
        seconds, samples = max(self._clock.monotonic() - self._since, 0.001), total - self._total
        if self._spans and self._spans[-1][0] < SHORT_SECONDS:
            before = self._spans.pop()
            seconds, samples = seconds + before[0], samples + before[1]
        self._spans.append((seconds, samples))

    def begin(self, total: int) -> None:
        """So many there are as the next one begins."""
        self._since, self._total = self._clock.monotonic(), total
