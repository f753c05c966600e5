"""Runs collectors on time: aligned to their interval, each in its own greenlet, with a deadline.

A collector runs in a thread of the system, because the agent cannot know whether it blocks (a dead network file
system, `time.sleep`, a C library); its greenlet waits for it until the deadline. A thread cannot be
killed: a collector that is stuck keeps its thread, is not started a second time, and is counted as late
at every turn that it misses. What it reports after the deadline is not taken. Knows nothing of the wire.
"""

from __future__ import annotations

import logging
import math
import os
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import gevent
from gevent.threadpool import ThreadPool

from istat.clock import Clock
from istat.daemon import missing
from istat.daemon.ratelimit import Words, shown
from istat.errors import PluginError
from istat.plugin import Emit, Job
from istat_agent.counters import Counters, Failing

log = logging.getLogger(__name__)

FIRST_ALIGNMENT = 10  # seconds: the reading at start must not look older than this
LONGEST_NAP = 30.0  # seconds: how soon a changed wall clock is noticed
FAILURES_BEFORE_BACK_OFF = 3  # a single failure says nothing
LONGEST_BACK_OFF = 300  # seconds between two tries of a collector that always fails
QUIET = 600.0  # seconds in which one collector logs at most one failure
MAX_THREADS = 64  # a thread costs about 100 kB; more jobs than that wait for each other


class Running(Protocol):
    """A call that was started in a thread."""

    def ready(self) -> bool:
        """Whether it is over."""


class Late(Exception):
    """The deadline is over; `running` still runs, or never began (None)."""

    def __init__(self, running: Running | None) -> None:
        super().__init__("deadline")
        self.running = running


class Threads:
    """Calls functions in threads of the system, so that none can block the hub."""

    def __init__(self, size: int = MAX_THREADS) -> None:
        """At most `size` threads at once; each is started when first needed, and kept."""
        self._pool = ThreadPool(size)

    def call(self, function: Callable[[], None], timeout: float) -> None:
        """Wait for `function()` for `timeout` seconds. Raises what it raises, or Late."""
        running = None
        with gevent.Timeout(timeout) as deadline:
            try:
                # The function's error is its result: gevent would print a failed task's traceback.
                running = self._pool.spawn(_outcome, function)
                error = running.get()
            except gevent.Timeout as caught:
                if caught is not deadline:
                    raise
                raise Late(running) from None
        if error is not None:
            raise error


def _outcome(function: Callable[[], None]) -> Exception | None:
    try:
        function()
    except Exception as error:  # noqa: BLE001 - a collector may raise anything; the caller gets it
        return error
    except SystemExit as error:  # must not end the agent
        return PluginError(f"called sys.exit({error.code!r})")
    return None


def _read(job: Job, emit: Emit) -> None:
    """One reading. Whoever returns values instead of reporting them is told so: nobody would look at them."""
    found: object = job.collect(emit)      # type: ignore[func-returns-value]
    if isinstance(found, (dict, list, tuple)) and found and not emit.readings:
        emit.problem(f"it reported nothing and returned a {type(found).__name__}: values are reported by "
                     "emit.gauge(name, value) or emit.event(name, count)")


