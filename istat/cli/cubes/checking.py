"""`istat cube check FILE`: whether frames of cubes can be read."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from istat.cli.cubes import files
from istat.cli.figures import bytes_text
from istat.cli.report import printable
from istat.clock import Clock
from istat.errors import FormatError
from istat.subcommands import SubCommand


def _arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a frame of cubes; - is the standard "
                         "input")


def _check(arguments: argparse.Namespace, clock: Clock) -> None:
    found = [_looked_at(path, len(arguments.files) == 1) for path in arguments.files]
    if arguments.json:
        print(json.dumps({"files": found}))
    else:
        for one in found:
            if one["problem"] is None or len(found) > 1:    # that of a single one is what the command ends with
                print(printable(f"{one['file']}: {_told(one)}"))
    bad = [one for one in found if one["problem"] is not None]
    if len(bad) == 1:
        raise files.BadFrame(f"{bad[0]['file']}: {_told(bad[0])}")
    if bad:
        raise files.BadFrame(f"{len(bad):,} of {len(found):,} files are no sound frames")


def _looked_at(path: Path, alone: bool) -> dict[str, Any]:
    """As `_checked`. One of several that cannot be read, such as one that has been taken away meanwhile, does not keep
    the others from being checked."""
    try:
        return _checked(path)
    except OSError as error:
        if alone:
            raise
        return {"file": str(path), "bytes": None, "problem": error.strerror, "offset": None}


def _checked(path: Path) -> dict[str, Any]:
    """What is in a file, or what is wrong with it."""
    data = files.data_of(path)
    try:
        instance = files.decoded(path, data)
    except FormatError as error:
        return {"file": str(path), "bytes": len(data), "problem": error.reason, "offset": error.offset}
    return {"file": str(path), "bytes": len(data), "problem": None, "cubes": len(instance.cubes),
            "cells": sum(len(cube) for cube in instance.cubes), **files.about(instance)}


def _told(one: dict[str, Any]) -> str:
    if one["problem"] is not None:
        return one["problem"] if one["offset"] is None else f"at byte {one['offset']}: {one['problem']}"
    return ", ".join([f"sound; {files.counted(one['cubes'], 'cube')}", files.counted(one["cells"], "cell"),
                      bytes_text(one["bytes"])])


COMMAND = SubCommand(
    "Read files of cubes to the last byte and tell whether they are sound.", _arguments, _check,
    "Ends with 0 when all are, and with 104 when one is not; each is named.",
    (("istat cube check web1.cube", "Is it whole?"),
     ("istat cube check /var/spool/cubes/*.cube --json", "Each of many, for a script")),
)
