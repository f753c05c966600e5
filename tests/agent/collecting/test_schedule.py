"""When collectors run, and what becomes of slow and broken ones. Only real threads take real time."""

import logging
import threading
from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from istat.clock import FakeClock
from istat.errors import PluginError
from istat.plugin import Emit, Job
from istat_agent.collecting.runner import QUIET, Runner
from istat_agent.collecting.schedule import LONGEST_BACK_OFF, Task, Timetable, Turns, next_due
from istat_agent.collecting.threads import Late, Threads
from istat_agent.counters import MOST_TOLD, Counters, Failing, self_collector


class Bench:
    """A runner with everything around it fake: the collector is called at once, or is late when told so."""

    def __init__(self, collect: Callable[[Emit], None], interval: int = 10) -> None:
        self.counters, self.clock = Counters(), FakeClock(1000.0)
        self.delivered: list[Emit] = []
        self.late: Late | None = None
        task = Task("it", Job("it", collect), interval, float(interval))
        self.failing = Failing(self.clock)
        self.runner = Runner(task, self._call, self.delivered.append, self.counters, self.clock, self.failing)

    def _call(self, function: Callable[[], None], timeout: float) -> None:
        if self.late is not None:
            raise self.late
        function()


@given(st.floats(0, 1e10), st.integers(1, 86400))
def test_due_times_are_the_next_multiples(now: float, interval: int) -> None:
    due = next_due(now, interval)
    assert due % interval == 0
    assert now < due <= now + interval


def test_values_carry_the_due_time() -> None:
    bench = Bench(lambda emit: emit.gauge("a", 1))
    bench.clock.advance(0.3)
    bench.runner.run(1000)
    (emit,) = bench.delivered
    assert (emit.time, emit.monotonic, emit.gauges()) == (1000, 0.3, {"a": 1})
    assert emit.closed


def test_error_is_counted_told_once_and_what_came_before_it_is_delivered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def collect(emit: Emit) -> None:
        emit.gauge("a", 1)
        raise ValueError("odd answer")

    bench = Bench(collect)
    with caplog.at_level(logging.WARNING):
        bench.runner.run(1000)
        bench.runner.run(1010)
    assert bench.counters.errors == 2
    assert [emit.gauges() for emit in bench.delivered] == [{"a": 1}, {"a": 1}]
    (record,) = caplog.records
    assert "collector it: ValueError: odd answer (test_schedule.py:" in record.getMessage()
    bench.clock.advance(QUIET)
    with caplog.at_level(logging.WARNING):
        bench.runner.run(1020)
    assert len(caplog.records) == 2


def test_broken_collector_is_tried_less_often_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    broken = True
    tried: list[int] = []

    def collect(emit: Emit) -> None:
        tried.append(emit.time)
        if broken:
            raise PluginError("down")

    bench = Bench(collect)
    for time in range(1000, 3000, 10):
        bench.runner.run(time)
    gaps = [b - a for a, b in zip(tried, tried[1:])]
    assert gaps[:6] == [10, 10, 20, 40, 80, 160]
    assert max(gaps) == LONGEST_BACK_OFF
    broken = False
    with caplog.at_level(logging.INFO):
        for time in range(3000, 3400, 10):
            bench.runner.run(time)
    assert "works again" in caplog.text
    assert tried[-3:] == [3370, 3380, 3390]


def test_a_reading_that_fails_in_part_is_told_and_not_tried_less_often(caplog: pytest.LogCaptureFixture) -> None:
    sentences = ["/mnt/a does not answer", "nor does /mnt/b"]

    def collect(emit: Emit) -> None:
        emit.gauge("a", 1)
        for sentence in sentences:
            emit.problem(sentence)

    bench = Bench(collect)
    with caplog.at_level(logging.INFO):
        for time in range(1000, 1100, 10):
            bench.runner.run(time)
    assert [emit.time for emit in bench.delivered] == list(range(1000, 1100, 10))
    assert bench.counters.errors == 10
    (record,) = caplog.records
    assert "collector it: /mnt/a does not answer; nor does /mnt/b (not told again" in record.getMessage()
    sentences.clear()
    with caplog.at_level(logging.INFO):
        bench.runner.run(1100)
    assert "works again, after 10 failures" in caplog.text


