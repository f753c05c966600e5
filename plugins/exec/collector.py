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
import shutil
from dataclasses import dataclass

from istat import dropin
from istat.access import trust
from istat.errors import PluginError
from istat.plugin import Config, Emit, Job, Metric, Setting, collector

from .process import GIVE_UP, Outcome, run

HEADER_BYTES = 1024  # of a script, within which it may say `# istat: interval=60 timeout=20`
HEADER = re.compile(rb"^[#;/-]+\s*istat:\s*(.*)$", re.MULTILINE)
DEFAULT_TIMEOUT = 10.0  # seconds; no script is given longer than its interval
# What scripts get of the agent's environment; the rest (the service manager's sockets, secrets) is kept back.
PASSED_ON = ("PATH", "HOME", "USER", "TZ", "LANG", "LC_ALL")
SHOWN_ERROR = 200  # characters of a script's standard error that go into the log


@dataclass(frozen=True)
class Script:
    """What to run, and how often."""

    label: str  # one component of a counter's name
    command: tuple[str, ...]
    interval: int
    timeout: float


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
        Metric("exec.<script>.bad_lines", "", "lines that are no `name value`", event=True),
        Metric("<name>", "", "whatever a script prints"),
    ],
)
class Exec:
    """Makes a job per script."""

    def setup(self, config: Config) -> None:
        """Find the scripts; one that must not or cannot be run is told and left out."""
        self._config = config
        commands = [tuple(shlex.split(line)) for line in config["commands"]]
        # Scripts run in the folder /, so a folder given as "." must be told in full.
        folders = [os.path.abspath(folder) for folder in (*config.plugin_dirs, *config["folders"])]
        commands += [(path,) for path in dropin.scripts(folders)]
        for path in dropin.not_executable(folders):
            config.problems.append(f"not run: {path}: it is not executable (chmod +x {path})")
        self._scripts: dict[str, Script] = {}
        for command in filter(None, commands):
            try:
                script = _script(command, config.interval)
            except (PluginError, OSError) as error:
                config.problems.append(f"not run: {error}")
                continue
            if script.label in self._scripts:
                config.problems.append(f"not run: {command[0]}: another script has the name {script.label}")
                continue
            self._scripts[script.label] = script

    def jobs(self) -> list[Job]:
        """See istat.plugin.Job."""
        return [
            # More than the script has, so that it is this plugin that ends it, and says so.
            Job(
                f"exec:{s.label}",
                functools.partial(collect, s, self._config.host),
                s.interval,
                s.timeout + GIVE_UP + 0.5,
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
        raise PluginError(f"{script.command[0]}: cannot be started: {error.strerror}") from None
    outcome = run(script.command, script.timeout, environment(script, host, emit.time), program)
    emit.gauge(f"{name}.seconds", outcome.seconds)
    bad = report(outcome.output, emit)
    if bad:
        emit.event(f"{name}.bad_lines", len(bad))
    failure = outcome.failure
    if failure:
        emit.event(f"{name}.failures")
        raise PluginError(f"{script.command[0]}: {failure}{_said(outcome)}")
    if bad:
        raise PluginError(
            f"{script.command[0]}: no `name value` line: {bad[0][:80]!r} (and {len(bad) - 1} more)"
        )


def find(command: str) -> str:
    """The file that a command is now. PluginError when others could change it, OSError when there is none."""
    found = command if os.sep in command else shutil.which(command, path=search_path())
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    program = os.path.join(os.sep, found)  # scripts run there
    try:
        trust.check(program)
    except PluginError as error:
        raise PluginError(f"{command}: {error}") from None
    return program


def report(output: bytes, emit: Emit) -> list[str]:
    """Report every `name value` or `name time value` line; a `*` before the name makes an event.

    Empty lines and those that start with `#` are skipped. Returns the lines that are neither.
    """
    bad = []
    for line in output.decode("utf-8", "replace").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            name, time = words[0], int(words[1]) if len(words) == 3 else None
            value = float(words[-1]) if len(words) in (2, 3) else None
            if value is None:
                raise ValueError("two or three words")
            if name.startswith("*"):
                emit.event(name[1:], value, time)
            else:
                emit.gauge(name, value, time)
        except (ValueError, PluginError):
            bad.append(line)
    return bad


def environment(script: Script, host: str, time: int) -> dict[str, str]:
    """The whole environment of a script."""
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    own = {"ISTAT_HOST": host, "ISTAT_INTERVAL": str(script.interval), "ISTAT_TIME": str(time)}
    return {**passed, "PATH": search_path(), **own}


def search_path() -> str:
    """Where scripts, and we for them, look for programs."""
    return os.environ.get("PATH", os.defpath)


def _script(command: tuple[str, ...], interval: int) -> Script:
    path, timeout = command[0], DEFAULT_TIMEOUT
    if os.sep in path:
        command = (os.path.abspath(path), *command[1:])
    try:
        program = find(command[0])
        if os.sep in path:
            interval, timeout = _header(path, trust.read(program, HEADER_BYTES), interval, timeout)
    except FileNotFoundError:
        if os.sep in path:
            raise PluginError(f"{path}: there is no such file") from None
    label = re.sub(r"[^a-z0-9_-]", "_", os.path.splitext(os.path.basename(path))[0].lower())
    return Script(label, command, interval, min(timeout, interval))


def _header(path: str, head: bytes, interval: int, timeout: float) -> tuple[int, float]:
    """Interval and timeout that a script asks for in a comment such as `# istat: interval=60 timeout=20`."""
    match = HEADER.search(head)
    for word in match[1].decode("ascii", "replace").split() if match else ():
        key, _, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if key == "interval" and value >= 1 and value.is_integer():
            interval = int(value)
        elif key == "timeout" and value > 0:
            timeout = value
        else:
            raise PluginError(f"{path}: `istat: {word}`: it can have interval=SECONDS and timeout=SECONDS")
    return interval, timeout


def _said(outcome: Outcome) -> str:
    text = outcome.errors.decode("utf-8", "replace").strip()
    return f"; it said: {text[-SHOWN_ERROR:]}" if text else ""
