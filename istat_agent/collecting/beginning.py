"""Begins one collector, in this process or in a child: settings checked, set up, its jobs as tasks.

Blocks, and is for a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import MAX_NAMES, Config, Job, Metric, common_settings
from istat_agent.collecting.budgets import Budget
from istat_agent.collecting.finding import Found, Mark, unmarked
from istat_agent.collecting.schedule import Task


def nothing(*_: object) -> None:
    """Do nothing."""


class About(Protocol):
    """What a collector declares: a Definition, or what its child told."""

    @property
    def help(self) -> str:
        """One sentence."""

    @property
    def interval(self) -> int | None:
        """Seconds; None: the agent's."""

    @property
    def timeout(self) -> float | None:
        """Seconds; None: the interval."""

    @property
    def default_on(self) -> bool:
        """Whether it runs without being named in `enable`."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """What it reports."""


@dataclass
class Planned:
    """A collector that was begun, or could not be."""

    found: Found
    key: object  # another one when it has to be begun anew
    about: About | None = None
    tasks: list[Task] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # sentences about parts that do not run
    why: str = ""  # it does not run, or not as it is wanted now
    close: Callable[[], None] = nothing  # to be called, in a thread, when it is not used any more
    # Its jobs are files, so that it is asked for them whenever something has changed: in the drop-in folders, or these.
    # None: they are not.
    follows: tuple[str, ...] | None = None


class Beginning:
    """One collector that is being begun."""

    def __init__(self, found: Found, key: object, table: object, config: Config, mark: Mark = unmarked) -> None:
        """table: its table of the settings file, unchecked; config: the agent's host, interval, drop-in folders;
        mark(origin, stamp): says that a foreign plugin runs."""
        self.planned = Planned(found, key)
        self._found, self._table, self._config = found, table, config
        self._mark = unmarked if found.own else mark
        self._lock = threading.Lock()
        self._abandoned = False

    def run(self) -> None:
        """Begin it; `planned` has what came of it. ValueError for its settings, whatever its setup raises."""
        definition = self._found.definition
        if definition is None:
            self._in_a_child()
            return
        settings = definition.configure(self._table)
        if settings["isolated"]:
            self._in_a_child()
            return
        interval, timeout = settings["interval"] or self._config.interval, settings["timeout"]
        config = replace(self._config, settings=settings, interval=interval, problems=[])
        with self._mark(self._found.origin, self._found.stamp):
            jobs = definition.start(config)
        self.planned.about, self.planned.problems = definition, config.problems
        self.planned.follows = _followed(self._found, settings)
        self._take(jobs, settings, interval, timeout)

    def abandon(self) -> None:
        """Nobody waits for it any more: a child that comes of it from now on is ended."""
        with self._lock:
            self._abandoned = True

    def _in_a_child(self) -> None:
        from istat_agent.isolation.parent import isolated_jobs  # only now: an agent without isolated ones needs none

        settings = common_settings(self._found.name, self._table)
        config = replace(self._config, problems=[])
        table = self._table if isinstance(self._table, Mapping) else {}
        jobs, about, close = isolated_jobs(self._found, table, config)
        with self._lock:
            self.planned.close = close
            abandoned = self._abandoned
        if abandoned:
            close()
        self.planned.about, self.planned.problems = about, config.problems
        interval, timeout = settings["interval"] or about.interval or config.interval, settings["timeout"]
        self._take(jobs, settings, interval, timeout or about.timeout, isolated=True)

    def _take(self, jobs: Iterable[Job], settings: Mapping[str, Any], interval: int, timeout: float | None,
              isolated: bool = False) -> None:
        """The jobs as tasks. Jobs that are files are programs of others, though it is our collector that runs them."""
        found, follows = self._found, self.planned.follows is not None
        names = None if found.own and not follows else MAX_NAMES
        budget = Budget.of(settings, names)
        for job in jobs:
            _check(job)
            every = job.interval or interval
            deadline = job.timeout or min(timeout or every, every)
            self.planned.tasks.append(Task(found.name, job, every, float(deadline), found.origin, found.own, isolated,
                                           not (follows or isolated), budget, found.stamp))


def _check(job: object) -> None:
    """PluginError for what is no job, or none that can be run."""
    if not isinstance(job, Job) or not isinstance(job.name, str) or not callable(job.collect):
        raise PluginError(f"jobs(self) must return Job(name, collect, interval, timeout) objects, not {job!r:.100}")
    if job.interval is not None and (type(job.interval) is not int or job.interval < 1):
        raise PluginError(f"the job {job.name!r} has interval={job.interval!r}: whole seconds, at least 1")
    if job.timeout is not None and not (isinstance(job.timeout, (int, float)) and job.timeout > 0):
        raise PluginError(f"the job {job.name!r} has timeout={job.timeout!r}: seconds, more than 0")


def told(error: BaseException) -> str:
    """Why a collector could not be begun, for its author."""
    text = missing.text_of(error)
    return text if isinstance(error, PluginError) else f"{type(error).__name__}: {text}"


def follows(found: Found) -> bool:
    """Whether a collector's jobs are files of the drop-in folders."""
    return _more_folders(found) is not None


def _more_folders(found: Found) -> str | None:
    """Its class says so by `follows`, which names the setting with more folders."""
    return getattr(found.definition.target, "follows", None) if found.definition is not None else None


def _followed(found: Found, settings: Mapping[str, Any]) -> tuple[str, ...] | None:
    setting = _more_folders(found)
    return None if setting is None else tuple(map(str, settings[setting]))
