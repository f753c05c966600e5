"""What the agent counts about itself, the collector `agent` that reports it, and which collectors fail.

`Counters` and `Failing` are shared by schedule and shipping; only this module knows how they are named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

from istat.clock import Clock
from istat.forwarding.counts import METRICS as FORWARDING
from istat.plugin import Definition, Emit, Metric, collector
from istat.wire.lines import meta_line

PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes; /proc/self/statm counts pages
MILLISECONDS = 1000.0  # in a second
MOST_TOLD = 16  # failing collectors that the server is told of: it takes 32 keys of a sender
TOLD_BYTES = 250  # of one of them: the server takes 256
CUT = "..."  # ends what is longer
NAME_ROOM = 100  # characters of a collector's name in it

# What the agent tells of its collectors, besides what it counts.
PLUGINS = (
    Metric("agent.plugins", "", "collectors that run, each script as one"),
    Metric("agent.plugins_failing", "", "collectors that fail, are stuck, left alone, or refused"),
    Metric("agent.plugin.<name>.ms", "ms", "how long the last reading of each took, of 50 at most; scripts: exec_NAME"),
)


@dataclass
class Counters:
    """Totals since the agent started."""

    samples: int = 0  # reported by collectors and put into a datagram
    datagrams: int = 0  # handed to the kernel
    dropped: int = 0  # datagrams thrown away because the queue was full, or lost with a connection
    errors: int = 0  # readings that raised
    late: int = 0  # readings not done, or cut off, because of the deadline
    refused: int = 0  # values not taken: too many, too late, too long for a datagram
    unreachable: int = 0  # times that the server's name or port did not answer
    local: int = 0  # lines of this machine's programs, taken to be forwarded
    local_refused: int = 0  # what they sent besides: no samples, datagrams without an end, connections too many
    # What the forwarder has counted, by the names of its metrics; nothing where there is none.
    forwarding: Callable[[], Mapping[str, float]] = field(default=dict, compare=False)
    # What is known of collectors: name of the gauge -> value.
    plugins: Callable[[], Mapping[str, float]] = field(default=dict, compare=False)

    def totals(self) -> dict[str, int]:
        """Name -> total."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.compare}


def self_collector(counters: Counters) -> Definition:
    """The collector `agent` over these counters: each reading reports what was added since the last."""
    before: dict[str, float] = dict.fromkeys(counters.totals(), 0) | {"cpu_ms": 0.0}
    gauges = {metric.name for metric in FORWARDING if not metric.event}

    @collector(
        name="agent",
        help="The agent itself: what it sent, what went wrong, what it costs.",
        metrics=[
            Metric("agent.samples", "", "values sent", event=True),
            Metric("agent.datagrams", "", "datagrams sent", event=True),
            Metric("agent.dropped", "", "datagrams lost: the queue was full, or a connection broke", event=True),
            Metric("agent.errors", "", "readings that failed", event=True),
            Metric("agent.late", "", "readings cut off or left out because of a deadline", event=True),
            Metric("agent.refused", "", "values not taken: too many, too late, too long", event=True),
            Metric("agent.unreachable", "", "times that the server could not be reached", event=True),
            Metric("agent.local", "", "lines of this machine's programs, taken by stat-port and stat-path", event=True),
            Metric("agent.local_refused", "", "what they sent besides, and was refused", event=True),
            *(replace(metric, name=f"agent.{metric.name}") for metric in FORWARDING),
            *PLUGINS,
            Metric("agent.cpu_ms", "ms", "CPU time of the agent, without scripts", event=True),
            Metric("agent.rss_bytes", "bytes", "resident memory of the agent"),
        ],
    )
    def collect(emit: Emit) -> None:
        times = os.times()
        now: dict[str, float] = counters.totals() | {"cpu_ms": MILLISECONDS * (times.user + times.system)}
        forwarded = counters.forwarding()
        for name in gauges & forwarded.keys():
            emit.gauge(f"agent.{name}", forwarded[name])
        for name, value in counters.plugins().items():
            emit.gauge(name, value)
        now.update({name: total for name, total in forwarded.items() if name not in gauges})
        for name, total in now.items():
            emit.event(f"agent.{name}", total - before.get(name, 0))
            before[name] = total
        with open("/proc/self/statm", encoding="ascii") as file:
            emit.gauge("agent.rss_bytes", int(file.read().split()[1]) * PAGE)

    return collect


class Failing:
    """Which collectors fail, since when and why. The server is told with each introduction, and when that changes."""

    def __init__(self, clock: Clock, problems: Sequence[str] = ()) -> None:
        """`problems`: sentences about what will not run at all."""
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._since: dict[str, tuple[int, str]] = {}  # name -> when it began [Unix seconds], why it failed last
        self._problems: dict[str, int] = {}  # sentence -> since when
        self._told = False  # whether there ever was anything to tell
        self.refused(problems)

    def refused(self, problems: Sequence[str]) -> list[str]:
        """These do not run at all, and no others; which of them are new."""
        before, now = self._problems, int(self._clock.now())
        self._problems = {problem: before.get(problem, now) for problem in problems}
        if self._problems.keys() != before.keys():
            self._told = True
            self.changed()
        return [problem for problem in self._problems if problem not in before]

    def fails(self, name: str, why: str) -> None:
        """A collector (a job's name) has failed, or goes on to."""
        known = self._since.get(name)
        self._since[name] = (known[0] if known else int(self._clock.now()), why)
        if known is None:
            self._told = True
            self.changed()

    def works(self, name: str) -> None:
        """It works again, or as ever."""
        if self._since.pop(name, None) is not None:
            self.changed()

    def lines(self) -> list[bytes]:
        """`#failing 2`, `#failing.1 SINCE NAME: WHY` and so on, the latest first. None before the first failure."""
        if not self._told:
            return []
        failing = sorted(self._since.items(), key=lambda one: -one[1][0])
        found = [(since, f"{name[:NAME_ROOM]}: {why}") for name, (since, why) in failing]
        found += [(since, f": {' '.join(problem.split())}") for problem, since in self._problems.items()]
        values = [_told(f"{since} {words}") for since, words in found]
        return [
            meta_line("failing", str(len(found))),
            *(meta_line(f"failing.{at}", value) for at, value in enumerate(values[:MOST_TOLD], 1)),
        ]


def _told(text: str) -> str:
    """As much of it as the server takes, and dots where that is not all."""
    told = text.encode()
    return text if len(told) <= TOLD_BYTES else told[:TOLD_BYTES - len(CUT)].decode("utf-8", "ignore") + CUT
