"""What a collector imports: `collector`, `Emit`, `Setting` and its types, `Metric`, `Job`, `Rates`, `Labels`,
`hookimpl`.

    from istat.plugin import collector

    @collector(interval=10)
    def collect(emit):
        emit.gauge("queue.depth", 3)
        emit.event("jobs.done", 5)

It knows what a collector looks like and refuses at once what cannot work, in words for its author. It
knows neither the agent's schedule nor the wire: a collector is tested by calling it with an `Emit`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Never, NoReturn, TypeVar

import pluggy

from istat.declared.lines import is_link
from istat.errors import PluginError
from istat.labels import Labels
from istat.metrics import Metric, number, seconds
from istat.settings.setting import NAME, PluginSettings, Setting, Values
from istat.settings.types import Address, Choice, Duration, Flag, Integer, Many, Number, Path, Size, Text
from istat.signatures import check_target, source_of, where, wrong

__all__ = [
    "API_VERSION", "Address", "Choice", "Config", "Definition", "Duration", "Emit", "Flag", "Integer", "Job", "Labels",
    "Many", "Metric", "Number", "Path", "Rates", "Reading", "Setting", "Size", "Text", "collector", "common_settings",
    "hookimpl", "source_of",
]  # fmt: skip

hookimpl = pluggy.HookimplMarker("istat_agent")  # marks a function that implements one of the agent's hooks

# Of what this module and the agent's hooks promise: MAJOR.MINOR; minor: something came, major: something went. A plugin
# may say what it was written for: ISTAT_API = "1.0".
API_VERSION = "1.0"
MAX_METRICS = 1000  # told by one reading
MAX_SAMPLES = 20_000  # samples of one reading: a runaway loop must not fill the memory; 1.2 MB of lines
RESERVED = frozenset("*#@$%&;:")  # a sample line that starts with one of these means something else
# What would end a name within its line, and what Python has for bytes that are no UTF-8: they cannot be sent.
BLANK = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")
MAX_INTERVAL = 86400  # seconds; a longer one is a mistake
MAX_NAMES = 10_000  # different names of a foreign collector since it began: each becomes a counter of the server
MAX_CPU = 20.0  # percent of a core; a reading each 10 s may take 2 s
CHILD_MEMORY = "256M"  # private memory of an isolated collector's child: a bare one takes 10 MB

T = TypeVar("T", bound=Callable[..., Any])
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Config:
    """What a collector is told when it starts: its own settings, and what it may need of the agent's."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    host: str = "localhost"
    interval: int = 10  # seconds between two readings of this collector
    plugin_dirs: tuple[str, ...] = ()
    # For sentences of `setup` about a part that will not run, and what to do; `--check-config`, `--list-collectors` and
    # the log tell them. The rest runs.
    problems: list[str] = field(default_factory=list)

    def __getitem__(self, setting: str) -> Any:
        """The value of a setting that the collector declared; KeyError for any other."""
        return self.settings[setting]


@dataclass(frozen=True)
class Reading:
    """One value as a collector reported it. `time` is None for the reading's own time."""

    name: str
    value: float
    event: bool
    time: int | None


class Emit:
    """Takes the values of one reading. Also the tool to test a collector with: see `gauges` and `events`."""

    def __init__(self, time: int = 0, monotonic: float = 0.0, most: int | None = None) -> None:
        """`time`: Unix seconds that the values will carry, a multiple of the interval. `monotonic`: seconds
        of a clock that never jumps, at which the reading really happens: what rates are computed with. `most`: values
        that are taken, MAX_SAMPLES unless told."""
        self.most = MAX_SAMPLES if most is None else most
        self.cpu = 0.0  # CPU seconds that the reading took in another process
        self.time = time
        self.monotonic = monotonic
        self.readings: list[Reading] = []
        self.closed = False  # set when the deadline is over: what comes later is not taken
        self.refused = 0  # values that were not taken: too many, or too late
        self.problems: list[str] = []  # see `problem`
        self.metrics: list[Metric] = []  # see `metric`

    def gauge(self, name: str, value: float, time: int | None = None) -> None:
        """Report that `name` now is `value`. PluginError when either cannot be sent."""
        self._add(name, value, False, time)

    def event(self, name: str, value: float = 1, time: int | None = None) -> None:
        """Report that `name` happened `value` times since the last reading. PluginError as for `gauge`."""
        self._add(name, value, True, time)

    def problem(self, sentence: str) -> None:
        """Tell that a part of this reading failed, and what to do, while the rest is good: it is logged, and counts as
        a failure, but the collector goes on at its interval."""
        self.problems.append(str(sentence))

    def metric(self, metric: Metric) -> None:
        """Tell what a metric is that is known at a reading only, as a script tells it. What a collector knows before
        it declares: `@collector(metrics=[...])`. Told again it costs nothing."""
        if not self.closed and len(self.metrics) < MAX_METRICS:
            self.metrics.append(metric)

    def gauges(self) -> dict[str, float]:
        """Name -> last value of the gauges reported so far."""
        return {r.name: r.value for r in self.readings if not r.event}

    def events(self) -> dict[str, float]:
        """Name -> total of the events reported so far."""
        totals: dict[str, float] = {}
        for r in self.readings:
            if r.event:
                totals[r.name] = totals.get(r.name, 0) + r.value
        return totals

    def _add(self, name: str, value: float, event: bool, time: int | None) -> None:
        call = f"emit.{'event' if event else 'gauge'}({name!r}, {value!r})"
        if not isinstance(name, str) or not name or name[0] in RESERVED:
            hint = "; emit.event() adds the '*' itself" if isinstance(name, str) and name[:1] == "*" else ""
            raise PluginError(f"{call}: not a counter name{hint}")
        try:
            value = number(value)
        except ValueError as error:
            raise PluginError(f"{call}: the value {error}") from None
        try:
            time = None if time is None else seconds(time)
        except ValueError as error:
            raise PluginError(f"{call}: the time {time} {error}") from None
        if self.closed or len(self.readings) >= self.most:
            self.refused += 1
            return
        self.readings.append(Reading(BLANK.sub("_", name), value, event, time))


