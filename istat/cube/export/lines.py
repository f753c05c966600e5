"""An instance as lines for an istat-server: any cube becomes counters there. Knows the names, no sockets.

    sock.sendall(LinesExporter(instance).export())

    counter     *cubes.CUBE.METRIC            an event: what all updates added, also those of cells that are gone
    gauge       cubes.CUBE.METRIC             one sample of seven fields: moments over the cells
    histogram   cubes.CUBE.METRIC             the same, over all values; .p50 .p90 .p99 .p999
    HLL         cubes.CUBE.METRIC.distinct    the union over all cells
    health      cubes.CUBE._cells, *cubes.CUBE._rejected, *cubes.CUBE._evicted

A server adds events up, so an instance is to be exported once for each interval and reset then (`Easy` does that with
output="delta"). Percentiles and distinct counts cannot be added: of several hosts' cubes they are right only when the
instances are merged first. They carry no tags.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from istat.cube.cube import Cube
from istat.cube.export.components import component, label
from istat.cube.export.values import text_of
from istat.cube.instance import Instance, checked_instance
from istat.kernels import cubes
from istat.names import CARETS_ROOM, WIRE_NAME_ROOM
from istat.wire.lines import written

MOST_PINNED = 200           # series of single cells, a cube: more would make counters without end
PERCENTILES = (("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9))
SECOND = 10**9              # [ns]
MAX_DOUBLE = 1.7976931348623157e308

Sample = tuple[str, str]    # a name without tags, and its fields


class LinesExporter:
    """Lines of one instance, as it is when they are asked for.

    `pin`: cells that get series of their own, each as its values with | between (`GET|/|200`); `pin_top`: so many of
    the largest cells of each cube as well. `aggregate`: whether a series of all hosts is fed beside that of each shared
    tag. `distributions`: whether percentiles and distinct counts are written. ValueError for a number below 0.
    """

    def __init__(self, instance: Instance, *, pin: Iterable[str] = (), pin_top: int = 0, aggregate: bool = True,
                 distributions: bool = True) -> None:
        if isinstance(pin, str):
            raise TypeError("pin wants a list of cells' names, not one text")
        if pin_top < 0:
            raise ValueError("pin_top is a number of cells, 0 for none")
        self._instance = checked_instance(instance)
        self._pin, self._pin_top = frozenset(pin), pin_top
        self._aggregate, self._distributions = aggregate, distributions
        #: Series that the last export left out: beyond 200 of single cells of a cube, or with too long a name.
        self.refused = 0

    def export(self, time: int | None = None) -> bytes:
        """All lines. `time` [Unix seconds]: of the samples; by default the last second that the instance covers."""
        return b"".join(self.lines(time))

    def lines(self, time: int | None = None) -> Iterator[bytes]:
        """One line after another, each with its line feed. As `export`."""
        self.refused = 0
        when = _last_second(self._instance) if time is None else time
        all_of = list(self._instance.cubes)
        for cube in all_of:
            suffix = self._suffix(cube.shared)
            for name, fields in self._additive(cube):
                yield from self._written(name + suffix, fields, when)
        if self._distributions:
            for name, fields in _distributions(all_of):
                yield from self._written(name, fields, when)

    def _written(self, name: str, fields: str, time: int) -> Iterator[bytes]:
        if len(name) > WIRE_NAME_ROOM:
            self.refused += 1
        else:
            yield written(name, fields, time)

    def _suffix(self, shared: dict[str, str]) -> str:
        tags = [f"^{label(name)}.{label(value)}" for name, value in shared.items()]
        return "".join(tags[:CARETS_ROOM]) + ("^" if tags and self._aggregate and len(tags) < CARETS_ROOM else "")

    def _additive(self, cube: Cube) -> list[Sample]:
        """What a server may add up over instances."""
        stem = f"cubes.{component(cube.name)}"
        stats = cube.stats()
        made = [(f"{stem}._cells", str(stats.cells)), (f"*{stem}._rejected", str(stats.rejected)),
                (f"*{stem}._evicted", str(stats.evicted))]
        with cube.core.guard:
            slots = cube.core.slots()
            for metric in cube.metrics:
                made += _of_metric(f"{stem}.{component(metric.name)}", metric, slots)
            pinned = self._pinned(stem, cube.core, slots)
        made += pinned[:MOST_PINNED]
        refused = len(pinned) - MOST_PINNED
        if refused > 0:
            self.refused += refused
            made.append((f"*{stem}._refused_series", str(refused)))
        return made

    def _pinned(self, stem: str, core: cubes.Core, slots: Sequence[int]) -> list[Sample]:
        """Series of single cells: of those that are named, and of the largest."""
        chosen = {slot for slot in slots if self._pin and "|".join(map(text_of, core.key(slot))) in self._pin}
        chosen.update(self._largest(core))
        return [sample for slot in sorted(chosen) for metric in core.metrics
                for sample in _of_cell(stem, metric, core.key(slot), slot)]

    def _largest(self, core: cubes.Core) -> list[int]:
        """The cells of `pin_top`: by the metric that ranks them, else by the first counter; none without one."""
        by = None if core.primary is not None else next((m for m in core.metrics if m.kind == "counter"), None)
        return core.ranked(self._pin_top, by) if self._pin_top and (core.primary is not None or by is not None) else []


def _of_metric(name: str, metric: cubes.Metric[Any], slots: Sequence[int]) -> Iterator[Sample]:
    """A metric of all cells."""
    if isinstance(metric, cubes.CounterMetric):
        yield f"*{name}", _number(metric.total)
    elif isinstance(metric, cubes.GaugeMetric):
        yield from _moments(name, [value for value in map(metric.value, slots) if value is not None])
    elif isinstance(metric, cubes.HistogramMetric):
        yield from _sample(name, metric.total)


def _of_cell(stem: str, metric: cubes.Metric[Any], key: Sequence[object], slot: int) -> Iterator[Sample]:
    """A metric of one cell."""
    name, value = ".".join((stem, component(metric.name), *map(component, key))), metric.value(slot)
    if metric.kind == "counter":
        yield f"*{name}", _number(value)
    elif metric.kind == "gauge":
        yield from _moments(name, [] if value is None else [value])
    elif metric.kind == "histogram":
        yield from _sample(name, value)
    else:
        yield f"{name}.distinct", str(round(value.estimate()))


def _distributions(all_of: Iterable[Cube]) -> Iterator[Sample]:
    """Percentiles and distinct counts; those of cubes that differ in shared tags alone are merged where they can be."""
    merged: dict[tuple[str, str], Any] = {}
    for cube in all_of:
        for metric in cube.metrics:
            if metric.kind in ("histogram", "hll"):
                # A repr has all parameters: what differs in them cannot be merged.
                known = (f"cubes.{component(cube.name)}.{component(metric.name)}", repr(metric))
                if known in merged:
                    merged[known].merge(cube.totals[metric])
                else:
                    merged[known] = cube.totals[metric]
    for (name, _), total in merged.items():
        if hasattr(total, "estimate"):
            yield f"{name}.distinct", str(round(total.estimate()))
        elif total.count:
            values = total.percentiles([q for _, q in PERCENTILES])
            yield from ((f"{name}.{part}", _number(value)) for (part, _), value in zip(PERCENTILES, values))


def _sample(name: str, histogram: Any) -> Iterator[Sample]:
    """The seven fields of all values of a histogram; nothing for an empty one."""
    if histogram.count:
        total = float(histogram.sum)
        squares = min(histogram.m2 + total * total / histogram.count, MAX_DOUBLE)
        yield name, _fields(total, squares, histogram.min, histogram.max, histogram.count)


def _moments(name: str, values: Sequence[float]) -> Iterator[Sample]:
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        total = max(-MAX_DOUBLE, min(sum(finite), MAX_DOUBLE))
        squares = min(sum(value * value for value in finite), MAX_DOUBLE)
        yield name, _fields(total, squares, min(finite), max(finite), len(finite))


def _fields(total: float, squares: float, low: float, high: float, count: int) -> str:
    return " ".join([*map(_number, (total, squares, low, high)), str(count)])


def _number(value: float) -> str:
    """A number as the protocol has it, exactly."""
    return str(value) if type(value) is int else repr(float(value))


def _last_second(instance: Instance) -> int:
    """[Unix seconds] The last that the instance's interval covers: it belongs to the interval's bucket at the server,
    where the moment that ends it would begin the next one."""
    return max(instance.t0, instance.t1 - 1) // SECOND
