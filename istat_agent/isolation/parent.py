"""An isolated collector, seen from the agent: a child of its own that is asked for each reading, and begun anew when it
has ended.

All here blocks, and is for threads. Nothing that a child says is believed: an answer has a bound, and what is no answer
is an error of the collector. The child is given only what the collector needs: settings by its socket, not by its
arguments, which everybody can see; of the agent's environment neither settings nor what is the service manager's.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, NoReturn

from istat.errors import PluginError
from istat.metrics import Metric
from istat.plugin import CHILD_MEMORY, Config, Emit, Job
from istat.running.lasting import Failed, Lasting
from istat.running.limits import Limits
from istat.running.process import GIVE_UP
from istat.settings.types import Size
from istat_agent.collecting.finding import Found
from istat_agent.isolation import child

log = logging.getLogger(__name__)

LOAD_SECONDS = 10.0  # that a child may take to begin, and to load and set up its plugin
GRACE_SECONDS = 0.5  # after the deadline, in which the child interrupts the reading itself: it lives on then
KEPT_BACK = ("ISTAT_AGENT_", "NOTIFY_", "WATCHDOG_", "LISTEN_")  # beginnings of variables that a child does not get
FATAL = "Fatal Python error"  # with which faulthandler begins
SHOWN = 200  # characters of what a child printed last that go into an error
MOST_TOLD = 100  # things of one kind that a child can tell: jobs, metrics, problems
METRIC_FIELDS = {field.name for field in fields(Metric)}


@dataclass(frozen=True)
class About:
    """What a collector declares, as its child tells it; the agent never imported it."""

    name: str
    help: str = ""
    interval: int | None = None  # seconds; None: the agent's
    timeout: float | None = None  # seconds; None: the interval
    default_on: bool = True
    metrics: tuple[Metric, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()  # names and helps of its own ones


class Isolated(NamedTuple):
    """A collector in a child: jobs as of any other, what it declares, and `close`, which ends the child."""

    jobs: list[Job]
    about: About
    close: Callable[[], None]


def isolated_jobs(found: Found, table: Mapping[str, Any], config: Config, limits: Limits | None = None) -> Isolated:
    """Begin a collector in a child of its own. Blocks until it is set up, LOAD_SECONDS at most.

    `table`: its table of the settings file, unchecked: what is wrong with it is a PluginError, as is all else that
    keeps it from running. `config.interval`: the agent's, for one that does not say; sentences about parts that do not
    run go to `config.problems`. `limits`: default what `table` says of memory.
    """
    own = _Child(found, table, config, limits or limits_of(table))
    answer = own.begin()
    try:
        about = _about(answer["about"])
        jobs = [_job(own, number, one, about) for number, one in enumerate(_list(answer["jobs"]))]
        config.problems.extend(str(problem) for problem in _list(answer["problems"]))
    except (KeyError, TypeError, ValueError) as error:
        own.close()
        raise PluginError(f"its child's answer is garbage ({error!r})") from None
    return Isolated(jobs, about, own.close)


def look(found: Found, limits: Limits | None = None) -> list[About]:
    """Which collectors a plugin has, without importing it here: in a child, which has ended then. PluginError."""
    asked = _Child(found, {}, Config(), limits or Limits())
    try:
        return [_about(one) for one in _list(asked.ask_first("look")["collectors"])]
    except (KeyError, TypeError, ValueError) as error:
        raise PluginError(f"its child's answer is garbage ({error!r})") from None
    finally:
        asked.close()


def limits_of(table: Mapping[str, Any]) -> Limits:
    """Those of a child, as a table of settings says. ValueError."""
    kind = Size(1)
    memory = table.get("memory")
    return Limits(memory=kind.parse(CHILD_MEMORY) if memory is None else kind.from_toml(memory))


class _Child:
    """One collector's child: one at a time, begun anew when it is needed and has ended."""

    def __init__(self, found: Found, table: Mapping[str, Any], config: Config, limits: Limits) -> None:
        self._found, self._limits = found, limits
        self._first = {
            "path": [os.path.abspath(folder) for folder in sys.path], "place": _place(found), "name": found.name,
            "table": dict(table), "host": config.host, "interval": config.interval,
            "plugin_dirs": list(map(os.path.abspath, config.plugin_dirs)),
        }  # fmt: skip
        self._turn = threading.Lock()  # one question at a time
        self._process: Lasting | None = None
        self._closed = False

    def begin(self) -> dict[str, Any]:
        """Begin it, with its collector set up. PluginError."""
        return self.ask_first("begin")

    def ask_first(self, what: str) -> dict[str, Any]:
        """Begin the process, and ask the first question."""
        command = [sys.executable, "-I", child.__file__]
        try:
            self._process = Lasting(command, environment(), self._limits)
        except OSError as error:
            raise PluginError(f"its child cannot be started: {error.strerror}") from None
        if self._closed:  # meanwhile
            self._process.stop()
        return self._ask({**self._first, "do": what}, LOAD_SECONDS)

    def read(self, job: int, deadline: float, emit: Emit) -> None:
        """One reading. PluginError when it fails; what was reported before counts."""
        if not self._turn.acquire(timeout=deadline):
            raise PluginError("another job of it has not finished")
        try:
            if self._closed:
                raise PluginError("it has been ended")
            if self._process is None:
                self.begin()
            elif self._process.ended():
                how = f"{self._process.how_it_ended()}{_said(self._process)}"
                emit.problem(f"its child has ended since the last reading, and is begun anew: {how}")
                self.begin()
            question = {"do": "read", "job": job, "time": emit.time, "monotonic": emit.monotonic, "seconds": deadline}
            self._take(self._ask(question, deadline, GRACE_SECONDS), emit)
        finally:
            self._turn.release()

    def _ask(self, question: Mapping[str, Any], timeout: float, grace: float = 0.0) -> dict[str, Any]:
        """The answer. The child has been ended when there is none, or it says that it cannot go on. PluginError."""
        process = self._process
        assert process is not None
        try:
            text = process.ask(json.dumps(question, default=str).encode(), timeout, grace)
            answer = json.loads(text)
            if not isinstance(answer, dict):
                raise ValueError(answer)
        except Failed as error:
            self._process = None
            raise PluginError(f"{error}{_said(process)}") from None
        except (ValueError, RecursionError):
            self._garbage()
        if "wrong" in answer:
            self._end()
            raise PluginError(str(answer["wrong"]))
        return answer

    def _take(self, answer: Mapping[str, Any], emit: Emit) -> None:
        try:
            problems, refused, cpu = _list(answer["problems"]), int(answer["refused"]), float(answer["cpu"])
            wrong, metrics = answer["error"], _metrics(answer["metrics"])
            for name, value, event, time in answer["values"]:
                (emit.event if event else emit.gauge)(name, value, time)
        except (KeyError, TypeError, ValueError, OverflowError, PluginError):
            self._garbage()
        emit.refused += max(0, refused)
        emit.cpu += cpu if math.isfinite(cpu) and cpu > 0 else 0.0
        for problem in problems:
            emit.problem(str(problem))
        for metric in metrics:
            emit.metric(metric)
        if wrong is not None:
            raise PluginError(str(wrong))

    def _garbage(self) -> NoReturn:
        said = _said(self._process)
        self._end()
        raise PluginError(f"its child's answer is garbage{said}")

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()

    def close(self) -> None:
        """End the child; who waits for a reading of it gets a PluginError. Blocks while it ends, GIVE_UP at most."""
        self._closed = True
        process = self._process
        if process is not None:
            process.stop()
        if self._turn.acquire(timeout=GIVE_UP):
            try:
                self._end()
            finally:
                self._turn.release()


