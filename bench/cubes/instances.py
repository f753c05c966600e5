"""Instances as they are merged, exported, serialized and held in memory. Knows no clock."""

from __future__ import annotations

from typing import Any

from bench.cubes import work
from istat.cube import Cube, Instance, Sampling

COUNTERS = 10  # of a cell in the seed's rows about exporting
MOST = 1_000  # cells of a full cube
ROOM = 1_000_000  # cells of one that is never full
EACH = 100  # values of a histogram, items of a sketch


def counters(inst: Instance, name: str, cells: int, metrics: int, mode: Sampling = Sampling.COMPREHENSIVE,
             salt: int = 0) -> Cube:  # fmt: skip
    """A cube of counters, of one dimension; the first ranks cells. Every counter of every cell has a value."""
    cube = inst.cube_create(name, dimensions=("key",))
    held = [cube.register_counter(f"counter{number}") for number in range(metrics)]
    primary = {} if mode is Sampling.COMPREHENSIVE else {"primary": held[0]}
    cube.set_sampling(mode, max_cells=MOST if primary else ROOM, **primary)
    if cells:
        amounts = work.values(cells)
        cube.update({"key": work.keys(cells, salt)}, dict.fromkeys(held, amounts))
    return cube


def counted(cells: int, metrics: int = 1, mode: Sampling = Sampling.COMPREHENSIVE, salt: int = 0) -> Instance:
    """An instance with one such cube."""
    inst = Instance("bench")
    counters(inst, "cube", cells, metrics, mode, salt)
    return inst


def sketched(kind: str, cells: int, precision: int, each: int = EACH) -> Instance:
    """An instance with one cube of histograms or HyperLogLogs with `each` values in every cell."""
    inst = Instance("bench")
    cube = inst.cube_create("cube", dimensions=("key",))
    cube.set_sampling(Sampling.COMPREHENSIVE, max_cells=ROOM)
    metric: Any
    if kind == "histogram":
        metric = cube.register_histogram("value", lowest=1, highest=work.HIGHEST, precision=precision)
    else:
        metric = cube.register_hll("items", precision=precision)
    keys = work.keys(cells)
    for turn in range(each):
        numbers = work.items(cells) + turn
        cube.update({"key": keys}, {metric: numbers % work.HIGHEST + 1 if kind == "histogram" else numbers})
    return inst


def empty_cubes(count: int, mode: Sampling) -> Instance:
    """An instance of cubes that have no cells."""
    inst = Instance("bench")
    for number in range(count):
        counters(inst, f"cube{number}", 0, 1, mode)
    return inst


def exported(cubes: int, cells: int) -> Instance:
    """Cubes of ten counters each."""
    inst = Instance("bench")
    for number in range(cubes):
        counters(inst, f"cube{number}", cells, COUNTERS)
    return inst
