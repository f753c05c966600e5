"""A program: runs one plugin twice and tells what it reported, for `istat-agent try`; trial.py begins it.

    ISTAT_TRIAL='{"what": ..., "folders": [...], ...}' python -P rehearsal.py

It tells lines of JSON on standard output, each as soon as it is known, so that something is known of a plugin that
hangs; what the plugin itself prints goes to standard error. Nothing is sent. Knows no tags and no wire.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import os
import pkgutil
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from istat import owners
from istat.access import dropin
from istat.daemon import missing
from istat.errors import PluginError
from istat.plugin import MAX_NAMES, Config, Definition, Emit, Job
from istat.settings.setting import Values
from istat_agent.collecting.finding import ENTRY_POINTS, built_in_package
from istat_agent.collecting.loading import definitions_of, load_file
from istat_agent.counters import Counters, self_collector

VARIABLE = "ISTAT_TRIAL"
PAUSE = 1.0  # seconds between the two readings: rates need both
MOST_SECONDS = 30.0  # that a reading gets here, whatever its timeout
# What is told of readings, so that all fits into what is taken of a run [bytes].
MOST_TOLD = 40_000
SCRIPTS = "exec"  # the collector that runs them
BUILT_IN, ENTRY_POINT = "built-in", "entry point"


@dataclass(frozen=True)
class Asked:
    """What is to be tried: `what` a name or the full path of a file, and what the agent's settings say."""

    what: str
    folders: list[str]
    tables: dict[str, Any] = field(default_factory=dict)
    host: str = "localhost"
    interval: int = 10


@dataclass(frozen=True)
class Meant:
    """A collector that was meant. `table` takes the place of what the settings say."""

    definition: Definition
    origin: str
    table: dict[str, Any] | None = None


class Teller:
    """Tells lines of JSON, as long as there is room for them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._room = descriptor, MOST_TOLD
        self._lock = threading.Lock()

    def tell(self, **what: Any) -> None:
        """One line."""
        with self._lock:
            os.write(self._descriptor, json.dumps(what).encode() + b"\n")

    def readings(self, emit: Emit) -> list[tuple[str, float, bool, int | None]]:
        """As many of a reading's values as there is room for."""
        found = []
        with self._lock:
            for one in emit.readings:
                self._room -= len(one.name) + 40
                if self._room < 0:
                    break
                found.append((one.name, one.value, one.event, one.time))
        return found


def main() -> int:
    """Read what is asked for in the environment, and do it."""
    asked = Asked(**json.loads(os.environ.pop(VARIABLE)))
    kept = os.dup(1)
    os.dup2(2, 1)
    teller = Teller(kept)
    runs = [run for one in meant(asked, teller) for run in begun(one, asked, teller)]
    for number in (1, 2):
        if number > 1 and runs:
            time.sleep(PAUSE)
        runs = read_all(runs, number, teller)
    teller.tell(done=True)
    sys.stderr.flush()
    os._exit(0)  # threads that hang, and exit handlers of plugins, hold nothing up


def meant(asked: Asked, teller: Teller) -> list[Meant]:
    """The collectors that were meant; none, and a problem told, where there are none."""
    what = asked.what
    if os.sep in what:
        why = _unseen(what)
        if why:
            teller.tell(problem=f"{what}: {why}", unseen=True)
            return []
        return _loaded(what, functools.partial(of_file, what, asked), teller)
    every = [(f"{BUILT_IN} agent", _agents_own), *_built_in(), *_dropped(asked), *_entries()]
    called = [one for one in every if what in _called(one[0])]
    # What is called otherwise may have a collector of that name: strangers are loaded only when it must be.
    for origin, load in [*called, *(one for one in every if one not in called and _may_hold(one[0]))]:
        by_name = what in _called(origin)
        found = _loaded(origin, load, teller if by_name else None)
        named = [one for one in found if one.definition.name == what]
        if named or by_name:
            return named or found
    teller.tell(unknown=what)
    return []


