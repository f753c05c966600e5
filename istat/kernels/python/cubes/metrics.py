"""A column of values for each metric of a cube, with the methods that programs call. Knows no sampling: which slot an
update goes to, the core tells.

All methods take a cell as a tuple of values or as a Cell, and those named `_many` take a KeyBatch and one value a
row, or one for all rows. Updates return whether there was a cell for them; a refused one is counted and raises
nothing. Wrong values raise before anything changes.

This module is the specification; `native/cubes/metrics.pyx` is the fast build of it and the same tests run on both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from istat.errors import CubeError
from istat.kernels.python.cubes.cells import CoreBase, KeyBatch
from istat.kernels.python.cubes.keys import INT_MAX, INT_MIN, real, reals, wholes

RULES = ("last", "sum", "max", "min")       # by which gauges merge
LARGEST = 1.7976931348623157e308            # of float64: real counters saturate here
T = TypeVar("T")


class Metric(Generic[T]):
    """What all have: a name, a column of values by slot, and totals over all updates (not of gauges)."""

    kind = ""

    def __init__(self, name: str, core: CoreBase) -> None:
        self.name, self.core = name, core
        self.dropped = False        # from its cube: it takes no updates any more
        self.values: list[T] = []

    def check_listed(self) -> None:
        """CubeError when the metric was dropped from its cube."""
        if self.dropped:
            raise CubeError(f"the metric {self.name!r} was dropped from its cube: ask the cube for the one it has now")

    def key(self, target: object) -> bytes:
        """The key of a cell to be updated; errors as of `check_listed` and `CoreBase.key_of`."""
        self.check_listed()
        key = self.core.key_of(target)
        self.check_listed()         # what stands for an int may have run a program's code
        return key

    def keys(self, rows: KeyBatch) -> list[bytes]:
        """The keys of a batch. TypeError when it is none, ValueError when it is one of another cube."""
        if not isinstance(rows, KeyBatch):
            raise TypeError(f"a batch is what rows() of the cube returns, not {type(rows).__name__}")
        if rows.core is not self.core:
            raise ValueError(f"{rows!r} is a batch of another cube than {self!r}")
        self.check_listed()
        return rows.keys

    def is_set(self, slot: int) -> bool:
        """Whether the slot has a value; only of gauges it may have none."""
        return True

    # What the core calls, in the guard.

    def checked(self, values: Any, rows: int) -> list[Any]:
        """A column of values of updates, checked and as `apply` takes them; one value may stand for all rows."""
        raise NotImplementedError

    def apply(self, key: bytes, value: Any) -> bool:
        """Update the cell of a key by a checked value: incrby, set, record or add. False when it was refused."""
        raise NotImplementedError

    def raise_by(self, slot: int, amount: int, item: int) -> tuple[int, int]:
        """Raise the value of a slot where the metric ranks cells: a counter by the amount, an HLL by an item's hash.
        Of an HLL, the ranks that a register had and has; not the totals."""
        raise NotImplementedError

    def rank(self, slot: int) -> float:
        """What cells are ordered by when they are ordered by this metric."""
        raise NotImplementedError

    def reserve(self, room: int) -> None:
        """Room for so many slots; new ones are empty."""
        self.values.extend(self.empty() for _ in range(room - len(self.values)))

    def empty(self) -> T:
        """The value of a cell without updates."""
        raise NotImplementedError

    def value(self, slot: int) -> Any:
        """A copy of the value of a slot."""
        raise NotImplementedError

    def merged(self, slots: Iterable[int]) -> Any:
        """What these slots, none of them the overflow cell's, have together: a value as `value` gives it."""
        raise NotImplementedError

    def put(self, slot: int, value: Any) -> None:
        """Set the value of a slot, and no totals: for readers of files."""
        raise NotImplementedError

    def clear_cell(self, slot: int) -> None:
        self.values[slot] = self.empty()

    def move_cell(self, to: int, of: int) -> None:
        """`of` is empty afterwards."""
        self.values[to] = self.values[of]
        self.clear_cell(of)

    def merge_cell(self, slot: int, other: Metric[T], of: int) -> None:
        """Add what another metric of the same kind and parameters has in a slot of its own."""
        raise NotImplementedError

    def clear(self, room: int) -> None:
        """All slots empty, and the totals; so many slots remain."""
        self.values = [self.empty() for _ in range(room)]

    def merge_totals(self, other: Metric[T]) -> None:
        """Add another metric's totals."""

    def memory(self) -> int:
        """[bytes] of the column in the native build, roughly."""
        return 8 * len(self.values)


