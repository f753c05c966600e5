"""Runs one job: when it may, with a deadline and a budget, and says what becomes of it.

A collector runs in a thread of the system, because the agent cannot know whether it blocks (a dead network file
system, `time.sleep`, a C library); its greenlet waits for it until the deadline. A collector that is stuck keeps its
thread, is not started a second time, and is counted as late at every turn that it misses; at the first one, a foreign
one is interrupted, and handed over to be isolated. What it reports after the deadline is not taken. Knows nothing of
the wire.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import time as times
import traceback
from collections.abc import Callable, Sequence

from istat.clock import Clock
from istat.daemon import missing
from istat.daemon.ratelimit import Words, shown
from istat.errors import PluginError
from istat.plugin import Emit
from istat_agent.collecting import states
from istat_agent.collecting.budgets import Spent
from istat_agent.collecting.finding import Mark, unmarked
from istat_agent.collecting.schedule import Breaker, Task
from istat_agent.collecting.states import State
from istat_agent.collecting.threads import Late, Running
from istat_agent.counters import Counters, Failing

log = logging.getLogger(__name__)

QUIET = 600.0  # seconds in which one collector logs at most one failure


class Runner:
    """One task: whether it may run, and what becomes of its result."""

    def __init__(
        self,
        task: Task,
        call: Callable[[Callable[[], None], float], None],
        deliver: Callable[[Emit], None],
        counters: Counters,
        clock: Clock,
        failing: Failing | None = None,
        mark: Mark = unmarked,
        isolate: Callable[[Task, str], None] = lambda task, why: None,
    ) -> None:
        """`call(function, timeout)` runs the collector; `deliver(emit)` takes what it reported; `failing` hears whether
        it works; `isolate(task, why)` is told of a foreign one that is stuck for good."""
        self.task = task
        self._failing = failing or Failing(clock)
        self._call, self._deliver, self._counters, self._clock = call, deliver, counters, clock
        self._mark = mark if not (task.own or task.isolated) else unmarked
        self._isolate = isolate
        self._stuck: Late | None = None
        self._breaker = Breaker(task.interval)
        self._spent = Spent(task.budget, task.interval)
        self._wrong = 0  # readings in a row that failed as a whole or in part
        self._quiet_until = -math.inf  # monotonic
        self._told = False  # that it fails; so is the end of it
        self._why = ""  # it failed last
        self.errors = self.late = self.refused = self.samples = 0
        self.seconds = 0.0  # that the last reading took
        self.last_run: int | None = None  # Unix seconds

    def run(self, time: int) -> None:
        """Do the reading that was due at `time`, unless the collector is stuck or being left alone."""
        if self._stuck is not None and not _over(self._stuck.running):
            self._left_out()
            return
        self._stuck = None
        if self._breaker.waits(time):
            return
        began = self._clock.monotonic()
        emit = Emit(time, began, self.task.budget.samples)
        spent: list[float] = []
        try:
            self._call(functools.partial(_read, self.task, emit, spent, self._mark), self.task.timeout)
        except Late as late:
            self._stuck = late
            self._was_late(f"not finished after {self.task.timeout:g} s")
            self._breaker.failed(time)
        except Exception as error:  # noqa: BLE001 - whatever a collector raises is its own affair
            self._count_error()
            self._breaker.failed(time)
            self._complain("; ".join([_told(error), *emit.problems]))
        else:
            self._breaker.worked()
            self._worked(emit.problems)
        emit.closed = True
        self.seconds, self.last_run = self._clock.monotonic() - began, time
        self._account(emit, sum(spent))
        self._deliver(emit)  # what was reported before an error counts

    @property
    def is_stuck(self) -> bool:
        """Whether a reading that is not waited for any more still runs."""
        return self._stuck is not None and not _over(self._stuck.running)

    def leave(self) -> None:
        """There are no more readings: one that is stuck is interrupted, so that its thread is free."""
        if self._stuck is not None:
            self._stuck.interrupt()

    def state(self) -> State:
        """What is known of it."""
        word, why = self._word()
        task = self.task
        return State(task.job.name, task.origin, task.own, word, task.isolated, why, task.interval, self.last_run,
                     round(self.seconds, 6), round(self._spent.cpu_ms, 3), self.samples, len(self._spent.names),
                     self.errors, self.late, self.refused)

    def _word(self) -> tuple[str, str]:
        if self.is_stuck:
            return states.STUCK, self._why
        if self._breaker.waits(math.floor(self._clock.now())):
            return states.WAITS, self._why or self._spent.said
        return (states.FAILS, self._why) if self._why else (states.RUNS, self._spent.said)

    def _account(self, emit: Emit, cpu: float) -> None:
        """What a reading took of the budget."""
        self._spent.take(emit)
        pause = self._spent.ran(cpu + emit.cpu)
        if pause:
            self._breaker.stretch(emit.time, pause)
        for sentence in self._spent.news():
            log.warning("collector %s: %s (told once)", self.task.job.name, shown(Words(sentence)))
        self.samples += len(emit.readings)
        self.refused += emit.refused
        self._counters.refused += emit.refused

    def _left_out(self) -> None:
        """It still runs at its next turn."""
        self._was_late("still has not finished; left out")
        if not (self.task.own or self.task.isolated or self._stuck is None):
            self._stuck.interrupt()
            self._isolate(self.task, f"it did not finish within {self.task.timeout:g} s, nor until its next turn")

    def _was_late(self, words: str) -> None:
        self.late += 1
        self._counters.late += 1
        self._wrong += 1
        self._complain(words)

    def _count_error(self) -> None:
        self.errors += 1
        self._counters.errors += 1
        self._wrong += 1

    def _worked(self, problems: Sequence[str]) -> None:
        """It came to its end. What failed in parts is told, and no reason to try less often."""
        if problems:
            self._count_error()
            self._complain("; ".join(problems))
            return
        if self._wrong and self._told:
            log.info("collector %s works again, after %d failures", self.task.job.name, self._wrong)
        self._wrong = 0
        self._told, self._why = False, ""
        self._failing.works(self.task.job.name)

    def _complain(self, words: str) -> None:
        said = str(shown(Words(words)))
        self._why = said
        self._failing.fails(self.task.job.name, said)
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until, self._told = now + QUIET, True
            log.warning("collector %s: %s (not told again for %d s)", self.task.job.name, said, QUIET)


def _over(running: Running | None) -> bool:
    return running is None or running.ready()


def _read(task: Task, emit: Emit, spent: list[float], mark: Mark) -> None:
    """One reading, in its thread. `spent`: gets the CPU seconds that it took. Whoever returns values instead of
    reporting them is told so: nobody would look at them."""
    before = times.thread_time()
    try:
        with mark(task.origin, task.stamp):
            found: object = task.job.collect(emit)      # type: ignore[func-returns-value]
    finally:
        spent.append(times.thread_time() - before)
    if isinstance(found, (dict, list, tuple)) and found and not emit.readings:
        emit.problem(f"it reported nothing and returned a {type(found).__name__}: values are reported by "
                     "emit.gauge(name, value) or emit.event(name, count)")


def _told(error: Exception) -> str:
    """An error in a line, with the place in the plugin's file unless it speaks for itself."""
    if isinstance(error, PluginError):
        return missing.text_of(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {missing.text_of(error)}{place}{missing.cure(error)}"
