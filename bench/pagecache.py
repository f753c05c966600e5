"""Tools of the page cache: a fleet of files counted beside util-linux fincore and vmtouch, and logs replayed by policy.

    python -m bench.pagecache [fleet] [replay] [--files N ...] [--repeat N] [--folder DIR] [--json FILE] [--markdown]
    python -m bench.pagecache --from FILE [--markdown]              prints what was measured before

`fleet`: N sparse files of MRTG's size with three pages of each in memory, in folders of 1,000; the programs are run in
turn over all of them and must find the pages. Seconds of the whole command, its CPU seconds, and the
most memory it held at once. Then they are evicted once. `replay`: references to pages of a fleet of RRD files,
interleaved as updates come, at eight frames a file; millions of references a CPU second. Needs the Debian packages
util-linux-extra or util-linux (fincore) and vmtouch; who is missing is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import figures
from bench.figures import Mode, Run

SIZE = 105_312                      # bytes of a file: 26 pages of 4 KiB
PAGES = (0, 3, 14)                  # of each file in memory: what an update of MRTG's touches
FOLDER_FILES = 1000                 # in one folder
FILES = (100_000, 300_000)
# The goals: [s] of the whole command for so many files, [MB] of memory, [millions of references/s].
SECONDS = {100_000: 4.0, 300_000: 12.0}
MEGABYTES, MILLIONS = 100.0, 5.0
FRAMES_A_FILE = 8
# The most memory of a child is never less than what its parent held at its start: so a small program starts it and says
# what it used: seconds, CPU seconds, KiB of the largest process.
LAUNCHER = """
import os, sys, time
began = time.monotonic()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
print(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""
LEAST = 0.5                         # share of the pages that must still be there, or nothing was compared
POLICIES = ("Lru", "Fifo", "Clock", "TwoQueues", "Arc", "S3Fifo", "Lirs", "Opt", "TwoLists", "Generations")
ISTAT = (sys.executable, "-m", "istat.cli.command")
OURS, UTIL_LINUX, VMTOUCH = "istat fincore", "util-linux fincore", "vmtouch"


@dataclass(frozen=True)
class Tool:
    """How a program counts a folder, and how the number of pages in memory is found in what it prints. `list`: the
    names of all files on its standard input."""

    words: Callable[[Path], Sequence[str]]
    pages: Callable[[str], int]
    list: bool = False


def _sum(text: str) -> int:
    return sum(map(int, text.split()))


def _resident(text: str) -> int:
    return int(re.findall(r"Resident Pages: ([0-9]+)/", text)[0])


TOOLS = {
    OURS: Tool(lambda folder: [*ISTAT, "fincore", "--total", "--json", "-r", str(folder)],
               lambda text: int(json.loads(text)["totals"]["resident"])),
    UTIL_LINUX: Tool(lambda folder: ["xargs", "-0", "fincore", "-n", "-r", "-o", "PAGES"], _sum, list=True),
    VMTOUCH: Tool(lambda folder: ["vmtouch", "-f", str(folder)], _resident),
}


def make(folder: Path, files: int) -> None:
    """The fleet. Pages of a hole are in memory once they have been read, as others are."""
    page = os.sysconf("SC_PAGE_SIZE")
    for number in range(files):
        if number % FOLDER_FILES == 0:
            (folder / f"{number // FOLDER_FILES:04}").mkdir()
        handle = os.open(folder / f"{number // FOLDER_FILES:04}" / f"{number:06}.rrd", os.O_RDWR | os.O_CREAT)
        os.ftruncate(handle, SIZE)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)
        for one in PAGES:
            os.pread(handle, 1, one * page)
        os.close(handle)


def run(words: Sequence[str], names: bytes | None = None) -> tuple[Run, str]:
    """One command: its figures, and what it printed. RuntimeError when it fails."""
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as given:
        given.write(names or b"")
        given.seek(0)
        done = subprocess.run([sys.executable, "-S", "-c", LAUNCHER, *words], stdin=given, stdout=printed,
                              stderr=subprocess.PIPE, text=True)
        told = done.stderr.splitlines()
        if done.returncode or not told:
            raise RuntimeError(f"{' '.join(words)} failed: {done.stderr}")
        seconds, cpu, peak = map(float, told[-1].split())
        printed.seek(0)
        return {"s": seconds, "cpu_s": cpu, "peak_mb": peak * 1024 / 1e6}, printed.read().decode()


def fleet(files: int, repeat: int, place: Path) -> Mode:
    """All tools over so many files, in turn."""
    mode = Mode(f"fleet-{files}", f"{files:,} sparse files of {SIZE:,} bytes, {len(PAGES)} pages of each in memory")
    made = place / f"fleet-{files}"
    made.mkdir()
    try:
        make(made, files)
        names = b"\0".join(os.fsencode(path) for path in sorted(made.rglob("*.rrd")))
        for _ in range(repeat):
            for name, tool in TOOLS.items():
                words = tool.words(made)
                if name != OURS and shutil.which(name.split()[-1]) is None:
                    print(f"{name} is missing")
                    continue
                figure, text = run(words, names if tool.list else None)
                _look(name, tool.pages(text), files)
                mode.add(name, figure)
        evicted, text = run([*ISTAT, "fadvise", "--sync", "none", "-r", str(made)])
        _look("istat fadvise", int(re.findall(r"([0-9,]+) pages evicted", text)[0].replace(",", "")), files)
        mode.add("istat fadvise", evicted)
    finally:
        shutil.rmtree(made)
    return mode


