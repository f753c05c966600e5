"""Search among a million names, what a name takes in memory, and how long a restart takes for names.

    python -m bench.names [--names 1000000] [--questions 300] [--json FILE]

Two sorts of names of 43 bytes: 50 counters a host in shuffled order, as a fleet has them, and random hexadecimal ones,
which share nothing and fill the signatures most. Names are learnt by a store's catalogue with the daemon's threads;
each question is asked in many variants. Times are what the asking greenlet waits, and the CPU time of the process
meanwhile, which other programs on the machine disturb less; in milliseconds.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent.threadpool import ThreadPool

from istat.clock import SystemClock
from istat.kernels import IMPLEMENTATION
from istat.kernels import engine as engine_kernel
from istat_server.store.files.manifest import names_path
from istat_server.store.interface import NamePattern, Syntax
from istat_server.store.names import namefiles
from istat_server.store.names.catalogue import Catalogue

Ask = Callable[[Catalogue], Any]
INTERVALS = (10, 300, 3600)
PER_HOST = 50


def host_name(number: int) -> bytes:
    """A counter of a host."""
    host, metric = divmod(number, PER_HOST)
    zone = host % 7
    return b"host.web%05d.eu-west-%d.cpu.core%02d.user.perc" % (host, zone, metric)


def host_names(count: int) -> list[bytes]:
    """The counters of count / 50 hosts, shuffled."""
    numbers = list(range(count))
    random.Random(1).shuffle(numbers)
    return [host_name(number) for number in numbers]


def hex_names(count: int) -> list[bytes]:
    """Names that have nothing in common."""
    draw = random.Random(2)
    return [b"%032x.%010x" % (draw.getrandbits(128), draw.getrandbits(40)) for _ in range(count)]


def glob(text: bytes) -> NamePattern:
    """A pattern as people write it."""
    return NamePattern(Syntax.GLOB, text)


def regex(text: bytes) -> NamePattern:
    """A regular expression."""
    return NamePattern(Syntax.REGEX, text)


# The rows that stand for a kind of question.
TITLES = {
    "glob": "glob, 100 hits, literals inside",
    "children": "children of a host",
    "substring": "substring, 50 hits",
}


def host_questions(count: int, draw: random.Random) -> Iterator[tuple[str, Ask]]:
    """The questions about host names, each with the name of its row."""
    tens = draw.randrange(max(1, count // PER_HOST // 10))
    host, core = draw.randrange(count // PER_HOST), draw.randrange(PER_HOST)
    ten = b"web%04d" % tens
    yield "glob, 100 hits, literals inside", lambda c: c.match(glob(b"*." + ten + b"?.*.core1?.*"), 1000)
    yield "glob, 50 hits, literal beginning", lambda c: c.match(glob(b"host.web%05d.*" % host), 1000)
    yield "glob, page of 2,000 of all", lambda c: c.match(glob(b"*"), 2000)
    yield "children of a host", lambda c: c.children(b"host.web%05d.eu-west-%d.cpu" % (host, host % 7), 10_000)
    yield "children: 10,000 hosts", lambda c: c.children(b"host", 10_000)
    yield "substring, 50 hits", lambda c: c.search([b"web%05d" % host], 51)
    yield "two words, 1 hit", lambda c: c.search([b"web%05d" % host, b"core%02d" % core], 51)
    yield "substring of all names", lambda c: c.search([b"cpu"], 51)
    yield "regex, 100 hits", lambda c: c.match(regex(ten + rb"\d\..*\.core1\d\."), 1000)
    yield "regex without literals, 0 hits", lambda c: c.match(regex(b"[q-z]{4}|[0-9]{7}"), 1000)


def hex_questions(names: list[bytes], draw: random.Random) -> Iterator[tuple[str, Ask]]:
    """The questions about random names."""
    name = draw.choice(names)
    at = draw.randrange(20)
    yield "substring of 8, 1 hit", lambda c: c.search([name[at : at + 8]], 51)
    yield "substring of 4, some 600 hits", lambda c: c.search([name[at : at + 4]], 51)
    yield "glob, 1 hit", lambda c: c.match(glob(b"*" + name[at : at + 9] + b"*." + name[33:36] + b"?"), 1000)
    yield "children: 10,000 names", lambda c: c.children(b"", 10_000)


def ask(catalogue: Catalogue, questions: Callable[[], Iterator[tuple[str, Ask]]], count: int) -> dict[str, Any]:
    """p50, p99 [ms] and mean hits of each row, asked `count` times; the slow ones less often."""
    taken: dict[str, list[float]] = {}
    cpu: dict[str, list[float]] = {}
    hits: dict[str, int] = {}
    for turn in range(count):
        for row, question in questions():
            if sum(taken.get(row, [])) > 10_000:  # [ms]
                continue
            begin, worked = time.perf_counter(), time.process_time()
            found = question(catalogue)
            taken.setdefault(row, []).append((time.perf_counter() - begin) * 1000)
            cpu.setdefault(row, []).append((time.process_time() - worked) * 1000)
            hits[row] = hits.get(row, 0) + len(found.items)
        if turn % 10 == 0:
            gevent.sleep(0)
    return {row: {"p50_ms": quantile(times, 0.5), "p99_ms": quantile(times, 0.99), "hits": hits[row] / len(times),
                  "cpu_p50_ms": quantile(cpu[row], 0.5), "cpu_p99_ms": quantile(cpu[row], 0.99)}
            for row, times in taken.items()}  # fmt: skip


def quantile(times: list[float], share: float) -> float:
    """The time that this share of them does not exceed."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]


