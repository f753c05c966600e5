"""An instance as Prometheus' text (version 0.0.4). Knows no HTTP: a program's own page gives the text out.

    counter     CUBE_METRIC_total
    gauge       CUBE_METRIC
    histogram   CUBE_METRIC_bucket{le="..."}, _sum, _count      at the boundaries that are declared
    HLL         CUBE_METRIC_distinct                            a gauge

Prometheus wants what was counted since a start: export an instance that is not reset (`Easy` with output="cumulative").
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from istat.cube.cube import Cube
from istat.cube.export.values import exact_text, whole
from istat.cube.instance import Instance, checked_instance
from istat.kernels import cubes

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 10_000         # of one page: more of them is what kills a Prometheus
DROPPED = "cube_series_dropped"
STEPS = (1, 2, 5)           # boundaries in each power of ten, of a histogram that has none declared
BESIDE = 3                  # series of a histogram besides its boundaries: the bucket of all, sum, count
HISTOGRAM_ENDS = ("_bucket", "_sum", "_count")      # of their names
LE = "le"                   # the label of histograms' boundaries, which no dimension may be called
_NO_NAME = re.compile(r"[^a-zA-Z0-9_]")
_ESCAPED = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_TYPES = {"counter": "counter", "gauge": "gauge", "histogram": "histogram", "hll": "gauge"}
_ENDS = {"counter": "_total", "hll": "_distinct"}
_HELP = {"counter": "{metric} of cube {cube}", "gauge": "{metric} of cube {cube}",
         "histogram": "{metric} of cube {cube}", "hll": "distinct {metric} of cube {cube}, estimated"}


class PrometheusExporter:
    """Text of one instance, as it is when it is asked for.

    `boundaries`: of histograms, in the unit of their values, by the metric's name; 1, 2, 5, 10, ... where it has none.
    `max_series`: what goes beyond it is left out and counted in `cube_series_dropped`; a cube that ranks its cells
    keeps the largest. `prefix`: of all names. `global_dimensions`: labels of all series; a cube's shared tags and its
    dimensions win over them. ValueError for a max_series below 1, boundaries that do not ascend, and labels that are no
    Unicode.
    """

    def __init__(self, instance: Instance, *, boundaries: Mapping[str, Sequence[float]] | None = None,
                 max_series: int = MAX_SERIES, prefix: str = "",
                 global_dimensions: Mapping[str, str] | None = None) -> None:
        if max_series < 1:
            raise ValueError("max_series is at least 1")
        self._boundaries = {name: tuple(all_of) for name, all_of in (boundaries or {}).items()}
        for name, all_of in self._boundaries.items():
            if not all_of or not all(map(math.isfinite, all_of)) or sorted(set(all_of)) != list(all_of):
                raise ValueError(f"the boundaries of {name} must be numbers that ascend, at least one")
        self._instance, self._max_series, self._prefix = checked_instance(instance), max_series, prefix
        self._global = dict(global_dimensions or {})
        for name, value in self._global.items():
            f"{name}{value}".encode()       # of a page that fails nobody would know why

    def export(self) -> str:
        """All series, the last line ended by a line feed."""
        page = _Page(self._max_series)
        for cube in self._instance.cubes:
            self._write(page, cube)
        return page.text()

    def _write(self, page: _Page, cube: Cube) -> None:
        metrics = [(metric, page.family(*self._family(cube, metric)), self._of(metric)) for metric in cube.metrics]
        constant = {name: str(value) for name, value in {**self._global, **cube.shared}.items()
                    if name not in cube.dimensions}
        names = _label_names([*constant, *cube.dimensions])
        with cube.core.guard:
            for values, slots in _alike(cube.core).items():
                pairs = zip(names, (*constant.values(), *values))
                labels = ",".join(f'{name}="{value.translate(_ESCAPED)}"' for name, value in pairs if value)
                for metric, family, boundaries in metrics:
                    page.add(family, labels, metric, slots, boundaries)

    def _family(self, cube: Cube, metric: cubes.Metric[Any]) -> tuple[str, str, str]:
        """The name, type and help of a metric's series."""
        name = _name(f"{self._prefix}{cube.name}_{metric.name}{_ENDS.get(metric.kind, '')}")
        help = _HELP[metric.kind].format(cube=cube.name, metric=metric.name)
        return name, _TYPES[metric.kind], help

    def _of(self, metric: cubes.Metric[Any]) -> Sequence[float]:
        """The boundaries of a histogram."""
        if not isinstance(metric, cubes.HistogramMetric):
            return ()
        return self._boundaries.get(metric.name) or _steps(metric.shape)


