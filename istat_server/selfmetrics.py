"""What the server measures about itself: every metric declared once, read by whoever asks.

The values are fed into the store like anyone's samples (names below `istatd.`, as istatd had them where
the meaning is the same) and told to Prometheus. This module does not know where a value comes from: the
parts add to a metric, or are asked for their totals by a source. `docs/self-metrics.md` is made from the
table here: `python -m istat_server.selfmetrics`.
"""
from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import gevent

from istat.daemon import missing
from istat.forwarding.counts import METRICS as FORWARDING
from istat.metrics import Metric, number
from istat.wire.lines import written

log = logging.getLogger(__name__)

PREFIX = "istatd."
# How often the values become samples [s]: the finest interval of the default retention.
INTERVAL = 10.0
# Below this, and a plugin's NAME, are the metrics of plugins.
PLUGINS = "plugins"
FAILED = "metrics.failed."
# How long a source may take to give its values [s], and how many of them it may give.
LONGEST_READING = 1.0
MOST_VALUES = 1000
KIND = re.compile(r"[A-Za-z0-9_-]{1,100}")
# Metric <- key of the store's status. What a store does not tell stays 0.
STORE_METRICS = {
    "counters": "counters", "journal.bytes": "journal_bytes", "journal.pending": "journal_pending",
    "store.cuts": "cuts", "store.jobs": "jobs", "store.files": "files", "store.bytes": "file_bytes",
    "store.written.files": "files_written", "store.written.bytes": "bytes_written",
    "store.damaged_blocks": "damaged_blocks", "store.flush_errors": "flush_errors",
    "store.head": "head_bytes", "store.flush.seconds": "flush_seconds", "store.debt.files": "debt_files",
    "store.debt.bytes": "debt_bytes", "store.written.per_sample": "written_per_sample",
    "store.cache.hits": "cache_hits", "store.cache.misses": "cache_misses", "journal.unsynced": "unsynced_seconds",
    "counters.folded": "names_folded", "counters.deleted": "counters_deleted",
    "counters.undeleted": "counters_undeleted", "counters.renamed": "counters_renamed",
    "counters.gone": "counters_gone", "counters.retired": "counters_retired",
    "counters.deleted.waiting": "deleted_waiting",
    "store.pinned": "pinned_bytes",
    "store.rows_in_memory": "rows_in_memory", "store.memory": "memory_bytes",
}
# Metric <- kinds of mistakes.
REFUSAL_METRICS = {
    "counter.from_future": ("from_future",), "counter.from_past": ("from_past",), "counter.rejected": ("rejected",),
    "statserver.commands.reserved": ("reserved",), "blacklist.count": ("blacklisted",),
    "statserver.commands.bad": ("bad_fields", "bad_number", "not_finite"),
}


def _events(*rows: tuple[str, str, str]) -> list[Metric]:
    return [Metric(name, unit, help, event=True) for name, unit, help in rows]


def _gauges(*rows: tuple[str, str, str]) -> list[Metric]:
    return [Metric(name, unit, help) for name, unit, help in rows]


