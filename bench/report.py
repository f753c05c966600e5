"""The whole Reach table: what was measured, the ratio to VictoriaMetrics, and whether the goal is reached.

python -m bench.report [--quick] [--markdown] [--json FILE]      measures everything
python -m bench.report --from FILE [--markdown]                  prints what was measured before
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import figures, ingest, options, query
from bench.figures import Mode
from bench.servers.process import BenchError
from bench.servers.systems import Victoria, systems

PEER = Victoria.label
AGENT_SECONDS = 120.0  # [s] long enough that 0.5 % of a core is 60 ticks of the clock
AGENT_INTERVAL = 10  # [s]


@dataclass(frozen=True)
class Goal:
    """One row of the table. `bound` holds for the ratio to the peer where `relative`, else for our figure."""

    title: str
    mode: str  # the start of the mode's name
    key: str
    bound: float
    relative: bool = False
    unit: str = ""
    below: bool = False  # strictly below the bound
    judged: bool = True  # rows that are not goals stand beside them for the reader


GOALS = (
    Goal(
        "TCP, live times, few series: CPU per sample", "tcp-live-few", "cpu_us_per_sample", 0.25, True, "us"
    ),
    Goal(
        "TCP, live times, many series: CPU per sample", "tcp-live-many", "cpu_us_per_sample", 0.25, True, "us"
    ),
    Goal(
        "TCP, back-fill, few series: CPU per sample",
        "tcp-backfill-few",
        "cpu_us_per_sample",
        0.25,
        True,
        "us",
    ),
    Goal(
        "TCP, back-fill, many series: CPU per sample",
        "tcp-backfill-many",
        "cpu_us_per_sample",
        0.25,
        True,
        "us",
    ),
    Goal(
        "the same with the flush of a clean stop",
        "tcp-backfill-many",
        "cpu_us_with_stop",
        0.25,
        True,
        "us",
        judged=False,
    ),
    Goal("new counter: CPU", "new-counters", "cpu_us_per_new_counter", 10, unit="us"),
    Goal("UDP 500,000 samples/s: lost", "udp", "lost_percent", 0.1, unit="%", below=True),
    Goal("disk per 10 s bucket, all levels, index", "disk", "bytes_per_sample", 1.3, True, "bytes"),
    Goal("the same with names, journal and the rest", "disk", "with_all", 1.3, True, "bytes", judged=False),
    Goal("RSS at 100,000 counters, live times", "tcp-live-many", "rss_mb", 150, unit="MB"),
    Goal("RSS at 100,000 counters, back-fill", "tcp-backfill-many", "rss_mb", 150, unit="MB", judged=False),
    Goal("1 series x 6 h: p50", "query-one-6h", "p50_ms", 1, True, "ms"),
    Goal("1 series x 6 h in 300 points: p50", "query-one-6h-300", "p50_ms", 1, True, "ms"),
    Goal("100 series x 1 h: p50", "query-hundred-1h", "p50_ms", 1, True, "ms"),
    Goal(
        "100 names out of 100,000 by pattern: p50", "query-names-100", "p50_ms", 1, True, "ms", judged=False
    ),
    Goal(
        "longest wait for a trivial answer during queries",
        "stall",
        "hundred-1h_longest_ms",
        50,
        unit="ms",
        judged=False,
    ),
    Goal(
        "start with 100,000 counters until the first answer",
        "restart",
        "first_answer_s",
        1,
        unit="s",
        below=True,
    ),
    Goal("agent, 300 counters at 10 s: CPU of a core", "agent", "cpu_percent", 0.15, unit="%", below=True),
    Goal("agent: RSS", "agent", "rss_mb", 35, unit="MB", below=True),
    Goal("agent: start to its first value", "agent", "start_s", 1, unit="s", below=True),
)


@dataclass(frozen=True)
class Row:
    """A goal with what was measured, as text."""

    title: str
    ours: str
    peer: str
    ratio: str
    goal: str
    reached: str


def peer_label(mode: Mode, key: str) -> str | None:
    """The peer's runs to compare with: of several forms the fastest that computes its answer."""
    forms = [label for label in mode.runs if label.startswith(PEER) and not label.endswith(" cached")]
    found = [(value, label) for label in forms if (value := mode.median(label, key)) is not None]
    return min(found)[1] if found else None


