"""Late samples when hours have passed: which level keeps them depends on no clock but that by which they were taken."""
from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from istat.clock import FakeClock
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.store.harness import LADDER, NOW, crash, open_store, put, send
from tests.store.test_following import LEVELS, _change, copy, kill, pull, reopen


@dataclass
class Both:
    """The clocks of a master and of a replica, which may differ."""

    master: FakeClock
    replica: FakeClock

    def now(self) -> float:
        return self.master.now()

    def advance(self, seconds: float) -> None:
        self.master.advance(seconds)
        self.replica.advance(seconds)


def kept(store: StatStore, now: float) -> dict[object, object]:
    """What each counter has, as far as both keep it yet."""
    return {id: [[(time, count, pytest.approx(total, rel=1e-9), low, high)
                  for time, count, total, _m2, low, high in store.select([id], level, 0, NOW + 10 ** 8)[0].rows()
                  if time >= now - LADDER.levels[level].keep + 2 * LADDER.levels[level].interval] for level in LEVELS]
            for id in range(len(store.engine.counters)) if store.engine.counters.has(id)}


@pytest.mark.parametrize(("seed", "skew"), [(6, 1800), (7, 1800), (39, 1800), (2, -1800)])
def test_a_replica_keeps_them_in_the_levels_in_which_its_master_does(tmp_path, seed, skew):
    """However late it takes them, whatever its clock says, and whenever either lets files go."""
    rng, clocks = random.Random(seed), Both(FakeClock(NOW), FakeClock(NOW + skew))
    master = open_store(tmp_path / "master", clocks.master)
    put(master, *(f"name.{one} {one}" for one in range(5)))
    copy(master, tmp_path / "replica")
    replica = reopen(tmp_path / "replica", clocks.replica)
    for step in range(100):
        _change(rng, master, clocks, step)
        if rng.random() < 0.08:
            clocks.advance(rng.choice([600, 3600, 7200, 40_000]))
        if rng.random() < 0.06:
            crash(master)
            master._closed = True
            master = StatStore.open(master.folder, LADDER, clocks.master, options=Options(key=1))
        if rng.random() < 0.5:
            master.tick()
        if rng.random() < 0.6:
            pull(master, replica, rng.choice([1, 2, 5, 100]))
        if rng.random() < 0.1:
            rng.choice([replica.flush, replica.compact])()
        if rng.random() < 0.1:
            kill(replica)
            replica = reopen(replica.folder, clocks.replica)
        if rng.random() < 0.4:
            replica.tick()
    send(master, "the.last 1")
    pull(master, replica)
    now = max(clocks.master.now(), clocks.replica.now())
    assert kept(replica, now) == kept(master, now)
    replica.close()
    master.close()
