"""Queries side by side: latency over HTTP, restart to first answer, and stalls while it answers.

    python -m bench.query [--repeat N] [--json FILE]

Both systems hold the same samples (100,000 series x 1 h and 2,000 series x 6 h, flushed and compacted), both
run, and they are asked in turn on one kept connection each. No system has exactly our answer, so each of its
forms is measured; `README.md` says which one is compared.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import options
from bench.figures import Mode, percentile, print_mode, save
from bench.load import send, wire
from bench.load.work import METRICS, STEP, Work, Writer
from bench.options import Size
from bench.servers.process import FAILURES, BenchError, fresh
from bench.servers.systems import System, Victoria, systems

VARIETY = 50  # different series or groups that one question goes round
GROUP = 100  # series or names in one answer
PING_PAUSE = 0.002  # [s] between two looks at whether the server answers at once
STALL_SECONDS = 5.0


@dataclass(frozen=True)
class Asked:
    """The times and names that the questions are made of."""

    end: int  # the stores' newest sample is at end - STEP
    long_names: list[str]  # series of 6 h
    groups: list[list[str]]  # series of 1 h, up to 100 each
    patterns: list[tuple[str, str]]  # glob and regular expression of a group
    long_steps: int
    hour_steps: int

    @property
    def long_start(self) -> int:
        return self.end - self.long_steps * STEP

    @property
    def hour_start(self) -> int:
        return self.end - self.hour_steps * STEP


Forms = dict[str, list[bytes]]  # form of the question (none for our own) -> requests to go round


def asked(size: Size, end: int) -> Asked:
    hosts = size.many // len(METRICS)
    metric = METRICS[0]
    groups, patterns = [], []
    for group in range(max(1, min(VARIETY, hosts // GROUP))):
        members = range(group * GROUP, min(hosts, (group + 1) * GROUP))
        groups.append([f"host.web{host:04d}.{metric}" for host in members])
        escaped = metric.replace(".", "\\.")
        patterns.append((f"host.web{group:02d}*.{metric}", f"host\\.web{group:02d}.*\\.{escaped}"))
    names = [name.decode() for name in Work(size.disk_series, 2, "app").names]
    step = max(1, len(names) // VARIETY)
    return Asked(end, names[::step][:VARIETY], groups, patterns, size.disk_steps, size.hour_steps)


def our_questions(to: Asked) -> dict[str, Forms]:
    def series(names: Sequence[str], start: int, points: int) -> bytes:
        if len(names) == 1:
            times: dict[str, object] = {"from": start, "to": to.end, "points": points, "columns": "avg"}
            return wire.get("/api/v1/series", name=names[0], **times)
        return wire.post(
            "/api/v1/series",
            {"names": names, "from": start, "to": to.end, "points": points, "columns": ["avg"]},
        )

    return {
        "one-6h": {"": [series([name], to.long_start, to.long_steps) for name in to.long_names]},
        "one-6h-300": {"": [series([name], to.long_start, 300) for name in to.long_names]},
        "hundred-1h": {"": [series(group, to.hour_start, to.hour_steps) for group in to.groups]},
        "names-100": {"": [wire.get("/api/v1/names", match=glob, limit=1000) for glob, _ in to.patterns]},
    }


def victoria_questions(to: Asked) -> dict[str, Forms]:
    """`export` gives raw samples as columns; `range` evaluates a grid, `cached` the same with its cache."""

    def ranged(queries: Iterable[str], start: int, step: int, **more: object) -> list[bytes]:
        end = to.end - STEP
        path = "/api/v1/query_range"
        return [wire.get(path, query=query, start=start, end=end, step=step, **more) for query in queries]

    def exported(selectors: Iterable[str], start: int) -> list[bytes]:
        times = {"start": start, "end": to.end - STEP}
        return [wire.get("/api/v1/export", **{"match[]": selector}, **times) for selector in selectors]

    ones = [f'{{__name__="{name}"}}' for name in to.long_names]
    groups = ['{__name__=~"' + "|".join(group).replace(".", "\\\\.") + '"}' for group in to.groups]
    wide = max(STEP, to.long_steps * STEP // 300)
    averages = [f"avg_over_time({one}[{wide}s])" for one in ones]
    matches = ['{__name__=~"' + regular.replace("\\", "\\\\") + '"}' for _, regular in to.patterns]
    listed = {"start": to.hour_start, "end": to.end}
    return {
        "one-6h": {
            "export": exported(ones, to.long_start),
            "range": ranged(ones, to.long_start, STEP, nocache=1),
            "cached": ranged(ones, to.long_start, STEP),
        },
        "one-6h-300": {
            "range": ranged(averages, to.long_start + wide, wide, nocache=1),
            "cached": ranged(averages, to.long_start + wide, wide),
        },
        "hundred-1h": {
            "export": exported(groups, to.hour_start),
            "range": ranged(groups, to.hour_start, STEP, nocache=1),
            "cached": ranged(groups, to.hour_start, STEP),
        },
        "names-100": {
            "expand": [wire.get("/metrics/expand", query=glob) for glob, _ in to.patterns],
            "series": [wire.get("/api/v1/series", **{"match[]": match}, **listed) for match in matches],
        },
    }


def questions(system: System, to: Asked) -> dict[str, Forms]:
    return victoria_questions(to) if isinstance(system, Victoria) else our_questions(to)


def fill(system: System, size: Size, end: int) -> None:
    """Back-fills the two sets of series and brings the store to rest."""
    started = time.monotonic()
    for series, steps, seed, group in (
        (size.many, size.hour_steps, 1, "web"),
        (size.disk_series, size.disk_steps, 2, "app"),
    ):
        work = Work(series, seed, group)
        writer = Writer(work.names, system.form)
        times = range(end - steps * STEP, end, STEP)
        send.tcp(
            system.stat_port,
            (writer.chunk(at, row) for at, row in zip(times, work.steps(steps), strict=True)),
        )
    system.process.quiet()
    system.compact()
    print(f"{system.label}: filled and compacted in {time.monotonic() - started:.0f} s", flush=True)


def numbers(body: bytes) -> int:
    """How many values or names an answer holds, so that a reader sees whether two answers are alike."""
    total = 0
    for line in body.splitlines():
        document = json.loads(line)
        if isinstance(document, list):  # Graphite's expand
            total += len(document)
        elif "names" in document:
            total += len(document["names"])
        elif "series" in document:
            total += sum(value is not None for series in document["series"] for value in series["avg"])
        elif "values" in document:  # export: an object a line
            total += len(document["values"])
        else:
            found = document["data"]
            results = found["result"] if isinstance(found, dict) else found
            total += sum(len(item["values"]) if "values" in item else 1 for item in results)
    return total


def ask(client: wire.Client, request: bytes) -> tuple[float, bytes]:
    """One question: seconds until the whole answer is there."""
    start = time.perf_counter()
    status, body = client.fetch(request)
    seconds = time.perf_counter() - start
    if status != 200:
        raise BenchError(f"{status} to {request[:200]!r}: {body[:300]!r}")
    return seconds, body


def latency_mode(name: str, running: Sequence[System], to: Asked, size: Size, repeat: int) -> Mode:
    """Asks one kind of question of all systems and forms in turn."""
    forms: list[tuple[str, wire.Client, list[bytes]]] = []
    for system in running:
        for form, requests in questions(system, to)[name].items():
            label = f"{system.label} {form}".strip()
            forms.append((label, system.client(), requests))
    mode = Mode(f"query-{name}", f"{size.questions} questions a round, {len(running)} systems in turn")
    held: dict[str, int] = {}
    for label, client, requests in forms:  # one round unmeasured: files read once, caches as they are in use
        for request in requests:
            held[label] = numbers(ask(client, request)[1])
    for _ in range(repeat):
        times: dict[str, list[float]] = {label: [] for label, _, _ in forms}
        for turn in range(size.questions):
            for label, client, requests in forms:
                times[label].append(ask(client, requests[turn % len(requests)])[0])
        for label, taken in times.items():
            milliseconds = [1e3 * seconds for seconds in taken]
            mode.add(
                label,
                {
                    "p50_ms": percentile(milliseconds, 0.5),
                    "p99_ms": percentile(milliseconds, 0.99),
                    "values": held[label],
                },
            )
    for _, client, _ in forms:
        client.close()
    print_mode(mode)
    return mode


def restart_mode(running: Sequence[System], to: Asked, size: Size) -> Mode:
    """Clean stop, start, and the time from the start of the process to the first whole answer."""
    mode = Mode("restart", f"{size.many + size.disk_series:,} stored counters, files in the page cache")
    for _ in range(size.restarts):
        for system in running:
            system.stop()
            start = time.perf_counter()
            system.start()
            client = system.client()
            request = next(iter(questions(system, to)["one-6h"].values()))[0]
            _, body = ask(client, request)
            mode.add(system.label, {"first_answer_s": time.perf_counter() - start, "values": numbers(body)})
            client.close()
    print_mode(mode)
    return mode


def _asking(port: int, requests: list[bytes], seconds: float) -> None:
    client = wire.Client(port)
    end = time.monotonic() + seconds
    while True:
        for request in requests:
            client.fetch(request)
            if time.monotonic() > end:
                client.close()
                return


def longest_gap(port: int, going: Callable[[], bool]) -> Iterator[float]:
    """Seconds of each answer to a question that costs nothing, one after the other while `going`."""
    client = wire.Client(port)
    request = wire.get("/health")
    while going():
        yield ask(client, request)[0]
        time.sleep(PING_PAUSE)
    client.close()


def stall_mode(running: Sequence[System], to: Asked, seconds: float) -> Mode:
    """How long a trivial question waits, idle and while another client asks without pause."""
    text = f"`/health` every {PING_PAUSE * 1e3:g} ms while another connection asks without pause"
    mode = Mode("stall", text)
    for system in running:
        end = time.monotonic() + seconds / 2
        idle = max(longest_gap(system.http_port, lambda end=end: time.monotonic() < end))  # type: ignore[misc]
        run = {"idle_longest_ms": idle * 1e3}
        for name, forms in questions(system, to).items():
            requests = next(iter(forms.values()))
            other = multiprocessing.Process(target=_asking, args=(system.http_port, requests, seconds))
            other.start()
            gaps = list(longest_gap(system.http_port, other.is_alive))
            other.join()
            run[f"{name}_longest_ms"] = max(gaps, default=0.0) * 1e3
            run[f"{name}_p99_ms"] = percentile(gaps or [0.0], 0.99) * 1e3
        mode.add(system.label, run)
    print_mode(mode)
    return mode


def measure(kinds: Sequence[type[System]], size: Size, repeat: int, folder: Path) -> list[Mode]:
    """Fills a store of each system, then asks; what fails is reported and left out."""
    end = int(time.time()) // STEP * STEP
    to = asked(size, end)
    running = [kind(fresh(folder / kind.label)) for kind in kinds]
    done: list[Mode] = []
    steps: list[tuple[str, Callable[[], Mode]]] = [
        (name, lambda name=name: latency_mode(name, running, to, size, repeat))  # type: ignore[misc]
        for name in our_questions(to)
    ]
    steps.append(("stall", lambda: stall_mode(running, to, STALL_SECONDS if size.questions > 10 else 0.2)))
    steps.append(("restart", lambda: restart_mode(running, to, size)))
    try:
        for system in list(running):
            try:
                system.start()
                fill(system, size, end)
            except FAILURES as error:
                print(f"{system.label}: left out: {error!r}", flush=True)
                system.stop()
                running.remove(system)
        for name, step in steps if running else []:
            try:
                done.append(step())
            except FAILURES as error:
                print(f"\n{name}: not measured: {error!r}", flush=True)
    finally:
        for system in running:
            system.stop()
    return done


def main() -> None:
    chosen = options.parser(__doc__).parse_args()
    size = options.size(chosen)
    with options.folder(chosen) as folder:
        try:
            done = measure(systems(chosen.peer, chosen.ours), size, chosen.repeat, folder)
        except BenchError as error:
            raise SystemExit(f"bench: {error}") from error
    if chosen.json:
        save(chosen.json, done)


if __name__ == "__main__":
    main()
