"""What a job may take, and what becomes of the rest."""

import logging

import pytest

from istat.clock import FakeClock
from istat.plugin import MAX_NAMES, Emit, Job
from istat_agent.collecting.budgets import MOST_KNOWN, READINGS, Budget, Spent
from istat_agent.collecting.runner import Runner
from istat_agent.collecting.schedule import Task
from istat_agent.collecting.threads import Late
from istat_agent.counters import Counters


def emitted(*names: str, most: int | None = None) -> Emit:
    emit = Emit(most=most)
    for name in names:
        emit.gauge(name, 1)
    return emit


def test_names_beyond_the_budget_are_refused_and_those_before_go_on() -> None:
    spent = Spent(Budget(names=3), 10)
    first, second, third = emitted("a", "b"), emitted("b", "c", "d", "e"), emitted("a", "d", "c")
    for emit in (first, second, third):
        spent.take(emit)
    assert [list(emit.gauges()) for emit in (first, second, third)] == [["a", "b"], ["b", "c"], ["a", "c"]]
    assert [emit.refused for emit in (first, second, third)] == [0, 2, 1]
    assert spent.news() == ["2 values refused: max-names = 3 different ones"]
    assert spent.news() == [], "it is told once"


def test_without_a_bound_names_are_counted_and_not_kept_for_ever() -> None:
    spent = Spent(Budget(names=None), 10)
    for n in range(3):
        emit = emitted(*(f"{n}.{i}" for i in range(MAX_NAMES)))
        spent.take(emit)
        assert emit.refused == 0
    assert len(spent.names) == MOST_KNOWN


def test_samples_beyond_the_budget() -> None:
    spent, emit = Spent(Budget(samples=2), 10), emitted("a", "b", "c", "d", most=2)
    spent.take(emit)
    assert (list(emit.gauges()), emit.refused) == (["a", "b"], 2)
    assert spent.news() == ["2 values refused: max-samples = 2 of a reading"]


def test_what_takes_more_cpu_than_it_may_is_read_less_often_until_it_fits() -> None:
    spent = Spent(Budget(cpu=10.0), 10)
    assert [spent.ran(3.0) for _ in range(READINGS)] == [*[0.0] * (READINGS - 1), 30.0]
    assert spent.news() == ["takes 30 % of a core, max-cpu is 10: read less often"]
    assert spent.cpu_ms == 3000
    for _ in range(READINGS):
        last = spent.ran(0.5)
    assert (last, spent.said) == (0.0, "")


def test_readings_are_left_out_so_that_it_fits(caplog: pytest.LogCaptureFixture) -> None:
    read: list[int] = []

    def collect(emit: Emit) -> None:
        read.append(emit.time)
        emit.cpu = 3.0  # as an isolated one tells it
        emit.gauge("a", 1)

    runner = Runner(Task("it", Job("it", collect), 10, 10.0, budget=Budget(cpu=10.0)), lambda call, timeout: call(),
                    lambda emit: None, Counters(), clock := FakeClock(1000.0))
    with caplog.at_level(logging.WARNING):
        for time in range(1000, 1300, 10):
            clock.set(float(time))
            runner.run(time)
    assert read == [*range(1000, 1100, 10), *range(1120, 1300, 30)]
    assert caplog.text.count("takes 30 % of a core") == 1
    state = runner.state()
    assert (state.state, state.why) == ("waits", "takes 30 % of a core, max-cpu is 10: read less often")
    assert (state.samples, state.names, state.last_run) == (len(read), 1, 1270)


def test_what_is_refused_is_counted_in_the_state() -> None:
    counters = Counters()
    runner = Runner(Task("it", Job("it", lambda emit: [emit.gauge(f"a{n}", 1) for n in range(9)] and None), 10, 10.0,
                         budget=Budget(samples=7, names=4)),
                    lambda call, timeout: call(), lambda emit: None, counters, FakeClock(1000.0))
    runner.run(1000)
    state = runner.state()
    assert (state.samples, state.names, state.refused, counters.refused) == (4, 4, 5, 5)
    assert state.state == "runs" and "max-names = 4" in state.why


class Stuck:
    """A call that does not end."""

    def __init__(self) -> None:
        self.over, self.interrupted = False, 0

    def ready(self) -> bool:
        return self.over

    def interrupt(self) -> None:
        self.interrupted += 1


@pytest.mark.parametrize(("own", "isolated"), [(True, False), (False, False), (False, True)])
def test_a_foreign_one_that_misses_a_turn_is_interrupted_and_isolated(own: bool, isolated: bool) -> None:
    stuck, told = Stuck(), []

    def call(function: object, timeout: float) -> None:
        raise Late(stuck, stuck.interrupt)

    task = Task("it", Job("it", lambda emit: None), 10, 10.0, "/d/it.py", own, isolated)
    runner = Runner(task, call, lambda emit: None, Counters(), FakeClock(1000.0),
                    isolate=lambda task, why: told.append((task.origin, why)))
    runner.run(1000)
    assert (stuck.interrupted, told, runner.state().state) == (0, [], "stuck")
    runner.run(1010)
    if own or isolated:
        assert (stuck.interrupted, told) == (0, [])
    else:
        assert told == [("/d/it.py", "it did not finish within 10 s, nor until its next turn")]
        assert stuck.interrupted == 1
    assert runner.state().late == 2
    stuck.over = True
    assert runner.state().state == "fails"


def test_late_readings_open_the_breaker() -> None:
    tried: list[int] = []
    clock = FakeClock(1000.0)

    def call(function: object, timeout: float) -> None:
        tried.append(int(clock.now()))
        raise Late(None)

    runner = Runner(Task("it", Job("it", lambda emit: None), 10, 10.0), call, lambda emit: None, Counters(), clock)
    for time in range(1000, 1200, 10):
        clock.set(float(time))
        runner.run(time)
    assert tried == [1000, 1010, 1020, 1040, 1080, 1160]
    assert runner.state().state == "waits"
