"""Puts the agent together from its settings: collectors -> collecting -> names -> shipping.

`Agent` runs until it is told to stop, takes other settings over while it does, and follows the drop-in folders. It
knows neither signals nor the service manager (`main.py` does).
"""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import gevent
from gevent.event import Event
from gevent.lock import RLock

from istat import __version__
from istat.clock import Clock
from istat.daemon.ratelimit import LimitedLog
from istat.plugin import Emit
from istat.settings.setting import Values
from istat_agent import names, transport
from istat_agent.collecting.collecting import Collecting
from istat_agent.collecting.finding import Finder, Mark, unmarked
from istat_agent.collecting.looking import Folders
from istat_agent.collecting.plan import Plan, Planner, host_name, plugin_dirs, wanted_isolated
from istat_agent.collecting.runner import Runner
from istat_agent.collecting.schedule import FAULTS_PER_SECOND, Task, next_due
from istat_agent.collecting.states import Changes, State
from istat_agent.collecting.threads import MAX_THREADS, Threads
from istat_agent.counters import Counters, Failing
from istat_agent.declaring import Declaring
from istat_agent.forwarding.own import OwnLines, Relaying
from istat_agent.shipping import links, ship

if TYPE_CHECKING:
    from istat_agent.isolation.watching import Isolation

log = logging.getLogger(__name__)

LAST_FLUSH = 5.0  # seconds
LOOK_SECONDS = 5.0  # between two looks at the drop-in folders
SOON_SECONDS = 1.0  # the same while a file is not still, or a plugin is being loaded
PATIENCE_SECONDS = 2.0  # that all others wait for plugins that are being loaded; as long again for their setup
RETRY_SECONDS = 300.0  # between two tries of what cannot be loaded or begun, though nothing of it has changed
LOADERS = 8  # threads that load plugins and set collectors up
# Settings that say how lines go to the server.
WAY = ("server", "transport", "tls", "tls-ca", "tls-cert", "tls-key", "max-datagram", "host")


def suffix(values: Values, more: Sequence[str] = ()) -> str:
    """What follows every name. `more`: tags that plugins have for this machine. Tags that cannot be used are left out:
    the plan has told of them."""
    tags = [tag for tag in values["tags"] if names.TAG.match(tag)]
    return names.suffix(host_name(values), list(dict.fromkeys([*tags, *more])), values["aggregate"])


def link_of(values: Values, introduction: bytes, clock: Clock) -> links.Link:
    """The way to the server that the settings mean. SettingsError for files of certificates that cannot be used."""
    server = values["server"]
    if values["transport"] in (transport.UDP, transport.AUTO):
        return links.UdpLink(server.host, server.port, clock)
    # Only now, since both bring the libraries of TLS, which take memory.
    from istat.daemon.tls import client_context
    from istat_agent.shipping.connection import TcpLink

    context = client_context(values["tls-ca"], values["tls-cert"], values["tls-key"]) if values["tls"] else None
    return TcpLink(server.host, server.port, introduction, context)


def introduction_of(values: Values) -> bytes:
    """Who we are, for the server."""
    return ship.identity(socket.gethostname(), host_name(values), __version__)