def run(names: list[bytes], questions: Callable[[], Iterator[tuple[str, Ask]]], count: int) -> dict[str, Any]:
    """Learn the names, ask, and load them again."""
    engine = engine_kernel.Engine(INTERVALS, 7)
    catalogue = Catalogue(engine, 2 * len(names), SystemClock(), gevent.get_hub().threadpool, ThreadPool(1))
    before = time.process_time()
    for number, name in enumerate(names):
        catalogue.learn(name)
        if number % 5000 == 0:
            engine.take_journal()
            catalogue.keep_up()
            gevent.sleep(0)
    learnt = time.process_time() - before
    quiet = 0
    while quiet < 60 or catalogue.memory() < 11 * len(names):  # 6 s without a new segment
        held = catalogue.memory()
        catalogue.keep_up()
        gevent.sleep(0.1)
        quiet = quiet + 1 if catalogue.memory() == held else 0
    result: dict[str, Any] = {"learn_us": learnt / len(names) * 1e6}
    held = engine.memory() - sum(head.memory() for head in engine.heads) + catalogue.memory()
    result["bytes_a_name"] = held / len(names)
    result.update(load(engine))
    result["questions"] = ask(catalogue, questions, count)
    return result


def load(engine: Any) -> dict[str, float]:
    """Write all names to a names file as a cut does, and load it as a start does [s]."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "names").mkdir()
        namefiles.write(Path(folder), bytes(16), 1, (), engine.dump_names())
        again = engine_kernel.Engine(INTERVALS, 8)
        begin, worked = time.perf_counter(), time.process_time()
        records = namefiles.read(names_path(Path(folder), 1))
        read = time.perf_counter() - begin
        again.replay(records, True)
        done = time.perf_counter() - begin
        return {"read_s": read, "load_s": done, "load_cpu_s": time.process_time() - worked}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(3)
    results: dict[str, Any] = {}
    print(f"kernels: {IMPLEMENTATION}; {options.names} names", flush=True)
    results["hosts"] = run(host_names(options.names), lambda: host_questions(options.names, draw), options.questions)
    show("hosts", results["hosts"])
    names = hex_names(options.names)
    results["random"] = run(names, lambda: hex_questions(names, draw), options.questions)
    show("random", results["random"])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


def show(sort: str, result: dict[str, Any]) -> None:
    """Print one sort's table."""
    print(f"\n{sort}: learning {result['learn_us']:.1f} us of CPU a name, {result['bytes_a_name']:.0f} bytes a name, "
          f"loading {result['load_s']:.2f} s (reading {result['read_s']:.2f} s; CPU {result['load_cpu_s']:.2f} s)")
    print(f"{'question':36} {'hits':>7} {'p50 ms':>8} {'p99 ms':>8} {'CPU p50':>8} {'CPU p99':>8}")
    for row, found in result["questions"].items():
        print(f"{row:36} {found['hits']:7.0f} {found['p50_ms']:8.2f} {found['p99_ms']:8.2f} "
              f"{found['cpu_p50_ms']:8.2f} {found['cpu_p99_ms']:8.2f}", flush=True)


if __name__ == "__main__":
    main()
