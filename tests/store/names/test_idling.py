"""Names that come and go: those without data go by themselves, and leave nothing behind; restarts forget nothing."""
from __future__ import annotations

import time

import pytest

from istat.clock import FakeClock
from istat.kernels import IMPLEMENTATION
from istat.retention import Ladder
from istat_server.store.names import idling
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore
from tests.store.harness import NOW, crash, glob, put

DAY = 86_400
SHORT = Ladder.parse("10s:10m,1m:1h")


def open_short(folder, clock):
    return StatStore.open(folder, SHORT, clock, options=Options(key=1))


def pass_days(store, clock, days, *lines):
    """Half an hour at a time, so that the clock is believed; `lines` come every day."""
    for half_hour in range(48 * days):
        clock.advance(1800)
        if half_hour % 48 == 0 and lines:
            put(store, *lines)
        store.tick()


def names_of(store):
    return [counter.name for counter in store.match(glob(b"*"), 100).items]


def test_a_counter_that_nobody_sends_to_goes_once_its_data_are_gone(tmp_path, clock):
    store = open_short(tmp_path, clock)
    put(store, "stays 1", "goes 1", "*event 1")
    pass_days(store, clock, 1, "stays 1")
    assert names_of(store) == ["stays", "goes", "event"]
    pass_days(store, clock, 3, "stays 1")
    assert names_of(store) == ["stays"]
    assert store.status()["counters_retired"] == 2
    assert store.engine.route(b"goes") is None
    put(store, "goes 2")
    assert store.find(b"goes").id == 3
    store.close()


@pytest.mark.parametrize("end", ["close", "crash"])
def test_a_restart_does_not_forget_when_counters_were_heard(tmp_path, clock, end):
    store = open_short(tmp_path, clock)
    put(store, "stays 1", "goes 1")
    pass_days(store, clock, 1, "stays 1")
    if end == "close":
        store.close()
    else:
        crash(store)
    store = open_short(tmp_path, clock)
    assert names_of(store) == ["stays", "goes"]
    pass_days(store, clock, 1, "stays 1")
    assert names_of(store) == ["stays"]
    store.close()


def test_without_the_file_all_count_as_heard_today(tmp_path, clock, caplog):
    store = open_short(tmp_path, clock)
    put(store, "stays 1", "goes 1")
    pass_days(store, clock, 1, "stays 1")
    store.close()
    path = tmp_path / idling.NAME
    path.write_bytes(path.read_bytes()[:-3])
    store = open_short(tmp_path, clock)
    assert "count as heard today" in caplog.text
    pass_days(store, clock, 1, "stays 1")
    assert names_of(store) == ["stays", "goes"]
    store.close()


def test_nothing_goes_while_the_clock_is_doubted(tmp_path, clock):
    store = open_short(tmp_path, clock)
    put(store, "stays 1", "goes 1")
    store.tick()
    clock.set(clock.now() + 30 * DAY)
    for _ in range(20):
        store.tick()
        clock.advance(1800)
    assert names_of(store) == ["stays", "goes"]
    store.confirm_clock()
    clock.advance(3600)
    store.tick()
    assert names_of(store) == []
    store.close()


@pytest.mark.parametrize("names", [50_000, pytest.param(200_000, marks=pytest.mark.slow)])
@pytest.mark.skipif(IMPLEMENTATION != "native", reason="a million names")
def test_names_that_live_one_day_leave_nothing_behind(tmp_path, names):
    """Five days of so many new names each: memory, names files and search are as after the third."""
    clock = FakeClock(NOW)
    store = open_short(tmp_path, clock)
    memory, seconds, disk = [], [], []
    for day in range(5):
        text = b"".join(b"host%d.day%d.metric.value 1\n" % (number, day) for number in range(names))
        put_all(store, text)
        for _ in range(48):
            clock.advance(1800)
            for _ in range(6):
                store.tick()
        began = time.perf_counter()
        assert len(store.search([b"host777.", b"day%d" % day], 9).items) == 1
        seconds.append(time.perf_counter() - began)
        memory.append(store.engine.memory())
        disk.append(sum(path.stat().st_size for path in (tmp_path / "names").iterdir()))
    assert len(store.engine.counters) == 5 * names
    assert store.count() <= 4 * names
    assert max(memory[3:]) < 1.2 * max(memory[:3])
    assert max(disk[3:]) < 1.3 * max(disk[:3])
    store.close()
    store = open_short(tmp_path, clock)
    for _ in range(20):
        store.tick()
        clock.advance(30)
    assert store.count() <= 4 * names
    assert store.engine.memory() < 1.2 * max(memory[:3])
    assert min(seconds) < 1
    store.close()


def put_all(store, text):
    """As an intake does it, for many names at once."""
    store.engine.feed(text, 0, len(text))
    for _code, line in store.engine.take_leftovers():
        store.learn(line.split()[0])
    store.engine.feed(text, 0, len(text))
    store.after_feed()