class CounterMetric(Metric[Any]):
    """A sum of int64, or of float64 (`real`). It stops at the limits of its type instead of wrapping."""

    kind = "counter"

    def __init__(self, name: str, core: CoreBase, real: bool = False) -> None:
        super().__init__(name, core)
        self.real = real
        self.total: Any = self.empty()      # of all updates, the refused ones as well

    def incrby(self, target: object, n: Any = 1) -> bool:
        """Add to a cell. TypeError for what is no number of the counter's type, OverflowError beyond int64, ValueError
        for one that is not finite, and below 0 where the counter ranks the cube's cells."""
        key, amount = self.key(target), self.checked(n, 1)[0]
        with self.core.guard:
            return self.apply(key, amount)

    def incrby_many(self, rows: KeyBatch, n: Any = 1) -> int:
        """As `incrby` for each row; how many had a cell."""
        keys = self.keys(rows)
        amounts = self.checked(n, len(keys))
        with self.core.guard:
            return sum([self.apply(key, amount) for key, amount in zip(keys, amounts)])

    def set(self, target: object, n: Any) -> bool:
        """Give a cell's counter another value; the totals change by the difference. CubeError where the counter ranks
        the cube's cells, else errors as of `incrby`."""
        key, value = self.key(target), self.checked(n, 1)[0]
        self._check_settable()
        with self.core.guard:
            return self._set(key, value)

    def set_many(self, rows: KeyBatch, n: Any) -> int:
        """As `set` for each row; how many had a cell."""
        keys = self.keys(rows)
        values = self.checked(n, len(keys))
        self._check_settable()
        with self.core.guard:
            return sum([self._set(key, value) for key, value in zip(keys, values)])

    def apply(self, key: bytes, value: Any) -> bool:
        self.total = self._sum(self.total, value)
        ranks = self.core.primary is self
        slot = self.core.rank_up(key, value, 0) if ranks else self.core.slot_of(key)
        if slot >= 0 and not ranks:
            self.values[slot] = self._sum(self.values[slot], value)
        return slot >= 0

    def _set(self, key: bytes, value: Any) -> bool:
        slot = self.core.slot_of(key)
        before = self.values[slot] if slot >= 0 else self.empty()
        if slot >= 0:
            self.values[slot] = value
        self.total = self._sum(self._sum(self.total, value), -before)
        return slot >= 0

    def raise_by(self, slot: int, amount: int, item: int) -> tuple[int, int]:
        self.values[slot] = self._sum(self.values[slot], amount)
        return 0, 0

    def rank(self, slot: int) -> float:
        return float(self.values[slot]) if self.real else self.values[slot]     # an int is exact, a float is not

    @property
    def other(self) -> Any:
        """What the totals have more than the cells: updates that were refused, and cells that were evicted."""
        self.check_listed()
        if not self.core.refused and not self.core.evicted:
            return self.empty()     # where floats are added up in another order there would be a trace of one
        return self.total - sum([self.values[slot] for slot in self.core.cells.in_order()])

    def checked(self, values: Any, rows: int) -> list[Any]:
        if self.real:
            amounts: list[Any] = reals(values, rows, self.name)
            if not all(map(math.isfinite, amounts)):
                raise ValueError(f"{self.name} takes finite numbers only")
            return amounts
        amounts = wholes(values, rows)
        if self.core.primary is self and amounts and min(amounts) < 0:
            raise ValueError(f"{self.name} ranks the cells of its cube and only rises: {min(amounts)} cannot be added")
        return amounts

    def _check_settable(self) -> None:
        if self.core.primary is self:
            raise CubeError(f"{self.name} ranks the cells of its cube: it can be raised by incrby, but not set")

    def _sum(self, a: Any, b: Any) -> Any:
        """a + b, at the limits of the type where they are passed; the cube tells so then."""
        total = self._limited(a + b)
        if total != a + b:
            self.core.saturated = True
        return total

    def _limited(self, number: Any) -> Any:
        least, most = (-LARGEST, LARGEST) if self.real else (INT_MIN, INT_MAX)
        return min(max(number, least), most)

    def empty(self) -> Any:
        return 0.0 if self.real else 0

    def value(self, slot: int) -> Any:
        """The count of a slot; of the overflow cell, what the other cells do not have."""
        return self.other if slot == self.core.cells.overflow else self.values[slot]

    def merged(self, slots: Iterable[int]) -> Any:
        return self._limited(sum([self.values[slot] for slot in slots], self.empty()))

    def put(self, slot: int, value: Any) -> None:
        self.values[slot] = value

    def merge_cell(self, slot: int, other: Metric[Any], of: int) -> None:
        self.values[slot] = self._sum(self.values[slot], other.values[of])

    def clear(self, room: int) -> None:
        super().clear(room)
        self.total = self.empty()

    def merge_totals(self, other: Metric[Any]) -> None:
        assert isinstance(other, CounterMetric)
        self.total = self._sum(self.total, other.total)

    def __repr__(self) -> str:
        return f"CounterMetric({self.name!r}{', dtype=float' if self.real else ''})"


