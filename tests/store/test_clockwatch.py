"""Clocks that jump: nothing is removed because of its age until the clock has gone on steadily for a day."""
from __future__ import annotations

from istat.clock import FakeClock
from istat_server.store.clockwatch import STEADY, ClockWatch
from tests.store.test_statstore import NOW, open_store, put, rows


def test_a_jump_is_doubted_for_a_day():
    clock = FakeClock(NOW)
    watch = ClockWatch(clock, NOW - 600)
    assert watch.doubt() == ""
    clock.advance(50_000)
    assert watch.doubt() == ""
    clock.set(clock.now() - 7200)
    assert "went back by 7200 s" in watch.doubt()
    clock.advance(STEADY - 10)
    assert "old data are not removed" in watch.doubt()
    clock.advance(10)
    assert watch.doubt() == ""


def test_a_machine_that_starts_years_ahead_removes_nothing(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.close()
    wrong = FakeClock(NOW + 20 * 365 * 86400)
    store = open_store(tmp_path, wrong)
    store.tick()
    wrong.advance(10)
    store.tick()
    assert "old data are not removed" in str(store.status()["expiry_problem"])
    wrong.set(NOW + 100)
    store.tick()
    assert len(rows(store, "a", 0)) == 1
    store.close()