def _place(found: Found) -> dict[str, str]:
    """Where a child finds the plugin."""
    if found.path is not None:
        return {"file": os.path.abspath(found.path)}
    if found.entry is not None:
        return {"entry": found.entry}
    if found.definition is None:
        raise PluginError("nothing is known of where it comes from")
    return {"module": found.definition.target.__module__}


def environment() -> dict[str, str]:
    """What a child has of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith(KEPT_BACK)}


def _said(process: Lasting | None) -> str:
    """The end of what it printed; of a crash in C the beginning of what Python says of it."""
    said = process.said if process is not None else ""
    at = said.rfind(FATAL)
    shown = " ".join((said[at:at + SHOWN] if at >= 0 else said[-SHOWN:]).split())
    return f"; it said: {shown}" if shown else ""


def _job(own: _Child, number: int, told: Mapping[str, Any], about: About) -> Job:
    every = _seconds(told["interval"]) or about.interval or 1
    deadline = _seconds(told["timeout"]) or min(about.timeout or every, every)

    def collect(emit: Emit) -> None:
        own.read(number, float(deadline), emit)

    # More than the child has, so that it is ended here, which says so.
    return Job(str(told["name"]), collect, int(every), deadline + LOAD_SECONDS + 2 * GIVE_UP)


def _about(told: Mapping[str, Any]) -> About:
    interval, timeout = _seconds(told["interval"]), _seconds(told["timeout"])
    settings = ((str(name), str(text)) for name, text in _list(told["settings"]))
    return About(str(told["name"]), str(told["help"]), None if interval is None else int(interval), timeout,
                 told["default_on"] is True, _metrics(told["metrics"]), tuple(settings))


def _metrics(told: Any) -> tuple[Metric, ...]:
    return tuple(Metric(**{key: value for key, value in one.items() if key in METRIC_FIELDS}) for one in _list(told))


def _seconds(told: Any) -> float | None:
    """A span of time, as told. ValueError, TypeError."""
    if told is None:
        return None
    if not 0 < float(told) < math.inf:
        raise ValueError(told)
    return float(told)


def _list(told: Any) -> Sequence[Any]:
    """A list with a bound. TypeError."""
    if not isinstance(told, list):
        raise TypeError(told)
    return told[:MOST_TOLD]