def test_values_that_are_returned_are_told_to_be_lost(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(lambda emit: {"a": 1})    # type: ignore[arg-type,return-value]
    with caplog.at_level(logging.WARNING):
        bench.runner.run(1000)
    assert "returned a dict: values are reported by emit.gauge(name, value)" in caplog.text
    assert bench.counters.errors == 1
    bench = Bench(lambda emit: [emit.gauge("a", 1)])    # type: ignore[arg-type,return-value]
    bench.runner.run(1000)
    assert bench.counters.errors == 0, "it reported what it had"


def test_what_failed_in_part_before_an_error_is_told_with_it(caplog: pytest.LogCaptureFixture) -> None:
    def collect(emit: Emit) -> None:
        emit.problem("a bad line")
        raise PluginError("exit status 3")

    with caplog.at_level(logging.INFO):
        Bench(collect).runner.run(1000)
    assert "collector it: exit status 3; a bad line (not told" in caplog.text


def test_what_fails_is_told_the_server_until_it_works_again() -> None:
    problem: Exception | None = PluginError("down\x1b[31m")
    changes: list[int] = []

    def collect(emit: Emit) -> None:
        if problem is not None:
            raise problem

    bench = Bench(collect)
    bench.failing.changed = lambda: changes.append(len(bench.failing.lines()))
    assert bench.failing.lines() == []
    bench.runner.run(1000)
    bench.clock.advance(10)
    problem = PluginError("still down")
    bench.runner.run(1010)
    assert bench.failing.lines() == [b"#failing 1\n", b"#failing.1 1000 it: still down\n"]
    bench.late = Late(None)
    bench.runner.run(1020)
    assert bench.failing.lines()[1] == b"#failing.1 1000 it: not finished after 10 s\n"
    bench.late = problem = None
    bench.runner.run(1030)
    bench.runner.run(1040)
    assert bench.failing.lines() == [b"#failing 0\n"], "which the server may not have heard yet"
    assert changes == [2, 1], "it is told at once when that begins, and when it ends"


def test_what_fails_is_told_in_lines_that_the_server_takes() -> None:
    clock = FakeClock(1000.0)
    failing = Failing(clock, ["collector x does not run: it is\n  nonsense", "second"])
    assert failing.lines() == [b"#failing 2\n", b"#failing.1 1000 : collector x does not run: it is nonsense\n",
                               b"#failing.2 1000 : second\n"]
    for number in range(40):
        clock.advance(1)
        failing.fails(f"exec:{'n' * 300}{number:02}", "\u00e4" * 300)
        failing.fails(f"exec:{number:02}", "no such file")
    lines = failing.lines()
    assert lines[0] == b"#failing 82\n" and len(lines) == 1 + MOST_TOLD
    assert b"exec:39: no such file\n" in lines[2], "the latest first"
    for line in lines:
        key, _, value = line.rstrip(b"\n").partition(b" ")
        assert len(value) <= 256 and len(key) <= 256
        assert value.decode().endswith("...") == (len(value) > 200)


def test_clock_set_back_does_not_prolong_the_pause() -> None:
    tried: list[int] = []

    def collect(emit: Emit) -> None:
        tried.append(emit.time)
        raise PluginError("down")

    bench = Bench(collect)
    for time in range(100_000, 100_100, 10):
        bench.runner.run(time)
    bench.runner.run(1000)
    assert tried[-1] == 1000


def test_stuck_collector_is_left_out_and_counted_not_piled_up() -> None:
    class Running:
        over = False

        def ready(self) -> bool:
            return self.over

    running = Running()
    bench = Bench(lambda emit: emit.gauge("a", 1))
    bench.late = Late(running)
    bench.runner.run(1000)
    bench.late = None
    bench.runner.run(1010)
    bench.runner.run(1020)
    assert bench.counters.late == 3
    assert [emit.gauges() for emit in bench.delivered] == [{}]
    running.over = True
    bench.runner.run(1030)
    assert bench.delivered[-1].gauges() == {"a": 1}


def test_values_beyond_the_bound_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat.plugin.MAX_SAMPLES", 2)
    bench = Bench(lambda emit: [emit.gauge("a", i) for i in range(5)] and None)
    bench.runner.run(1000)
    assert bench.counters.refused == 3


def test_threads_keep_the_hub_alive() -> None:
    released = threading.Event()
    outcome: list[bool] = []
    gevent.spawn_later(0.01, released.set)  # runs only while the hub does
    Threads(1).call(lambda: outcome.append(released.wait(10)), 20)
    assert outcome == [True]


def test_threads_give_up_at_the_deadline() -> None:
    release = threading.Event()
    with pytest.raises(Late) as caught:
        Threads(1).call(release.wait, 0.1)  # type: ignore[arg-type]
    running = caught.value.running
    assert running is not None and not running.ready()
    release.set()
    with gevent.Timeout(10):
        while not running.ready():
            gevent.sleep(0.005)


def test_threads_hand_errors_back(capfd: pytest.CaptureFixture[str]) -> None:
    def leave() -> None:
        raise SystemExit(4)

    def divide() -> None:
        raise ZeroDivisionError

    threads = Threads(1)
    with pytest.raises(ZeroDivisionError):
        threads.call(divide, 5.0)
    with pytest.raises(PluginError, match=r"called sys\.exit\(4\)"):
        threads.call(leave, 5.0)
    assert capfd.readouterr().err == ""


def test_full_pool_is_late_as_well() -> None:
    threads, release = Threads(1), threading.Event()
    with pytest.raises(Late):
        threads.call(release.wait, 0.05)  # type: ignore[arg-type]
    with pytest.raises(Late) as caught:
        threads.call(lambda: None, 0.05)
    release.set()
    assert caught.value.running is None or not caught.value.running.ready()


def test_forever_is_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(lambda emit: emit.gauge("a", 1), interval=10)
    bench.clock.set(1003.4)

    class Enough(Exception):
        pass

    def sleep(seconds: float) -> None:
        if len(bench.delivered) == 4:
            raise Enough
        # Timers are never exact: a little early, then a little late.
        bench.clock.advance(max(0.001, seconds - 0.002) if seconds > 0.01 else seconds + 0.004)

    monkeypatch.setattr(gevent, "sleep", sleep)
    with pytest.raises(Enough):
        Timetable(bench.runner.task, bench.runner.run, bench.clock).forever()
    assert [emit.time for emit in bench.delivered] == [1000, 1010, 1020, 1030]
    assert [round(emit.monotonic, 1) for emit in bench.delivered] == [0.0, 6.6, 16.6, 26.6]


@pytest.mark.parametrize("jump", [-3600.0, 3600.0])
def test_clock_that_is_set_gives_no_reading_of_a_wrong_time(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    bench = Bench(lambda emit: emit.gauge("a", 1), interval=10)
    bench.clock.set(10_003.0)
    naps = 0

    class Enough(Exception):
        pass

    def sleep(seconds: float) -> None:
        nonlocal naps
        naps += 1
        if naps == 4:
            raise Enough
        bench.clock.advance(seconds)
        if naps == 2:
            bench.clock.set(bench.clock.now() + jump - 2)

    monkeypatch.setattr(gevent, "sleep", sleep)
    with pytest.raises(Enough):
        Timetable(bench.runner.task, bench.runner.run, bench.clock).forever()
    assert [emit.time for emit in bench.delivered] == [10_000, 10_010, 10_020 + jump]


def test_self_metrics_are_what_was_added() -> None:
    counters = Counters(samples=5)
    definition = self_collector(counters)
    first, second = Emit(), Emit()
    definition(first)
    counters.samples += 7
    counters.late += 1
    definition(second)
    assert first.events()["agent.samples"] == 5
    assert second.events()["agent.samples"] == 7
    assert second.events()["agent.late"] == 1
    assert 1e6 < second.gauges()["agent.rss_bytes"] < 1e9
    for emit in (first, second):
        for reading in emit.readings:
            assert [m for m in definition.metrics if m.event == reading.event and m.matches(reading.name)]


def until(condition: Callable[[], object]) -> None:
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.005)


def test_foreign_collectors_are_read_when_our_own_have_been(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat_agent.collecting.schedule.OWN_FIRST", 1000.0)
    turns, order, gate = Turns(), [], Event()

    def reads(name: str, wait: bool = False) -> Callable[[int], None]:
        def run(due: int) -> None:
            if wait:
                gate.wait()
            order.append(name)
        return run

    def table(name: str, own: bool, waits: bool = True, slow: bool = False) -> Timetable:
        task = Task(name, Job(name, lambda emit: None), 3600, 1.0, own=own, waits=waits)
        return Timetable(task, reads(name, slow), FakeClock(7200.0), turns)

    tables = [table("foreign", own=False), table("child", own=False, waits=False), table("slow", own=True, slow=True),
              table("own", own=True)]
    greenlets = [gevent.spawn(one.forever) for one in tables]
    until(lambda: len(order) == 2)
    gevent.sleep(0.05)      # as long as nobody comes who should not
    assert order == ["child", "own"]
    gate.set()
    until(lambda: len(order) == 4)
    assert order == ["child", "own", "slow", "foreign"]
    gevent.killall(greenlets)


def test_they_do_not_wait_for_ever_nor_for_what_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("istat_agent.collecting.schedule.OWN_FIRST", 0.05)
    turns, order = Turns(), []
    turns.announce("hangs", 0)
    task = Task("it", Job("it", lambda emit: None), 3600, 1.0, own=False)
    greenlet = gevent.spawn(Timetable(task, order.append, FakeClock(7200.0), turns).forever)
    until(lambda: order)
    assert order == [7200]
    greenlet.kill()
    monkeypatch.setattr("istat_agent.collecting.schedule.OWN_FIRST", 1000.0)
    turns.done("hangs")
    Timetable(Task("own", Job("own", lambda emit: None), 3600, 1.0), order.append, FakeClock(), turns).leave()
    with gevent.Timeout(10):
        turns.wait(7200)