#: Of a gauge that is set: value, tick and origin of who set it.
Stamped = tuple[float, int, int]


class GaugeMetric(Metric["Stamped | None"]):
    """The last value set; what merging makes of two, the rule tells: last, sum, max or min."""

    kind = "gauge"

    def __init__(self, name: str, core: CoreBase, rule: str = "last") -> None:
        super().__init__(name, core)
        if rule not in RULES:
            raise ValueError(f"a gauge merges by one of {', '.join(RULES)}, not by {rule!r}")
        self.rule = rule

    def set(self, target: object, value: Any) -> bool:
        """Set a cell's gauge. TypeError for what is no number, ValueError for NaN."""
        key, number = self.key(target), real(value, self.name)
        with self.core.guard:
            return self.apply(key, number)

    def set_many(self, rows: KeyBatch, values: Any) -> int:
        """As `set` for each row; how many had a cell."""
        keys = self.keys(rows)
        numbers = self.checked(values, len(keys))
        with self.core.guard:
            return sum([self.apply(key, number) for key, number in zip(keys, numbers)])

    def checked(self, values: Any, rows: int) -> list[float]:
        return reals(values, rows, self.name)

    def apply(self, key: bytes, value: float) -> bool:
        slot, guard = self.core.slot_of(key), self.core.guard
        if slot >= 0:
            self.values[slot] = (value, guard.tick, guard.origin)
        return slot >= 0

    def rank(self, slot: int) -> float:
        stamped = self.values[slot]
        return -math.inf if stamped is None else stamped[0]

    def empty(self) -> Stamped | None:
        return None

    def is_set(self, slot: int) -> bool:
        return self.values[slot] is not None

    def value(self, slot: int) -> float | None:
        """The gauge of a slot; None when it is not set."""
        stamped = self.values[slot]
        return None if stamped is None else stamped[0]

    def stamp(self, slot: int) -> tuple[int, int]:
        """Tick and origin of who set the gauge of a slot; (0, 0) when it is not set."""
        stamped = self.values[slot]
        return (0, 0) if stamped is None else stamped[1:]

    def put(self, slot: int, value: Any, tick: int = 0, origin: int = 0) -> None:
        self.values[slot] = None if value is None else (value, tick, origin)

    def merge_cell(self, slot: int, other: Metric[Stamped | None], of: int) -> None:
        self.values[slot] = self._joined(self.values[slot], other.values[of])

    def merged(self, slots: Iterable[int]) -> float | None:
        joined: Stamped | None = None
        for slot in slots:
            joined = self._joined(joined, self.values[slot])
        return None if joined is None else joined[0]

    def _joined(self, mine: Stamped | None, theirs: Stamped | None) -> Stamped | None:
        """What the rule makes of two."""
        if mine is None or theirs is None:
            return theirs if mine is None else mine
        if self.rule == "last":     # the value comes last: one instance may have set two at one tick
            return max(mine, theirs, key=lambda stamped: (stamped[1:], stamped[0]))
        a, b = mine[0], theirs[0]
        both = max(a, b) if self.rule == "max" else min(a, b) if self.rule == "min" else a + b
        if math.isnan(both):
            both = math.inf         # of both infinities, in whatever order
        return (both, *max(mine[1:], theirs[1:]))

    def memory(self) -> int:
        return 24 * len(self.values)

    def __repr__(self) -> str:
        return f"GaugeMetric({self.name!r}, merge={self.rule!r})"
