"""What two instances have, added up. Knows cubes, not instances: whose they are, and when, is the caller's business.

Cubes are matched by name and shared tags, metrics by name. Whatever cannot be added is found before anything changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from istat.cube.cube import Cube
from istat.cube.schema import MOST_CUBES, MOST_METRICS, CubeSchema, Identity, MetricSchema
from istat.errors import SchemaMismatch
from istat.kernels import cubes


def check(mine: Mapping[Identity, Cube], theirs: Sequence[CubeSchema], allow_precision_loss: bool) -> None:
    """SchemaMismatch that names all conflicts, if there are any."""
    found = [conflict for schema in theirs if schema.identity in mine
             for conflict in conflicts(mine[schema.identity].schema, schema, allow_precision_loss)]
    missing = sum(schema.identity not in mine for schema in theirs)
    if len(mine) + missing > MOST_CUBES:
        found.append(f"an instance has at most {MOST_CUBES} cubes")
    if found:
        raise SchemaMismatch("the cubes cannot be merged: " + "; ".join(found))


def conflicts(mine: CubeSchema, theirs: CubeSchema, allow_precision_loss: bool = False) -> list[str]:
    """Why a cube cannot take what another one of its name has; each reason is a sentence."""
    found = []
    here, there = (", ".join(schema.dimensions) for schema in (mine, theirs))
    if mine.dimensions != theirs.dimensions:
        found.append(f"{mine} has the dimensions {here} here, and {there} there")
    here, there = (f"{schema.sampling.mode} by {schema.sampling.primary}" for schema in (mine, theirs))
    if here != there:
        found.append(f"{mine} samples {here} here, and {there} there")
    known = {metric.name: metric for metric in mine.metrics}
    if len({*known, *(metric.name for metric in theirs.metrics)}) > MOST_METRICS:
        found.append(f"{mine} would have more than {MOST_METRICS} metrics")
    for metric in theirs.metrics:
        same = known.get(metric.name)
        ranks = metric.name == mine.sampling.primary
        if same is not None and not takes(same, metric, allow_precision_loss and not ranks):
            found.append(f"{mine}.{metric.name} is a {same} here, and a {metric} there")
    return found


def takes(mine: MetricSchema, theirs: MetricSchema, allow_precision_loss: bool = False) -> bool:
    """Whether a metric can take what the other has: HLLs of more registers are folded, of fewer only where it is
    wanted."""
    if mine.kind == "hll" == theirs.kind and mine.hash == theirs.hash:
        return mine.precision <= theirs.precision or allow_precision_loss
    return mine == theirs


def merge(mine: Cube, theirs: Cube) -> None:
    """Add a cube without conflicts; metrics that are missing are made. Both guards are held."""
    pairs: list[tuple[cubes.Metric[Any], cubes.Metric[Any]]] = []
    known = {metric.name: metric for metric in mine.core.metrics}
    for metric, schema in zip(theirs.core.metrics, theirs.schema.metrics):
        target = known.get(metric.name)
        if target is None:
            target = mine.add_metric(schema)
        elif isinstance(target, cubes.HllMetric) and target.precision > schema.precision:
            mine.fold(target, schema.precision)
        pairs.append((target, metric))
    mine.core.merge(theirs.core, pairs)
