"""Runs scripts and takes the `name value` lines that they print. README.md: what scripts may count on.

Scripts are the executable files of the agent's drop-in folders and of `folders`, and the command lines in
`commands`. Each is a job of its own, with an interval and a deadline of its own.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from istat import owners
from istat.access import dropin, trust
from istat.errors import PluginError
from istat.plugin import Config, Emit, Job, Metric, Setting, Size, collector
from istat.running.limits import Limits
from istat.running.process import GIVE_UP, NOT_STARTED, Outcome, run

from . import starting
from .lines import report, told

HEADER_BYTES = 1024  # of a script, within which it may say `# istat: interval=60 timeout=20 memory=512M`
HEADER = re.compile(rb"^[#;/-]+\s*istat:\s*(.*)$", re.MULTILINE)
DEFAULT_TIMEOUT = 10.0  # seconds; no script is given longer than its interval
DEFAULT_MEMORY = Limits().memory  # bytes
MEMORY = Size(16 * 2**20)  # what a script may ask for
# What scripts get of the agent's environment; the rest (the service manager's sockets, secrets) is kept back.
PASSED_ON = ("PATH", "HOME", "USER", "TZ", "LANG")
SHOWN_ERROR = 200  # characters of a script's standard error that go into the log


class Asked(NamedTuple):
    """What a script gets: as it asks for, or as settings say."""

    interval: int  # seconds
    timeout: float  # seconds
    memory: int  # bytes


@dataclass(frozen=True)
class Script:
    """What to run, and how often."""

    label: str  # one component of a counter's name
    command: tuple[str, ...]
    interval: int
    timeout: float
    memory: int = DEFAULT_MEMORY  # bytes, private
    version: tuple[int, ...] = ()  # of its file: another one when that has changed


@collector(
    name="exec",
    help="Any script that prints `name value` lines.",
    settings=[
        Setting("folders", list[str], [], "folders of scripts, besides the agent's drop-in folders"),
        Setting(
            "commands",
            list[str],
            [],
            "command lines to run besides: split like a shell does, but run without one",
        ),
    ],
    metrics=[
        Metric("exec.<script>.seconds", "s", "how long it ran"),
        Metric(
            "exec.<script>.failures",
            "",
            "ended badly: not 0, by a signal, too late, too much output",
            event=True,
        ),
        Metric("exec.<script>.refused", "", "not run: others could change it", event=True),
        Metric("exec.<script>.bad_lines", "", "lines that are no sample", event=True),
        Metric("<name>", "", "whatever a script prints"),
    ],
)
class Exec:
    """Makes a job per script."""

    follows = "folders"  # it is asked for its jobs whenever something changes in the drop-in folders, or these

    def setup(self, config: Config) -> None:
        """Find the scripts. One that must not be run is told and left out; one that cannot be started is told, and
        tried all the same, since what it lacks may come."""
        self._config = config
        self._scripts: dict[str, Script] = {}
        for command in [*self._commands(), *((path,) for path in self._drop_ins())]:
            try:
                script = _script(command, config)
            except (PluginError, OSError) as error:
                config.problems.append(f"not run: {_sentence(command[0], error)}")
                continue
            first = self._scripts.setdefault(script.label, script)
            if first is not script:
                config.problems.append(
                    f"not run: {command[0]}: another script has the name {script.label}: {first.command[0]}")

    def _commands(self) -> Iterator[tuple[str, ...]]:
        for line in self._config["commands"]:
            try:
                words = tuple(shlex.split(line))
            except ValueError as error:
                self._config.problems.append(f"not run: {line}: it cannot be split into words: {error}")
                continue
            if words:
                yield words

    def _drop_ins(self) -> Iterator[str]:
        own = [os.path.abspath(folder) for folder in self._config["folders"]]
        problems = self._config.problems
        problems += [f"folders: there is no {folder}" for folder in own if not os.path.exists(folder)]
        # Scripts run in the folder /, so a folder given as "." must be told in full.
        for folder in [*map(os.path.abspath, self._config.plugin_dirs), *own]:
            try:
                yield from dropin.scripts([folder])
                problems += [f"not run: {path}: {why}" for path, why in dropin.left_out([folder])]
            except OSError as error:
                problems.append(f"{folder} cannot be read: {error.strerror}")

    def jobs(self) -> list[Job]:
        """See istat.plugin.Job."""
        return [
            # More than the script has, so that it is this plugin that ends it, and says so.
            Job(
                f"exec:{s.label}",
                functools.partial(collect, s, self._config.host),
                s.interval,
                s.timeout + GIVE_UP + 0.5,
                (s, self._config.host),
            )
            for s in self._scripts.values()
        ]


def collect(script: Script, host: str, emit: Emit) -> None:
    """One run. PluginError when it ended badly; what it printed until then is reported all the same."""
    name = f"exec.{script.label}"
    try:
        program = find(script.command[0])
    except PluginError:
        emit.event(f"{name}.refused")
        raise
    except OSError as error:
        emit.event(f"{name}.failures")
        raise PluginError(f"{script.command[0]}: {NOT_STARTED}{error.strerror}") from None
    outcome = run(script.command, script.timeout, environment(script, host, emit.time), program,
                  Limits(memory=script.memory))
    if not (outcome.failure or "").startswith(NOT_STARTED):
        emit.gauge(f"{name}.seconds", outcome.seconds)
    bad = report(outcome.output, emit)
    if bad:
        emit.event(f"{name}.bad_lines", len(bad))
        emit.problem(f"{script.command[0]}: {told(bad)}")
    if outcome.failure:
        emit.event(f"{name}.failures")
        raise PluginError(f"{script.command[0]}: {_failure(outcome, program)}{_said(outcome)}")


def _failure(outcome: Outcome, program: str) -> str:
    """How it ended; where it did not begin, why not and what to do."""
    failure = outcome.failure or ""
    if not failure.startswith(NOT_STARTED):
        return failure
    try:
        head = trust.read(program, HEADER_BYTES)
    except (PluginError, OSError):
        return failure  # it has changed meanwhile
    return NOT_STARTED + starting.not_startable(program, head, search_path(), failure.removeprefix(NOT_STARTED))


def find(command: str) -> str:
    """The file that a command is now. PluginError when others could change it, OSError when there is none."""
    found = command if os.sep in command else starting.which(command, search_path())
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    program = os.path.join(os.sep, found)  # scripts run there
    try:
        trust.check(program)
    except PluginError as error:
        raise PluginError(f"{command}: {error}") from None
    return program


def environment(script: Script, host: str, time: int) -> dict[str, str]:
    """The whole environment of a script. Its language is the agent's, but for numbers: those have a decimal point.

    LC_ALL would be stronger than LC_NUMERIC; what it says goes on as LANG, which says the same and is weaker.
    """
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    if os.environ.get("LC_ALL"):
        passed["LANG"] = os.environ["LC_ALL"]
    passed["LC_NUMERIC"] = "C"
    own = {"ISTAT_HOST": host, "ISTAT_INTERVAL": str(script.interval), "ISTAT_TIME": str(time)}
    return {**passed, "PATH": search_path(), **own}


def search_path() -> str:
    """Where scripts, and we for them, look for programs."""
    return os.environ.get("PATH", os.defpath)


def _script(command: tuple[str, ...], config: Config) -> Script:
    """What a command is, as far as it can be seen before a run; what it lacks to be started goes to the problems."""
    path, problems = command[0], config.problems
    asked = Asked(config.interval, DEFAULT_TIMEOUT, config.settings.get("memory") or DEFAULT_MEMORY)
    if os.sep in path:
        command = (os.path.abspath(path), *command[1:])
    try:
        program = find(command[0])
    except FileNotFoundError:
        if os.sep in path:
            raise
        problems.append(f"{path} cannot be started: there is no such program in {search_path()}")
    else:
        head = _head(program)
        if os.sep in path:
            asked = _header(path, head or b"", asked)
        fault = None if head is None else starting.fault(program, head, search_path())
        if fault:
            problems.append(f"{path} {NOT_STARTED}{fault}")
    label = re.sub(r"[^a-z0-9_-]", "_", os.path.splitext(os.path.basename(path))[0].lower())
    version = _version(command[0]) if os.sep in path else ()
    return Script(label, command, asked.interval, min(asked.timeout, asked.interval), asked.memory, version)


def _version(path: str) -> tuple[int, ...]:
    """Another one when the file is another, or has changed."""
    try:
        found = os.stat(path)
    except OSError:
        return ()   # gone meanwhile
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _head(program: str) -> bytes | None:
    """The first bytes of a file; None for one that is for running only, as sudo is on some systems: no script is."""
    try:
        return trust.read(program, HEADER_BYTES)
    except PermissionError:
        if os.stat(program).st_mode & stat.S_ISUID:
            return None
        raise


def _sentence(command: str, error: Exception) -> str:
    if isinstance(error, PluginError):
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"{command}: there is no such file"
    if isinstance(error, PermissionError):
        return (f"{command}: {owners.name_of(os.geteuid())}, who runs it, may not read it "
                f"(chmod a+rx for it, a+x for the folders above)")
    return f"{command}: {error.strerror if isinstance(error, OSError) else error}"


def _header(path: str, head: bytes, asked: Asked) -> Asked:
    """What a script asks for in a comment such as `# istat: interval=60 timeout=20 memory=512M`."""
    match = HEADER.search(head)
    for word in match[1].decode("ascii", "replace").split() if match else ():
        key, _, text = word.partition("=")
        try:
            if key == "memory":
                asked = asked._replace(memory=MEMORY.parse(text))
                continue
            value = float(text)
        except ValueError as error:
            if key == "memory":
                raise PluginError(f"{path}: `istat: {word}`: its memory {error}") from None
            value = 0.0
        if key == "interval" and value >= 1 and value.is_integer():
            asked = asked._replace(interval=int(value))
        elif key == "timeout" and value > 0:
            asked = asked._replace(timeout=value)
        else:
            raise PluginError(f"{path}: `istat: {word}`: it can have interval=SECONDS and timeout=SECONDS, and "
                              "memory=SIZE")
    return asked


def _said(outcome: Outcome) -> str:
    text = outcome.errors.decode("utf-8", "replace").strip()
    return f"; it said: {text[-SHOWN_ERROR:]}" if text else ""
