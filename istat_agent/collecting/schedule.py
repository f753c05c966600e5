"""When jobs are due: aligned to their interval, our own before foreign ones, less often what fails again and again.
Knows not what is done then."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.plugin import Job
from istat_agent.collecting.budgets import Budget

FIRST_ALIGNMENT = 10  # seconds: the reading at start must not look older than this
LONGEST_NAP = 30.0  # seconds: how soon a changed wall clock is noticed
OWN_FIRST = 1.0  # seconds that foreign collectors wait for our own: those may wait for something, too
FAILURES_BEFORE_BACK_OFF = 3  # a single failure says nothing
LONGEST_BACK_OFF = 300  # seconds between two tries of a collector that always fails
FAULTS_PER_SECOND = 1 / 600  # that are logged of one collector

log = logging.getLogger(__name__)


def next_due(now: float, interval: int) -> int:
    """The first multiple of `interval` after `now` [Unix seconds]."""
    return (math.floor(now) // interval + 1) * interval


@dataclass(frozen=True)
class Task:
    """A job with everything decided: whose it is, how often, how long, how much."""

    collector: str
    job: Job
    interval: int  # seconds
    timeout: float  # seconds
    origin: str = ""  # of the plugin
    own: bool = True
    isolated: bool = False
    waits: bool = True  # where it is foreign: until our own have been read; what runs in a child does not
    budget: Budget = Budget()
    stamp: str = ""  # of the plugin


class Turns:
    """Whose turn it is. What holds the interpreter costs no value of ours: they have been read by then."""

    def __init__(self) -> None:
        self._due: dict[object, int] = {}  # who of our own is reading or is going to -> the time for which [Unix s]
        self._changed = Event()

    def announce(self, who: object, due: int) -> None:
        """One of our own is going to read for `due`."""
        self._due[who] = due

    def done(self, who: object) -> None:
        """It has, or will not."""
        self._due.pop(who, None)
        self._changed.set()

    def wait(self, due: int) -> None:
        """Until all of our own that are due then have been read, a second at most."""
        with gevent.Timeout(OWN_FIRST, False):
            while any(time <= due for time in self._due.values()):
                self._changed.clear()
                self._changed.wait()


class Timetable:
    """Calls `run(due)` at every multiple of the interval, until it is told to leave."""

    def __init__(self, task: Task, run: Callable[[int], None], clock: Clock, turns: Turns | None = None) -> None:
        self._task, self._run, self._clock = task, run, clock
        self._turns = turns or Turns()
        self._first = task.own and task.waits
        self.begun = False
        self.reading = False  # a reading is going on, or waits for its turn
        self._leaving = False
        self._log = LimitedLog(log, clock, FAULTS_PER_SECOND, 1.0)
        if self._first:
            self._turns.announce(self, 0)

    def leave(self) -> None:
        """There is to be no reading after the present one, if there is one. Whoever runs `forever` may be killed where
        there is none."""
        self._leaving = True
        if not self.reading:
            self._turns.done(self)

    def forever(self) -> None:
        """Run at every multiple of the interval, and once at the start so that rates come soon."""
        try:
            self.begun = True
            now = math.floor(self._clock.now())
            self._turn(now - now % min(self._task.interval, FIRST_ALIGNMENT))
            while not self._leaving:
                due = next_due(self._clock.now(), self._task.interval)
                if self._first:
                    self._turns.announce(self, due)
                if self._wait_until(due):
                    self._turn(due)
        finally:
            self._turns.done(self)

    def _turn(self, due: int) -> None:
        self.reading = True
        try:
            if self._task.waits and not self._task.own:
                self._turns.wait(due)
            self._run(due)
        except Exception as error:  # noqa: BLE001 - a fault of ours, or of what is shipped by, ends no collector
            self._log.error(self._task.job.name, "collector %s: a fault of our own", self._task.job.name,
                            exc_info=error)
        finally:
            self.reading = False
            self._turns.done(self)

    def _wait_until(self, due: int) -> bool:
        """Sleep until the wall clock says `due`. False when it was set meanwhile, or the machine slept."""
        while 0 < (left := due - self._clock.now()) <= self._task.interval:
            gevent.sleep(min(left, LONGEST_NAP))
        return -self._task.interval < left <= 0


class Breaker:
    """Open after three failures in a row: tried again after 2, 4, ... intervals, at most 5 minutes."""

    def __init__(self, interval: int) -> None:
        """interval: of the job [s]."""
        self._interval = interval
        self._failures = 0  # in a row
        self._resume = 0  # Unix seconds before which it is left alone

    def waits(self, time: int) -> bool:
        """Whether it is left alone at `time` [Unix s]; not any more when the wall clock was set back."""
        return time < self._resume <= time + LONGEST_BACK_OFF

    @property
    def resume(self) -> int:
        """When it is tried again [Unix s]."""
        return self._resume

    def failed(self, time: int) -> None:
        """The reading that was due at `time` [Unix s] raised, or came too late."""
        self._failures += 1
        over = self._failures - FAILURES_BEFORE_BACK_OFF
        if over >= 0:
            pause = self._interval * 2 ** min(over + 1, 16)
            self._resume = time + max(self._interval, min(pause, LONGEST_BACK_OFF))

    def worked(self) -> None:
        """It came to its end."""
        self._failures = self._resume = 0

    def stretch(self, time: int, pause: float) -> None:
        """It is to run `pause` [s] after `time` [Unix s] at the earliest."""
        self._resume = max(self._resume, time + int(min(pause, LONGEST_BACK_OFF)))