def next_due(now: float, interval: int) -> int:
    """The first multiple of `interval` after `now` [Unix seconds]."""
    return (math.floor(now) // interval + 1) * interval


@dataclass(frozen=True)
class Task:
    """A job with everything decided: whose it is, how often, how long."""

    collector: str
    job: Job
    interval: int  # seconds
    timeout: float  # seconds


class Runner:
    """One task: when it is due, whether it may run, and what becomes of its result."""

    def __init__(
        self,
        task: Task,
        call: Callable[[Callable[[], None], float], None],
        deliver: Callable[[Emit], None],
        counters: Counters,
        clock: Clock,
        failing: Failing | None = None,
    ) -> None:
        """`call(function, timeout)` runs the collector; `deliver(emit)` takes what it reported; `failing` hears whether
        it works."""
        self.task = task
        self._failing = failing or Failing(clock)
        self._call, self._deliver, self._counters, self._clock = call, deliver, counters, clock
        self._stuck: Running | None = None
        self._failures = 0  # in a row, for which it is tried less often
        self._wrong = 0  # readings in a row that failed as a whole or in part
        self._resume = 0  # Unix seconds before which a failing collector is left alone
        self._quiet_until = -math.inf  # monotonic
        self._told = False  # that it fails; so is the end of it

    def run(self, time: int) -> None:
        """Do the reading that was due at `time`, unless the collector is stuck or being left alone."""
        if self._stuck is not None and not self._stuck.ready():
            self._counters.late += 1
            self._complain("still has not finished; left out")
            return
        self._stuck = None
        # The second test is for a wall clock that was set back.
        if time < self._resume <= time + LONGEST_BACK_OFF:
            return
        emit = Emit(time, self._clock.monotonic())
        try:
            self._call(lambda: _read(self.task.job, emit), self.task.timeout)
        except Late as late:
            self._stuck = late.running
            self._counters.late += 1
            self._complain(f"not finished after {self.task.timeout:g} s")
        except Exception as error:  # noqa: BLE001 - whatever a collector raises is its own affair
            self._counters.errors += 1
            self._failed(time, error, emit.problems)
        else:
            self._worked(emit.problems)
        emit.closed = True
        self._counters.refused += emit.refused
        self._deliver(emit)  # what was reported before an error counts

    def forever(self) -> None:
        """Run at every multiple of the interval, and once at the start so that rates come soon."""
        now = self._clock.now()
        self.run(math.floor(now) - math.floor(now) % min(self.task.interval, FIRST_ALIGNMENT))
        while True:
            due = next_due(self._clock.now(), self.task.interval)
            if self._wait_until(due):
                self.run(due)

    def _wait_until(self, due: int) -> bool:
        """Sleep until the wall clock says `due`. False when it was set meanwhile, or the machine slept."""
        while 0 < (left := due - self._clock.now()) <= self.task.interval:
            gevent.sleep(min(left, LONGEST_NAP))
        return -self.task.interval < left <= 0

    def _failed(self, time: int, error: Exception, problems: Sequence[str]) -> None:
        self._failures += 1
        self._wrong += 1
        over = self._failures - FAILURES_BEFORE_BACK_OFF
        if over >= 0:
            pause = self.task.interval * 2 ** min(over + 1, 16)
            self._resume = time + max(self.task.interval, min(pause, LONGEST_BACK_OFF))
        self._complain("; ".join([_told(error), *problems]))

    def _worked(self, problems: Sequence[str]) -> None:
        """It came to its end. What failed in parts is told, and no reason to try less often."""
        self._failures = self._resume = 0
        if problems:
            self._counters.errors += 1
            self._wrong += 1
            self._complain("; ".join(problems))
            return
        if self._wrong and self._told:
            log.info("collector %s works again, after %d failures", self.task.job.name, self._wrong)
        self._wrong = 0
        self._told = False
        self._failing.works(self.task.job.name)

    def _complain(self, words: str) -> None:
        said = str(shown(Words(words)))
        self._failing.fails(self.task.job.name, said)
        now = self._clock.monotonic()
        if now >= self._quiet_until:
            self._quiet_until, self._told = now + QUIET, True
            log.warning("collector %s: %s (not told again for %d s)", self.task.job.name, said, QUIET)


def _told(error: Exception) -> str:
    """An error in a line, with the place in the plugin's file unless it speaks for itself."""
    if isinstance(error, PluginError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}{missing.cure(error)}"


def start(
    tasks: Sequence[Task],
    threads: Threads,
    deliver: Callable[[Emit], None],
    counters: Counters,
    clock: Clock,
    failing: Failing | None = None,
) -> list[gevent.Greenlet]:
    """A greenlet for each task."""
    runners = [Runner(task, threads.call, deliver, counters, clock, failing) for task in tasks]
    return [gevent.spawn(runner.forever) for runner in runners]