def _look(name: str, pages: int, files: int) -> None:
    """Some may have gone: machines may take back what nobody used for a while (DAMON), and others may use the memory.
    RuntimeError when it is not this any more."""
    if not LEAST * files * len(PAGES) <= pages <= files * len(PAGES):
        raise RuntimeError(f"{name} found {pages:,} pages of {files * len(PAGES):,}")
    if pages < files * len(PAGES):
        print(f"{name}: {files * len(PAGES) - pages:,} pages are not in memory any more", flush=True)


def log(files: int, updates: int) -> array[int]:
    """References to pages of a fleet of MRTG's files whose pointers are anywhere, update by update."""
    from istat.pagecache.layouts import rrd

    layout, draw = rrd.mrtg(), random.Random(1)
    starts = [layout.random_starts(draw) for _ in range(files)]
    pages = layout.pages()
    found = array("i")
    for update in range(1, updates + 1):
        for number, start in enumerate(starts):
            found.extend([number * pages + page for page in layout.touched(update, start)])
    return found


def replay(files: int, updates: int, repeat: int) -> Mode:
    """All policies over one log."""
    from istat import kernels

    references = log(files, updates)
    bounds = array("q", [0, len(references)])
    pages = max(references) + 1
    mode = Mode("replay", f"{len(references):,} references of {updates:,} updates of {files:,} files, "
                          f"{FRAMES_A_FILE} frames a file, kernels: {kernels.IMPLEMENTATION}")
    for _ in range(repeat):
        for name in POLICIES:
            cache = getattr(kernels.replay, name)(pages, files * FRAMES_A_FILE)
            mode.add(name, _rate(lambda cache=cache: cache.replay(references, bounds), len(references)))
        mode.add("Lru, all sizes", _rate(lambda: kernels.replay.depths(references, bounds, pages), len(references)))
    return mode


def _rate(work: Callable[[], object], references: int) -> Run:
    began = time.process_time()
    work()
    return {"millions_per_s": references / 1e6 / (time.process_time() - began)}


def rows(modes: Sequence[Mode]) -> Iterator[tuple[str, ...]]:
    """What, figure, CPU, memory, goal, reached."""
    for mode in modes:
        for label in mode.runs:
            if mode.name == "replay":
                rate = mode.median(label, "millions_per_s") or 0.0
                yield (f"replay, {label}", f"{mode.spread(label, 'millions_per_s')} M/s", "-", "-",
                       f">= {MILLIONS:g} M/s", "yes" if rate >= MILLIONS else "NO")
                continue
            files = int(mode.name.partition("-")[2])
            goal = SECONDS.get(files) if label == OURS else None
            good = goal and (mode.median(label, "s") or 0) < goal and (mode.median(label, "peak_mb") or 0) < MEGABYTES
            yield (f"{files:,} files, {label}", f"{mode.spread(label, 's')} s", f"{mode.spread(label, 'cpu_s')} s",
                   f"{mode.spread(label, 'peak_mb')} MB", f"< {goal:g} s, < {MEGABYTES:g} MB" if goal else "-",
                   "-" if not goal else "yes" if good else "NO")


@contextmanager
def folder(chosen: Path | None) -> Iterator[Path]:
    """A new folder, in the one that was asked for, that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="istat-bench-", dir=chosen) as name:
        yield Path(name)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="fleet|replay", help="which (default: both)")
    parser.add_argument("--files", type=int, nargs="+", default=list(FILES), help="sizes of fleets")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each program (default 3)")
    parser.add_argument("--folder", type=Path, help="where the files are made: on a disk (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one run: does it work at all?")
    parser.add_argument("--json", type=Path, help="also write all runs to this file")
    parser.add_argument("--from", dest="source", type=Path, help="print a saved file, measure nothing")
    parser.add_argument("--markdown", action="store_true", help="the table for docs/performance.md")
    chosen = parser.parse_args(argv)
    if unknown := set(chosen.rows) - {"fleet", "replay"}:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    date, machine = time.strftime("%Y-%m-%d"), figures.machine()
    if chosen.source:
        date, machine, modes = figures.load(chosen.source)
    else:
        modes = measured(chosen)
    if chosen.json:
        figures.save(chosen.json, modes)
    for mode in modes:
        print(f"{mode.name}: {mode.work}")
    titles = ("what", "figure", "CPU", "most memory", "goal", "reached")
    for row in (titles, *([("---",) * len(titles)] if chosen.markdown else []), *rows(modes)):
        print(f"| {' | '.join(row)} |" if chosen.markdown else "  ".join(row))
    print(f"\n{date}; {machine}")


def measured(chosen: argparse.Namespace) -> list[Mode]:
    """What was asked for. The fleets first: what this program holds is part of every figure of memory."""
    modes = []
    repeat = 1 if chosen.quick else chosen.repeat
    if "replay" not in chosen.rows or "fleet" in chosen.rows:
        with folder(chosen.folder) as place:
            modes += [fleet(files, repeat, place) for files in ([2000] if chosen.quick else chosen.files)]
    if "fleet" not in chosen.rows or "replay" in chosen.rows:
        modes.append(replay(10, 50, 1) if chosen.quick else replay(1000, 1500, repeat))
    return modes


if __name__ == "__main__":
    main()
