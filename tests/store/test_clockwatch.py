"""Clocks that jump: nothing is removed because of its age until the clock has gone on steadily for a day."""
from __future__ import annotations

from istat.clock import STEADY, ClockWatch, FakeClock
from tests.store.harness import NOW, open_store, put, rows


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


def test_a_clock_that_comes_back_by_itself_is_believed_at_once():
    clock = FakeClock(NOW)
    watch = ClockWatch(clock, NOW)
    clock.set(NOW + 10 ** 8)
    assert "went on" in watch.doubt()
    clock.advance(300)
    assert watch.believed() == NOW + 300
    clock.set(NOW + 301)
    assert (watch.doubt(), watch.believed()) == ("", NOW + 301)


def test_a_second_jump_begins_the_day_anew():
    clock = FakeClock(NOW)
    watch = ClockWatch(clock, NOW)
    clock.set(NOW + 10 ** 8)
    assert watch.doubt()
    clock.advance(STEADY - 10)
    clock.set(NOW + 2 * 10 ** 8)
    assert watch.doubt()
    clock.advance(STEADY - 10)
    assert watch.doubt()
    clock.advance(10)
    assert (watch.doubt(), watch.believed()) == ("", clock.now())


def test_doubt_outlives_a_restart_whatever_was_written_meanwhile(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.flush()
    clock.set(NOW + 10 ** 8)
    put(store, f"a {NOW + 10 ** 8} 1")
    store.flush()                                       # a MANIFEST of the time that may be wrong
    store.close()
    for _ in range(2):
        store = open_store(tmp_path, clock)
        store.tick()
        clock.advance(10)
        store.tick()
        assert "istat clock confirm" in str(store.status()["expiry_problem"])
        put(store, f"a {NOW + 10 ** 8} 1")
        store.close()
    clock.set(NOW + 200)
    store = open_store(tmp_path, clock)
    assert store.watch.doubt() == ""
    assert len(rows(store, "a", 0)) == 1
    store.close()


def test_a_confirmed_clock_is_believed_at_once_and_after_a_restart(tmp_path):
    clock = FakeClock(NOW)
    store = open_store(tmp_path, clock)
    put(store, "a 1")
    store.flush()
    assert store.confirm_clock() == ""
    clock.set(NOW + 10 ** 8)
    clock.advance(2)
    store.tick()
    assert len(store.files.manifest.files) == 1
    assert "went on" in store.confirm_clock()
    assert store.files.manifest.saved == NOW + 10 ** 8 + 2
    again = ClockWatch(clock, store.files.manifest.saved)
    assert again.doubt() == ""
    store.compact()                                     # derives, then removes what is past its age
    assert not store.files.manifest.files and store.status()["expiry_problem"] == ""
    store.close()
