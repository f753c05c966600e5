"""What the child of an isolated collector does when it is asked: loads the plugin, starts its collector, reads it.

Answers are dictionaries that JSON can hold; `parent.py` reads them. `wrong` in one says why there is nothing else.
Knows nothing of sockets.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import signal
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import Config, Definition, Emit, Job
from istat_agent.collecting.loading import definitions_of, load_file

Question = Mapping[str, Any]
Answer = dict[str, Any]


class Answering:
    """One collector, once `begin` has been asked."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def look(self, question: Question) -> Answer:
        """Which collectors the plugin at `place` has: `collectors`."""
        try:
            return {"collectors": [_about(one) for one in _definitions(question["place"])]}
        except BaseException as error:  # noqa: BLE001 - a stranger's module may raise anything
            return {"wrong": _loading(error)}

    def begin(self, question: Question) -> Answer:
        """Start the collector `name` of the plugin: `about`, `jobs`, `problems`."""
        try:
            definition = _called(question["name"], _definitions(question["place"]))
        except BaseException as error:  # noqa: BLE001
            return {"wrong": _loading(error)}
        problems: list[str] = []
        try:
            settings = definition.configure(question["table"])
            interval, timeout = settings["interval"] or question["interval"], settings["timeout"]
            folders = tuple(question["plugin_dirs"])
            self._jobs = definition.start(Config(settings, question["host"], interval, folders, problems))
        except ValueError as error:
            return {"wrong": str(error)}
        except BaseException as error:  # noqa: BLE001 - its set-up may raise anything
            return {"wrong": told(error)}
        about = {**_about(definition), "interval": interval, "timeout": timeout}
        jobs = [{"name": job.name, "interval": job.interval, "timeout": job.timeout} for job in self._jobs]
        return {"about": about, "jobs": jobs, "problems": problems}

    def read(self, question: Question) -> Answer:
        """One reading of the job with the number `job`: `values`, `refused`, `problems`, `error`, `cpu`."""
        emit = Emit(question["time"], question["monotonic"])
        began, wrong, job = _cpu(), None, self._jobs[question["job"]]
        try:
            with deadline(question["seconds"]):
                found: object = job.collect(emit)  # type: ignore[func-returns-value]
        except BaseException as error:  # noqa: BLE001 - a collector may raise anything
            wrong = told(error)
        else:
            if isinstance(found, (dict, list, tuple)) and found and not emit.readings:
                emit.problem(f"it reported nothing and returned a {type(found).__name__}: values are reported by "
                             "emit.gauge(name, value) or emit.event(name, count)")
        emit.closed = True
        return {"values": [[one.name, one.value, one.event, one.time] for one in emit.readings],
                "refused": emit.refused, "problems": [str(problem) for problem in emit.problems], "error": wrong,
                "metrics": [dataclasses.asdict(one) for one in emit.metrics], "cpu": _cpu() - began}


class Overdue(BaseException):
    """Raised in a reading at its deadline. No Exception, which a collector may catch and go on."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Overdue after so long, if what is done hears signals: the process with all that it knows lives on then, and what
    was reported counts. Else the agent ends it a moment later."""
    def overdue(number: int, frame: object) -> NoReturn:
        raise Overdue(f"not finished after {seconds:g} s")

    signal.signal(signal.SIGALRM, overdue)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def told(error: BaseException) -> str:
    """An error in a line, with the place in the plugin's file unless it speaks for itself."""
    if isinstance(error, (PluginError, Overdue)):
        return str(error)
    if isinstance(error, SystemExit):
        return f"called sys.exit({error.code!r})"
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}{missing.cure(error)}"


def _loading(error: BaseException) -> str:
    return str(error) if isinstance(error, PluginError) else missing.told(error)


def _cpu() -> float:
    """CPU seconds of ours, and of what we started and waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _definitions(place: Mapping[str, str]) -> list[Definition]:
    """The collectors of a plugin: of a `file`, an entry point (`entry`: MODULE or MODULE:ATTRIBUTE), or a `module`."""
    if "file" in place:
        return definitions_of(place["file"], load_file(place["file"]))
    if "entry" in place:
        from importlib.metadata import EntryPoint  # only now: it brings libraries of 2 MB

        return definitions_of(place["entry"], EntryPoint("", place["entry"], "").load())
    return definitions_of(place["module"], importlib.import_module(place["module"]))


def _called(name: str, definitions: list[Definition]) -> Definition:
    for one in definitions:
        if one.name == name:
            return one
    there = ", ".join(one.name for one in definitions)
    raise PluginError(f"it has no collector {name!r} any more; it has {there}")


def _about(definition: Definition) -> Answer:
    return {
        "name": definition.name, "help": definition.help, "interval": definition.interval,
        "timeout": definition.timeout, "default_on": definition.default_on,
        "metrics": [dataclasses.asdict(metric) for metric in definition.metrics],
        "settings": [[setting.name, setting.help] for setting in definition.settings],
    }  # fmt: skip