METRICS: tuple[Metric, ...] = (
    *FORWARDING,
    *_events(
        ("counter.dequeue", "samples", "samples taken: in the head and in the journal buffer"),
        ("counter.created", "counters", "counters that were seen for the first time"),
        ("counter.closed", "counters", "counters that nobody finds any more: deleted, or retired"),
        ("counter.from_future", "samples", "refused: the time lies too far ahead"),
        ("counter.from_past", "samples", "refused: the time lies before all retention"),
        ("counter.rejected", "samples", "refused: fields of a pre-aggregated sample contradict each other"),
        ("statserver.connects", "connections", "connections accepted for samples, TCP and Unix"),
        ("statserver.drops", "connections", "connections for samples that have ended"),
        ("statserver.commands.reserved", "lines", "lines whose first character is reserved"),
        ("statserver.commands.bad", "lines", "sample lines that could not be read"),
        ("statserver.lines", "lines", "lines read, of all kinds"),
        ("statserver.tcp.bytes", "bytes", "received by TCP"),
        ("statserver.udp.bytes", "bytes", "received by UDP"),
        ("statserver.udp.datagrams", "datagrams", "received by UDP"),
        ("statserver.tls.connects", "connections", "TLS handshakes of senders that succeeded"),
        ("statserver.unix.bytes", "bytes", "received by connections of Unix sockets"),
        ("statserver.unix-datagram.bytes", "bytes", "received by datagrams of Unix sockets"),
        ("statserver.unix-datagram.datagrams", "datagrams", "received by Unix sockets"),
        ("statserver.udp.drops", "datagrams", "lost in the kernel because a UDP receive buffer was full"),
        ("blacklist.count", "mistakes", "connections closed and runs of datagrams dropped: their sender is on the "
         "blacklist"),
        ("batches.taken", "batches", "acknowledged batches taken, each once"),
        ("batches.lines", "lines", "of acknowledged batches"),
        ("batches.bytes", "bytes", "of lines of acknowledged batches"),
        ("batches.refused", "lines", "of acknowledged batches that were refused"),
        ("batches.again", "batches", "that were there already when they came, and were not counted again"),
        ("batches.later", "batches", "not taken, as the store took nothing: their senders keep them"),
        ("batches.denied", "sessions", "of senders of batches that were refused, or begun anew elsewhere"),
        ("declared.changed", "declarations", "of metrics by senders that were new, or said something else"),
        ("declared.refused", "declarations", "of metrics by senders that could not be read, or that no room was for, "
         "changed too often, or were of the server's own names"),
        ("replica.frames", "frames", "of the master's journal that this replica has taken"),
        ("replica.bytes", "bytes", "of the master's journal that this replica has pulled"),
        ("replica.copies", "copies", "of the master's store that were made anew, as it could not be followed on"),
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
        ("http.errors.server", "requests", "HTTP requests that could not be read, and answers whose connection broke"),
        ("http.refused.<kind>", "requests", "HTTP requests that no route was asked about, by why: `host`, asked by a "
         "name that is not among the server's (http-names)"),
        ("http.gone", "requests", "given up in work because whoever asked had closed the connection"),
        ("admin.connections", "connections", "connections to admin-port accepted"),
        ("admin.commands", "commands", "lines that came by admin-port"),
        ("exporter.dropped", "samples", "that prometheus-port did not take: max-metrics-count series were there, or "
         "a sum would have become smaller"),
        ("settings.get", "questions", "for all values of a namespace"),
        ("settings.match", "questions", "for the values of a namespace that fit a pattern"),
        ("settings.set", "keys", "of namespaces that were set to something else, or deleted"),
        ("settings.save", "files", "of namespaces written"),
        ("settings.refused", "changes", "of namespaces that were refused: by a bound, a name, a version that is not "
         "expected any more"),
        ("settings.skipped", "keys", "of namespaces that cannot be, left out of a change by istatd's rules"),
        ("exceptions", "exceptions", "faults of our own: exceptions that nothing expected"),
        ("metrics.failed.<kind>", "values", "that could not be told, by who should have given them: a plugin raised, "
         "took too long, or gave what is no number or not declared"),
    ),
    *_gauges(
        ("counters", "counters", "counters in the catalogue"),
        ("journal.pending", "bytes", "journal records not written yet"),
        ("journal.unsynced", "seconds", "age of the oldest journal record that may be lost with the power"),
        ("replica.behind", "seconds", "of a replica: how old what it has is; 0: it has all that the master wrote"),
        ("replica.following", "0 or 1", "1 while a replica follows its master"),
        ("counters.deleted.waiting", "counters", "deleted ones that may have data in files yet"),
        ("store.head", "bytes", "rows of the head that are in no StatFile yet"),
        ("store.flush.seconds", "seconds", "what the last write of a frozen head took"),
        ("store.debt.files", "files", "StatFiles as cuts left them, to be merged"),
        ("store.debt.bytes", "bytes", "of StatFiles as cuts left them, to be merged"),
        ("store.written.per_sample", "bytes", "of journal and StatFiles for each sample taken, since the start"),
        ("store.files", "files", "live StatFiles"),
        ("store.bytes", "bytes", "of live StatFiles"),
        ("replica.lag.<kind>", "seconds", "how far a replica lags, by its name (dots as `_`); 0 while it has all that "
         "is synced"),
        ("store.pinned", "bytes", "of files and journal segments that are kept for pins only"),
        ("store.rows_in_memory", "rows", "rows of the head that are in no StatFile yet"),
        ("store.memory", "bytes", "held by names, routes and the head"),
        ("statserver.connected", "connections", "connections for samples open now, TCP and Unix"),
        ("statserver.agents", "senders", "senders online now"),
        ("blacklist.entries", "entries", "host names, addresses and networks on the blacklist"),
        ("batches.senders", "senders", "of acknowledged batches that are connected now"),
        ("batches.owed", "answers", "to senders of batches that wait for the journal"),
        ("declared.metrics", "metrics", "that senders have declared"),
        ("declared.bytes", "bytes", "of what they have declared"),
        ("statserver.failing", "collectors", "collectors that fail at agents which are online, as these tell"),
        ("http.current", "requests", "HTTP requests in progress"),
        ("http.connected", "connections", "HTTP connections open now"),
        ("http.held", "bytes", "of bodies that came and answers that go, held now for HTTP"),
        ("exporter.series", "series", "that prometheus-port has now"),
        ("hub.lag", "seconds", "longest time the event loop kept a due task waiting, in the last 10 to 20 s"),
        ("app.memory.vmsize", "bytes", "virtual memory of the process"),
        ("app.memory.vmrss", "bytes", "resident memory of the process"),
        ("app.cpu", "seconds", "CPU time of the process since its start, user and system"),
        ("app.uptime", "seconds", "time since the server was ready"),
    ),
)

