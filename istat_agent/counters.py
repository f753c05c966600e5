"""What the agent counts about itself, and the collector `agent` that reports it.

`Counters` is shared by schedule and shipping; only this module knows how the figures are named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from istat.plugin import Definition, Emit, Metric, collector

PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes; /proc/self/statm counts pages
MILLISECONDS = 1000.0  # in a second


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

    def totals(self) -> dict[str, int]:
        """Name -> total."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def self_collector(counters: Counters) -> Definition:
    """The collector `agent` over these counters: each reading reports what was added since the last."""
    before = dict.fromkeys(counters.totals(), 0) | {"cpu_ms": 0.0}

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
            Metric("agent.cpu_ms", "ms", "CPU time of the agent, without scripts", event=True),
            Metric("agent.rss_bytes", "bytes", "resident memory of the agent"),
        ],
    )
    def collect(emit: Emit) -> None:
        times = os.times()
        now = counters.totals() | {"cpu_ms": MILLISECONDS * (times.user + times.system)}
        for name, total in now.items():
            emit.event(f"agent.{name}", total - before[name])
            before[name] = total
        with open("/proc/self/statm", encoding="ascii") as file:
            emit.gauge("agent.rss_bytes", int(file.read().split()[1]) * PAGE)

    return collect
