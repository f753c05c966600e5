"""Puts the agent together from its settings: collectors -> schedule -> names -> ship.

`Plan` is what the settings and the plugins found come to, problems included; `Agent` runs a plan. It knows
neither signals nor the service manager (`main.py` does).
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import gevent

from istat import __version__
from istat.clock import Clock
from istat.plugin import Config, Emit
from istat.settings.setting import TABLES, Values, no_such_table
from istat_agent import names, transport
from istat_agent.collecting import schedule
from istat_agent.collecting.finding import Collection, Found, discover
from istat_agent.counters import Counters, Failing, self_collector
from istat_agent.declaring import Declaring
from istat_agent.forwarding.own import OwnLines, Relaying
from istat_agent.shipping import links, ship

LAST_FLUSH = 5.0  # seconds


@dataclass
class Plan:
    """What is to run. `problems` has a sentence for everything that cannot, the rest runs all the same."""

    found: dict[str, Found]
    tasks: list[schedule.Task] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Names of the collectors that run; their jobs may have other names.
    enabled: list[str] = field(default_factory=list)


def host_name(values: Values) -> str:
    """The name this machine has in counters: the setting, or the host name up to the first dot."""
    return names.host_label(values["host"] or socket.gethostname().partition(".")[0])


def suffix(values: Values) -> str:
    """What follows every name. Tags that cannot be used are left out: the plan has told of them."""
    tags = [tag for tag in values["tags"] if names.TAG.match(tag)]
    return names.suffix(host_name(values), tags, values["aggregate"])


def make_plan(values: Values, counters: Counters, collection: Collection | None = None) -> Plan:
    """Find the collectors, check their settings and start them. Never raises for a plugin's sake.

    `collection`: what was found, for tests; default is to look for it.
    """
    folders = tuple(str(path) for path in values["plugin-dir"])
    if collection is None:
        collection = discover(folders)
    own = self_collector(counters)
    found = {**collection.found, own.name: Found(own, "the agent itself")}
    plan = Plan(found, problems=[*_missing(values, folders), *collection.problems])
    tables = _tables(values, found, plan.problems)
    plan.problems += [
        f"tags: {tag!r} has a blank, a caret or a star" for tag in values["tags"] if not names.TAG.match(tag)
    ]
    plan.enabled = _enabled(values, found, plan.problems)
    for name in plan.enabled:
        _plan_one(plan, found[name], tables.get(name, {}), values, folders)
    return plan


def _missing(values: Values, folders: tuple[str, ...]) -> list[str]:
    """Folders that are not there and that somebody typed: a file of many machines may name what only some have."""
    if values.source("plugin-dir") not in ("flag", "environment"):
        return []
    return [f"plugin-dir: there is no folder {folder}" for folder in folders if not os.path.lexists(folder)]


def _plan_one(
    plan: Plan, found: Found, table: object, values: Values, folders: tuple[str, ...]
) -> None:
    definition = found.definition
    try:
        settings = definition.configure(table)
        interval, timeout = settings["interval"] or values["interval"], settings["timeout"]
        config = Config(settings, host_name(values), interval, folders)
        jobs = definition.start(config)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a collector's set-up may raise anything
        told = (
            str(error)
            if isinstance(error, ValueError)
            else f"{found.origin}: {type(error).__name__}: {error}"
        )
        plan.problems.append(f"collector {definition.name} does not run: {told}")
        return
    plan.problems += [f"collector {definition.name}: {problem}" for problem in config.problems]
    for job in jobs:
        every = job.interval or interval
        deadline = job.timeout or min(timeout or every, every)
        plan.tasks.append(schedule.Task(definition.name, job, every, float(deadline)))


def _tables(values: Values, found: Mapping[str, Found], problems: list[str]) -> Mapping[str, object]:
    tables = values.tables.get(TABLES, {})
    problems += [no_such_table(name, found) for name in tables if name not in found]
    return tables


def _enabled(values: Values, found: Mapping[str, Found], problems: list[str]) -> list[str]:
    for setting in ("enable", "disable"):
        problems += [
            f"{setting}: there is no collector {name!r}; there are {', '.join(sorted(found))}"
            for name in values[setting]
            if name not in found
        ]
    wanted = set(values["enable"])
    return [
        name
        for name, one in found.items()
        if (name in wanted if wanted else one.definition.default_on) and name not in values["disable"]
    ]


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


class Agent:
    """A running plan: greenlets for its tasks, and one that ships."""

    def __init__(
        self, values: Values, plan: Plan, counters: Counters, clock: Clock, threads: schedule.Threads,
        watch: Callable[[Sequence[bytes]], None] | None = None, relay: Relaying | None = None,
    ) -> None:
        """`counters`, `threads`, `watch` and `relay` outlive a reload, and so are handed in. `watch` is given all lines
        that are shipped; `relay` forwards them, in place of a way to the server."""
        self._watch = watch
        self._plan, self._counters, self._clock, self._threads = plan, counters, clock, threads
        self._suffix = suffix(values)
        self._failing = Failing(clock, plan.problems)
        self._declaring = Declaring(metric for name in plan.enabled for metric in plan.found[name].definition.metrics)
        introduction = ship.identity(socket.gethostname(), host_name(values), __version__)
        self._shipper: ship.Shipping = (
            OwnLines(relay, introduction, counters, self._failing.lines, self._declaring.lines) if relay is not None
            else ship.Shipper(link_of(values, introduction, clock), introduction, values["max-datagram"], counters,
                              clock, str(values["server"]), self._failing.lines, self._declaring.lines))
        self._failing.changed = self._shipper.tell
        self._declaring.changed = self._shipper.declare
        self._greenlets: list[gevent.Greenlet] = []

    def start(self) -> None:
        """Begin to collect and to ship."""
        self._greenlets = schedule.start(
            self._plan.tasks, self._threads, self._deliver, self._counters, self._clock, self._failing
        )
        self._greenlets.append(gevent.spawn(self._shipper.forever))

    def stop(self) -> None:
        """End collecting, then send what waits. Collectors that still run are not waited for."""
        gevent.killall(self._greenlets, timeout=1.0)
        with gevent.Timeout(LAST_FLUSH, False):  # a name server that does not answer must not hold up the end
            self._shipper.flush()
        self._shipper.close()

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
    every_name = suffix(values)
    threads = schedule.Threads()
    found: dict[int, Emit] = {}
    runners = [
        schedule.Runner(task, threads.call, functools.partial(found.__setitem__, n), Counters(), clock)
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


def _read_all(runners: Sequence[schedule.Runner], clock: Clock, interval: int) -> None:
    time = schedule.next_due(clock.now(), interval) - interval
    for runner in runners:
        runner.run(time)
