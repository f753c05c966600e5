"""The command line against a large server: a whole export over HTTP, and a list of all names.

    python -m bench.commands [export] [ls] [--repeat N] [--counters N] [--minutes N] [--names N] [--json FILE]

`export`: counters with minutes of 10 s buckets, gauges and every tenth of events, by `istat export --server` to a CSV
file. `ls`: names of 43 characters, by `istat ls` to a file. Server and command share this machine. Seconds of the whole
command, from its start to its end, and CPU seconds of both.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench import figures, names, options
from bench.figures import Mode
from bench.load import wire
from bench.servers.process import BenchError
from bench.servers.systems import Istatd

STEP = 10           # [s]
EVENTS = 10         # each so many-th is an event counter
LINES_AT_ONCE = 5000
# The goals [s].
EXPORT_GOAL, LS_GOAL = 30.0, 10.0
LIMIT = 600.0       # of one command [s]


def counter_lines(count: int, minutes: int, now: int) -> Iterator[bytes]:
    """Lines of all counters, a step after the other until now."""
    draw = random.Random(1)
    wires = [(b"*" if number % EVENTS == 0 else b"") + names.host_name(number) for number in range(count)]
    last = now - now % STEP
    for at in range(last - minutes * 60 + STEP, last + STEP, STEP):
        for first in range(0, count, LINES_AT_ONCE):
            yield b"".join(b"%s %d %.3f\n" % (name, at, draw.uniform(0, 100))
                           for name in wires[first : first + LINES_AT_ONCE])


def name_lines(count: int) -> Iterator[bytes]:
    """A line of each name."""
    shuffled = names.host_names(count)
    for first in range(0, count, LINES_AT_ONCE):
        yield b"".join(b"%s 1\n" % name for name in shuffled[first : first + LINES_AT_ONCE])


def fill(system: Istatd, pieces: Iterator[bytes], samples: int) -> None:
    """Send it all, and wait until the server has taken it."""
    with socket.create_connection(("127.0.0.1", system.stat_port)) as sock:
        for piece in pieces:
            sock.sendall(piece)
    end = time.monotonic() + LIMIT
    client = system.client()
    while int(client.json(wire.get("/api/v1/status"))["ingest"]["samples"]) < samples:
        if time.monotonic() > end:
            raise BenchError("the server has not taken all samples")
        time.sleep(0.2)
    client.close()
    system.process.quiet()


def measure(system: Istatd, words: Sequence[str], output: Path) -> figures.Run:
    """One command: seconds, CPU seconds of it and of the server, and lines written."""
    before, begin = system.process.cpu(), time.monotonic()
    with output.open("wb") as file:
        popen = subprocess.Popen([sys.executable, "-m", "istat_server.tools", *words], stdout=file)
        _, status, usage = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
    taken = time.monotonic() - begin
    if popen.returncode:
        raise BenchError(f"istat {words[0]} ended with {popen.returncode}")
    with output.open("rb") as file:
        lines = sum(1 for _ in file)
    return {"seconds": taken, "command_cpu_s": usage.ru_utime + usage.ru_stime,
            "server_cpu_s": system.process.cpu() - before, "lines": float(lines),
            "command_rss_mb": usage.ru_maxrss / 1024}


def export_mode(folder: Path, chosen: argparse.Namespace) -> Mode:
    """The whole export."""
    mode = Mode("export", f"{chosen.counters:,} counters with {chosen.minutes} minutes of 10 s buckets, to CSV")
    buckets = chosen.counters * chosen.minutes * 60 // STEP
    system = Istatd(folder / "export")
    system.start()
    try:
        fill(system, counter_lines(chosen.counters, chosen.minutes, int(time.time())), buckets)
        for _ in range(chosen.repeat):
            run = measure(system, ["export", "--server", f"http://127.0.0.1:{system.http_port}", "host.*"],
                          folder / "all.csv")
            if run["lines"] != buckets + 1:
                raise BenchError(f"{run['lines']:.0f} lines were written, not {buckets + 1}")
            mode.add("istatd", run)
    finally:
        system.stop()
    return mode


def ls_mode(folder: Path, chosen: argparse.Namespace) -> Mode:
    """The list of all names."""
    mode = Mode("ls", f"{chosen.names:,} names of 43 characters")
    system = Istatd(folder / "ls")
    system.start()
    try:
        fill(system, name_lines(chosen.names), chosen.names)
        for _ in range(chosen.repeat):
            run = measure(system, ["ls", "host.*", "--server", f"http://127.0.0.1:{system.http_port}"],
                          folder / "names.txt")
            if run["lines"] != chosen.names:
                raise BenchError(f"{run['lines']:.0f} names were written, not {chosen.names}")
            mode.add("istatd", run)
    finally:
        system.stop()
    return mode


MODES: dict[str, tuple[Callable[[Path, argparse.Namespace], Mode], float]] = {
    "export": (export_mode, EXPORT_GOAL), "ls": (ls_mode, LS_GOAL)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="export or ls (default: both)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--counters", type=int, default=50_000)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    parser.add_argument("--folder", type=Path, help="where stores are made (default: a temporary folder)")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(MODES)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    modes: list[Mode] = []
    with options.folder(chosen) as folder:
        for name in chosen.rows or list(MODES):
            made, goal = MODES[name]
            mode = made(folder, chosen)
            modes.append(mode)
            print(f"{mode.name}: {mode.work}; {figures.machine()}")
            for key in mode.runs["istatd"][0]:
                print(f"  {key:16} {mode.spread('istatd', key)}")
            median = mode.median("istatd", "seconds")
            print(f"  goal: under {goal:g} s: {'yes' if median is not None and median < goal else 'NO'}", flush=True)
    if chosen.json:
        figures.save(chosen.json, modes)


if __name__ == "__main__":
    main()
