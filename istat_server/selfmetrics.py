"""What the server measures about itself: every metric declared once, read by whoever asks.

The values are fed into the store like anyone's samples (names below `istatd.`, as istatd had them where
the meaning is the same) and told to Prometheus. This module does not know where a value comes from: the
parts add to a metric, or are asked for their totals by a source. `docs/self-metrics.md` is made from the
table here: `python -m istat_server.selfmetrics`.
"""
from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

PREFIX = "istatd."
# How often the values become samples [s]: the finest interval of the default retention.
INTERVAL = 10.0


class Kind(enum.Enum):
    """How a metric's value is to be read."""

    EVENT = "event"     # a total since the start; the counter in the store is its rate
    GAUGE = "gauge"     # the value now


@dataclass(frozen=True)
class Metric:
    """One metric. A name that ends with `<kind>` stands for one metric per kind."""

    name: str
    kind: Kind
    unit: str
    help: str

    @property
    def family(self) -> str | None:
        """What comes before `<kind>`, with the dot; None for a plain metric."""
        return self.name.removesuffix("<kind>") if self.name.endswith("<kind>") else None


def _events(*rows: tuple[str, str, str]) -> list[Metric]:
    return [Metric(name, Kind.EVENT, unit, help) for name, unit, help in rows]


def _gauges(*rows: tuple[str, str, str]) -> list[Metric]:
    return [Metric(name, Kind.GAUGE, unit, help) for name, unit, help in rows]


METRICS: tuple[Metric, ...] = (
    *_events(
        ("counter.dequeue", "samples", "samples taken: in the head and in the journal buffer"),
        ("counter.created", "counters", "counters that were seen for the first time"),
        ("counter.from_future", "samples", "refused: the time lies too far ahead"),
        ("counter.from_past", "samples", "refused: the time lies before all retention"),
        ("counter.rejected", "samples", "refused: fields of a pre-aggregated sample contradict each other"),
        ("statserver.connects", "connections", "TCP connections accepted for samples"),
        ("statserver.drops", "connections", "TCP connections for samples that have ended"),
        ("statserver.commands.reserved", "lines", "lines whose first character is reserved"),
        ("statserver.commands.bad", "lines", "sample lines that could not be read"),
        ("statserver.lines", "lines", "lines read, of all kinds"),
        ("statserver.tcp.bytes", "bytes", "received by TCP"),
        ("statserver.udp.bytes", "bytes", "received by UDP"),
        ("statserver.udp.datagrams", "datagrams", "received by UDP"),
        ("statserver.udp.drops", "datagrams", "lost in the kernel because a UDP receive buffer was full"),
        ("refused.<kind>", "mistakes", "what was refused, by kind of mistake"),
        ("journal.bytes", "bytes", "journal records handed over for writing"),
        ("store.cuts", "cuts", "times the head was swapped for an empty one"),
        ("store.jobs", "jobs", "merges, derivations and removals carried out"),
        ("store.written.files", "files", "StatFiles written"),
        ("store.written.bytes", "bytes", "of StatFiles written"),
        ("store.damaged_blocks", "blocks", "blocks of StatFiles that a question met damaged, and left out"),
        ("store.flush_errors", "errors", "attempts to write a frozen head that failed and were repeated"),
        ("store.cache.hits", "blocks", "blocks of StatFiles that a question found unpacked"),
        ("store.cache.misses", "blocks", "blocks of StatFiles that a question had to read"),
        ("counters.folded", "names", "new spellings and caret names that meant counters known already"),
        ("counters.deleted", "counters", "deleted by someone"),
        ("counters.undeleted", "counters", "brought back after a delete"),
        ("counters.renamed", "counters", "given another name"),
        ("counters.gone", "counters", "deleted ones whose data are in no file any more"),
        ("counters.retired", "counters", "gone by themselves: silent for longer than their data are kept"),
        ("http.requests", "requests", "HTTP requests accepted"),
        ("http.errors.http", "requests", "HTTP requests answered with a status of 400 or above"),
        ("exceptions", "exceptions", "faults of our own: exceptions that nothing expected"),
    ),
    *_gauges(
        ("counters", "counters", "counters in the catalogue"),
        ("journal.pending", "bytes", "journal records not written yet"),
        ("journal.unsynced", "seconds", "age of the oldest journal record that may be lost with the power"),
        ("counters.deleted.waiting", "counters", "deleted ones that may have data in files yet"),
        ("store.head", "bytes", "rows of the head that are in no StatFile yet"),
        ("store.flush.seconds", "seconds", "what the last write of a frozen head took"),
        ("store.debt.files", "files", "StatFiles as cuts left them, to be merged"),
        ("store.debt.bytes", "bytes", "of StatFiles as cuts left them, to be merged"),
        ("store.written.per_sample", "bytes", "of journal and StatFiles for each sample taken, since the start"),
        ("store.files", "files", "live StatFiles"),
        ("store.bytes", "bytes", "of live StatFiles"),
        ("store.rows_in_memory", "rows", "rows of the head that are in no StatFile yet"),
        ("store.memory", "bytes", "held by names, routes and the head"),
        ("statserver.connected", "connections", "TCP connections for samples open now"),
        ("statserver.agents", "senders", "senders online now, TCP and UDP"),
        ("http.current", "requests", "HTTP requests in progress"),
        ("hub.lag", "seconds", "longest time the event loop kept a due task waiting, in the last 10 to 20 s"),
        ("app.memory.vmsize", "bytes", "virtual memory of the process"),
        ("app.memory.vmrss", "bytes", "resident memory of the process"),
        ("app.cpu", "seconds", "CPU time of the process since its start, user and system"),
        ("app.uptime", "seconds", "time since the server was ready"),
    ),
)