class Rates:
    """Turns totals that only grow (bytes since boot) into rates per second between two readings."""

    def __init__(self) -> None:
        self.seconds = 0.0      # between the last two readings
        self._before: Mapping[Any, float] = {}
        self._at = 0.0

    def update(self, totals: Mapping[K, float], now: float) -> dict[K, float]:
        """Rates of this reading: name -> units per second. `now` is `emit.monotonic`.

        A name has no rate at its first reading, nor when its total fell (the device came back, or the
        kernel's counter wrapped: by how much cannot be known). Absent, never zero. Where counters' names can change
        (`Labels`), (device, field) does instead of one.
        """
        before, seconds = self._before, now - self._at
        self._before, self._at, self.seconds = dict(totals), now, seconds
        if seconds <= 0:
            return {}
        return {
            name: (total - before[name]) / seconds
            for name, total in totals.items()
            if name in before and total >= before[name]
        }


@dataclass(frozen=True)
class Job:
    """One thing to do again and again. Most collectors are one job; one that is several (as `exec`, a job
    per script) has a method `jobs(self) -> list[Job]` in place of `collect`."""

    name: str
    collect: Callable[[Emit], None]
    interval: int | None = None  # seconds; None: the collector's
    timeout: float | None = None  # seconds; None: the collector's
    # Of a collector whose jobs come and go while it runs: a job with the same name and key as before goes on untouched.
    key: Hashable = None


@dataclass(frozen=True)
class Definition:
    """A collector as its author declared it."""

    name: str
    target: Callable[..., Any]  # the function, or the class
    interval: int | None  # seconds; None: the agent's
    timeout: float | None  # seconds; None: the interval
    settings: tuple[Setting, ...]
    metrics: tuple[Metric, ...]
    help: str
    default_on: bool
    isolated: bool = False  # runs in a child of its own

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What was decorated stays callable: `collect(emit)`, or `Cpu(source=fake)` for a class."""
        return self.target(*args, **kwargs)

    @property
    def table(self) -> PluginSettings:
        """The table `[plugins.NAME]`: what every collector has, then its own settings."""
        return PluginSettings(self.name, (*common(self.interval, self.timeout, self.isolated), *self.settings))

    def configure(self, table: object) -> Values:
        """The settings of a `[plugins.NAME]` table, or defaults. ValueError has every problem, one a line."""
        problems: list[str] = []
        values = self.table.read(table, problems)
        if problems:
            raise ValueError("\n".join(problems))
        return values

    def start(self, config: Config) -> list[Job]:
        """The collector's jobs, ready to run. Calls `setup(config)` of a class; what that raises passes."""
        if not inspect.isclass(self.target):
            wants_config = "config" in inspect.signature(self.target).parameters
            function = self.target
            collect = (lambda emit: function(emit=emit, config=config)) if wants_config else function
            return [Job(self.name, collect)]
        instance: Any = self.target()
        if hasattr(instance, "setup"):
            instance.setup(config)
        if hasattr(instance, "jobs"):
            return list(instance.jobs())
        return [Job(self.name, instance.collect)]


def common_settings(name: str, table: object) -> Values:
    """The settings that every collector has, of its table; the others are left to whoever knows them. ValueError."""
    settings = common()
    known = {setting.name for setting in settings}
    if isinstance(table, Mapping):
        table = {key: value for key, value in table.items() if key in known}
    problems: list[str] = []
    values = PluginSettings(name, settings).read(table, problems)
    if problems:
        raise ValueError("\n".join(problems))
    return values


