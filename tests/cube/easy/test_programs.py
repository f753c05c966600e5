"""Easy in real programs: greenlets with and without gevent's patches, processes, and the end of each."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from istat.cube import Instance
from istat.kernels import IMPLEMENTATION

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def run(program, *arguments):
    environment = {**os.environ, "ISTAT_KERNELS": IMPLEMENTATION, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, HERE / program, *map(str, arguments)], env=environment, timeout=120,
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("patches", ["patched", "plain", "late"])
def test_greenlets_share_their_threads_slot_and_nothing_is_lost(patches):
    pytest.importorskip("gevent")
    written, counted, *right = run("greenlets.py", patches).split()
    assert counted == written
    assert right == ["True", "True", "True"]


def by_process(folder):
    """Requests of each process that wrote frames."""
    sums = {}
    for path in folder.iterdir():
        frame = Instance.deserialize(path.read_bytes())
        sums[frame.id] = sums.get(frame.id, 0) + frame.cube("http").totals["requests"]
    return sorted(sums.values())


def test_a_process_that_ends_hands_over_what_it_has(tmp_path):
    run("processes.py", "atexit", tmp_path)
    assert by_process(tmp_path) == [100]


@pytest.mark.parametrize("how", ["fork", "greenlets"])
def test_processes_that_were_forked_count_for_themselves_and_nothing_twice(tmp_path, how):
    run("processes.py", how, tmp_path)
    assert by_process(tmp_path) == [10, 11, 12, 100]


def test_children_of_multiprocessing_hand_over_what_they_have_though_they_end_in_a_hurry(tmp_path):
    run("processes.py", "multiprocessing", tmp_path)
    assert by_process(tmp_path) == [10, 11, 12, 100]


def test_a_process_that_writes_nothing_sends_nothing(tmp_path):
    run("processes.py", "unused", tmp_path)
    assert by_process(tmp_path) == [100]
