"""What a program with threads writes to: cubes and metrics of an `Easy`, whichever instance the thread has at the
moment.

The methods have the names of those of an instance's metrics, and take the same; they are calls of the kernel's. Only,
cells are told by their values alone, and `<op>_many` take columns: handles of cells and batches of keys are one
instance's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from istat.cube.instance import Instance
from istat.cube.schema import CubeSchema, MetricSchema
from istat.errors import CubeError
from istat.kernels import cubes


@dataclass(frozen=True)
class Target:
    """A method of a metric (or, without a metric, of a cube) of any instance of the schema."""

    cube: str
    shared: tuple[tuple[str, str], ...]
    metric: str | None
    method: str
    kind: str = ""      # of the metric: a counter and a gauge can both be set

    def call(self, instance: Instance) -> Callable[..., Any]:
        """The method that is meant. CubeError when the instance has no such cube or metric."""
        cube = instance.cube(self.cube, dict(self.shared))
        if self.metric is None:
            return getattr(cube, self.method)       # type: ignore[no-any-return]
        metric = cube.metric(self.metric)
        if metric.kind != self.kind:
            raise CubeError(f"the metric {self.metric!r} is a {metric.kind} now, no {self.kind}")
        found = getattr(metric, self.method)
        if not self.method.endswith("_many"):
            return found        # type: ignore[no-any-return]
        return lambda columns, *values: found(cube.rows(columns), *values)


Writer = Callable[[Target], cubes.Write]


class Handle:
    """A metric. Each method that is named in `methods` goes to the calling thread's instance."""

    kind = ""
    methods: tuple[str, ...] = ()

    def __init__(self, cube: CubeSchema, metric: MetricSchema, writer: Writer) -> None:
        if metric.kind != self.kind:
            raise TypeError(f"{metric.name!r} of the cube {cube.name!r} is a {metric.kind}, not a {self.kind}")
        self.name = metric.name
        for method in self.methods:
            setattr(self, method, writer(Target(cube.name, cube.shared, metric.name, method, self.kind)))

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} of each thread>"


class EasyCounter(Handle):
    """`incrby(key, n=1)`, `set(key, n)`: whether there was a cell for it. `incrby_many(columns, n=1)`, `set_many`: how
    many rows had one."""

    kind = "counter"
    methods = ("incrby", "incrby_many", "set", "set_many")
    incrby: Callable[..., bool]
    incrby_many: Callable[..., int]
    set: Callable[..., bool]
    set_many: Callable[..., int]


class EasyGauge(Handle):
    """`set(key, value)`, `set_many(columns, values)`; as those of a counter."""

    kind = "gauge"
    methods = ("set", "set_many")
    set: Callable[..., bool]
    set_many: Callable[..., int]


class EasyHistogram(Handle):
    """`record(key, value, count=1)`, `record_corrected(key, value, expected_interval)`, `record_many(columns, values,
    counts=None)`."""

    kind = "histogram"
    methods = ("record", "record_corrected", "record_many")
    record: Callable[..., bool]
    record_corrected: Callable[..., bool]
    record_many: Callable[..., int]


class EasyHll(Handle):
    """`add(key, item)`, `add_many(columns, items)`."""

    kind = "hll"
    methods = ("add", "add_many")
    add: Callable[..., bool]
    add_many: Callable[..., int]


class EasyCube:
    """A cube. Made by `Easy.cube`."""

    def __init__(self, schema: Callable[[], CubeSchema], writer: Writer) -> None:
        """`schema` of the cube as it is at the moment: a metric may have been registered later."""
        self._schema, self._writer = schema, writer
        made = schema()
        self.name, self.dimensions = made.name, made.dimensions
        self._update = writer(Target(made.name, made.shared, None, "update"))

    def counter(self, name: str) -> EasyCounter:
        """A metric that the cube has. CubeError when there is none of that name, TypeError when it is another kind; so
        for the other kinds."""
        return EasyCounter(self._schema(), self._metric(name), self._writer)

    def gauge(self, name: str) -> EasyGauge:
        """See `counter`."""
        return EasyGauge(self._schema(), self._metric(name), self._writer)

    def histogram(self, name: str) -> EasyHistogram:
        """See `counter`."""
        return EasyHistogram(self._schema(), self._metric(name), self._writer)

    def hll(self, name: str) -> EasyHll:
        """See `counter`."""
        return EasyHll(self._schema(), self._metric(name), self._writer)

    def _metric(self, name: str) -> MetricSchema:
        metrics = self._schema().metrics
        found = next((metric for metric in metrics if metric.name == name), None)
        if found is None:
            known = ", ".join(metric.name for metric in metrics) or "none"
            raise CubeError(f"the cube {self.name!r} has no metric {name!r}; it has: {known}")
        return found

    def update(self, columns: Mapping[str, object] | Sequence[object], values: Mapping[str | Handle, object]) -> int:
        """Update metrics by a batch, row by row: see `Cube.update`. How many rows had a cell."""
        named = {which if isinstance(which, str) else which.name: value for which, value in values.items()}
        return self._update(columns, named)     # type: ignore[no-any-return]

    def key(self, **values: object) -> tuple[object, ...]:
        """The values of a cell in the order of the dimensions. ValueError when one is missing, or is none of them."""
        if set(values) != set(self.dimensions):
            raise ValueError(f"the dimensions of {self.name!r} are {', '.join(self.dimensions)}; these are values of "
                             f"{', '.join(values) or 'none'}")
        return tuple(values[name] for name in self.dimensions)

    def __repr__(self) -> str:
        return f"<cube {self.name}({', '.join(self.dimensions)}) of each thread>"
