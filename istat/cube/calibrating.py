"""Bringing a cube to another schema, with the data of what is in both. Knows no instances."""

from __future__ import annotations

from istat.cube.cube import Cube
from istat.cube.schema import CubeSchema, MetricSchema, SamplingSchema
from istat.kernels import cubes


def calibrate(cube: Cube, wanted: CubeSchema) -> None:
    """Give a cube of the same identity and dimensions this schema; the guard is held.

    Metrics that are new begin empty, also in cells that there are; those that are gone are dropped, and one of another
    type or parameter begins anew. Other sampling keeps the cells that fit. Where a step raises, such as MemoryError,
    the cube tells how far it came, and can be calibrated again.
    """
    now = cube.schema
    if now == wanted:
        return
    core, sampling = cube.core, now.sampling
    kept = set(now.metrics) & set(wanted.metrics)
    try:
        if sampling.primary is not None and sampling.primary not in {schema.name for schema in kept}:
            unranked = SamplingSchema(max_cells=max(len(core.slots(True)), 1))
            unranked.apply(core)
            sampling = unranked
        _take_metrics(core, now, wanted, kept)
        if sampling != wanted.sampling:
            wanted.sampling.apply(core)
            sampling = wanted.sampling
    finally:
        cube.take_core(sampling)


def _take_metrics(core: cubes.Core, now: CubeSchema, wanted: CubeSchema, kept: set[MetricSchema]) -> None:
    """Drop those that are gone, add those that are new, and put all in the order that is wanted."""
    for metric, schema in zip(list(core.metrics), now.metrics):
        if schema not in kept:
            core.drop(metric)
    for schema in wanted.metrics:
        if schema not in kept:
            schema.add_to(core)
    order = {schema.name: place for place, schema in enumerate(wanted.metrics)}
    core.order(sorted(core.metrics, key=lambda metric: order[metric.name]))