def common(interval: int | None = None, timeout: float | None = None, isolated: bool = False) -> tuple[Setting, ...]:
    """The settings of every collector; None leaves them to the agent."""
    every = interval or 10
    whose = "" if interval else "; default the agent's interval"
    return (
        Setting("interval", Integer(1, MAX_INTERVAL), interval, f"seconds between two readings{whose}",
                example=str(every)),
        Setting("timeout", Number(0.001), timeout, "seconds that one may take; default its interval",
                example=f"{timeout or every:g}"),
        Setting("isolated", Flag(), isolated, "run it in a child of its own, with limits"),
        Setting("max-samples", Integer(1, MAX_SAMPLES), MAX_SAMPLES, "values taken of one reading"),
        Setting("max-names", Integer(1), None,
                f"different names taken since it began; default {MAX_NAMES}, and no bound for built-in ones other than "
                "exec, where it is each script's", example=str(MAX_NAMES)),
        Setting("max-cpu", Number(0.01, 100), MAX_CPU,
                "percent of a core, over its last ten readings; what takes more is run less often"),
        Setting("memory", Size(16 * 2**20), CHILD_MEMORY, "private memory of its child, where it is isolated"),
    )  # fmt: skip


def collector(
    name: str | None = None,
    *,
    interval: int | None = None,
    timeout: float | None = None,
    settings: Sequence[Setting] = (),
    metrics: Sequence[Metric] = (),
    help: str | None = None,
    default_on: bool = True,
    isolated: bool = False,
    **others: Never,
) -> Callable[[T], Definition]:
    """Declare a collector: a function `collect(emit)` or `collect(emit, config)`, or a class that needs no
    arguments, with `collect(self, emit)` and, if it likes, `setup(self, config)`.

    `name`: default the module's (or its folder's) name. `interval`, `timeout`: seconds. `help`: one
    sentence; default the first line of the docstring. `default_on`: whether it runs without being named in
    the setting `enable`. `isolated`: it lives in a child of its own, with limits; write it as `isolated=True`,
    which the agent looks for before it would import a file. `settings`: the keys of its table; a SIGHUP reads all of
    them again, and collectors of which one has changed begin anew. PluginError when what is declared cannot work.
    """

    def declare(target: T) -> Definition:
        check_target(target)
        definition = Definition(
            name=_default_name(target) if name is None else name,
            target=target,
            interval=interval,
            timeout=timeout,
            settings=tuple(replace(s, reloadable=True) if isinstance(s, Setting) else s for s in settings),
            metrics=tuple(metrics),
            help=help or (inspect.getdoc(target) or "").partition("\n")[0],
            default_on=default_on,
            isolated=isolated,
        )
        _check_definition(definition)
        return definition

    if others:
        offered = ", ".join(list(inspect.signature(collector).parameters)[:-1])
        raise PluginError(f"@collector has no {', '.join(others)}: it takes {offered}")
    if callable(name):
        raise PluginError(f"{where(name)}: write @collector() with brackets")
    return declare


def _default_name(target: Callable[..., Any]) -> str:
    """`redis` for redis.py, `cpu` for istat_plugins/cpu/collector.py and for cpu/__init__.py."""
    parts = target.__module__.split(".")
    return parts[-2] if parts[-1] == "collector" and len(parts) > 1 else parts[-1]


def _check_definition(definition: Definition) -> None:
    problems = []
    if not isinstance(definition.name, str) or not NAME.match(definition.name):
        problems.append(f"name={definition.name!r}: lower-case letters, digits, '-' and '_', a letter first")
    if definition.interval is not None and (type(definition.interval) is not int or definition.interval < 1):
        problems.append(f"interval={definition.interval!r}: whole seconds, at least 1")
    if definition.timeout is not None and not definition.timeout > 0:
        problems.append(f"timeout={definition.timeout!r}: seconds, more than 0")
    if not problems:
        try:
            definition.table  # noqa: B018 - it is refused where it cannot be
        except ValueError as error:
            problems.append(f"settings: {error}")
    problems += [
        f"metrics: {m!r} is no Metric(name, unit, help)"
        for m in definition.metrics
        if not isinstance(m, Metric)
    ]
    problems += [
        f"metrics: the link of {m.name} is no http:// or https:// address: {m.link!r}"
        for m in definition.metrics
        if isinstance(m, Metric) and m.link and not is_link(m.link)
    ]
    if problems:
        raise wrong(definition.target, f"@collector of {where(definition.target)}: " + "; ".join(problems))


if not TYPE_CHECKING:  # for which every name would exist then

    def __getattr__(name: str) -> NoReturn:
        if name == "Option":
            raise PluginError("Option is Setting now: write settings=[Setting(name, type, default, help)], "
                              "with a type such as int, str or Duration()")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
