"""Cubes, sketches and exporters: every goal measured, beside other libraries, and judged.

    python -m bench.cube [ROW ...] [--json FILE] [--markdown]     measures (all rows: some minutes)
    python -m bench.cube --from FILE [--markdown]                 prints what was measured before

Figures are CPU time for one operation. `--list` prints the rows' names; `--quick` shows that all of it runs.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench import figures
from bench.cubes import cells, judging, merging, output, processes, sketches, threads
from bench.cubes.rows import FULL, QUICK, Row, Size, measure
from bench.figures import Mode
from istat.kernels import IMPLEMENTATION

REPEAT = 9  # the least of so many is what nobody disturbed, in most rows
PARTS = (sketches, cells, merging, output, threads, processes)
ROWS: dict[str, Row] = {row.name: row for part in PARTS for row in part.ROWS}


def measured(wanted: Sequence[str], size: Size, repeat: int) -> list[Mode]:
    """The rows of these names, or all; one whose process fails is told of and left out."""
    done = []
    for name in wanted or list(ROWS):
        try:
            mode = measure(ROWS[name], size, repeat)
        except subprocess.CalledProcessError as error:
            print(f"{name}: not measured: {error.stderr}", flush=True)
            continue
        for line in judging.lines(ROWS[name], mode):
            print("  ".join(line.cells()), flush=True)
        done.append(mode)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="which (default: all)")
    parser.add_argument("--list", action="store_true", help="print the rows' names")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one run: does it work at all?")
    parser.add_argument("--repeat", type=int, default=REPEAT, help=f"of each side of a row (default {REPEAT})")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--from", dest="source", type=Path, nargs="+", help="print saved files, measure nothing")
    parser.add_argument("--markdown", action="store_true", help="the table for docs/performance.md")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    if chosen.list:
        print("\n".join(f"{row.name:24} {row.title}" for row in ROWS.values()))
        return
    date, machine = time.strftime("%Y-%m-%d"), figures.machine()
    modes: list[Mode] = []
    if chosen.source:
        for path in chosen.source:
            date, machine, more = figures.load(path)
            modes += more
    else:
        print(f"kernels: {IMPLEMENTATION}", flush=True)
        modes = measured(chosen.rows, QUICK if chosen.quick else FULL, 1 if chosen.quick else chosen.repeat)
    if chosen.json:
        figures.save(chosen.json, modes)
    found = judging.table(ROWS, modes)
    print(f"\n{judging.aligned(found)}")
    if chosen.quick:
        print("\nA quick run: these figures only show that all of it runs.")
    if chosen.markdown:
        repeat = max((len(runs) for mode in modes for runs in mode.runs.values()), default=0)
        print(f"\n{date}; {machine}; {repeat} runs: least (median).\n\n{judging.markdown(found)}")


if __name__ == "__main__":
    main()
