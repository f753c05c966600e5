"""The shape of a histogram, and values as one of that shape records them: the specification of the native ones.

Recorded values are whole numbers. From `lowest` on, each power of two is cut into 2**precision slots of the same width,
as HdrHistogram does it. Knows no histograms.
"""

from __future__ import annotations

import math
import operator
from typing import Any

MOST_SLOTS = 1 << 20  # of a shape: 4 MiB for each histogram
MOST_PRECISION = 14  # bits; digits=5 asks for 17
MOST_VALUES = 2**63 - 1  # in one histogram: what fits a signed number everywhere
NOT_FINITE = "a value is a number, neither NaN nor infinite"
TOO_WIDE = "a value, scaled, is from -2**63 to 2**63 - 1"
NO_COUNT = "a count is from 0 to 2**63 - 1"


def limit(value: Any) -> int:
    """The `lowest` or `highest` of a shape. TypeError when it is no whole number."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"lowest and highest are whole numbers, in units of values times scale: for 0.001 to 600 by "
                        f"scale=1000 say 1 and 600_000; not {value!r}") from None


class Shape:
    """How values are told apart: whole numbers from 0 to `highest`, in slots with a relative width of 2**-precision.

    Values below `lowest` need not be told apart. `digits` (1 to 5) asks for as many decimal digits instead. Values are
    multiplied by `scale` and rounded, which is how fractions are recorded; `lowest` and `highest` are of such values.
    """

    def __init__(self, lowest: int = 1, highest: int = 3_600_000_000, precision: int | None = None, *,
                 digits: int | None = None, scale: float = 1.0) -> None:  # fmt: skip
        """ValueError when these make no shape, or one of more than 2**20 slots."""
        lowest, highest, scale = limit(lowest), limit(highest), float(scale)
        if digits is None:
            precision = 7 if precision is None else operator.index(precision)
            if not 0 <= precision <= MOST_PRECISION:
                raise ValueError(f"a precision is from 0 to {MOST_PRECISION} bits, not {precision}")
        elif precision is not None or not 1 <= operator.index(digits) <= 5:
            raise ValueError("digits are from 1 to 5, and not given beside a precision")
        else:
            precision = (2 * 10**digits - 1).bit_length() - 1
        if not 1 <= lowest < highest < 2**63:
            raise ValueError("lowest is at least 1, highest above it and below 2**63")
        if not (math.isfinite(scale) and scale > 0.0):
            raise ValueError("a scale is a number above 0")
        self.lowest, self.highest, self.scale = lowest, highest, scale
        self.precision, self.digits = precision, digits
        self.unit = lowest.bit_length() - 1  # bits of a value that are not looked at
        self.slots = self.slot_of(highest) + 1
        if self.slots > MOST_SLOTS:
            raise ValueError(f"a histogram like that has {self.slots} slots, more than {MOST_SLOTS}")

    def slot_of(self, value: int) -> int:
        """The slot of a recorded value; those beyond the range are in the first and the last one."""
        units = min(max(value, 0), self.highest) >> self.unit
        shift = max(0, units.bit_length() - self.precision - 1)
        return (shift << self.precision) + (units >> shift)

    def ends(self, slot: int) -> tuple[int, int]:
        """The smallest and the largest recorded value of a slot."""
        shift = max(0, (slot >> self.precision) - 1)
        part = slot - (shift << self.precision)
        return part << shift + self.unit, (part + 1 << shift + self.unit) - 1

    def slot(self, value: Any) -> int:
        """The slot that a value is recorded in; values beyond the range are in the first and the last one."""
        return self.slot_of(self.whole(value))

    def bounds(self, slot: int) -> tuple[float, float]:
        """The smallest and the largest value of a slot. IndexError when there is none."""
        if not 0 <= slot < self.slots:
            raise IndexError(f"slots are from 0 to {self.slots - 1}")
        low, high = self.ends(slot)
        return self.unscaled(low), self.unscaled(high)

    def whole(self, value: Any) -> int:
        """A value as it is recorded: scaled and rounded. TypeError, ValueError, OverflowError."""
        number = number_of(value)
        if isinstance(number, int):
            if not -(2**63) <= number < 2**63:
                raise OverflowError(TOO_WIDE)
        elif not math.isfinite(number):
            raise ValueError(NOT_FINITE)
        if isinstance(number, float) or self.scale != 1.0:
            number = float(number) * self.scale
        if not -(2**63) <= number < 2**63:
            raise OverflowError(TOO_WIDE)
        return round(number)

    def unscaled(self, value: int) -> int | float:
        """What a user calls a value that was recorded."""
        return value if self.scale == 1.0 else value / self.scale

    def parameters(self) -> str:
        """What it was made with, as text."""
        kind = f"digits={self.digits}" if self.digits else f"precision={self.precision}"
        scale = "" if self.scale == 1.0 else f", scale={self.scale!r}"
        return f"lowest={self.lowest}, highest={self.highest}, {kind}{scale}"

    def _same(self) -> tuple[int, int, int, float]:
        return self.unit, self.highest, self.precision, self.scale

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shape) and self._same() == other._same()

    def __hash__(self) -> int:
        return hash(self._same())

    def __repr__(self) -> str:
        return f"Shape({self.parameters()})"


def number_of(value: Any) -> int | float:
    """A number of Python as an int or float. TypeError."""
    if isinstance(value, float):
        return value
    if hasattr(value, "__index__"):
        return operator.index(value)
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"a value is an int or float, not {type(value).__name__}")


def values_of(values: Any) -> list[Any]:
    """The values of a batch: a buffer of numbers or a sequence of them. TypeError."""
    if isinstance(values, (list, tuple, range)):
        return list(values)
    try:
        view = memoryview(values)
    except TypeError:
        raise TypeError(f"a batch of values is a list, a tuple or a buffer, not {type(values).__name__}") from None
    if view.ndim != 1:
        raise TypeError(f"a batch of values has one dimension, not {view.ndim}")
    code = view.format.lstrip("@=<")
    if code not in tuple("ilqILQfd"):
        raise TypeError("a buffer of values holds int32, int64, uint32, uint64, float32 or float64, "
                        f"not {view.format!r}")  # fmt: skip
    kind: Any = code if code in "fd" else {4: "i", 8: "q"}[view.itemsize]
    return list(memoryview(view.tobytes()).cast(kind.upper() if code.isupper() else kind))


def times_of(count: Any) -> int:
    """How often a value came. TypeError, ValueError."""
    times = operator.index(count)
    if not 0 <= times <= MOST_VALUES:
        raise ValueError(NO_COUNT)
    return times
