"""What a cube is made of, as values that never change: instances share them, frames carry them. Knows no data.

A cube is told from others by its name and its shared tags, a metric within its cube by its name.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from istat.errors import CubeError, DuplicateName
from istat.kernels import cubes

NAME_ROOM = 255             # [bytes] longest name or tag, as UTF-8
MOST_CUBES = 65_536         # of an instance
MOST_METRICS = 256          # of a cube
MOST_TAGS = 64
MOST_CELLS = 1 << 24        # of a cube

#: A cube's name and its shared tags, by the order of their names.
Identity = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class MetricSchema:
    """A metric of kind counter (`real`: of float64), gauge (merged by `rule`), histogram (of `shape`) or hll."""

    name: str
    kind: str
    real: bool = False
    rule: str = ""
    shape: cubes.Shape | None = None
    precision: int = 0
    hash: str = ""

    @classmethod
    def of(cls, metric: cubes.Metric[Any]) -> MetricSchema:
        """Of a metric that there is."""
        given = {"counter": ("real",), "gauge": ("rule",), "histogram": ("shape",), "hll": ("precision", "hash")}
        return cls(metric.name, metric.kind, **{name: getattr(metric, name) for name in given[metric.kind]})

    def add_to(self, core: cubes.Core) -> cubes.Metric[Any]:
        """A new, empty metric of this schema."""
        if self.kind == "counter":
            return core.add_counter(self.name, self.real)
        if self.kind == "gauge":
            return core.add_gauge(self.name, self.rule)
        if self.kind == "histogram":
            assert self.shape is not None
            return core.add_histogram(self.name, self.shape)
        return core.add_hll(self.name, self.precision, self.hash)

    def __str__(self) -> str:
        told = {
            "counter": f"counter of {'float' if self.real else 'int'}", "gauge": f"gauge (merge={self.rule})",
            "histogram": f"histogram ({self.shape})", "hll": f"HLL (precision={self.precision}, hash={self.hash})",
        }  # fmt: skip
        return told[self.kind]


@dataclass(frozen=True)
class SamplingSchema:
    """How a cube samples: `primary` is the name of the metric that ranks cells, `options` are those of the sketch."""

    mode: str = cubes.COMPREHENSIVE
    max_cells: int = cubes.DEFAULT_CELLS
    primary: str | None = None
    overflow_cell: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    def apply(self, core: cubes.Core) -> None:
        """Let a core sample so; errors as of `Core.sample`."""
        primary = next((metric for metric in core.metrics if metric.name == self.primary), None)
        core.sample(self.mode, self.max_cells, primary, self.overflow_cell, **dict(self.options))


@dataclass(frozen=True)
class CubeSchema:
    """One cube: dimensions and metrics in their order."""

    name: str
    shared: tuple[tuple[str, str], ...]
    dimensions: tuple[str, ...]
    metrics: tuple[MetricSchema, ...] = ()
    sampling: SamplingSchema = SamplingSchema()

    @property
    def identity(self) -> Identity:
        """What tells it from other cubes."""
        return self.name, self.shared

    def core(self, guard: cubes.Guard) -> cubes.Core:
        """The data of such a cube, empty."""
        core = cubes.Core(self.dimensions, guard)
        for metric in self.metrics:
            metric.add_to(core)
        self.sampling.apply(core)
        return core

    def __str__(self) -> str:
        tags = ", ".join(f"{name}={value}" for name, value in self.shared)
        return f"{self.name}{{{tags}}}" if tags else self.name


@dataclass(frozen=True, eq=False)
class Schema:
    """All cubes of an instance. Each change of an instance makes a new one, of the next epoch; a fork has the same
    one."""

    epoch: int
    cubes: tuple[CubeSchema, ...]


class Draft:
    """How often the schema of an instance has changed: its cubes count here."""

    changes = 0


def checked_name(name: object, what: str) -> str:
    """A name that can be used; `what` it is of. TypeError when it is no text, ValueError when it is empty, longer than
    255 bytes as UTF-8, or has control characters."""
    what = f"the name of {'an' if what[0] in 'aeiou' else 'a'} {what}"
    text = checked_text(name, what)
    if not text:
        raise ValueError(f"{what} is not empty")
    return text


def checked_text(text: object, what: str) -> str:
    """As `checked_name`, of any text, which may be empty; `what` it is."""
    if not isinstance(text, str):
        raise TypeError(f"{what} is a text, not {type(text).__name__}: {text!r}")
    control = next((char for char in text if unicodedata.category(char) in ("Cc", "Cs")), None)
    if control is not None:
        raise ValueError(f"{what} has no control characters, such as {control!r}: {text!r}")
    if len(text.encode()) > NAME_ROOM:
        raise ValueError(f"{what} has at most {NAME_ROOM} bytes: {text[:40]!r}...")
    return text


def checked_dimensions(names: Sequence[str]) -> tuple[str, ...]:
    """Names of 1 to 64 dimensions, none twice (DuplicateName)."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"dimensions are a sequence of names, such as ('method', 'path'), not {names!r}")
    checked = tuple(checked_name(name, "dimension") for name in names)
    if not 1 <= len(checked) <= cubes.MOST_DIMENSIONS:
        raise ValueError(f"a cube has 1 to {cubes.MOST_DIMENSIONS} dimensions, not {len(checked)}")
    twice = next((name for name in checked if checked.count(name) > 1), None)
    if twice is not None:
        raise DuplicateName(f"two dimensions are called {twice!r}")
    return checked


def checked_tags(tags: Mapping[str, str] | None, dimensions: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """Tags by the order of their names. DuplicateName when a dimension is called so as well."""
    if tags is not None and not isinstance(tags, Mapping):
        raise TypeError(f"tags are a mapping of names to texts, not {tags!r}")
    checked = {checked_name(name, "tag"): checked_text(value, f"the value of the tag {name!r}")
               for name, value in (tags or {}).items()}
    clash = next((name for name in dimensions if name in checked), None)
    if clash is not None:
        raise DuplicateName(f"{clash!r} is a dimension and a shared tag: call one of them otherwise")
    if len(checked) > MOST_TAGS:
        raise CubeError(f"there are at most {MOST_TAGS} tags, not {len(checked)}")
    return tuple(sorted(checked.items(), key=lambda tag: tag[0].encode()))
