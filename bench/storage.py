"""What the store alone takes: recovery after kill -9, a long question, the expiry of a day.

    python -m bench.storage [recovery|long|expiry ...] [--json FILE]

Recovery and the question are put to a real server process; expiry is timed inside this process, on a store whose
clock is set.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import options
from bench.figures import Mode, Run, percentile, print_mode, save
from bench.load import send, wire
from bench.load.work import STEP, Form, Work, Writer
from bench.servers.process import BenchError, fresh
from bench.servers.systems import Istatd, compact_store
from bench.steady import load
from istat.clock import FakeClock
from istat.retention import Ladder
from istat_server.store.levels.policies import EXPIRE_GRACE
from istat_server.store.options import Options
from istat_server.store.statstore import StatStore

MB = 1e6  # [bytes]
KILL_AFTER = 8  # steps of load before kill -9: more than one cut, and a journal of most of a cut
LONG_DAYS = 10
LONG_SERIES = 20
QUESTIONS = 200
EXPIRY_ROWS = 24  # rows of each counter in the day that expires


def recovery_run(folder: Path, counters: int) -> Run:
    """Kill -9 under load, start again: seconds until the first question is answered."""
    system = Istatd(folder)
    system.start()
    ours, theirs = multiprocessing.Pipe()
    sender = multiprocessing.Process(target=load, args=(system.stat_port, counters, 1000, 2, theirs))
    sender.start()
    theirs.close()
    try:
        ours.recv()
        ours.send("names")
        ours.recv()
        system.process.quiet()
        ours.send("go")
        time.sleep((KILL_AFTER + 1) * STEP)
        os.kill(system.process.pid, signal.SIGKILL)
    finally:
        sender.kill()
        sender.join()
        system.stop()
    journal = sum(size for path, size in _sizes(system).items() if path.endswith(".journal"))
    name = random.Random(3).choice(Work(counters).names).decode()
    begin = time.monotonic()
    system.start()
    answer = system.client().json(wire.get("/api/v1/series", name=name, last="10m", points=100, columns="count"))
    seconds = time.monotonic() - begin
    rss = system.process.rss()
    system.stop()
    if not answer["series"]:
        raise BenchError(f"{name} is not known any more")
    return {"first_answer_s": seconds, "journal_mb": journal / MB, "rss_mb": rss / MB}


def _sizes(system: Istatd) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in system.store.rglob("*") if path.is_file()}


def long_run(folder: Path) -> Run:
    """One counter, 10 days of 10 s buckets, in 1,000 points; counters in turn, files compacted."""
    system = Istatd(folder)
    system.start()
    work = Work(LONG_SERIES)
    writer = Writer(work.names, Form.ISTATD)
    steps = LONG_DAYS * 86_400 // STEP - 60     # the oldest are not to expire meanwhile
    end = int(time.time()) // STEP * STEP
    first = end - steps * STEP
    send.tcp(system.stat_port, (writer.chunk(first + at * STEP, row) for at, row in enumerate(work.steps(steps))))
    system.process.quiet()
    system.stop()
    compact_store(system.store)
    system.start()
    client = system.client()
    times: list[float] = []
    for turn in range(QUESTIONS):
        name = work.names[turn % LONG_SERIES].decode()
        request = wire.post("/api/v1/series", {"names": [name], "from": first, "to": end, "points": 1000,
                                               "columns": ["avg"]})
        began = time.perf_counter()
        status, body = client.fetch(request)
        times.append(time.perf_counter() - began)
        if status != 200 or len(body) < 1000:
            raise BenchError(f"{name}: {status}, {len(body)} bytes")
    finest: list[float] = []
    for turn in range(QUESTIONS):       # istatd's API reads the finest level that covers the start, whatever is wanted
        name = work.names[turn % LONG_SERIES].decode()
        began = time.perf_counter()
        status, body = client.fetch(wire.get("/" + name, start=first, end=end, samples=1000))
        finest.append(time.perf_counter() - began)
        if status != 200 or len(body) < 1000:
            raise BenchError(f"{name}: {status}, {len(body)} bytes")
    client.close()
    system.stop()
    return {"p50_ms": percentile(times, 0.5) * 1e3, "p99_ms": percentile(times, 0.99) * 1e3,
            "from_10s_p50_ms": percentile(finest, 0.5) * 1e3, "from_10s_p99_ms": percentile(finest, 0.99) * 1e3}


def expiry_run(folder: Path, counters: int) -> Run:
    """A day of all counters leaves the finest level: seconds of the job and its commit."""
    clock = FakeClock(1_700_000_000 // 86_400 * 86_400)
    store = StatStore.open(folder, Ladder.parse("10s:10d,5m:1y9d,1h:6y12d"), clock, options=Options(key=1))
    work = Work(counters)
    writer = Writer(work.names, Form.ISTATD)
    for _ in range(EXPIRY_ROWS):
        store.tick()
        (row,) = work.steps(1)
        text = memoryview(writer.chunk(int(clock.now()), row))
        for name in work.names if store.count() < counters else ():
            store.learn(name)
        store.engine.feed(text, 0, len(text))
        store.after_feed()
        clock.advance(3600)
    clock.advance(86_400)
    store.compact()
    held = sum(entry.rows for entry in store.files.manifest.files if entry.level == 0)
    clock.set(clock.now() + 10 * 86_400 + EXPIRE_GRACE)
    clock.advance(10 * 86_400 + EXPIRE_GRACE)
    store.confirm_clock()
    job = store.housekeeping.next_job()
    written = store.files.totals["bytes_written"]
    began = time.perf_counter()
    if job is None:
        raise BenchError("nothing expires")
    store.housekeeping.do(job)
    seconds = time.perf_counter() - began
    left = sum(entry.rows for entry in store.files.manifest.files if entry.level == 0)
    rewritten = store.files.totals["bytes_written"] - written
    store.close()
    return {"seconds": seconds, "rows_expired": held - left, "rows_left": left, "rewritten_bytes": rewritten}


def measure(names: Sequence[str], folder: Path, counters: int) -> list[Mode]:
    """The modes of these names."""
    runs: dict[str, tuple[str, Callable[[], Run]]] = {
        "recovery": (f"kill -9 under load at {counters:,} counters, then the first answer",
                     lambda: recovery_run(fresh(folder / "recovery"), counters)),
        "long": (f"1 counter x {LONG_DAYS} days of {STEP} s in 1,000 points", lambda: long_run(fresh(folder / "long"))),
        "expiry": (f"a day of {counters:,} counters expires", lambda: expiry_run(fresh(folder / "expiry"), counters)),
    }
    done = []
    for name in names:
        text, run = runs[name]
        mode = Mode(name, text)
        mode.add("istatd", run())
        print_mode(mode)
        done.append(mode)
    return done


MODES = ("recovery", "long", "expiry")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modes", nargs="*", metavar="MODE", help=f"of {', '.join(MODES)} (default: all)")
    parser.add_argument("--counters", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args(argv)
    unknown = set(chosen.modes) - set(MODES)
    if unknown:
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")
    with options.folder(chosen) as folder:
        done = measure(chosen.modes or MODES, folder, chosen.counters)
    if chosen.json:
        save(chosen.json, done)


if __name__ == "__main__":
    main()
