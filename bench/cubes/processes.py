"""Rows of fresh processes: how long the import takes, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.cubes.rows import OURS, Goal, Row, Sample, Side, Size

IMPORT = "import time; begin = time.process_time_ns(); import {}; print((time.process_time_ns() - begin) / 1e6)"


def output(*command: str) -> str:
    """What a fresh Python prints; CalledProcessError when it fails. It may keep bytecode, as an installed package has
    it: only the first of several compiles."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def imported(module: str) -> Side:
    """CPU time [ms] of the first import in a process."""
    return lambda size: lambda: float(output("-c", IMPORT.format(module)))


def imported_peer(module: str) -> Side:
    """The same of a library that may not be installed."""

    def side(size: Size) -> Sample:
        __import__(module)
        return lambda: float(output("-c", IMPORT.format(module)))

    return side


def apart(kind: str) -> Side:
    """By how many percent of the process's growth the instance's own account differs from it."""

    def side(size: Size) -> Sample:
        def sample() -> float:
            found = json.loads(output("-m", "bench.cubes.held", kind, str(size.held)))
            return abs(found["told"] - found["grown"]) / found["grown"] * 100

        return sample

    return side


ROWS = (
    Row("import", "import of istat.cube in a fresh process",
        {OURS: imported("istat.cube"), "prometheus_client": imported_peer("prometheus_client"),
         "datasketches": imported_peer("datasketches")}, (Goal(50),), "ms"),
    Row("memory-counters", "told memory beside growth of the process, 100,000 cells of a counter",
        {OURS: apart("counter")}, (Goal(15),), "%"),
    Row("memory-ten-counters", "the same, ten counters", {OURS: apart("counters")}, (Goal(15),), "%"),
    Row("memory-histograms", "the same, a histogram", {OURS: apart("histogram")}, (Goal(15),), "%"),
    Row("memory-hll-sparse", "the same, an HLL of p=12 and 8 items", {OURS: apart("hll-sparse")}, (Goal(15),), "%"),
    Row("memory-hll-dense", "the same, an HLL of p=6", {OURS: apart("hll-dense")}, (Goal(15),), "%"),
)  # fmt: skip