class Agent:
    """A running agent: what collects, what ships, and what follows the drop-in folders."""

    def __init__(
        self, values: Values, counters: Counters, clock: Clock,
        watch: Callable[[Sequence[bytes]], None] | None = None, relay: Relaying | None = None,
        isolation: Isolation | None = None,
    ) -> None:
        """`watch` is given all lines that are shipped; `relay` forwards them, in place of a way to the server.
        `isolation` hears of foreign plugins that run, and says which are not to run in this process."""
        self._values, self._counters, self._clock, self._watch = values, counters, clock, watch
        self._suffix = suffix(values)
        self._failing, self._declaring = Failing(clock), Declaring()
        self._isolation = isolation
        mark: Mark = unmarked if isolation is None else isolation.running
        loaders = Threads(LOADERS, spare=MAX_THREADS)
        self._folders = Folders(clock, Threads(1, spare=LOADERS).call)
        self._finder = Finder(loaders.call, self._verdict, self._wanted, mark, lambda: host_name(self._values))
        self._planner = Planner(counters, loaders.call, mark)
        self._plan = Plan({})
        self._collecting = Collecting(self._deliver, counters, clock, self._failing, mark, self._stuck)
        self._shipper = self._way(relay)
        self._failing.changed = self._shipper.tell
        self._declaring.changed = self._shipper.declare
        self._greenlets: list[gevent.Greenlet] = []
        self._exchanging = RLock()
        self._retry_at = clock.monotonic() + RETRY_SECONDS
        self._log = LimitedLog(log, clock, FAULTS_PER_SECOND)
        self._wake = Event()  # look at once

    def start(self) -> None:
        """Begin to collect and to ship. What cannot run goes to the log."""
        self._folders.take_all(self._watched())
        self._exchange(again=True)
        self._greenlets = [gevent.spawn(self._shipper.forever), gevent.spawn(self._follow)]

    def reload(self, values: Values) -> Changes:
        """Take other settings over, and what has changed in the drop-in folders and among packages: what is the same
        goes on untouched, and lines that wait still wait."""
        with self._exchanging:
            before, self._values = self._values, values
            if isinstance(self._shipper, OwnLines):
                self._shipper.renew(introduction_of(values))
            elif values["tls"] or any(before[name] != values[name] for name in WAY):
                introduction = introduction_of(values)
                self._shipper.renew(link_of(values, introduction, self._clock), introduction, values["max-datagram"],
                                    str(values["server"]))
            self._folders.take_all(self._watched())
            return self._exchange(again=True)

    def stop(self) -> None:
        """End collecting, then send what waits. Collectors that still run are not waited for."""
        gevent.killall(self._greenlets, timeout=1.0)
        self._collecting.stop()
        with gevent.Timeout(LAST_FLUSH, False):  # a name server that does not answer must not hold up the end
            self._shipper.flush()
        self._shipper.close()

    def states(self) -> list[State]:
        """What is known of each collector."""
        return self._collecting.states()

    def tags(self) -> list[str]:
        """Tags that plugins have for this machine, besides those of the settings."""
        return self._plan.tags

    def problems(self) -> list[str]:
        """Sentences about what cannot run."""
        return self._plan.problems

    def running(self) -> list[str]:
        """Names of the collectors that run."""
        return list(dict.fromkeys(task.collector for task in self._plan.tasks))

    def _way(self, relay: Relaying | None) -> ship.Shipper | OwnLines:
        values, introduction = self._values, introduction_of(self._values)
        news, metrics = self._failing.lines, self._declaring.lines
        if relay is not None:
            return OwnLines(relay, introduction, self._counters, news, metrics)
        return ship.Shipper(link_of(values, introduction, self._clock), introduction, values["max-datagram"],
                            self._counters, self._clock, str(values["server"]), news, metrics)

    def _wanted(self, name: str) -> bool | None:
        return wanted_isolated(self._values, name)

    def _watched(self) -> list[str]:
        return [*plugin_dirs(self._values), *self._plan.followed]

    def _exchange(self, again: bool, retry: bool = False) -> Changes:
        """Make a plan of what there is now, and run that. `again`: look for packages, ask hooks, and try again what
        could not be loaded or begun; `retry`: only the latter."""
        folders = plugin_dirs(self._values)
        collection = self._finder.find(self._folders.python_files(folders), self._planner.holding, again,
                                       PATIENCE_SECONDS, retry)
        for folder, why in self._folders.problems.items():
            collection.refuse(folder, why)
        self._plan = self._planner.plan(self._values, collection, again or retry, PATIENCE_SECONDS)
        self._suffix = suffix(self._values, self._plan.tags)
        changes = self._collecting.apply(self._plan)
        self._declaring.plan(self._plan.metrics())
        for problem in self._failing.refused(self._plan.problems):
            log.error("%s", problem)
        return changes

    def _follow(self) -> None:
        """Look at the drop-in folders for ever, and take what has changed."""
        while True:
            self._wake.wait(SOON_SECONDS if self._is_unsettled() else LOOK_SECONDS)
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                self._look_and_exchange(woken)
            except Exception as error:  # noqa: BLE001 - a fault of ours must not end this for good
                self._log.error("look", "drop-in folders: a fault of our own", exc_info=error)

    def _look_and_exchange(self, woken: bool) -> None:
        with self._exchanging:
            retry = self._is_to_retry()
            if self._folders.look(self._watched()) or woken or retry or self._plan.pending or self._finder.is_other():
                before = self._plan.tags
                changes = self._exchange(again=False, retry=retry)
                if any((changes.added, changes.changed, changes.removed)):
                    log.info("drop-in folders: %s", changes)
                if self._plan.tags != before:
                    log.info("drop-in folders: tags of plugins are now %s", ", ".join(self._plan.tags) or "none")

    def _is_to_retry(self) -> bool:
        """Whether it is time to try again what does not run; what it lacks may have come."""
        if not self._plan.lacks or self._clock.monotonic() < self._retry_at:
            return False
        self._retry_at = self._clock.monotonic() + RETRY_SECONDS
        return True

    def _is_unsettled(self) -> bool:
        return self._folders.unsettled or self._plan.pending

    def _stuck(self, task: Task, why: str) -> None:
        """A collector does not end: it lives in a child from now on."""
        found = self._plan.found.get(task.collector)
        if found is not None and found.origin == task.origin:
            if self._isolation is not None:
                self._isolation.verdicts.isolate(found.origin, why, found.stamp)
            self._wake.set()

    def _verdict(self, origin: str, stamp: str) -> str:
        return "" if self._isolation is None else self._isolation.verdicts.why(origin, stamp)

    def _deliver(self, emit: Emit) -> None:
        lines = names.lines(emit.readings, self._suffix, emit.time)
        self._shipper.offer(lines)
        if emit.metrics:
            self._declaring.found(emit.metrics)
        if self._watch is not None:
            self._watch(lines)


def once(values: Values, plan: Plan, clock: Clock, pause: float) -> list[str]:
    """The lines that would be sent: one reading of everything, `pause` seconds after a first one, without
    which there would be no rates. Of a collector that hangs in its first reading there is no second, and what it
    reported before counts. What fails goes to the log."""
    every_name = suffix(values, plan.tags)
    threads = Threads()
    found: dict[int, Emit] = {}
    runners = [
        Runner(task, threads.call, functools.partial(found.__setitem__, n), Counters(), clock)
        for n, task in enumerate(plan.tasks)
    ]
    _read_all(runners, clock, values["interval"])
    gevent.sleep(pause)
    _read_all(runners, clock, values["interval"])
    return [
        line.decode().rstrip("\n")
        for n in range(len(runners)) if n in found
        for line in names.lines(found[n].readings, every_name, found[n].time)
    ]


def _read_all(runners: Sequence[Runner], clock: Clock, interval: int) -> None:
    time = next_due(clock.now(), interval) - interval
    for runner in runners:
        runner.run(time)
