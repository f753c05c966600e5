"""`istat cube size`: how much memory a cube will take, and how long its frames will be, before a program has it.

Nothing is estimated by formulas: a cube of that kind is made and filled, as far as SAMPLE cells, and what it takes is
measured.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict, dataclass
from typing import Any

from istat.cli.figures import bytes_text
from istat.clock import Clock
from istat.cube import Cube, Instance
from istat.errors import UsageError
from istat.subcommands import SubCommand

SAMPLE = 2000       # cells that are filled
MOST = 1 << 24      # cells of a cube
KEY = 24            # [bytes] a cell's key, if nothing is said
#: Option -> the least and the most that it can be.
BOUNDS = {"cells": (1, MOST), "key": (8, 4000), "counters": (0, 256), "gauges": (0, 256), "values": (0, 100_000),
          "items": (0, 100_000)}
SEED = 13           # so that two runs tell the same


@dataclass(frozen=True)
class Forecast:
    """Bytes of one cube when it is full."""

    cells: int
    per_cell: float         # [bytes] in memory
    sketch: int             # [bytes] of what samples the cells
    memory: int             # [bytes] all together
    frame: int              # [bytes] serialized
    compressed: int         # [bytes] the same, compressed


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--cells", type=int, default=1000, metavar="N", help="of the cube, when it is full (default "
                         "1000)")
    command.add_argument("--key", type=int, default=KEY, metavar="BYTES", help=f"the texts of a cell's dimensions, all "
                         f"together (default {KEY})")
    command.add_argument("--counters", type=int, default=1, metavar="N", help="how many counters (default 1)")
    command.add_argument("--gauges", type=int, default=0, metavar="N", help="how many gauges (default 0)")
    command.add_argument("--histogram", action="append", default=[], metavar="LOWEST:HIGHEST:PRECISION",
                         help="a histogram; may be given several times")
    command.add_argument("--values", type=int, default=100, metavar="N", help="recorded in each histogram of a cell "
                         "(default 100)")
    command.add_argument("--hll", action="append", type=int, default=[], metavar="PRECISION",
                         help="a HyperLogLog; may be given several times")
    command.add_argument("--items", type=int, default=100, metavar="N", help="distinct ones in each HyperLogLog of a "
                         "cell (default 100)")
    command.add_argument("--mode", choices=["comprehensive", "topk", "top_cardinality"], default="comprehensive",
                         help="what becomes of cells that do not fit (default comprehensive: they are refused)")


def _size(arguments: argparse.Namespace, clock: Clock) -> None:
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(arguments, name) <= most:
            raise UsageError(f"--{name} is from {least} to {most:,}")
    try:
        forecast = _forecast(arguments)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if arguments.json:
        print(json.dumps(asdict(forecast)))
        return
    sketch = f", of which {bytes_text(forecast.sketch)} for what samples them" if forecast.sketch else ""
    print(f"{forecast.cells:,} cells of about {forecast.per_cell:,.0f} bytes: {bytes_text(forecast.memory)} in memory"
          f"{sketch}; a frame of {bytes_text(forecast.frame)}, compressed {bytes_text(forecast.compressed)}")


def _forecast(arguments: argparse.Namespace) -> Forecast:
    """What a full cube takes, from one of SAMPLE cells at most. ValueError for metrics that cannot be."""
    with Instance("sample") as instance:
        cube = _cube(instance, arguments)
        empty = _bytes(instance, cube)
        filled = min(arguments.cells, SAMPLE)
        _fill(cube, filled, arguments)
        memory, frame, compressed = ((now - before) / filled for now, before in zip(_bytes(instance, cube), empty))
        sketch = cube.memory()["sketch"]
        _, bare_frame, bare_compressed = empty
        return Forecast(arguments.cells, memory, sketch, round(empty[0] + memory * arguments.cells),
                        round(bare_frame + frame * arguments.cells),
                        round(bare_compressed + compressed * arguments.cells))


def _cube(instance: Instance, arguments: argparse.Namespace) -> Cube:
    cube = instance.cube_create("cube", ("key",))
    for place in range(arguments.counters):
        cube.register_counter(f"counter{place}")
    for place in range(arguments.gauges):
        cube.register_gauge(f"gauge{place}")
    for place, text in enumerate(arguments.histogram):
        cube.register_histogram(f"histogram{place}", *_shape(text))
    for place, precision in enumerate(arguments.hll):
        cube.register_hll(f"hll{place}", precision)
    primary = {"topk": "counter", "top_cardinality": "hll"}.get(arguments.mode)
    metric = next((metric for metric in cube.metrics if metric.kind == primary), None)
    if primary is not None and metric is None:
        raise UsageError(f"--mode {arguments.mode} ranks cells by a {primary}: ask for one")
    cube.set_sampling(arguments.mode, arguments.cells, metric)
    return cube


def _shape(text: str) -> list[int]:
    """Lowest, highest, precision."""
    words = text.split(":")
    if len(words) != 3 or not all(word.isdecimal() for word in words):
        raise UsageError(f"--histogram wants LOWEST:HIGHEST:PRECISION, such as 1:60000000:7, not {text!r}")
    return [int(word) for word in words]


def _fill(cube: Cube, cells: int, arguments: argparse.Namespace) -> None:
    """So many cells, each with as much as the options tell."""
    draw = random.Random(SEED)
    for place in range(cells):
        # Letters that compress about as well as paths and addresses do.
        cell = cube.cell(f"{place:08d}{''.join(draw.choices('etaoinsr/.', k=arguments.key - 8))}")
        for metric in cube.metrics:
            _put(metric, cell, draw, arguments)


def _put(metric: Any, cell: Any, draw: random.Random, arguments: argparse.Namespace) -> None:
    """Values by chance into one cell."""
    if metric.kind == "counter":
        metric.incrby(cell, draw.randrange(1, 100_000))
    elif metric.kind == "gauge":
        metric.set(cell, draw.randrange(1000))
    elif metric.kind == "histogram":
        middle = metric.shape.highest**0.5      # of its range, by the logarithm
        for _ in range(arguments.values):
            metric.record(cell, min(int(draw.lognormvariate(0, 1) * middle), metric.shape.highest))
    else:
        for _ in range(arguments.items):
            metric.add(cell, draw.getrandbits(63))


def _bytes(instance: Instance, cube: Cube) -> tuple[int, int, int]:
    """[bytes] in memory, serialized, and compressed."""
    held = cube.memory()
    return (held["cells"] + sum(held["metrics"].values()) + held["sketch"], len(instance.serialize()),
            len(instance.serialize(compress=True)))


COMMAND = SubCommand(
    "Tell how much memory a cube will take when it is full, and how long its frames will be.", _arguments, _size,
    f"A cube of that kind is made, filled with numbers by chance as far as {SAMPLE:,} cells, and measured; nothing is "
    "read or written.",
    (("istat cube size --cells 100000 --histogram 1:60000000:7", "A counter and a histogram in 100,000 cells"),
     ("istat cube size --cells 1000 --mode topk --hll 12 --items 5000 --json", "A top-K cube, for a script")),
)