def row(goal: Goal, modes: Sequence[Mode]) -> Row:
    sign = "<" if goal.below else "<="
    wanted = f"{sign} {figures.short(goal.bound)}" + (" x peer" if goal.relative else f" {goal.unit}")
    mode = next((mode for mode in modes if mode.name == goal.mode), None)
    ours = next((label for label in mode.runs if not label.startswith(PEER)), None) if mode else None
    theirs = peer_label(mode, goal.key) if mode else None
    peer = f"{mode.spread(theirs, goal.key)} {goal.unit}" if mode and theirs else "-"
    if mode is None or ours is None or not mode.values(ours, goal.key):
        return Row(goal.title, "not measured", peer, "-", wanted, "-")
    ratios = mode.ratios(ours, theirs, goal.key) if theirs else []
    value = mode.median(ours, goal.key)
    if goal.relative:
        value = statistics.median(ratios) if ratios else None
    reached = "-"
    if goal.judged and value is not None:
        reached = "yes" if value < goal.bound or (value == goal.bound and not goal.below) else "NO"
    measured = f"{mode.spread(ours, goal.key)} {goal.unit}"
    form = f" ({theirs.removeprefix(PEER).strip()})" if theirs and theirs != PEER else ""
    return Row(goal.title, measured, peer + form, figures.spread(ratios), wanted, reached)


def agent_mode(seconds: float) -> Mode | None:
    """What `bench.agent` measures, as a mode of one system; a line on standard output when it cannot."""
    mode = Mode("agent", f"300 counters every {AGENT_INTERVAL} s, watched for {seconds:g} s")
    try:
        agent = importlib.import_module("bench.agent")
        mode.add("istatd", agent.measure(seconds, AGENT_INTERVAL))
    except (ImportError, OSError, BenchError, subprocess.SubprocessError) as error:
        print(f"\nagent: not measured: {error}")
        return None
    figures.print_mode(mode)
    return mode


def measure(chosen: argparse.Namespace) -> list[Mode]:
    """Everything, in one session."""
    size = options.size(chosen)
    with options.folder(chosen) as folder:
        try:
            kinds = systems(chosen.peer, chosen.ours)
        except BenchError as error:
            raise SystemExit(f"bench: {error}") from error
        modes = ingest.measure(list(ingest.MODES), kinds, size, chosen.repeat, folder)
        modes += query.measure(kinds, size, chosen.repeat, folder)
    agent = None if chosen.ours != "istatd" else agent_mode(12.0 if chosen.quick else AGENT_SECONDS)
    return modes + ([agent] if agent else [])


def print_table(rows: Sequence[Row]) -> None:
    cells = [("what", "istatd", PEER, "ratio", "goal", "reached")]
    cells += [(item.title, item.ours, item.peer, item.ratio, item.goal, item.reached) for item in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    print()
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_markdown(rows: Sequence[Row], date: str, machine: str, repeat: int) -> None:
    """The rows for docs/performance.md."""
    print(f"\n{date}; {machine}; {repeat} runs: median (least-most).\n")
    print(f"| what | istatd | {PEER} | ratio | goal | reached |\n|---|---|---|---|---|---|")
    for item in rows:
        print(f"| {item.title} | {item.ours} | {item.peer} | {item.ratio} | {item.goal} | {item.reached} |")


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument(
        "--from", dest="source", type=Path, nargs="+", help="print saved JSON files, measure nothing"
    )
    parser.add_argument("--markdown", action="store_true", help="the rows for docs/performance.md")
    chosen = parser.parse_args()
    date, machine = time.strftime("%Y-%m-%d"), figures.machine()
    modes: list[Mode] = []
    if chosen.source:
        for path in chosen.source:
            date, machine, more = figures.load(path)
            modes += more
    else:
        modes = measure(chosen)
    if chosen.json:
        figures.save(chosen.json, modes)
    rows = [row(goal, modes) for goal in GOALS]
    print_table(rows)
    if chosen.quick or chosen.ours == "toy":
        print("\nA quick run or the toy server: these figures only show that all of it runs.")
    if chosen.markdown:
        repeat = max((len(runs) for mode in modes for runs in mode.runs.values()), default=0)
        print_markdown(rows, date, machine, repeat)


if __name__ == "__main__":
    main()
