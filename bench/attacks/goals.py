"""What is wanted of a server that is attacked, and the table of what it did. Knows figures only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.figures import Mode, Run, short, spread

LABEL = "istatd"


@dataclass(frozen=True)
class Goal:
    """One bound; `holds` is only asked where the run has all of `keys`."""

    title: str
    keys: tuple[str, ...]
    holds: Callable[[Run], bool]


GOALS = (
    Goal("the server bears it", ("failed",), lambda run: not run["failed"]),
    Goal("median", ("health_median_ms",), lambda run: run["health_median_ms"] <= 50),
    Goal("p99", ("health_p99_ms", "calm_p99_ms"),
         lambda run: run["health_p99_ms"] <= run["calm_p99_ms"] + 50),
    Goal("longest", ("health_longest_ms",), lambda run: run["health_longest_ms"] <= 250),
    Goal("unanswered", ("health_unanswered",), lambda run: run["health_unanswered"] == 0),
    Goal("memory", ("rss_growth_mb",), lambda run: run["rss_growth_mb"] <= 150),
    Goal("datagrams", ("udp_lost",), lambda run: run["udp_lost"] == 0),
    Goal("TCP", ("tcp_kept",), lambda run: run["tcp_kept"] >= 0.8),
    Goal("counters by HTTP", ("counters_made",), lambda run: run["counters_made"] == 0),
    Goal("the store's descriptors", ("flush_errors",), lambda run: run["flush_errors"] == 0),
    Goal("log", ("log_lines",), lambda run: run["log_lines"] <= 100),
)


def missed(run: Run) -> list[str]:
    """The goals that a run did not reach."""
    return [goal.title for goal in GOALS if set(goal.keys) <= set(run) and not goal.holds(run)]


COLUMNS: tuple[tuple[str, str], ...] = (
    ("/health median [ms]", "health_median_ms"),
    ("p99", "health_p99_ms"),
    ("longest", "health_longest_ms"),
    ("p99 unattacked", "calm_p99_ms"),
    ("unanswered", "health_unanswered"),
    ("hub late [ms]", "hub_late_ms"),
    ("RSS + [MB]", "rss_growth_mb"),
    ("samples lost", "udp_lost"),
    ("TCP kept [%]", "tcp_kept"),
    ("at full speed [%]", "tcp_full_kept"),
    ("log lines", "log_lines"),
)


def cell(mode: Mode, key: str) -> str:
    """Median and spread of one figure."""
    values = mode.values(LABEL, key)
    if key.endswith("_kept"):
        values = [100 * value for value in values]
    return spread([float(short(value).replace(",", "")) for value in values])


def reached(mode: Mode) -> str:
    """`yes`, or the goals that some run missed."""
    found = dict.fromkeys(title for run in mode.runs.get(LABEL, []) for title in missed(run))
    return "; ".join(found) if found else "yes"


def table(blocks: Sequence[tuple[str, Sequence[Mode]]]) -> str:
    """Markdown: the rows of each attack, one for each build, by the build's title."""
    lines = ["| attack | build | " + " | ".join(title for title, _ in COLUMNS) + " | reached |",
             "|---" * (len(COLUMNS) + 3) + "|"]
    for name in dict.fromkeys(mode.name for _, modes in blocks for mode in modes):
        for title, modes in blocks:
            for mode in (mode for mode in modes if mode.name == name):
                cells = " | ".join(cell(mode, key) for _, key in COLUMNS)
                lines.append(f"| {name} | {title} | {cells} | {reached(mode)} |")
    return "\n".join(lines)
