"""Collects: runs the tasks of a plan, and exchanges those that another plan has in their place.

A task that both plans have goes on untouched. One that is not wanted any more ends its reading, which counts, and
whatever comes in its place begins then. Knows neither where plans come from nor what becomes of readings.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import gevent

from istat.clock import Clock
from istat.plugin import Emit
from istat_agent.collecting import states
from istat_agent.collecting.beginning import Planned, nothing
from istat_agent.collecting.finding import BY_ITSELF, BY_SETTINGS, Call, Mark, unmarked
from istat_agent.collecting.plan import Plan
from istat_agent.collecting.runner import Runner
from istat_agent.collecting.schedule import Task, Timetable, Turns
from istat_agent.collecting.states import Changes, State
from istat_agent.collecting.threads import OF_CHILD, OF_ONE, Late, Threads
from istat_agent.counters import Counters, Failing

log = logging.getLogger(__name__)

END_SECONDS = 1.0  # that readings are waited for in the end
MOST_TIMED = 50  # collectors of which it is told how long they take
NO_COMPONENT = re.compile(r"[^a-z0-9_-]+")  # what a component of a counter's name does not have
CLOSE_SECONDS = 10.0  # that a child may take to be ended
CLOSERS = 8  # children that are being ended at once

Key = tuple[str, str, int]  # collector, job, the how many-th job of that name


@dataclass
class Run:
    """A task that runs."""

    task: Task
    runner: Runner
    timetable: Timetable
    greenlet: gevent.Greenlet
    waits_for: gevent.Greenlet | None = None  # what was in its place, until that has ended its reading

    def leave(self) -> gevent.Greenlet | None:
        """Do no other reading; the present one is ended. Who is to be waited for until that is so."""
        self.timetable.leave()
        self.runner.leave()
        if self.timetable.reading:
            return self.greenlet
        self.greenlet.kill(block=False)
        return None if self.timetable.begun else self.waits_for


class Collecting:
    """The tasks that run."""

    def __init__(self, deliver: Callable[[Emit], None], counters: Counters, clock: Clock,
                 failing: Failing, mark: Mark = unmarked,
                 isolate: Callable[[Task, str], None] = lambda task, why: None) -> None:
        """deliver(emit): takes what a reading brought. failing: hears what works and what does not. mark(origin,
        stamp): says that a foreign plugin runs. isolate(task, why): is told of one that is stuck for good."""
        self._deliver, self._counters, self._clock, self._failing = deliver, counters, clock, failing
        self._mark, self._isolate = mark, isolate
        # Threads apart: scripts and children, which end in time, and foreign code, which may not, take none of ours.
        self._own, self._foreign, self._programs, self._closers = Threads(), Threads(), Threads(), Threads(CLOSERS)
        # Of foreign plugins, by origin and whether isolated: how they are called.
        self._shares: dict[tuple[str, bool], Call] = {}
        self._turns = Turns()
        self._plan = Plan({})
        self._running: dict[Key, Run] = {}
        self._leaving: list[gevent.Greenlet] = []
        counters.plugins = self.gauges

    def apply(self, plan: Plan) -> Changes:
        """Run what this plan says from now on. Never blocks."""
        wanted = dict(_keyed(plan.tasks))
        gone = {key: run for key, run in self._running.items() if key not in wanted}
        added: list[Key] = []
        changed: list[Key] = []
        for key, task in wanted.items():
            before = self._running.get(key)
            if before is not None and before.task is task:
                continue
            (added if before is None else changed).append(key)
            self._running[key] = self._begin(task, before)
        for key, run in gone.items():
            self._end(run)
            del self._running[key]
        self._plan = plan
        self._leaving = [one for one in self._leaving if not one.dead]
        there = {(task.origin, task.isolated) for task in plan.tasks}
        self._shares = {whose: call for whose, call in self._shares.items() if whose in there}
        for planned in plan.dropped:
            if planned.close is not nothing:
                gevent.spawn(self._close, planned, [*self._leaving])
        return Changes(_names(added), _names(changed), _names(gone))

    def states(self) -> list[State]:
        """What is known of each collector, by name; of one that has several jobs, of each of these."""
        found = [self._told_of(run) for run in self._running.values()]
        runs = {run.task.collector for run in self._running.values()}
        found += [self._not_running(name) for name in self._plan.found if name not in runs]
        known = {one.origin for one in self._plan.found.values()}
        found += [State(_stem(origin), origin, False, states.REFUSED, why=why)
                  for origin, why in self._plan.refused.items() if origin not in known]
        return sorted(found, key=lambda state: state.name)

    def _told_of(self, run: Run) -> State:
        """The state of what runs, with why that is not what is wanted now."""
        planned, state = self._plan.collectors.get(run.task.collector), run.runner.state()
        if planned is not None and planned.found.isolated not in (BY_ITSELF, BY_SETTINGS):
            state = replace(state, verdict=planned.found.isolated)
        why = (planned.why if planned is not None else "") or self._plan.refused.get(state.origin, "")
        return replace(state, why="; ".join(filter(None, (state.why, why)))) if why else state

    def _not_running(self, name: str) -> State:
        one, planned = self._plan.found[name], self._plan.collectors.get(name)
        word, why = states.OFF, ""
        if planned is not None:
            word, why = (states.REFUSED, planned.why) if planned.why else (states.RUNS, "there is nothing to do for it")
        elif name in self._plan.enabled:
            word, why = states.WAITS, "it is being set up"
        return State(name, one.origin, one.own, word, bool(one.isolated), why)

    def gauges(self) -> dict[str, float]:
        """What the agent tells of its collectors (counters.PLUGINS), name -> value. From any thread."""
        found = [run.runner.state() for run in list(self._running.values())]
        failing = sum(state.state != states.RUNS for state in found)
        failing += sum(bool(one.why) and not one.tasks for one in list(self._plan.collectors.values()))
        times = {f"agent.plugin.{NO_COMPONENT.sub('_', state.name)}.ms": 1000 * state.seconds
                 for state in found[:MOST_TIMED] if state.last_run is not None}
        return {"agent.plugins": len(found), "agent.plugins_failing": failing + len(self._plan.refused), **times}

    def stop(self) -> None:
        """End. Collectors that still run are not waited for; children are ended."""
        greenlets = [run.greenlet for run in self._running.values()] + self._leaving
        gevent.killall(greenlets, timeout=END_SECONDS)
        self._running, self._leaving = {}, []
        closing = [gevent.spawn(self._close, planned, []) for planned in self._plan.collectors.values()
                   if planned.close is not nothing]
        gevent.joinall(closing, timeout=CLOSE_SECONDS)

    def _begin(self, task: Task, before: Run | None) -> Run:
        runner = Runner(task, self._call_of(task), self._deliver, self._counters, self._clock,
                        self._failing, self._mark, self._isolate)
        timetable = Timetable(task, runner.run, self._clock, self._turns)
        waits_for = None if before is None else self._end(before)
        return Run(task, runner, timetable, gevent.spawn(_after, waits_for, timetable), waits_for)

    def _call_of(self, task: Task) -> Call:
        """How a task is called in a thread."""
        if task.own:
            return self._own.call if task.waits else self._programs.call
        threads, most = (self._programs, OF_CHILD) if task.isolated else (self._foreign, OF_ONE)
        return self._shares.setdefault((task.origin, task.isolated), threads.of_one(most))

    def _end(self, run: Run) -> gevent.Greenlet | None:
        """See Run.leave. It does not fail any more."""
        reading = run.leave()
        if reading is not None:
            self._leaving.append(reading)
        self._failing.works(run.task.job.name)
        return reading

    def _close(self, planned: Planned, after: Sequence[gevent.Greenlet]) -> None:
        """Close what is not used any more, once its readings have ended."""
        gevent.joinall(after)
        try:
            self._closers.call(planned.close, CLOSE_SECONDS)
        except Late:
            log.warning("the child of the collector %s does not end; it does with the agent", planned.found.name)


def _after(before: gevent.Greenlet | None, timetable: Timetable) -> None:
    """Begin when what was in its place has ended its reading."""
    if before is not None:
        before.join()
    timetable.forever()


def _keyed(tasks: Iterable[Task]) -> Iterable[tuple[Key, Task]]:
    seen: dict[tuple[str, str], int] = {}
    for task in tasks:
        name = task.collector, task.job.name
        seen[name] = seen.get(name, -1) + 1
        yield (*name, seen[name]), task


def _names(keys: Iterable[Key]) -> tuple[str, ...]:
    return tuple(sorted({job for _, job, _ in keys}))


def _stem(origin: str) -> str:
    """What a plugin is called of which nothing is known but where it is."""
    name = origin.rpartition("/")[2].removesuffix(".py")
    return name.removeprefix("entry point ").partition(" ")[0]
