"""A steady load at scale: one sample of every counter each 10 s over TCP, for minutes, spread evenly in time.

    python -m bench.steady [--counters N] [--minutes M] [--table STEPS] [--json FILE]

First every name is made known, as fast as the server takes them; then the load runs in a process of its own,
and CPU, memory and writes of the server are read from /proc. At the end counters drawn at random are asked for, and
every bucket must be there. With --table the values repeat after so many steps, which costs the sender a tenth:
needed where one core has to send a million lines a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bench import options
from bench.figures import Mode, Run, print_mode, save
from bench.load import send, wire
from bench.load.work import STEP, Form, Work, Writer
from bench.servers.process import BenchError
from bench.servers.systems import Istatd

MB = 1e6  # [bytes]
NAMES_AT_ONCE = 1 << 20  # [bytes] of lines with new names sent at once: a server makes 100,000 names a second
SLICE = 0.05  # [s] of load that is sent at once
ASKED = 500  # counters drawn to be compared at the end
STAND_IN = 1_000_000_000  # a time of ten digits that a table's text is made with
OURS = 10_000  # room for the server's own counters beside those of the load
SETTLE = 15.0  # [s] after the last sample before the counters are asked


def slices(text: bytes, count: int) -> Iterator[memoryview]:
    """The text in `count` pieces of about one size, cut at line ends."""
    view, start = memoryview(text), 0
    for index in range(1, count + 1):
        end = len(text) * index // count
        end = len(text) if index == count else text.rfind(b"\n", start, end) + 1
        if end > start:
            yield view[start:end]
            start = end


def texts(work: Work, table: int) -> Iterator[bytes]:
    """The lines of each step, with STAND_IN for the time; endless."""
    writer = Writer(work.names, Form.ISTATD)
    if table:
        kept = [writer.chunk(STAND_IN, values) for values in work.steps(table)]
        del writer
        while True:
            yield from kept
    while True:
        for values in work.steps(1):
            yield writer.chunk(STAND_IN, values)


def load(port: int, counters: int, steps: int, table: int, tell: Connection) -> None:
    """The sending process: names first; then, when told to, `steps` paced steps. Tells the first step's time and how
    late it was at worst and at the end [s]."""
    source = texts(Work(counters), table)
    first = next(source)
    tell.send("ready")
    tell.recv()
    now = int(time.time()) // STEP * STEP
    send.tcp(port, slices(first.replace(b" %d " % STAND_IN, b" %d " % now), len(first) // NAMES_AT_ONCE + 1))
    coming = next(source)
    tell.send(now)
    tell.recv()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        begin = int(time.time()) // STEP * STEP + STEP
        late = worst = 0.0
        for step in range(steps):
            due = begin + step * STEP
            text = coming.replace(b" %d " % STAND_IN, b" %d " % due)
            count = round(STEP / SLICE)
            for index, piece in enumerate(slices(text, count)):
                time.sleep(max(0.0, due + index * SLICE - time.time()))
                connection.sendall(piece)
                late = time.time() - (due + index * SLICE)
                worst = max(worst, late)
                if index == count // 2:
                    coming = next(source)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
    tell.send((begin, worst, late))


def written(pid: int) -> int:
    """Bytes that the process has caused to be written to the device (proc(5), io)."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


def run(counters: int, minutes: float, table: int, folder: Path) -> Run:
    """One server under the load."""
    steps = round(minutes * 60 / STEP)
    system = Istatd(folder)
    system.extra = ("--max-counters", str(counters + OURS))
    system.start()
    ours, theirs = multiprocessing.Pipe()
    sender = multiprocessing.Process(target=load, args=(system.stat_port, counters, steps, table, theirs))
    sender.start()
    theirs.close()  # so that the sender's end is heard
    try:
        ours.recv()
        process, pid = system.process, system.process.pid
        before = process.quiet()
        ours.send("names")
        ours.recv()
        known = process.quiet()
        figures: Run = {"names_s_cpu": known - before, "rss_known_mb": process.rss() / MB}
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak is counted anew
        cpu, io, at = process.cpu(), written(pid), time.monotonic()
        ours.send("go")
        while not ours.poll(60.0):
            spent = time.monotonic() - at
            print(f"  {spent / 60:5.1f} min: {(process.cpu() - cpu) / spent:.1%} of a core, "
                  f"{process.rss() / MB:.0f} MB, {(written(pid) - io) / spent / MB:.2f} MB/s written", flush=True)
        begin, worst, late = ours.recv()
        spent = time.monotonic() - at
        figures |= {
            "cpu_percent": (process.cpu() - cpu) / spent * 100,
            "rss_mb": process.rss() / MB,
            "rss_peak_mb": process.rss_peak() / MB,
            "written_mb_per_s": (written(pid) - io) / spent / MB,
            "late_worst_s": worst,
            "late_end_s": late,
        }
        time.sleep(SETTLE)
        figures["lost_percent"] = missing(system, counters, begin, steps)
        figures["disk_mb"] = sum(system.disk().values()) / MB
        return figures
    finally:
        sender.kill()
        sender.join()
        system.stop()


def missing(system: Istatd, counters: int, begin: int, steps: int) -> float:
    """Percent of the buckets of counters drawn at random that no query finds."""
    names = Work(counters).names
    drawn = random.Random(2).sample(names, min(ASKED, counters))
    found = 0
    client = system.client()
    for name in drawn:
        for first in range(0, steps, 5000):
            count = min(5000, steps - first)
            start = begin + first * STEP
            answer = client.json(wire.post("/api/v1/series", {
                "names": [name.decode()], "from": start, "to": start + count * STEP, "points": count + 1,
                "columns": ["count"]}))
            found += sum(1 for value in answer["series"][0]["count"][:count] if value == 1)
    client.close()
    return (1 - found / (len(drawn) * steps)) * 100


def mode(counters: int, minutes: float, table: int, folder: Path) -> Mode:
    """The load as a benchmark's mode."""
    text = f"{counters:,} counters, a sample each per {STEP} s over TCP, {minutes:g} minutes"
    made = Mode(f"steady-{counters}", text)
    made.add("istatd", run(counters, minutes, table, folder))
    print_mode(made)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counters", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--table", type=int, default=0, help="steps after which values repeat; 0: never")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args(argv)
    with options.folder(chosen) as folder:
        try:
            done = mode(chosen.counters, chosen.minutes, chosen.table, folder / "steady")
        except (BenchError, EOFError) as error:
            raise SystemExit(f"bench: {error}") from error
    if chosen.json:
        save(chosen.json, [done])


if __name__ == "__main__":
    main()
