"""One bucket as people read it: count, sum, M2, min and max of one counter over one interval.

M2 is the sum of squared deviations from the mean; istatd's wire and JSON carry the sum of squares instead,
so both ways of conversion are here. Knows no counters, no levels and no files; whole runs of buckets are
`kernels.columns`, whose arithmetic this repeats for single buckets.

Source: the behaviour specification of istatd, part 4; merging after Chan, Golub and LeVeque (1979).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass

Row = tuple[int, int, float, float, float, float]  # (time, count, sum, m2, min, max), as in kernels.columns

# An average may lie outside [min, max] by this share of the bound: other systems round each field by itself (3.3).
SLACK = 0.0001


@dataclass(frozen=True, slots=True)
class Bucket:
    """Statistics of `count` samples. An empty bucket has count 0 and zeros."""

    count: int = 0
    sum: float = 0.0
    m2: float = 0.0
    min: float = 0.0
    max: float = 0.0

    @classmethod
    def of(cls, *values: float) -> Bucket:
        """The bucket of these samples, merged from left to right."""
        bucket = cls()
        for value in values:
            bucket = bucket.merge(cls(1, float(value), 0.0, float(value), float(value)))
        return bucket

    @classmethod
    def from_sumsq(cls, count: int, sum: float, sumsq: float, min: float, max: float) -> Bucket:
        """From istatd's fields. Cancellation can cost M2 all its digits; it is never negative."""
        if count < 2 or min == max:
            return cls(count, sum, 0.0, min, max)
        m2 = sumsq - sum * sum / count
        return cls(count, sum, m2 if m2 > 0.0 else 0.0, min, max)

    @classmethod
    def from_row(cls, row: Row) -> Bucket:
        """From a row of kernels.columns; its time is dropped."""
        return cls(*row[1:])

    def row(self, time: int) -> Row:
        """As a row of kernels.columns."""
        return (time, self.count, self.sum, self.m2, self.min, self.max)

    def merge(self, other: Bucket) -> Bucket:
        """Both buckets' samples in one bucket; M2 by Chan's formula, and 0 when min = max."""
        if not self.count or not other.count:
            return self if self.count else other
        low, high = min(self.min, other.min), max(self.max, other.max)
        m2 = 0.0
        if low != high:
            distance = other._mean - self._mean
            weight = self.count * other.count / (self.count + other.count)
            m2 = _bounded(self.m2 + other.m2 + distance * distance * weight)
        return Bucket(self.count + other.count, _bounded(self.sum + other.sum), m2, low, high)

    @property
    def _mean(self) -> float:
        return self.sum / self.count if self.count else 0.0

    @property
    def avg(self) -> float:
        """Mean of the samples, never outside min and max, as rounding or a sum at its bound would have it; 0 when there
        are none."""
        return min(max(self._mean, self.min), self.max) if self.count else 0.0

    @property
    def sumsq(self) -> float:
        """Sum of the samples' squares, as istatd tells it."""
        return _bounded(self.m2 + self.sum * self.sum / self.count) if self.count else 0.0

    @property
    def sdev(self) -> float:
        """Sample standard deviation (divided by count - 1); 0 for fewer than two samples."""
        return math.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else 0.0

    @property
    def finite(self) -> bool:
        """Whether no field is infinite or no number."""
        return all(map(math.isfinite, (self.sum, self.m2, self.min, self.max)))

    @property
    def plausible(self) -> bool:
        """Whether there are samples and min <= avg <= max holds within the slack (part 3.3)."""
        if self.count < 1:
            return False
        low = self.min - abs(self.min) * SLACK
        high = self.max + abs(self.max) * SLACK
        return not (self.min > high or self._mean < low or self._mean > high)


def _bounded(value: float) -> float:
    """Sums that would overflow stop at the largest double, as those of kernels.columns."""
    return min(max(value, -sys.float_info.max), sys.float_info.max)