class _Page:
    """Families of series, and how many of them there may be."""

    def __init__(self, max_series: int) -> None:
        self._max_series = max_series
        self._room = max_series - 1         # the one that tells what was dropped is one, too
        self._dropped = 0
        self._families: dict[str, tuple[str, list[str]]] = {}       # name -> head, lines
        self._taken: dict[str, str] = {}    # name of series -> head of its family
        self._seen: set[tuple[str, str]] = set()

    def family(self, name: str, type: str, help: str) -> str:
        """The name of a family, which is another one where something else is called so already."""
        shown = help.replace("\\", r"\\").replace("\n", r"\n")
        for own in (name, f"{name}_{cubes.xxh64(help.encode()) >> 32:08x}"):
            head = f"# HELP {own} {shown}\n# TYPE {own} {type}\n"
            names = [own, *(own + end for end in HISTOGRAM_ENDS if type == "histogram")]
            if all(self._taken.get(one, head) == head for one in names):
                break
        self._taken.update(dict.fromkeys(names, head))
        self._families.setdefault(own, (head, []))
        return own

    def add(self, family: str, labels: str, metric: cubes.Metric[Any], slots: list[int],
            boundaries: Sequence[float]) -> None:
        """What cells have of a metric, if there is room for all of its series and no other cell is called so."""
        wanted = len(boundaries) + BESIDE if boundaries else 1
        is_dropped = wanted > self._room or (family, labels) in self._seen
        # All but gauges have a value: of what is dropped it need not be known.
        value = None if is_dropped and metric.kind != "gauge" else metric.merged(slots)
        if metric.kind == "gauge" and value is None:
            return
        if is_dropped:
            self._dropped += wanted
            return
        self._room -= wanted
        self._seen.add((family, labels))
        lines = _histogram(family, labels, value, boundaries) if boundaries else [_line(family, labels, value)]
        self._families[family][1].extend(lines)

    def text(self) -> str:
        """All of it."""
        own = self.family(DROPPED, "gauge", f"series beyond the {self._max_series} that this page may have")
        self._families[own][1].append(_line(own, "", self._dropped))
        return "".join(head + "".join(lines) for head, lines in self._families.values() if lines)


def _alike(core: cubes.Core) -> dict[tuple[str, ...], list[int]]:
    """Cells by what their labels say, which may be the same for several: a missing value and "", 200 and "200"."""
    found: dict[tuple[str, ...], list[int]] = {}
    for slot in core.slots() if core.primary is None else core.ranked():
        found.setdefault(tuple(map(exact_text, core.key(slot))), []).append(slot)
    return found


def _histogram(name: str, labels: str, value: Any, boundaries: Sequence[float]) -> Iterator[str]:
    comma = "," if labels else ""
    of_bucket, of_sum, of_count = (name + end for end in HISTOGRAM_ENDS)
    for boundary, count in zip((*boundaries, math.inf), accumulate(value.buckets(boundaries))):
        yield _line(of_bucket, f'{labels}{comma}le="{_number(boundary)}"', count)
    yield _line(of_sum, labels, value.sum)
    yield _line(of_count, labels, value.count)


def _line(name: str, labels: str, value: Any) -> str:
    number = round(value.estimate()) if hasattr(value, "estimate") else value
    return f"{name}{{{labels}}} {_number(number)}\n" if labels else f"{name} {_number(number)}\n"


def _number(value: float) -> str:
    """As Go's parser of floats reads it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if value != value else str(whole(value))


def _name(text: str) -> str:
    made = _NO_NAME.sub("_", text)
    return f"_{made}" if made[:1].isdigit() else made


def _label_names(names: Iterable[str]) -> list[str]:
    """Names of labels: each its own, none that Prometheus keeps for itself."""
    made: list[str] = []
    for name in names:
        own = _name(name)
        if own == LE or own.startswith("__"):
            own = f"exported_{own.lstrip('_')}"
        while own in made:
            own += "_"
        made.append(own)
    return made


def _steps(shape: Any) -> tuple[float, ...]:
    """1, 2, 5, 10, ... from the lowest to the highest value of a histogram, in the unit of its values."""
    lowest, highest = shape.lowest / shape.scale, shape.highest / shape.scale
    first = math.floor(math.log10(lowest))
    found = (float(f"{step}e{power}") for power in range(first, math.floor(math.log10(highest)) + 1) for step in STEPS)
    return tuple(one for one in found if lowest <= one <= highest) or (highest,)
