"""`istat cube show FILE`: the largest cells of each cube of a frame, totals, and what was lost."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from istat.cli.cubes import drawing, files
from istat.cli.report import printable
from istat.clock import Clock
from istat.cube import Instance
from istat.cube.export.table import CubeTable
from istat.errors import CubeError, UsageError
from istat.subcommands import SubCommand

LIMIT = 20          # cells of each cube


def takes_view(command: argparse.ArgumentParser) -> None:
    """The options for what is shown of an instance."""
    command.add_argument("--cube", metavar="NAME", help="this cube only (default all)")
    command.add_argument("--sort", metavar="METRIC", help="the largest by this metric first (default the one that "
                         "ranks cells, else the first)")
    command.add_argument("--by", metavar="DIMENSIONS", help="cells that agree on these dimensions as one; several with "
                         "commas between")
    command.add_argument("--limit", type=int, default=LIMIT, metavar="N", help=f"so many cells (default {LIMIT})")


def tables(instance: Instance, arguments: argparse.Namespace) -> Iterator[CubeTable]:
    """What the options ask for, of each cube that has it. UsageError when none has."""
    if arguments.limit < 0:
        raise UsageError("--limit is a number of cells, 0 or more")
    chosen = [cube for cube in instance.cubes if arguments.cube in (None, cube.name)]
    if arguments.cube is not None and not chosen:
        known = ", ".join(sorted({cube.name for cube in instance.cubes})) or "none"
        raise UsageError(f"there is no cube {arguments.cube!r}; there are: {known}")
    by = tuple(arguments.by.split(",")) if arguments.by else ()
    problem: CubeError | None = None
    shown = 0
    for cube in chosen:
        try:
            made = CubeTable(cube, arguments.limit, arguments.sort, by)
        except CubeError as error:      # of several cubes, one may not have the metric
            problem = error
            continue
        shown += 1
        yield made
    if problem is not None and not shown:
        raise UsageError(str(problem))


def printed(instance: Instance, arguments: argparse.Namespace) -> str:
    """As text, or as a line of JSON."""
    found = tables(instance, arguments)
    if arguments.json:
        return json.dumps({**files.about(instance), "cubes": [one.as_json() for one in found]})
    parts = ["\n".join(drawing.lines(one.table())) for one in found]
    return "\n\n".join([printable(files.heading(instance)), *parts])


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("file", type=Path, metavar="FILE", help="a frame of cubes; - is the standard input")
    takes_view(command)


def _show(arguments: argparse.Namespace, clock: Clock) -> None:
    print(printed(files.read(arguments.file), arguments))


COMMAND = SubCommand(
    "Show the largest cells of each cube in a file, its totals, and what found no cell.", _arguments, _show,
    "Of a histogram it shows how many values there are, the median, the 99th percentile and the maximum; of a "
    "HyperLogLog how many distinct items, estimated.",
    (("istat cube show web1.cube", "What is in it?"),
     ("istat cube show web1.cube --cube http --by path --sort latency_us", "Requests by path, the most frequent first"),
     ("istat cube show web1.cube --limit 1000 --json", "For a script")),
)
