"""Axes of charts: from numbers to places on them, and the words at their ticks. Knows no pixels and no series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite, log10

from istat.pictures import scales

NARROW = 1e-9   # of the numbers on it: an axis that is narrower has no room for ticks that differ
FREE = 0.04      # of the axis, above the highest of the data, that it does not lie on the frame
LEAST, MOST = 1e-100, 1e100     # what is beyond is drawn there: arithmetic with it would overflow
SPARE = 1.0     # decades below the least number above 0, whose foot is 0, where there is a 0 on a logarithmic axis


@dataclass(frozen=True)
class Axis:
    """What is asked for. `names`: words at 0, 1, 2 ... instead of numbers; `low`, `high`: its ends, else as the data
    want; `log`: as far from 1 to 10 as from 10 to 100."""

    title: str = ""
    log: bool = False
    names: Sequence[str] = ()
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`. `zero`: the foot of a logarithmic one stands for 0."""

    low: float
    high: float
    log: bool = False
    names: Sequence[str] = ()
    zero: bool = False

    def share(self, value: float) -> float:
        """How far along the axis, 0 to 1; what lies outside is at the end. NaN stays."""
        if not isfinite(value):
            return float("nan")
        if self.log:
            at = log10(max(value, self.foot) / self.foot) / log10(self.high / self.foot)
        else:
            at = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, at))

    @property
    def foot(self) -> float:
        """The number above 0 where a logarithmic axis begins."""
        return self.low if self.low > 0 else self.high / 10

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """(share, words), from low to high, about `most` at most."""
        if self.names:
            return [(self.share(place), name) for place, name in enumerate(self.names)]
        if not self.log:
            return [(self.share(value), scales.written(value)) for value in scales.ticks(self.low, self.high, most)]
        found = scales.log_ticks(self.foot, self.high)
        every = -(-len(found) // max(1, most))
        made = [(self.share(value), scales.written(value)) for value in found[::every]]
        return [(0.0, "0"), *(tick for tick in made if tick[0] > 0)] if self.zero else made


def scale_of(axis: Axis, values: Sequence[float], from_zero: bool = False) -> Scale:
    """The scale that holds all values (finite ones). `from_zero`: it begins at 0, when none is below."""
    if axis.names:
        return Scale(-0.5, len(axis.names) - 0.5, names=axis.names)
    values = [min(MOST, max(-MOST, value)) for value in values]
    if axis.log:
        return _logarithmic(axis, values, from_zero)
    low = min(values, default=0.0) if axis.low is None else axis.low
    high = max(values, default=1.0) if axis.high is None else axis.high
    if from_zero and axis.low is None:
        low = min(0.0, low)
    if not high - low > abs(low) * NARROW:
        high = low + (abs(low) or 1.0)
    if from_zero and axis.high is None:
        high += (high - low) * FREE
    return Scale(low, high)


def _logarithmic(axis: Axis, values: Sequence[float], free: bool) -> Scale:
    positive = [max(LEAST, value) for value in values if value > 0]
    zero = len(positive) < len(values) and axis.low is None
    low = 10.0 ** floor(log10(min(positive, default=1.0))) if axis.low is None else axis.low
    high = max(positive, default=10.0) if axis.high is None else axis.high
    if low <= 0:
        raise ValueError("a logarithmic axis begins above 0")
    low, high = (low / 10**SPARE if zero else low), (high if high > low else low * 10)
    if free and axis.high is None:
        high *= (high / low) ** FREE
    return Scale(low, high, log=True, zero=zero)
