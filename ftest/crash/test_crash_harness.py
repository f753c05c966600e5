"""kill -9 at any moment of taking, cutting, merging, deriving, expiring, deleting, changing retention, and starting.

After every restart all buckets of all levels are compared with a plain reference: nothing that was read 100 ms
before is missing, nothing is counted twice, and no file is left over. ISTAT_CRASH_SEED repeats a run's decisions.
"""
from __future__ import annotations

from pathlib import Path

import pytest

from ftest.crash.lives import Harness, left_over, seed_of
from istat_server.store.offline import checking

pytestmark = pytest.mark.seconds(25)


def run(folder: Path, kills: int) -> None:
    """So many kills."""
    seed = seed_of()
    harness = Harness(folder, seed)
    try:
        harness.server.start()
        life = 0
        while harness.figures["kills"] < kills:
            life += 1
            try:
                harness.life(life)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, life {life}: {error}") from error
        assert harness.server.terminate() == 0
        assert not left_over(harness.server.store)
        assert not checking.check(harness.server.store).findings
        harness.server.start()
        harness.compare()
        harness.server.assert_no_traceback()
    finally:
        harness.server.let_go()
    print(harness.figures)
    enough = kills // 2
    assert min(harness.figures[key] for key in ("cuts", "jobs")) >= enough, f"too quiet: {harness.figures}"


def test_some_kills(tmp_path: Path) -> None:
    run(tmp_path, 25)


@pytest.mark.slow
def test_two_hundred_kills(tmp_path: Path) -> None:
    run(tmp_path, 200)
