"""What the running agent answers at its control socket. Outlives reloads: whoever runs the agent tells it of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import gevent
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore

from istat import __version__, owners
from istat.clock import Clock
from istat.errors import IstatError, UsageError
from istat.settings.setting import Values
from istat_agent.collecting.states import Changes, State
from istat_agent.control import place
from istat_agent.control.port import ControlPort

log = logging.getLogger(__name__)

TRIALS = 2  # at once: each has a child and a thread
RELOAD_SECONDS = 80.0  # for which who asked for a reload waits: less than the command does
MOST_WORDS = 4096  # characters of a path, and of what a plugin's author had to say


class Reload(AsyncResult):  # type: ignore[misc]  # gevent's has no types
    """A reload that was asked for at the socket: `set` with what it came to, or `set_exception`."""


class Running(Protocol):
    """An agent, as far as it is asked here."""

    def states(self) -> Sequence[State]:
        """What is known of each collector."""

    def problems(self) -> Sequence[str]:
        """Sentences about what cannot run."""

    def tags(self) -> Sequence[str]:
        """Tags that plugins have for this machine."""


class Control:
    """The socket, and what is known for its answers."""

    def __init__(self, values: Values, clock: Clock, reload: Callable[[Reload], None]) -> None:
        """`reload(one)` has a reload done, and sets what it came to."""
        self._clock, self._reload = clock, reload
        self._since = clock.now()
        self._trials = BoundedSemaphore(TRIALS)
        self._values, self._status = values, ""
        self._states: Callable[[], Sequence[State]] = tuple
        self._problems: Callable[[], Sequence[str]] = tuple
        self._tags: Callable[[], Sequence[str]] = tuple
        path = place.of_agent(values, os.environ)
        answers = {"plugins": self._told, "reload": self._reloaded, "try": self._tried}
        self.port = ControlPort(path, answers) if path else None

    def start(self) -> None:
        """Answer from now on. PortInUse and CannotListen where a socket was asked for and cannot be; one that was not
        is done without."""
        if self.port is None:
            return
        try:
            self.port.start()
        except IstatError as error:
            if self._values["control-path"] is not None:
                raise
            log.warning("istat-agent plugins, reload and try cannot ask this agent: %s", error)
            self.port = None

    def stop(self) -> None:
        """Answer no more."""
        if self.port is not None:
            self.port.stop()

    def about(self, values: Values, status: str, agent: Running) -> None:
        """What runs now: its settings, a line on it, and who tells how its collectors do."""
        self._values, self._status = values, status
        self._states, self._problems, self._tags = agent.states, agent.problems, agent.tags

    def _told(self, question: Mapping[str, Any]) -> dict[str, Any]:
        agent = {"pid": os.getpid(), "version": __version__, "user": owners.name_of(os.geteuid()),
                 "since": int(self._since), "status": self._status, "tags": list(self._tags())}
        plugins = [{**asdict(one), "why": one.why[:MOST_WORDS]} for one in self._states()]
        return {"agent": agent, "now": int(self._clock.now()), "plugins": plugins,
                "problems": [problem[:MOST_WORDS] for problem in self._problems()]}

    def _reloaded(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """IstatError, where the settings cannot be used."""
        log.info("a reload is asked for by the control socket")
        one = Reload()
        self._reload(one)
        late = IstatError("the reload takes its time and goes on; istat-agent plugins tells what came of it")
        with gevent.Timeout(RELOAD_SECONDS, late):
            found: dict[str, Any] = one.get()
        return found

    def _tried(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """UsageError, IstatError."""
        what = question.get("what")
        if not isinstance(what, str) or not what or len(what) > MOST_WORDS or "\0" in what:
            raise UsageError("what is to be tried? `what` is a name, or the full path of a file")
        if os.sep in what and not os.path.isabs(what):
            raise UsageError(f"{what} is no full path, and this agent works in another folder")
        if not self._trials.acquire(blocking=False):
            raise IstatError(f"{TRIALS} plugins are being tried already: wait until one has ended")
        try:
            from istat_agent.control.trial import trial  # only when somebody asks

            log.info("%s is tried for the control socket", what)
            by = f"the agent (process {os.getpid()})"
            asked = (what, self._values, by, list(self._tags()))
            found: dict[str, Any] = gevent.get_hub().threadpool.apply(trial, asked)
            return found
        finally:
            self._trials.release()


def outcome(changes: Changes, changed: Sequence[str], waiting: Sequence[str],
            problems: Sequence[str]) -> dict[str, Any]:
    """What a reload came to: plugins exchanged, settings taken over, settings that wait for a restart, what cannot
    run."""
    return {**{name: list(names) for name, names in asdict(changes).items()}, "settings": list(changed),
            "waiting": list(waiting), "problems": list(problems)}
