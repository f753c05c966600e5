"""A cube as a table for people, or the same figures for scripts. Knows no terminal: who draws it takes care of signs
that one would act upon.

Of a histogram a table has how many values there are, two percentiles and the maximum; of a HyperLogLog how many
distinct items.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from istat.cube.cube import Cube
from istat.cube.export.values import exact_text, text_of, whole
from istat.cube.reading import Which
from istat.kernels import cubes

NO_CELL, TOTAL = "(no cell)", "total"       # the last rows: what is in no cell, and all
PERCENTILES = (50, 99)
MODES = {"comprehensive": "all cells are kept", "topk": "the largest by {primary}",
         "top_cardinality": "those with the most distinct {primary}"}

Figure = float | None
#: The figures of one metric: one, or several by name.
Figures = dict[str, Figure]


@dataclass(frozen=True)
class Line:
    """A cell, a group of cells, or what is in none. `key` has the dimensions' values."""

    key: tuple[Any, ...]
    figures: dict[str, Figures]
    cells: int = 1


@dataclass(frozen=True)
class Table:
    """Texts in columns; the first `keys` of these are dimensions' values, the others numbers. `last` are rows beyond a
    line: what is in no cell, totals."""

    title: str
    keys: int
    heads: tuple[str, ...]
    rows: list[tuple[str, ...]]
    last: list[tuple[str, ...]]
    notes: list[str]


class CubeTable:
    """What is shown of a cube: the `limit` largest cells by a metric, or groups of them by some dimensions.

    `metric`: as `Cube.top` has it. CubeError for names that the cube does not have.
    """

    def __init__(self, cube: Cube, limit: int, metric: Which | None = None, dimensions: Sequence[str] = ()) -> None:
        self._cube, self.dimensions = cube, tuple(dimensions) or cube.dimensions
        self._grouped = bool(dimensions)
        ranking = _ranking(cube, metric)
        found = list(self._groups() if dimensions else self._cells(limit, ranking))
        if dimensions and ranking is not None:
            found.sort(key=lambda line: -(next(iter(line.figures[ranking.name].values())) or 0))
        self.count = len(found) if dimensions else len(cube)
        self.lines = found[:limit]
        self.total = Line((), {one.name: figures(one, cube.totals[one]) for one in cube.metrics})
        self.other = Line((), {one.name: figures(one, cube.other(one)) for one in cube.metrics})

    def _cells(self, limit: int, ranking: cubes.Metric[Any] | None) -> Iterable[Line]:
        cells = self._cube.cells()[:limit] if ranking is None else self._cube.top(limit, ranking)
        for cell in cells:
            yield Line(cell.key, {metric.name: figures(metric, cell[metric]) for metric in self._cube.metrics})

    def _groups(self) -> Iterable[Line]:
        for row in self._cube.group_by(self.dimensions):
            yield Line(row.key, {one.name: figures(one, row[one]) for one in self._cube.metrics}, row.cells)

    def table(self) -> Table:
        """As texts."""
        metrics = [(metric, _heads(metric)) for metric in self._cube.metrics]
        heads = (*self.dimensions, *(("cells",) if self._grouped else ()),
                 *(head for _, heads in metrics for head in heads.values()))

        def row(key: Sequence[str], cells: str, line: Line) -> tuple[str, ...]:
            numbers = (number(line.figures[metric.name].get(name)) for metric, heads in metrics for name in heads)
            return (*key, *((cells,) if self._grouped else ()), *numbers)

        empty = [""] * (len(self.dimensions) - 1)
        last = [row([TOTAL, *empty], "", self.total)]
        if not self._cube.stats().complete:
            last.insert(0, row([NO_CELL, *empty], "", self.other))
        rows = [row([*map(text_of, line.key)], number(line.cells), line) for line in self.lines]
        return Table(title(self._cube), len(self.dimensions), heads, rows, last, list(self._notes()))

    def _notes(self) -> Iterable[str]:
        if self.count > len(self.lines):
            yield _counted(self.count - len(self.lines), "more group" if self._grouped else "more cell")
        stats = self._cube.stats()
        if stats.rejected:
            keys = f" of about {_counted(stats.rejected_keys, 'key')}" if stats.rejected_keys else ""
            each = " (each metric of a key is one)" if len(self._cube.metrics) > 1 else ""
            yield f"{_counted(stats.rejected, 'update')}{keys} found no cell{each}"
        if stats.evicted:
            yield f"{_counted(stats.evicted, 'cell')} evicted for larger ones"
        if stats.saturated:
            yield "a counter reached the limit of its type"

    def as_json(self) -> dict[str, Any]:
        """The same for scripts."""
        def plain(line: Line) -> dict[str, Any]:
            told = {name: {part: _as_json(value) for part, value in found.items()}
                    for name, found in line.figures.items()}
            return {name: next(iter(found.values()), None) if len(found) < 2 else found
                    for name, found in told.items()}

        sampling = self._cube.schema.sampling
        cells = [{"key": [exact_text(value) if isinstance(value, bytes) else _as_json(value) for value in line.key],
                  **({"cells": line.cells} if self._grouped else {}), "values": plain(line)} for line in self.lines]
        return {"name": self._cube.name, "shared": self._cube.shared, "dimensions": list(self.dimensions),
                "mode": sampling.mode, "primary": sampling.primary, "stats": asdict(self._cube.stats()),
                "totals": plain(self.total), "other": plain(self.other), "groups" if self._grouped else "cells": cells}


def title(cube: Cube) -> str:
    """What a cube is, and how full."""
    stats, sampling = cube.stats(), cube.schema.sampling
    kept = MODES[sampling.mode].format(primary=sampling.primary)
    return f"{cube.schema}: {stats.cells:,} of at most {stats.max_cells:,} cells; {kept}"


def figures(metric: cubes.Metric[Any], value: Any) -> Figures:
    """What is shown of a metric's value, the figure first by which cells are ranked; None where there is none."""
    names = list(_heads(metric))
    if value is None or (metric.kind == "histogram" and not value.count):
        return dict.fromkeys(names)
    if metric.kind == "histogram":
        return dict(zip(names, (value.count, *value.percentiles(list(PERCENTILES)), value.max)))
    return {names[0]: round(value.estimate()) if metric.kind == "hll" else value}


def number(value: Figure) -> str:
    """`12,345`, `0.0123457`; nothing where there is none."""
    if value is None:
        return ""
    plain = whole(value)
    return f"{plain:,}" if isinstance(plain, int) else f"{plain:,.6g}"


def _as_json(value: Any) -> Any:
    """A value that JSON has: no number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _heads(metric: cubes.Metric[Any]) -> dict[str, str]:
    """The names of a metric's figures, and what stands above them in a table."""
    if metric.kind == "histogram":
        names = ("count", *(f"p{q}" for q in PERCENTILES), "max")
        return {name: f"{metric.name} {name}" for name in names}
    return {metric.kind: f"distinct {metric.name}" if metric.kind == "hll" else metric.name}


def _ranking(cube: Cube, metric: Which | None) -> cubes.Metric[Any] | None:
    """The metric that cells are ordered by; None where they stay in the order in which they came."""
    wanted = metric if metric is not None else cube.schema.sampling.primary
    if wanted is not None:
        return cube.metric(wanted)
    return next(iter(cube.metrics), None)