Source = Callable[[], Mapping[str, float]]


class SelfMetrics:
    """The values of all metrics: kept here (`add`, `set`), or asked for at each reading (`source`)."""

    def __init__(self, metrics: tuple[Metric, ...] = METRICS) -> None:
        self._plain = {metric.name: metric for metric in metrics if metric.family is None}
        self._families = {metric.family: metric for metric in metrics if metric.family is not None}
        self._kept: dict[str, float] = {}
        self._sources: list[Source] = []
        self._told: dict[str, float] = {}

    def metric(self, name: str) -> Metric:
        """The declaration of a name. KeyError when there is none: declare it in METRICS."""
        plain = self._plain.get(name)
        return plain if plain is not None else self._families[name[:name.rindex(".") + 1]]

    def add(self, name: str, amount: float = 1) -> None:
        """Add to the total of an event metric."""
        self.metric(name)
        self._kept[name] = self._kept.get(name, 0) + amount

    def set(self, name: str, value: float) -> None:
        """Set the value of a gauge."""
        self.metric(name)
        self._kept[name] = value

    def source(self, read: Source) -> None:
        """Ask `read` for values at each reading: totals of events, present values of gauges, by name."""
        self._sources.append(read)

    def values(self) -> dict[str, float]:
        """Every value by name; plain metrics that nobody has told yet are 0."""
        values: dict[str, float] = dict.fromkeys(self._plain, 0)
        values.update(self._kept)
        for read in self._sources:
            values.update(read())
        for name in values:
            self.metric(name)
        return values

    def lines(self, now: int) -> bytes:
        """The values as sample lines at time `now`: gauges as they are, events as the increase since the
        last call (all of them the first time, later those that increased)."""
        lines = []
        for name, value in self.values().items():
            if self.metric(name).kind is Kind.GAUGE:
                lines.append(f"{PREFIX}{name} {now} {value!r}\n")
                continue
            increase = value - self._told.get(name, 0)
            if increase or name not in self._told:
                lines.append(f"*{PREFIX}{name} {now} {increase!r}\n")
            self._told[name] = value
        return "".join(lines).encode()

    def prometheus(self) -> str:
        """The values in Prometheus' text format (version 0.0.4)."""
        by_metric: dict[str, list[tuple[str, float]]] = {}
        for name, value in self.values().items():
            by_metric.setdefault(self.metric(name).name, []).append((name, value))
        return "".join(line + "\n" for name, found in by_metric.items()
                       for line in self._exposed(self.metric(name), found))

    def _exposed(self, metric: Metric, found: list[tuple[str, float]]) -> Iterator[str]:
        family = metric.family
        base = "istatd_" + (family or metric.name).rstrip(".").replace(".", "_")
        event = metric.kind is Kind.EVENT
        if event:
            base += "_total"
        yield f"# HELP {base} {metric.help} [{metric.unit}]"
        yield f"# TYPE {base} {'counter' if event else 'gauge'}"
        for name, value in found:
            label = f'{{kind="{name.removeprefix(family)}"}}' if family else ""
            yield f"{base}{label} {value!r}"


def document(metrics: tuple[Metric, ...] = METRICS) -> str:
    """The page `docs/self-metrics.md`."""
    lines = ["# What the server tells about itself", "",
             "Made from `istat_server/selfmetrics.py`; do not edit.",
             f"Every {INTERVAL:.0f} s each of these becomes a sample of a counter below `{PREFIX}`.",
             "`/metrics` tells them to Prometheus: dots become underscores, events end with `_total`.", "",
             "| counter | kind | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{PREFIX}{m.name}` | {m.kind.value} | {m.unit} | {m.help} |" for m in metrics]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