Read = Callable[[], Mapping[str, float]]


@dataclass
class Source:
    """Who is asked for values at each reading."""

    owner: str
    read: Read
    # Names it has given so far: where it fails to give one again, that is absent, and not 0.
    given: set[str] = field(default_factory=set)


class SelfMetrics:
    """The values of all metrics: kept here (`add`, `set`), or asked for at each reading (`source`)."""

    def __init__(self, metrics: Sequence[Metric] = METRICS) -> None:
        self._plain = {metric.name: metric for metric in metrics if metric.family is None}
        self._families = {metric.family: metric for metric in metrics if metric.family is not None}
        self._kept: dict[str, float] = {}
        self._sources: list[Source] = []
        self._told: dict[str, float] = {}
        self._failed: dict[str, int] = {}
        self._logged: set[tuple[str, str]] = set()

    def metric(self, name: str) -> Metric:
        """The declaration of a name. KeyError when there is none: declare it in METRICS, or by `istat_metrics`."""
        plain = self._plain.get(name)
        if plain is not None:
            return plain
        family, dot, kind = name.rpartition(".")
        if not KIND.fullmatch(kind):
            raise KeyError(name)
        return self._families[family + dot]

    def declared(self) -> list[Metric]:
        """All of them, by what their counters are called."""
        return [replace(one, name=PREFIX + one.name) for one in (*self._plain.values(), *self._families.values())]

    def add(self, name: str, amount: float = 1) -> None:
        """Add to the total of an event metric. KeyError for a name, ValueError for an amount that cannot be."""
        self.metric(name)
        self._kept[name] = self._kept.get(name, 0) + number(amount)

    def set(self, name: str, value: float) -> None:
        """Set the value of a gauge. KeyError for a name, ValueError for a value that cannot be."""
        self.metric(name)
        self._kept[name] = number(value)

    def source(self, owner: str, read: Read) -> None:
        """Ask `read` for values at each reading: totals of events, present values of gauges, by name.

        `owner` is the NAME of a plugin, whose metrics are below `plugins.NAME.`, or the part of ours that gives them.
        What goes wrong with it is counted as `metrics.failed.OWNER`, and told in the log once for each kind of fault.
        """
        if not KIND.fullmatch(owner):
            raise ValueError(f"metrics belong to somebody with a name of letters, digits, '-' and '_', not {owner!r}")
        self._sources.append(Source(owner, read))

    def values(self) -> dict[str, float]:
        """Every value by name; plain metrics that nobody has told yet are 0."""
        values: dict[str, float] = dict.fromkeys(self._plain, 0)
        values.update(self._kept)
        for source in self._sources:
            found = self._ask(source)
            for name in source.given - found.keys():
                values.pop(name, None)
            values.update(found)
        for owner, count in self._failed.items():
            values[f"{FAILED}{owner}"] = count
        return values

    def _ask(self, source: Source) -> dict[str, float]:
        """What a source gives that can be told."""
        try:
            with gevent.Timeout(LONGEST_READING) as deadline:
                given = dict(source.read())
        except gevent.Timeout as error:
            if error is deadline:
                self._fails(source, "late", f"they were not there after {LONGEST_READING:g} s")
            else:       # its own, of something that it asked: no other clock runs over a reading
                self._fails(source, "raised", missing.told(error))
            return {}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plugin may raise anything, and harms no other
            self._fails(source, "raised", missing.told(error))
            return {}
        found: dict[str, float] = {}
        if len(given) > MOST_VALUES:
            self._fails(source, "many", f"more than {MOST_VALUES} values", len(given) - MOST_VALUES)
        for name, value in itertools.islice(given.items(), MOST_VALUES):
            try:
                if name not in source.given:
                    self._check(source, name)
                    source.given.add(name)
                found[name] = number(value)
            except KeyError:
                self._fails(source, "undeclared", f"{name!r} is not declared; istat_metrics() gives Metric(name, ...)")
            except ValueError as error:
                self._fails(source, "number", f"{name}: {error}")
        return found

    def _check(self, source: Source, name: object) -> None:
        """KeyError for a name that is not declared, or is another's, ValueError for one too many."""
        if not isinstance(name, str):
            raise KeyError(name)
        self.metric(name)
        if name.startswith(f"{PLUGINS}.") and name.split(".")[1] != source.owner:
            raise KeyError(name)
        if len(source.given) >= MOST_VALUES:
            raise ValueError(f"one name more than {MOST_VALUES}")

    def _fails(self, source: Source, fault: str, words: str, values: int = 1) -> None:
        self._failed[source.owner] = self._failed.get(source.owner, 0) + values
        if (source.owner, fault) not in self._logged:
            self._logged.add((source.owner, fault))
            log.error("metrics of %s: %s; it is told once, and counted in %s%s%s", source.owner, words, PREFIX, FAILED,
                      source.owner)

    def lines(self, now: int) -> bytes:
        """The values as sample lines at time `now`: gauges as they are, events as the increase since the
        last call (all of them the first time, later those that increased)."""
        lines = []
        for name, value in self.values().items():
            if not self.metric(name).event:
                lines.append(written(PREFIX + name, repr(value), now))
                continue
            increase = value - self._told.get(name, 0)
            if increase or name not in self._told:
                lines.append(written(f"*{PREFIX}{name}", repr(increase), now))
            self._told[name] = value
        return b"".join(lines)

    def prometheus(self) -> str:
        """The values in Prometheus' text format (version 0.0.4)."""
        by_metric: dict[Metric, list[tuple[str, float]]] = {}
        for name, value in self.values().items():
            by_metric.setdefault(self.metric(name), []).append((name, value))
        return "".join(line + "\n" for metric, found in by_metric.items() for line in self._exposed(metric, found))

    def _exposed(self, metric: Metric, found: list[tuple[str, float]]) -> Iterator[str]:
        family, base = metric.family, exposed_name(metric)
        yield f"# HELP {base} {metric.help} [{metric.unit}]".replace("\\", "\\\\")
        yield f"# TYPE {base} {'counter' if metric.event else 'gauge'}"
        for name, value in found:
            label = f'{{kind="{name.removeprefix(family)}"}}' if family else ""
            yield f"{base}{label} {value!r}"


def exposed_name(metric: Metric) -> str:
    """What Prometheus calls it."""
    name = re.sub(r"[^a-z0-9_]", "_", (metric.family or metric.name).rstrip("."))
    return f"istatd_{name}" + ("_total" if metric.event else "")


def document(metrics: Sequence[Metric] = METRICS) -> str:
    """The page `docs/self-metrics.md`."""
    lines = ["# What the server tells about itself", "",
             "Made from `istat_server/selfmetrics.py`; do not edit.",
             f"Every {INTERVAL:.0f} s each of these becomes a sample of a counter below `{PREFIX}`.",
             "`/metrics` tells them to Prometheus: dots become underscores, events end with `_total`.",
             f"A plugin's are below `{PREFIX}{PLUGINS}.NAME.`: [Extending istatd](extending.md).", "",
             "| counter | kind | unit | meaning |", "|---|---|---|---|"]
    lines += [f"| `{PREFIX}{m.name}` | {m.kind} | {m.unit} | {m.help} |" for m in metrics]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
