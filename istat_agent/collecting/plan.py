"""From settings and the collectors found to what runs: a `Plan`, problems included.

A planner keeps what it has begun: a collector whose plugin and settings are the same as in the plan before goes on
untouched. One that cannot be begun any more goes on as it was, and that is told. Knows no schedule.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import gevent

from istat.daemon import missing
from istat.plugin import Config, Metric
from istat.settings.setting import TABLES, Values, no_such_table
from istat_agent import names
from istat_agent.collecting.beginning import Beginning, Planned, follows, nothing, told
from istat_agent.collecting.finding import Call, Collection, Found, Mark, directly, discover, unmarked
from istat_agent.collecting.schedule import Task
from istat_agent.collecting.threads import Late
from istat_agent.counters import Counters, self_collector

SETUP_SECONDS = 15.0  # that a collector may take to be set up; a child has ten to begin, and says itself what was wrong
PATIENCE_SECONDS = SETUP_SECONDS + 5.0  # after which all of them have been, or are late


@dataclass
class Plan:
    """What is to run. `problems` has a sentence for everything that cannot, the rest runs all the same."""

    found: dict[str, Found]
    tasks: list[Task] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Names of the collectors that run; their jobs may have other names.
    enabled: list[str] = field(default_factory=list)
    collectors: dict[str, Planned] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # origin -> why a plugin is not used
    dropped: list[Planned] = field(default_factory=list)  # what the plan before had in their place: to be closed
    pending: bool = False  # some plugin is still being loaded, or a collector begun
    tags: list[str] = field(default_factory=list)  # that plugins have for this machine

    def metrics(self) -> Iterable[Metric]:
        """What the collectors that run declare."""
        for name in self.enabled:
            about = self.collectors[name].about if name in self.collectors else None
            yield from about.metrics if about is not None else ()

    def help(self, name: str) -> str:
        """What a collector says of itself, as far as it is known."""
        planned = self.collectors.get(name)
        about = planned.about if planned is not None and planned.about is not None else self.found[name].definition
        return about.help if about is not None else ""

    @property
    def lacks(self) -> bool:
        """Whether something does not run as it is wanted."""
        return bool(self.refused) or any(one.why for one in self.collectors.values())

    @property
    def followed(self) -> tuple[str, ...]:
        """Folders of scripts, besides the drop-in folders."""
        return tuple(folder for one in self.collectors.values() for folder in one.follows or ())


def host_name(values: Values) -> str:
    """The name this machine has in counters: the setting, or the host name up to the first dot."""
    return names.host_label(values["host"] or socket.gethostname().partition(".")[0])


def make_plan(values: Values, counters: Counters, collection: Collection | None = None, call: Call = directly) -> Plan:
    """Find the collectors, check their settings and start them. Never raises for a plugin's sake.

    `collection`: what was found, for tests; default is to look for it. `call`: how that is done with a deadline.
    """
    if collection is None:
        collection = discover(plugin_dirs(values), call, functools.partial(wanted_isolated, values), host_name(values))
    return Planner(counters, call).plan(values, collection)


def plugin_dirs(values: Values) -> tuple[str, ...]:
    """The drop-in folders."""
    return tuple(str(path) for path in values["plugin-dir"])


def wanted_isolated(values: Values, name: str) -> bool | None:
    """Whether the settings say that a collector is isolated; None: they do not say."""
    table = values.tables.get(TABLES, {}).get(name)
    wanted = table.get("isolated") if isinstance(table, Mapping) else None
    return wanted if isinstance(wanted, bool) else None


class Planner:
    """Makes plans, one after the other."""

    def __init__(self, counters: Counters, call: Call = directly, mark: Mark = unmarked) -> None:
        """`call(function, timeout)`: how collectors are set up; `mark(origin, stamp)`: says that a plugin runs."""
        own = self_collector(counters)
        self._agent = Found(own, "the agent itself", own=True, stamp="the agent itself")
        self._call, self._mark = call, mark
        self._begun: dict[str, Planned] = {}
        self._tried: dict[str, object] = {}  # key of one that could not be begun, so that it is not tried all the time
        self._beginning: dict[str, tuple[object, gevent.Greenlet]] = {}
        self._dropped: list[Planned] = []

    @property
    def holding(self) -> dict[str, str]:
        """Collector -> origin of its plugin, of those that were begun."""
        return {name: one.found.origin for name, one in self._begun.items() if one.tasks}

    def plan(self, values: Values, collection: Collection, again: bool = True,
             patience: float = PATIENCE_SECONDS) -> Plan:
        """The plan for these settings and collectors. `again`: try again what could not be begun. `patience`: how long
        it waits for collectors that are being begun [s]; the plan has those as they were, and is `pending`."""
        folders = plugin_dirs(values)
        found = {**collection.found, self._agent.name: self._agent}
        plan = Plan(found, problems=[*_missing(values, folders), *collection.problems], refused=collection.refused,
                    tags=collection.tags)
        tables = _tables(values, found, plan.problems)
        plan.problems += [
            f"tags: {tag!r} has a blank, a caret or a star" for tag in values["tags"] if not names.TAG.match(tag)
        ]
        wanted = _enabled(values, found, plan.problems)
        self._forget(set(wanted))
        config = Config({}, host_name(values), values["interval"], folders)
        for name in wanted:
            self._begin(found[name], tables.get(name, {}), config, again)
        gevent.joinall([one for _, one in self._beginning.values()], timeout=patience)
        for name in wanted:
            self._take(plan, name, named=name in values["enable"])
        plan.dropped, self._dropped = self._dropped, []
        plan.pending = collection.pending or bool(self._beginning)
        return plan

    def _take(self, plan: Plan, name: str, named: bool) -> None:
        """Put a collector into the plan as it is now."""
        planned = self._begun.get(name)
        if planned is not None and planned.about is not None and not (named or planned.about.default_on):
            self._dropped.append(self._begun.pop(name))  # only its child knew
            return
        plan.enabled.append(name)
        if planned is None:
            return
        plan.collectors[name] = planned
        plan.tasks += planned.tasks
        if planned.why and planned.tasks:
            plan.problems.append(f"collector {name} goes on as it was, since as it is wanted now it does not run: "
                                 f"{planned.why}")
        elif planned.why:
            plan.problems.append(f"collector {name} does not run: {planned.why}")
        plan.problems += [f"collector {name}: {problem}" for problem in planned.problems]

    def _forget(self, wanted: set[str]) -> None:
        """Drop collectors that are not wanted any more. What is being begun is dropped when it has."""
        for name in self._begun.keys() - wanted:
            self._dropped.append(self._begun.pop(name))
        for name in self._beginning.keys() - wanted:
            del self._beginning[name]
        for name in self._tried.keys() - wanted:
            del self._tried[name]

    def _begin(self, found: Found, table: object, config: Config, again: bool) -> None:
        """Begin a collector, unless that is done or being done."""
        name, key = found.name, _key(found, table, config)
        before, beginning = self._begun.get(name), self._beginning.get(name)
        if before is not None and before.tasks and before.key == key and not follows(found):
            before.why = ""
            return
        tried = not again and self._tried.get(name) == key and not follows(found)
        if tried or (beginning is not None and beginning[0] == key):
            return
        one = gevent.Greenlet(self._start, found, key, table, config)
        self._beginning[name] = key, one
        one.start()

    def _start(self, found: Found, key: object, table: object, config: Config) -> None:
        """Begin it, in a greenlet; what came of it stands in `_begun` in the end."""
        beginning = Beginning(found, key, table, config, self._mark)
        call = directly if found.own and not follows(found) else self._call  # ours wait for nothing, but for folders
        try:
            call(beginning.run, SETUP_SECONDS)
        except Late as late:
            beginning.abandon()
            late.interrupt()
            self._dropped.append(beginning.planned)
            self._failed(found, key, f"{found.origin}: its setup() did not end within {SETUP_SECONDS:g} s: connect in "
                                     "collect(), which may wait")
        except ValueError as error:
            self._failed(found, key, missing.text_of(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a collector's set-up may raise anything
            self._failed(found, key, f"{found.origin}: {told(error)}")
        else:
            self._succeeded(found.name, beginning.planned)

    def _is_wanted(self, name: str, key: object) -> bool:
        """Whether what was begun is still what is to be; nothing is being begun then any more."""
        if self._beginning.get(name, (None,))[0] != key:
            return False
        del self._beginning[name]
        return True

    def _failed(self, found: Found, key: object, why: str) -> None:
        if self._is_wanted(found.name, key):
            self._tried[found.name] = key
            before = self._begun.setdefault(found.name, Planned(found, key))
            before.why = why
            if not before.tasks:
                before.found, before.key = found, key

    def _succeeded(self, name: str, planned: Planned) -> None:
        if not self._is_wanted(name, planned.key):
            self._dropped.append(planned)
            return
        self._tried.pop(name, None)
        before = self._begun.get(name)
        if before is not None:
            if planned.follows is not None:
                planned.tasks = _kept(before.tasks, planned.tasks)
            self._dropped.append(before)
        self._begun[name] = planned


def _kept(before: Sequence[Task], now: Sequence[Task]) -> list[Task]:
    """The tasks as they are now; those that are the same as before are the earlier ones."""
    def same(task: Task) -> Task:
        known = replace(task, job=replace(task.job, collect=nothing))
        return next((one for one in before if task.job.key is not None
                     and replace(one, job=replace(one.job, collect=nothing)) == known), task)

    return [same(task) for task in now]


def _key(found: Found, table: object, config: Config) -> object:
    """What a collector is begun with."""
    unknown = None if found.stamp and not found.made else found.definition
    return found.origin, found.stamp, unknown, found.isolated, table, config.host, config.interval, config.plugin_dirs


def _missing(values: Values, folders: tuple[str, ...]) -> list[str]:
    """Folders that are not there and that somebody typed: a file of many machines may name what only some have."""
    if values.source("plugin-dir") not in ("flag", "environment"):
        return []
    return [f"plugin-dir: there is no folder {folder}" for folder in folders if not os.path.lexists(folder)]


def _tables(values: Values, found: Mapping[str, Found], problems: list[str]) -> Mapping[str, object]:
    tables = values.tables.get(TABLES, {})
    problems += [no_such_table(name, found) for name in tables if name not in found]
    return tables


def _enabled(values: Values, found: Mapping[str, Found], problems: list[str]) -> list[str]:
    """The collectors that are to run; of one whose declaration is not known yet, it may turn out that it is not."""
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
        if (name in wanted if wanted else one.definition is None or one.definition.default_on)
        and name not in values["disable"]
    ]
