"""`istat dump FILE`: what is in a file of a store, for people. Opens read-only and never writes."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from istat.clock import Clock
from istat.errors import UsageError
from istat.subcommands import SubCommand
from istat_server.store import manifest


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path)


def _dump(arguments: argparse.Namespace, clock: Clock) -> None:
    head = arguments.file.open("rb").read(16)
    if head.startswith(b"istat-manifest "):
        _dump_manifest(arguments.file)
    else:
        raise UsageError(f"{arguments.file} is no file of a store that this istat knows")


def _dump_manifest(path: Path) -> None:
    state = asdict(manifest.decode(path.read_bytes(), str(path)))
    state["derived"] = sorted(state["derived"])
    json.dump(state, sys.stdout, indent=1)
    sys.stdout.write("\n")


COMMAND = SubCommand("Print what is in a file of a store.", _arguments, _dump)
