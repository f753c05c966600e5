"""Power cuts while namespaces are changed: what was answered is there, with its versions, and one change more at most.

The files are made as a disk may hold them after a power cut at random moments (ftest/crash/powercut.py).
ISTAT_CRASH_SEED repeats the decisions.
"""
from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftest.crash import keyvaluelife
from ftest.crash.keyvaluelife import BOUNDS, KEYS, NAMES
from ftest.crash.lives import seed_of
from ftest.crash.powercut import Disk, Fate, Shim, read_notes
from istat.clock import FakeClock
from istat.errors import UnknownNamespace
from istat_server.keyvalue.namespaces import Namespaces

ROOT = Path(__file__).parents[2]
CHANGES, CUTS = 80, 80
Change = tuple[float, str, str, str]


def recorded(shim: Shim, folder: Path, seed: int) -> list[Change]:
    """Changes, each with when it was answered."""
    ended = subprocess.run([sys.executable, keyvaluelife.__file__, str(folder), str(seed), str(CHANGES)], check=True,
                           env={**os.environ, **shim.environment, "PYTHONPATH": str(ROOT)}, capture_output=True,
                           text=True, timeout=120)
    return [tuple(json.loads(line)) for line in ended.stdout.splitlines()]


def history(changes: list[Change], name: str, key: str) -> list[str | None]:
    """What a key was, the newest first: what a namespace should say after these changes."""
    found: list[str | None] = []
    for _time, other, changed, value in changes:
        if (other, changed) == (name, key) and (value or found and found[0] is not None):
            found.insert(0, value or None)
    return found[:BOUNDS.versions]


def told(namespaces: Namespaces, name: str) -> dict[str, list[str | None]]:
    """The same, as it says; what keys are now agrees with it."""
    try:
        values = namespaces.get(name)
    except UnknownNamespace:
        values = {}
    found = {key: [one.value for one in namespaces.versions(name, key)] for key in KEYS}
    assert values == {key: versions[0] for key, versions in found.items() if versions and versions[0] is not None}
    return found


@pytest.mark.seconds(15)
def test_power_cuts_lose_nothing_that_was_answered(tmp_path: Path) -> None:
    seed = seed_of()
    rng = random.Random(seed)
    root = tmp_path / "disk"
    root.mkdir()
    try:
        shim = Shim(tmp_path / "shim", root)
    except FileNotFoundError as error:
        pytest.skip(f"operations cannot be noted here: {error}")
    changes = recorded(shim, root / "settings", seed)
    assert len(changes) == CHANGES
    notes = read_notes(shim.notes)
    disk, at = Disk(root), 0
    for number, point in enumerate(sorted(rng.randint(1, len(notes)) for _ in range(CUTS))):
        for note in notes[at:point]:
            disk.replay(note)
        at = point
        answered = sum(change[0] <= notes[point - 1].time for change in changes)
        folder, fate = tmp_path / f"cut{number}", rng.choice(list(Fate))
        disk.write(folder, fate, rng)
        namespaces = Namespaces(folder / "settings", FakeClock(2000), bounds=BOUNDS)
        for name in NAMES:
            found = told(namespaces, name)
            may_be = [{key: history(changes[:until], name, key) for key in KEYS} for until in (answered, answered + 1)]
            assert found in may_be, f"cut {number} after operation {point}, {fate}, kept in {folder}"
            namespaces.set(name, {"a": "goes on"})
            assert Namespaces(folder / "settings", FakeClock(), bounds=BOUNDS).get(name)["a"] == "goes on"
        shutil.rmtree(folder)
