"""What a cube holds, for those who read it: cells, groups of cells, totals. Values are copies and stay as they were."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from istat.errors import CubeError
from istat.kernels import cubes

#: A metric, by its handle or its name.
Which: TypeAlias = "str | cubes.Metric[Any]"    # a native metric takes no [Any]


def metric_of(core: cubes.Core, which: Which) -> cubes.Metric[Any]:
    """A metric of this core, by handle or name. ValueError when the handle is another cube's, CubeError when there is
    none of that name."""
    if isinstance(which, str):
        found = next((metric for metric in core.metrics if metric.name == which), None)
        if found is None:
            known = ", ".join(metric.name for metric in core.metrics) or "none"
            raise CubeError(f"the cube has no metric {which!r}; it has: {known}")
        return found
    if not isinstance(which, cubes.Metric):
        raise TypeError(f"a metric is told by its handle or its name, not by {type(which).__name__}")
    if which.core is not core:
        raise ValueError(f"{which!r} is a metric of another cube")
    which.check_listed()
    return which


class CellView:
    """A cell as it is now. `view[metric]` is an int or float of a counter, a float or None (not set) of a gauge, a
    Histogram or a HyperLogLog; the metric by its handle or its name.

    Views are good until the cell makes room for another one, or until the next reset: CubeError from then on.
    """

    __slots__ = ("_core", "_generation", "_slot")

    def __init__(self, core: cubes.Core, slot: int) -> None:
        self._core, self._slot, self._generation = core, slot, core.generation(slot)

    def _place(self) -> int:
        if self._core.generation(self._slot) != self._generation:
            raise CubeError("this view is of a cell that is gone: ask the cube again")
        return self._slot

    @property
    def key(self) -> tuple[cubes.Value, ...]:
        """The values of the dimensions."""
        return self._core.key(self._place())

    @property
    def late(self) -> bool:
        """Whether it was admitted after the cube was full: it may have missed updates."""
        return bool(self._core.marks(self._place()) & cubes.LATE)

    @property
    def overflow(self) -> bool:
        """Whether it stands for all that has no cell of its own."""
        return bool(self._core.marks(self._place()) & cubes.OVERFLOW)

    @property
    def inherited(self) -> int:
        """How much of the primary counter was estimated when the cell was admitted; the rest is exact. Top-K only."""
        return self._core.inherited(self._place())

    @property
    def floor(self) -> float:
        """The distinct items estimated when the cell was admitted. Top-cardinality only."""
        return self._core.floor(self._place())

    def __getitem__(self, which: Which) -> Any:
        metric = metric_of(self._core, which)
        with self._core.guard:
            return metric.value(self._place())

    def __repr__(self) -> str:
        metrics = [metric for metric in self._core.metrics if metric.kind in ("counter", "gauge")]
        shown = [f"{metric.name}={self[metric]}" for metric in metrics]
        return f"<cell {', '.join([repr(self.key), *shown])}>"


@dataclass(frozen=True, repr=False)
class Row:
    """Cells that agree on some dimensions, as one: `key` has their values, `row[metric]` what all have together.

    `complete` is False when updates found no cell, or cells were evicted: figures are at least what is told here.
    """

    key: tuple[cubes.Value, ...]
    cells: int
    complete: bool
    values: dict[str, Any]

    def __getitem__(self, which: Which) -> Any:
        name = which if isinstance(which, str) else which.name
        if name not in self.values:
            raise CubeError(f"these rows are not grouped with a metric {name!r}; they have: {', '.join(self.values)}")
        return self.values[name]

    def __repr__(self) -> str:
        shown = [f"{name}={value}" for name, value in self.values.items() if isinstance(value, (int, float))]
        return f"<row {', '.join([repr(self.key), *shown])}: {self.cells} cells>"


class Rows(list[Row]):
    """Groups of cells. `complete` as of each row; `other` has what is in no cell: counters, and of histograms and HLLs
    what the overflow cell holds (None without one)."""

    def __init__(self, rows: Iterable[Row], complete: bool, other: dict[str, Any]) -> None:
        super().__init__(rows)
        self.complete, self.other = complete, other


def grouped(core: cubes.Core, dimensions: Sequence[str], metrics: Sequence[cubes.Metric[Any]]) -> Rows:
    """Cells that agree on these dimensions, merged: in the order in which the first cell of each came. Guard held."""
    places = [core.names.index(name) for name in dimensions]
    groups: dict[bytes, list[int]] = {}
    for slot in core.slots():
        key = core.key(slot)
        groups.setdefault(cubes.encoded([key[place] for place in places]), []).append(slot)
    complete = Stats(**core.stats()).complete
    rows = [Row(cubes.decoded(key, len(places)), len(slots), complete,
                {metric.name: metric.merged(slots) for metric in metrics}) for key, slots in groups.items()]
    return Rows(rows, complete, {metric.name: other(core, metric) for metric in metrics})


def other(core: cubes.Core, metric: cubes.Metric[Any]) -> Any:
    """What is in no cell of a metric; None where nobody knows."""
    if isinstance(metric, cubes.CounterMetric):
        return metric.other
    return metric.value(core.overflow_slot) if core.overflow_slot >= 0 else None


class Totals:
    """What all updates added, those without a cell as well: `totals[metric]`. Of a gauge there is none (None)."""

    def __init__(self, core: cubes.Core) -> None:
        self._core = core

    def __getitem__(self, which: Which) -> Any:
        metric = metric_of(self._core, which)
        with self._core.guard:
            return getattr(metric, "total", None)

    def __repr__(self) -> str:
        shown = [f"{metric.name}={self[metric]}" for metric in self._core.metrics if metric.kind == "counter"]
        return f"<totals {', '.join(shown)}>"


@dataclass(frozen=True)
class Stats:
    """How full a cube is, and what it lost. `rejected`: updates whose cell got no room; `rejected_keys`: their distinct
    keys, estimated (comprehensive mode only); `noise`: what a bucket of the sketch holds of foreign keys, about."""

    cells: int
    max_cells: int
    rejected: int
    rejected_keys: int
    admitted_late: int
    evicted: int
    saturated: bool
    sketch_merge_skipped: int = 0
    noise: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether each update is in a cell of its own."""
        return not self.rejected and not self.evicted