def _unseen(path: str) -> str:
    """Why the file is not there for us; "" when it is."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return "there is no such file"
    except OSError as error:
        return f"{error.strerror}{owners.refused(path)}"
    return "" if os.access(path, os.R_OK) else f"it cannot be read{owners.refused(path)}"


def _loaded(origin: str, load: Callable[[], list[Meant]], teller: Teller | None) -> list[Meant]:
    """What comes from there; none, and the reason told, where it cannot be loaded."""
    try:
        return load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything
        if teller is not None:
            teller.tell(problem=f"{origin}: {words(error)}")
        return []


def _built_in() -> Iterator[tuple[str, Callable[[], list[Meant]]]]:
    package = built_in_package()
    for module in pkgutil.iter_modules(package.__path__) if package is not None else ():
        if module.ispkg and package is not None:
            origin = f"{BUILT_IN} {module.name}"
            yield origin, functools.partial(_of_module, f"{package.__name__}.{module.name}.collector", origin)


def _agents_own() -> list[Meant]:
    return [Meant(self_collector(Counters()), "the agent itself")]


def _dropped(asked: Asked) -> Iterator[tuple[str, Callable[[], list[Meant]]]]:
    for folder in asked.folders:
        try:
            paths = [*dropin.python_files([folder]), *dropin.scripts([folder])]
        except OSError:
            continue  # told by the agent
        for path in paths:
            yield path, functools.partial(of_file, os.path.abspath(path), asked)


def _entries() -> Iterator[tuple[str, Callable[[], list[Meant]]]]:
    for entry in importlib.metadata.entry_points(group=ENTRY_POINTS):
        origin = f"{ENTRY_POINT} {entry.name} ({entry.value})"
        yield origin, lambda entry=entry, origin=origin: [  # type: ignore[misc]
            Meant(one, origin) for one in definitions_of(origin, entry.load())]


def _called(origin: str) -> tuple[str, ...]:
    """The names by which one would ask for what comes from there."""
    for word in (BUILT_IN, ENTRY_POINT):
        if origin.startswith(f"{word} "):
            return (origin.removeprefix(f"{word} ").partition(" (")[0],)
    stem, end = os.path.splitext(os.path.basename(origin))
    return (stem,) if end == ".py" else (stem, f"{SCRIPTS}:{stem}")


def _may_hold(origin: str) -> bool:
    """Whether collectors of any name may come from there: a script is one only."""
    return len(_called(origin)) == 1


def of_file(path: str, asked: Asked) -> list[Meant]:
    """The collectors of a Python file, or the one that runs a script. PluginError, and whatever a module raises."""
    if path.endswith(".py"):
        return [Meant(one, path) for one in definitions_of(path, load_file(path))]
    if not os.path.isfile(path):
        raise PluginError("it is no plain file")
    if not os.access(path, os.X_OK):
        raise PluginError(f"it is not executable: chmod a+rx {shlex.quote(path)}, or call it *.py if it is Python")
    package = built_in_package()
    if package is None:
        raise PluginError(f"the collector {SCRIPTS}, which runs scripts, is not installed")
    (definition,) = definitions_of(SCRIPTS, importlib.import_module(f"{package.__name__}.{SCRIPTS}.collector"))
    own = {name: value for name, value in asked.tables.get(SCRIPTS, {}).items() if name not in ("folders", "commands")}
    return [Meant(definition, path, {**own, "commands": [shlex.quote(path)]})]


def _of_module(name: str, origin: str) -> list[Meant]:
    return [Meant(one, origin) for one in definitions_of(origin, importlib.import_module(name))]


@dataclass
class Run:
    """A job that is to be read."""

    job: Job
    interval: int
    timeout: float
    most: int  # values taken of a reading
    names: int  # different ones

    @property
    def patience(self) -> float:
        """How long a reading is waited for here [s]."""
        return min(self.timeout, MOST_SECONDS)


def begun(one: Meant, asked: Asked, teller: Teller) -> list[Run]:
    """The collector's jobs, ready to run; none, and a problem told, where it cannot begin."""
    definition = one.definition
    try:
        table = asked.tables.get(definition.name, {}) if one.table is None else one.table
        settings: Values = definition.configure(table)
        interval = settings["interval"] or asked.interval
        folders = () if one.table is not None else tuple(asked.folders)
        config = Config(settings, asked.host, interval, folders)
        jobs = definition.start(config)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - its set-up may raise anything
        told = str(error) if isinstance(error, ValueError) else words(error)
        teller.tell(problem=f"collector {definition.name} does not begin: {told}")
        return []
    for problem in config.problems:
        teller.tell(problem=problem)
    runs = []
    for job in jobs:
        every = job.interval or interval
        timeout = float(job.timeout or min(settings["timeout"] or every, every))
        teller.tell(collector=definition.name, job=job.name, origin=one.origin, interval=every, timeout=timeout,
                    help=definition.help)
        runs.append(Run(job, every, timeout, settings["max-samples"], settings["max-names"] or MAX_NAMES))
    return runs


def read_all(runs: list[Run], number: int, teller: Teller) -> list[Run]:
    """Read all jobs at once, and tell of each; those that have come to an end are returned."""
    readings = [Reading(run, number, teller) for run in runs]
    began = time.monotonic()
    for one in readings:
        one.thread.start()
    return [one.run for one in readings if one.ends(began + one.run.patience)]


class Reading:
    """One reading of a job, in a thread of its own."""

    def __init__(self, run: Run, number: int, teller: Teller) -> None:
        self.run, self._number, self._teller = run, number, teller
        self._emit = Emit(int(time.time()) // run.interval * run.interval, time.monotonic(), run.most)
        self._seconds = self._cpu = 0.0
        self._error = ""
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        began, cpu = time.monotonic(), time.thread_time()
        try:
            self.run.job.collect(self._emit)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a collector may raise anything
            self._error = words(error)
        self._seconds, self._cpu = time.monotonic() - began, time.thread_time() - cpu

    def ends(self, deadline: float) -> bool:
        """Wait for its end, tell what came of it, and whether it has ended in time."""
        self.thread.join(max(0.0, deadline - time.monotonic()))
        late = self.thread.is_alive()
        if late:
            self._emit.closed = True
            self._seconds = self.run.patience
            more = f"; an agent gives it {self.run.timeout:g} s" if self.run.timeout > self._seconds else ""
            self._error = f"it is not finished after {self._seconds:g} s{more}"
        emit, names = self._emit, len({one.name for one in self._emit.readings})
        problems = list(emit.problems)
        if emit.refused:
            problems.append(f"{emit.refused:,} values more than max-samples ({self.run.most:,}) are not taken")
        if names > self.run.names:
            problems.append(f"{names:,} different names: more than max-names ({self.run.names:,}) are not taken")
        self._teller.tell(
            run=self._number, job=self.run.job.name, seconds=self._seconds, cpu_ms=1000 * (self._cpu + emit.cpu),
            error=self._error, problems=problems, samples=len(emit.readings), names=names, time=emit.time,
            # Of the first one what it costs only, unless there will be no second.
            readings=self._teller.readings(emit) if late or self._number > 1 else [])
        return not late


def words(error: BaseException) -> str:
    """An error in words, with the place in the plugin's file unless it speaks for itself."""
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return missing.told(error)


if __name__ == "__main__":
    sys.exit(main())
