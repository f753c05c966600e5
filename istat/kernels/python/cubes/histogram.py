"""Histograms of log-linear slots: how values are spread, to a relative width that is fixed. The specification of the
native ones.

Count, sum, sum of squares, minimum and maximum are kept exactly beside the slots, in whole numbers: neither the order
of records nor that of merges can be seen in them. Knows no keys or cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from istat.errors import SchemaMismatch
from istat.kernels.python.cubes.shapes import MOST_VALUES, Shape, times_of, values_of

MOST_CORRECTED = 1_000_000  # values that one pause may stand for; more is a wrong unit
HEADER_BYTES = 96  # of a native histogram, beside its slots
NARROW_MOST = (1 << 32) - 1  # in a slot of 4 bytes; one with more makes all slots 8 bytes
POINTS = ("low", "mid", "high")
TOO_MANY = "that would stand for more than 1,000,000 values; is the interval in the unit of the values?"
NO_HISTOGRAM = "these are no parts of a histogram of this shape"
#: What `parts` gives: first slot, counts from there, sum, sum of squares, minimum, maximum, underflow, overflow.
Parts = tuple[int, list[int], int, int, int, int, int, int]


class Histogram:
    """How values are spread. One writer at a time."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.clear()

    def clear(self) -> None:
        """Forget all values."""
        self._counts: dict[int, int] = {}
        self._sum = self._squares = self.count = self.underflow = self.overflow = 0
        self._min, self._max = 2**63 - 1, -(2**63)

    # --- recording -----------------------------------------------------------------------------------

    def record(self, value: Any, count: int = 1) -> bool:
        """A value that came so many times. False when that would be more than 2**63 - 1 values in all. TypeError,
        ValueError for NaN and infinity, OverflowError beyond 64 bits."""
        times = times_of(count)
        return self.record_whole(self.shape.whole(value), times)

    def record_whole(self, value: int, count: int) -> bool:
        """As `record`, of a value that is scaled and rounded already."""
        if self.count + count > MOST_VALUES:
            return False
        if count == 0:
            return True
        slot = self.shape.slot_of(value)
        self._counts[slot] = self._counts.get(slot, 0) + count
        self.count += count
        self._sum += value * count
        self._squares += value * value * count
        self._min, self._max = min(self._min, value), max(self._max, value)
        self.underflow += count if value < 0 else 0
        self.overflow += count if value > self.shape.highest else 0
        return True

    def record_corrected(self, value: Any, interval: Any, count: int = 1) -> bool:
        """A value that kept others, which come at an interval, from being recorded: also value - interval, value -
        2 * interval, ... down to the interval. Errors as those of `record`; ValueError when the interval is not
        above 0, or there are more than 1,000,000 of them."""
        times = times_of(count)
        recorded, expected = self.shape.whole(value), self.shape.whole(interval)
        if expected <= 0:
            raise ValueError("an interval is above 0")
        return self.record_corrected_whole(recorded, expected, times)

    def record_corrected_whole(self, value: int, interval: int, count: int) -> bool:
        """As `record_corrected`, of numbers that are scaled and rounded already."""
        values = max(value // interval, 1)
        if values > MOST_CORRECTED:
            raise ValueError(TOO_MANY)
        if count > (MOST_VALUES - self.count) // values:
            return False
        for i in range(values):
            self.record_whole(value - i * interval, count)
        return True

    def record_many(self, values: Any, counts: Any = None) -> int:
        """A batch: a buffer of numbers or a sequence of them, and how often each came; all or, when one is wrong,
        nothing. How many of them were taken: all, unless there would be more than 2**63 - 1 values. Errors as those of
        `record`."""
        batch = [self.shape.whole(value) for value in values_of(values)]
        times = [1] * len(batch) if counts is None else [times_of(count) for count in values_of(counts)]
        if len(times) != len(batch):
            raise ValueError(f"there are {len(batch)} values and {len(times)} counts")
        return sum([self.record_whole(value, count) for value, count in zip(batch, times)])

    def merge(self, other: Histogram) -> None:
        """Add the values of another. SchemaMismatch when it has another shape, OverflowError when there would be more
        than 2**63 - 1 values."""
        if self.shape != other.shape:
            raise SchemaMismatch(f"a histogram of {other.shape!r} cannot be merged into one of {self.shape!r}")
        if self.count + other.count > MOST_VALUES:
            raise OverflowError("there would be more than 2**63 - 1 values")
        for slot, count in list(other._counts.items()):
            self._counts[slot] = self._counts.get(slot, 0) + count
        self._sum, self._squares = self._sum + other._sum, self._squares + other._squares
        self._min, self._max = min(self._min, other._min), max(self._max, other._max)
        self.count, self.underflow = self.count + other.count, self.underflow + other.underflow
        self.overflow += other.overflow

    # --- reading -------------------------------------------------------------------------------------

    @property
    def sum(self) -> int | float:
        """The exact sum of the values, as they were before they were sorted into slots."""
        return self.shape.unscaled(self._sum)

    @property
    def min(self) -> int | float | None:
        """The smallest value, exactly; None of none."""
        return self.shape.unscaled(self._min) if self.count else None

    @property
    def max(self) -> int | float | None:
        """The largest value, exactly; None of none."""
        return self.shape.unscaled(self._max) if self.count else None

    @property
    def mean(self) -> float | None:
        """The exact mean, as near as a float is; None of none."""
        return self._sum / self.count / self.shape.scale if self.count else None

    @property
    def m2(self) -> float:
        """The sum of squared deviations from the mean, from exact sums."""
        if not self.count:
            return 0.0
        return (self.count * self._squares - self._sum**2) / self.count / self.shape.scale / self.shape.scale

    @property
    def stdev(self) -> float | None:
        """The standard deviation of the values, as a whole population; None of none."""
        return math.sqrt(self.m2 / self.count) if self.count else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recorded."""
        return not self.count

    def percentile(self, q: float, point: str = "mid") -> int | float | None:
        """As `percentiles`, of one."""
        return self.percentiles((q,), point)[0]

    def percentiles(self, qs: Iterable[float], point: str = "mid") -> list[int | float | None]:
        """The values that so many percent of all are not above; None each when there is none.

        0 and 100 are minimum and maximum; of other ones the slot is known: `point` says whether its middle, its low or
        its high end is given, never beyond minimum and maximum. ValueError when one is not from 0 to 100.
        """
        wanted = [float(q) for q in qs]
        if point not in POINTS:
            raise ValueError(f"a point is one of {', '.join(POINTS)}, not {point!r}")
        if not all(0.0 <= q <= 100.0 for q in wanted):
            raise ValueError("a percentile is from 0 to 100")
        return [self.shape.unscaled(self._percentile(q, point)) if self.count else None for q in wanted]

    def _percentile(self, q: float, point: str) -> int:
        if q in (0.0, 100.0):
            return self._min if q == 0.0 else self._max
        rank = max(1, min(int(q / 100.0 * self.count + 0.5), self.count))
        seen = 0
        for slot in sorted(self._counts):
            seen += self._counts[slot]
            if seen >= rank:
                break
        low, high = self.shape.ends(slot)
        if point == "mid":
            low += high - low >> 1
        elif point == "low" and slot == 0 and self.underflow:
            low = self._min
        elif point == "high":
            low = self._max if slot == self.shape.slots - 1 and self.overflow else high
        return max(min(low, self._max), self._min)

    def cdf(self) -> list[tuple[int | float, float]]:
        """(value, share of all that are not above it) at the end of each slot that has values, ascending."""
        made, seen = [], 0
        for slot in sorted(self._counts):
            seen += self._counts[slot]
            end = self._max if seen == self.count else self.shape.ends(slot)[1]
            made.append((self.shape.unscaled(end), seen / self.count))
        return made

    def proportion_below(self, value: float) -> float | None:
        """The share of values below one, which is rounded down to the start of its slot; None of none."""
        bound = self._bound(value, math.ceil)
        if not self.count:
            return None
        if bound <= self._min:
            return 0.0
        if bound > self._max:
            return 1.0
        end = self.shape.slot_of(bound)
        return sum([count for slot, count in self._counts.items() if slot < end]) / self.count

    def buckets(self, boundaries: Iterable[float], proportion: bool = False) -> list[int] | list[float]:
        """How many values (or which share of all) are not above the first boundary, above it and not above the second,
        ..., above the last. A boundary is rounded up to the end of its slot. ValueError when they do not ascend."""
        bounds = [self._bound(one, math.floor) for one in boundaries]
        if any(a > b for a, b in zip(bounds, bounds[1:])):
            raise ValueError("boundaries ascend")
        reached = [self._up_to(bound) for bound in bounds]
        made = [b - a for a, b in zip([0, *reached], [*reached, self.count])]
        return [one / self.count if self.count else 0.0 for one in made] if proportion else made

    def _bound(self, value: float, rounded: Callable[[float], int]) -> int:
        """A boundary among recorded values, which are whole numbers of 64 bits."""
        bound = value if self.shape.scale == 1.0 else value * self.shape.scale
        if bound != bound:
            raise ValueError("a boundary is a number, not NaN")
        return rounded(max(min(bound, 2**63 - 1), -(2**63)))

    def _up_to(self, bound: int) -> int:
        if bound >= self._max or bound < self._min:
            return self.count if bound >= self._max else 0
        end = self.shape.slot_of(bound)
        return sum([count for slot, count in self._counts.items() if slot <= end])

    # --- as a value ----------------------------------------------------------------------------------

    def copy(self) -> Histogram:
        """Another one with the same values."""
        made = Histogram(self.shape)
        made.merge(self)
        return made

    def memory(self) -> int:
        """Bytes that the native one takes, without those of the Python object around it."""
        if not self.count:
            return 8
        wide = max(self._counts.values()) > NARROW_MOST
        return 8 + HEADER_BYTES + (self.shape.slots if wide else (self.shape.slots + 1) // 2) * 8

    def parts(self) -> Parts | None:
        """All there is to it, with values as they were recorded: the first slot that is used, the counts from there to
        the last one, sum, sum of squares, minimum, maximum, underflow, overflow. None when nothing was recorded."""
        if not self.count:
            return None
        first = min(self._counts)
        counts = [self._counts.get(slot, 0) for slot in range(first, max(self._counts) + 1)]
        return first, counts, self._sum, self._squares, self._min, self._max, self.underflow, self.overflow

    def __repr__(self) -> str:
        return f"Histogram({self.shape!r}): {self.count} values" + (
            f" from {self.min} to {self.max}, median {self.percentile(50)}" if self.count else "")  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return from_parts, (self.shape, self.parts())


def from_parts(shape: Shape, parts: Parts | None) -> Histogram:
    """A histogram from what `parts` gave. ValueError when that is none of this shape."""
    made = Histogram(shape)
    if parts is None:
        return made
    first, counts, made._sum, made._squares, made._min, made._max, made.underflow, made.overflow = parts
    made._counts = {slot: count for slot, count in enumerate(counts, first) if count}
    made.count = sum(counts)
    if not (counts and counts[0] > 0 and counts[-1] > 0 and min(counts) >= 0 and _valid(made, first, counts)):
        raise ValueError(NO_HISTOGRAM)
    return made


def _valid(made: Histogram, first: int, counts: list[int]) -> bool:
    """Whether counts, minimum, maximum and sums agree."""
    shape, last, low, high = made.shape, first + len(counts) - 1, made._min, made._max
    total, squares = made._sum, made._squares
    return (
        first >= 0 and last < shape.slots and made.count <= MOST_VALUES and -(2**63) <= low <= high < 2**63
        and shape.slot_of(low) == first and shape.slot_of(high) == last
        and low * made.count <= total <= high * made.count and total**2 <= made.count * squares and squares < 2**192
        and (made.underflow > 0) == (low < 0) and 0 <= made.underflow <= (counts[0] if first == 0 else 0)
        and (made.overflow > 0) == (high > shape.highest)
        and 0 <= made.overflow <= (counts[-1] if last == shape.slots - 1 else 0)
    )  # fmt: skip
