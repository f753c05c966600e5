"""Bringing a cube to another schema, with the data of what is in both. Knows no instances."""

from __future__ import annotations

from istat.cube.cube import Cube
from istat.cube.schema import CubeSchema


def calibrate(cube: Cube, wanted: CubeSchema) -> None:
    """Give a cube of the same identity and dimensions this schema; the guard is held.

    Metrics that are new begin empty, also in cells that there are; those that are gone are dropped, and one of another
    type or parameter begins anew. Other sampling keeps the cells that fit.
    """
    now = cube.schema
    if now == wanted:
        return
    core = cube.core
    keep = set(now.metrics) & set(wanted.metrics)
    kept_names = {schema.name for schema in keep}
    ranking_goes = now.sampling.primary is not None and now.sampling.primary not in kept_names
    if ranking_goes:
        core.sample("comprehensive", max(len(core.slots(True)), 1))
    for metric, schema in zip(list(core.metrics), now.metrics):
        if schema not in keep:
            core.drop(metric)
    for schema in wanted.metrics:
        if schema not in keep:
            schema.add_to(core)
    order = {schema.name: place for place, schema in enumerate(wanted.metrics)}
    core.order(sorted(core.metrics, key=lambda metric: order[metric.name]))
    if now.sampling != wanted.sampling or ranking_goes:
        wanted.sampling.apply(core)
    cube.take_schema(wanted)
