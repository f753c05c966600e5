"""E1: whatever threads, swaps, thread deaths and forks do, frames add up to what was written, to the last one."""
from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).parent / "conserving.py"


def run(build, *arguments):
    """What the program says. It is one of its own, as it forks, and has many threads."""
    environment = {**os.environ, "ISTAT_KERNELS": build, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], env=environment, timeout=900,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout.split()


@pytest.fixture(params=["python", "native"])
def build(request):
    if request.param == "native":
        try:
            importlib.import_module("istat.kernels.native.cubes.core")
        except ImportError:
            pytest.skip("native kernels not built")
    return request.param


@pytest.mark.parametrize("mode", ["comprehensive", "topk"])
@pytest.mark.parametrize("output", ["delta", "cumulative"])
def test_sums_are_exact(build, output, mode):
    written, requests, recorded = run(build, output, mode, 8, 200 if build == "python" else 10_000, 6)
    assert requests == recorded == written


@pytest.mark.slow
@pytest.mark.parametrize("output", ["delta", "cumulative"])
def test_sums_of_8_threads_with_a_million_writes_each_are_exact(output):
    written, requests, recorded = run("native", output, "comprehensive", 8, 1_000_000, 20)
    assert requests == recorded == written
