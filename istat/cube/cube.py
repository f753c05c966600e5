"""One cube of an instance: its metrics, updates of its cells, and reading them. Knows no other cubes.

Methods of metrics (`requests.incrby(("GET", "/", 200))`) are the kernel's own: a layer around them would cost more than
they do themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from istat.cube.reading import CellView, Rows, Stats, Totals, Which, grouped, metric_of, other
from istat.cube.schema import (
    MOST_CELLS,
    MOST_METRICS,
    CubeSchema,
    Draft,
    MetricSchema,
    SamplingSchema,
    checked_name,
)
from istat.errors import CubeError, DuplicateName
from istat.kernels import cubes

M = TypeVar("M", bound="cubes.Metric[Any]")


class Sampling(StrEnum):
    """What becomes of keys for which a full cube has no cell."""

    COMPREHENSIVE = "comprehensive"         # they are refused and counted
    TOPK = "topk"                           # those with the largest primary counter have the cells
    TOP_CARDINALITY = "top_cardinality"     # those with the most distinct items in the primary HLL


class Cube:
    """Cells that share dimensions and metrics. Made by `Instance.cube_create`.

    All calls raise ConcurrentUse while another one is at work in the instance.
    """

    def __init__(self, schema: CubeSchema, core: cubes.Core, draft: Draft, id: int = 0) -> None:
        """`core` is of that schema; `draft` learns of changes to it."""
        self._schema = schema
        self._identity, self._sampling = schema.identity, schema.sampling
        self._core, self._draft = core, draft
        self._gone = False
        self.id = id        # for logs; instances may number the same cube differently

    @property
    def name(self) -> str:
        return self._identity[0]

    @property
    def shared(self) -> dict[str, str]:
        """Tags of the whole cube."""
        return dict(self._identity[1])

    @property
    def dimensions(self) -> tuple[str, ...]:
        return self._core.names

    @property
    def metrics(self) -> tuple[cubes.Metric[Any], ...]:
        """In the order of registration."""
        return tuple(self._core.metrics)

    @property
    def schema(self) -> CubeSchema:
        """What it is made of; the same object until it changes."""
        return self._schema

    @property
    def core(self) -> cubes.Core:
        """The kernel's part: for frames, exporters and what merges cubes."""
        return self._core

    def metric(self, which: Which) -> cubes.Metric[Any]:
        """A metric by its name; CubeError when there is none. A handle of this cube's is given back."""
        return metric_of(self._core, which)

    # What it is made of.

    def register_counter(self, name: str, dtype: type = int) -> cubes.CounterMetric:
        """A sum, of int64 or (`dtype=float`) of float64. DuplicateName when there is a metric of that name, CubeError
        beyond 256 metrics; of all kinds."""
        if dtype not in (int, float):
            raise TypeError(f"a counter is of int or float, not {dtype!r}")
        with self._core.guard:
            return self._changed(self._core.add_counter(self._new_name(name), dtype is float))

    def register_gauge(self, name: str, merge: str = "last") -> cubes.GaugeMetric:
        """A value that is set. `merge` is what becomes of two: last (the later one), sum, max or min."""
        with self._core.guard:
            return self._changed(self._core.add_gauge(self._new_name(name), merge))

    def register_histogram(self, name: str, lowest: int = 1, highest: int = 3_600_000_000, precision: int | None = None,
                           digits: int | None = None, scale: float = 1.0) -> cubes.HistogramMetric:
        """How values from `lowest` (what differs by less is not told apart) to `highest` are distributed: exact to one
        part in 2**`precision` (7 by default), or to so many decimal `digits`. Values are multiplied by `scale` first:
        1e6 for seconds that are to be told apart by microseconds. `lowest` and `highest` are of such values then: 1 and
        60_000_000 for up to a minute."""
        if precision is not None and digits is not None:
            raise TypeError("a histogram has a precision or digits, not both")
        shape = cubes.Shape(lowest, highest, digits=digits, scale=scale) if digits is not None else cubes.Shape(
            lowest, highest, precision=7 if precision is None else precision, scale=scale)
        with self._core.guard:
            return self._changed(self._core.add_histogram(self._new_name(name), shape))

    def register_hll(self, name: str, precision: int = 12, hash: str = "xxh64") -> cubes.HllMetric:
        """How many distinct items, by 2**`precision` registers (4 to 18): off by 1.04 / sqrt(2**precision), 1.6 % for
        12.
        `hash="datasketches"` is for sketches that are to be exchanged with that library."""
        with self._core.guard:
            return self._changed(self._core.add_hll(self._new_name(name), precision, hash))

    def set_sampling(self, mode: Sampling | str, max_cells: int | None = None, primary: Which | None = None,
                     overflow_cell: bool = False, **options: Any) -> None:
        """How many cells there may be (a million, if nothing is said), and what becomes of other keys.

        `primary` is the metric that ranks cells: in TOPK mode a counter of int, which can only rise from now on, in
        TOP_CARDINALITY mode an HLL. `overflow_cell` adds a cell for the histograms and HLLs of all updates without one.
        `options` are those of the mode's sketch. Cells that there are stay as far as they fit. ValueError, TypeError
        for what cannot be.
        """
        if mode not in list(Sampling):
            raise ValueError(f"a sampling mode is one of {', '.join(Sampling)}, not {mode!r}")
        mode = Sampling(mode)
        most = cubes.DEFAULT_CELLS if max_cells is None else max_cells
        if isinstance(most, bool) or not isinstance(most, int):
            raise TypeError(f"max_cells is a number of cells, not {most!r}")
        if not 1 <= most <= MOST_CELLS:
            raise ValueError(f"max_cells is from 1 to {MOST_CELLS}, not {most}")
        ranking = self._ranking(mode, primary)
        schema = SamplingSchema(mode.value, most, ranking, bool(overflow_cell), tuple(sorted(options.items())))
        with self._core.guard:
            self._check_there()
            schema.apply(self._core)
            self.take_core(schema)

    def _ranking(self, mode: Sampling, primary: Which | None) -> str | None:
        """The name of the metric that ranks cells, if it can."""
        if mode is Sampling.COMPREHENSIVE:
            if primary is not None:
                raise ValueError("no metric ranks the cells in comprehensive mode: leave primary out")
            return None
        if primary is None:
            raise ValueError(f"{mode.value} mode needs primary, the metric that ranks cells")
        metric = self.metric(primary)
        if mode is Sampling.TOP_CARDINALITY and not isinstance(metric, cubes.HllMetric):
            raise ValueError(f"cells are ranked by an HLL in {mode.value} mode, not by {metric!r}")
        if mode is Sampling.TOPK:
            if not isinstance(metric, cubes.CounterMetric) or metric.real:
                raise ValueError(f"cells are ranked by a counter of int in {mode.value} mode, not by {metric!r}")
            if any(metric.value(slot) < 0 for slot in self._core.slots(True)):
                raise ValueError(f"{metric!r} has cells below 0 and cannot rank them")
        return metric.name

    def _new_name(self, name: str) -> str:
        self._check_there()
        checked = checked_name(name, "metric")
        if any(metric.name == checked for metric in self._core.metrics):
            raise DuplicateName(f"the cube {self.name!r} has a metric {checked!r} already")
        if len(self._core.metrics) >= MOST_METRICS:
            raise CubeError(f"a cube has at most {MOST_METRICS} metrics")
        return checked

    def _changed(self, metric: M) -> M:
        self._change()
        return metric

    def _change(self) -> None:
        """The schema is another one now. Made here, not when it is asked for: others may ask while it changes."""
        metrics = tuple(map(MetricSchema.of, self._core.metrics))
        self._schema = CubeSchema(*self._identity, self.dimensions, metrics, self._sampling)
        self._draft.changes += 1

    # For merging and calibrating, in the guard.

    def add_metric(self, schema: MetricSchema) -> cubes.Metric[Any]:
        """A metric that another cube has."""
        return self._changed(schema.add_to(self._core))

    def fold(self, metric: cubes.HllMetric, precision: int) -> None:
        """Give an HLL fewer registers."""
        metric.fold(precision)
        self._changed(metric)

    def take_core(self, sampling: SamplingSchema) -> None:
        """The core was brought to this sampling, and perhaps to other metrics."""
        self._sampling = sampling
        self._change()

    def drop(self) -> None:
        """It goes: it takes neither metrics nor updates any more, and its data are freed."""
        self._gone = True
        self._core.sample(cubes.COMPREHENSIVE, 1)
        self._core.reset()
        for metric in list(self._core.metrics):
            self._core.drop(metric)

    def _check_there(self) -> None:
        if self._gone:
            raise CubeError(f"the cube {self.name!r} is gone: its instance was closed, or calibrated to a schema "
                            "without it")

    # Updates.

    def cell(self, *values: object, **named: object) -> cubes.Cell:
        """A handle for many updates of one cell, by the dimensions' values in order or by name. It makes no cell before
        its first update. TypeError, ValueError, OverflowError, KeyTooLong for values that cannot be."""
        if named:
            if values:
                raise TypeError("give the values of a cell in order or by name, not both")
            values = tuple(self._in_order(named, "values"))
        return self._core.cell(*values)

    def rows(self, columns: Mapping[str, object] | Sequence[object]) -> cubes.KeyBatch:
        """The keys of a batch, for `<op>_many` of several metrics: a column for each dimension, by name or in order.
        What a column can be: see the guide. Where a full cube ranks its cells, metrics other than the primary one take
        only rows whose cell is there at that moment; `update` goes row by row and does not have this limit."""
        return self._core.rows(self._columns(columns))

    def update(self, columns: Mapping[str, object] | Sequence[object], values: Mapping[Which, object]) -> int:
        """Update metrics by a batch, row by row: counters are raised, gauges set, values recorded, items added. Each
        value is a column, or one value for all rows. How many rows had a cell; the others are counted in `stats`.
        Errors as those of single updates, before anything changes."""
        if not isinstance(values, Mapping):
            raise TypeError(f"values are a mapping of metrics to columns, not {type(values).__name__}")
        given = {self.metric(which): values[which] for which in values}
        if len(given) < len(values):
            raise ValueError("a metric stands twice in a batch, by its name and by its handle: give it one column")
        return self._core.update(self._columns(columns), given)

    def _columns(self, columns: Mapping[str, object] | Sequence[object]) -> Sequence[object]:
        return self._in_order(columns, "columns") if isinstance(columns, Mapping) else columns

    def _in_order(self, named: Mapping[str, object], what: str) -> list[object]:
        if set(named) != set(self.dimensions):
            raise ValueError(f"the dimensions of {self.name!r} are {', '.join(self.dimensions)}; these are {what} of "
                             f"{', '.join(map(str, named)) or 'none'}")
        return [named[name] for name in self.dimensions]

    # Reading.

    def __len__(self) -> int:
        """How many cells there are."""
        with self._core.guard:
            return len(self._core.slots())

    def cells(self) -> list[CellView]:
        """The cells, in the order in which they came."""
        with self._core.guard:
            return [CellView(self._core, slot) for slot in self._core.slots()]

    def top(self, n: int | None = None, by: Which | None = None) -> list[CellView]:
        """The n cells with the most (all without n), the largest first: of a metric, else of the one that ranks cells,
        else of the first counter. Ties by key. ValueError when there is none, or for a number of cells below 0."""
        if n is not None and n < 0:
            raise ValueError(f"a number of cells is 0 or more, not {n}")
        counter = next((metric for metric in self._core.metrics if metric.kind == "counter"), None)
        ranking = self.metric(by) if by is not None else counter if self._sampling.primary is None else None
        with self._core.guard:
            return [CellView(self._core, slot) for slot in self._core.ranked(n, ranking)]

    def get(self, key: Sequence[object] | cubes.Cell) -> CellView | None:
        """A cell by the values of its dimensions, or by its handle; None when there is none."""
        with self._core.guard:
            slot = self._core.find(key)
            there = slot >= 0 and self._core.marks(slot) & cubes.TOUCHED
            return CellView(self._core, slot) if there else None

    @property
    def overflow(self) -> CellView | None:
        """The cell that stands for all updates without one, if the cube has it and there are such."""
        with self._core.guard:
            slot = self._core.overflow_slot
            return CellView(self._core, slot) if slot >= 0 else None

    def group_by(self, dimensions: str | Sequence[str], *metrics: Which) -> Rows:
        """Cells that agree on these dimensions, merged to one row each; of these metrics, or of all."""
        wanted = (dimensions,) if isinstance(dimensions, str) else tuple(dimensions)
        unknown = [name for name in wanted if name not in self.dimensions]
        if unknown:
            raise CubeError(f"{self.name!r} has no dimension {unknown[0]!r}; it has: {', '.join(self.dimensions)}")
        with self._core.guard:
            return grouped(self._core, wanted, [self.metric(which) for which in metrics] or self._core.metrics)

    @property
    def totals(self) -> Totals:
        """What all updates added, by metric."""
        return Totals(self._core)

    def other(self, metric: Which) -> Any:
        """What a metric's totals have more than its cells: of a histogram or HLL what the overflow cell holds, None
        without one; always None of a gauge."""
        with self._core.guard:
            return other(self._core, self.metric(metric))

    def stats(self) -> Stats:
        """How full it is, and what was lost."""
        with self._core.guard:
            return Stats(**self._core.stats())

    def memory(self) -> dict[str, Any]:
        """[bytes] held: cells, each metric, sketch."""
        with self._core.guard:
            return self._core.memory()

    def __repr__(self) -> str:
        tags = "".join(f" {name}={value}" for name, value in self._identity[1])
        return (f"<cube {self.name}({', '.join(self.dimensions)}){tags}: {len(self)} cells, "
                f"{len(self._core.metrics)} metrics>")
