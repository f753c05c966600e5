"""`istat cube merge A B -o C`: several frames as one."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from istat.cli.cubes import files
from istat.cli.figures import bytes_text
from istat.cli.report import printable
from istat.clock import Clock
from istat.cube import Instance
from istat.cube.easy.sinks import write_whole
from istat.errors import CubeError, SchemaMismatch
from istat.subcommands import SubCommand


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a frame of cubes")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where the sum goes; a file "
                         "that is there is replaced")
    command.add_argument("--compress", action="store_true", help="write it compressed")
    command.add_argument("--allow-precision-loss", action="store_true", help="let HyperLogLogs of several precisions "
                         "be merged to the smallest one")


def _merge(arguments: argparse.Namespace, clock: Clock) -> None:
    merged = Instance(files.named(arguments.output.stem, "merged"))
    for path in arguments.files:
        source = files.read(path)
        try:
            merged.merge(source, arguments.allow_precision_loss)
        except SchemaMismatch as error:
            raise SchemaMismatch(f"{path}: {error}") from error
        except CubeError as error:
            raise CubeError(f"{path}: {error}") from error
    data = merged.serialize(arguments.compress)
    write_whole(arguments.output, data)
    cells = sum(len(cube) for cube in merged.cubes)
    if arguments.json:
        print(json.dumps({"files": len(arguments.files), "cubes": len(merged.cubes), "cells": cells,
                          "bytes": len(data)}))
    else:
        counts = ((len(arguments.files), "file"), (len(merged.cubes), "cube"), (cells, "cell"))
        told = ", ".join(files.counted(count, word) for count, word in counts)
        print(printable(f"{arguments.output}: {told}, {bytes_text(len(data))}"))


COMMAND = SubCommand(
    "Merge files of cubes into one: counters and distributions add up, distinct items are united.", _arguments, _merge,
    "Cubes are matched by their names and shared tags, metrics by their names. What cannot be merged is told, and "
    "nothing is written. Of one program's cumulative frames merge the last one only: it has all that is in the others.",
    (("istat cube merge web1.cube web2.cube -o all.cube", "Two machines as one"),
     ("istat cube merge --compress 12/*.cube -o noon.cube", "All frames of an hour, smaller")),
)
