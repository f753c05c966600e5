"""The store at scale: every goal of its size, pace and answers, measured and judged.

    python -m bench.store [ROW ...] [--json FILE] [--markdown]     measures (all rows: about 75 minutes)
    python -m bench.store --from FILE ... [--markdown]             prints what was measured before

Rows: million (30 minutes under load), ten-million (15), disk (beside VictoriaMetrics), retention, recovery, names,
long, expiry. `bench.steady`, `bench.storage`, `bench.names` and `bench.codec` measure them one by one.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import codec, figures, ingest, names, options, steady, storage
from bench.figures import Mode
from bench.report import Goal, print_markdown, print_table, row
from bench.servers.process import FAILURES
from bench.servers.systems import systems

MILLION, TEN_MILLION = 1_000_000, 10_000_000
TABLE = 2  # steps of distinct values at ten million counters: one core could not make a million anew each second
NAMES_ASKED = 300

GOALS = (
    Goal("1,000,000 counters, 30 min: CPU of a core", "steady-1000000", "cpu_percent", 25, unit="%", below=True),
    Goal("the same: RSS at most", "steady-1000000", "rss_peak_mb", 700, unit="MB", below=True),
    Goal("the same: written to the device", "steady-1000000", "written_mb_per_s", 3, unit="MB/s", below=True),
    Goal("the same: buckets missing", "steady-1000000", "lost_percent", 0, unit="%"),
    Goal("10,000,000 counters, 15 min: behind at the end", "steady-10000000", "late_end_s", 10, unit="s", below=True),
    Goal("the same: CPU of a core", "steady-10000000", "cpu_percent", 200, unit="%", below=True),
    Goal("the same: RSS at most", "steady-10000000", "rss_peak_mb", 6000, unit="MB", below=True),
    Goal("the same: buckets missing", "steady-10000000", "lost_percent", 0, unit="%"),
    Goal("bytes a 10 s bucket after compaction", "disk", "finest_level_only", 1, True, "bytes"),
    Goal("default retention of a counter, mean of the mix", "retention", "mb", 0.8, unit="MB", below=True),
    Goal("kill -9 at 1,000,000 counters: first answer", "recovery", "first_answer_s", 3, unit="s", below=True),
    Goal("glob with 100 hits in 1,000,000 names: p99", "names", "glob_p99_ms", 10, unit="ms", below=True),
    Goal("children of a prefix: p99", "names", "children_p99_ms", 10, unit="ms", below=True),
    Goal("substring: p99", "names", "substring_p99_ms", 10, unit="ms", below=True),
    Goal("1 counter x 10 days in 1,000 points: p50", "long", "p50_ms", 20, unit="ms", below=True),
    Goal("the same from the 10 s buckets (istatd's API): p50", "long", "from_10s_p50_ms", 20, unit="ms", below=True),
    Goal("expiry of a day of 1,000,000 counters", "expiry", "seconds", 1, unit="s", below=True),
    Goal("the same: bytes written anew", "expiry", "rewritten_bytes", 0, unit="bytes"),
)


def retention_mode() -> Mode:
    """Bytes of a counter through the whole default retention."""
    mode = Mode("retention", "86,400 x 10 s + 107,712 x 5 min + 52,848 x 1 h buckets, mean of the mix")
    sizes = codec.retention_sizes(40)
    mode.add("istatd", {"mb": sum(map(sum, sizes)) / len(sizes) / steady.MB})
    return mode


def names_mode() -> Mode:
    """Searches over a million dotted names, waiting time."""
    draw = random.Random(3)
    found = names.run(names.host_names(MILLION), lambda: names.host_questions(MILLION, draw), NAMES_ASKED)
    mode = Mode("names", f"{MILLION:,} names of 43 characters")
    run = {"bytes_a_name": found["bytes_a_name"], "load_s": found["load_s"], "learn_us": found["learn_us"]}
    for key, title in names.TITLES.items():
        run[f"{key}_p99_ms"] = found["questions"][title]["p99_ms"]
    mode.add("istatd", run)
    return mode


def rows(folder: Path) -> dict[str, Callable[[], Mode]]:
    """What measures each row."""

    def stored(name: str) -> Callable[[], Mode]:
        return lambda: storage.measure([name], folder, MILLION)[0]

    return {
        "million": lambda: steady.mode(MILLION, 30.0, 0, folder / "million"),
        "ten-million": lambda: steady.mode(TEN_MILLION, 15.0, TABLE, folder / "ten-million"),
        "disk": lambda: ingest.disk_mode(systems("victoria", "istatd"), options.FULL, 1, folder),
        "retention": retention_mode,
        "recovery": stored("recovery"),
        "names": names_mode,
        "long": stored("long"),
        "expiry": stored("expiry"),
    }


def measure(wanted: Sequence[str], folder: Path) -> list[Mode]:
    """The rows of these names; one that cannot be measured is told of and left out."""
    done: list[Mode] = []
    every = rows(folder)
    for name in wanted or list(every):
        try:
            done.append(every[name]())
        except (*FAILURES, EOFError) as error:
            print(f"\n{name}: not measured: {error!r}", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which (default: all)")
    parser.add_argument("--from", dest="source", type=Path, nargs="+", help="print saved files, measure nothing")
    parser.add_argument("--markdown", action="store_true", help="the table for docs/performance.md")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--folder", type=Path, help="where stores are made (default: a temporary folder)")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(rows(Path()))
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    date, machine = time.strftime("%Y-%m-%d"), figures.machine()
    modes: list[Mode] = []
    if chosen.source:
        for path in chosen.source:
            date, machine, more = figures.load(path)
            modes += more
    else:
        with options.folder(chosen) as folder:
            modes = measure(chosen.rows, folder)
    if chosen.json:
        figures.save(chosen.json, modes)
    table = [row(goal, modes) for goal in GOALS]
    print_table(table)
    if chosen.markdown:
        print_markdown(table, date, machine, 1)


if __name__ == "__main__":
    main()
