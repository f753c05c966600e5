"""A server under attack, and what those beside it notice: bounded, on loopback only.

    python -m bench.attack [NAME ...] [--root DIR] [--json FILE]
    python -m bench.attack --from BEFORE.json --from AFTER.json        prints what was measured before

The server has one core, everybody else another. Beside each attack stand a sender of 50,000 samples/s in datagrams of
1,400 bytes, one by TCP, and a client that asks /health every 50 ms (bench/attacks/beside.py); the same is measured for
some seconds without the attack first, in the same server. What each attack does: bench/attacks/table.py; what is
wanted: bench/attacks/goals.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import options
from bench.attacks import beside
from bench.attacks.goals import LABEL, missed, table
from bench.attacks.server import Attacked, cores, put_first
from bench.attacks.table import ATTACKS, Attack
from bench.figures import Mode, Run, load, percentile, print_mode, save
from bench.load.work import Work
from bench.servers.process import FAILURES, BenchError, fresh, udp_drops

ROOT = Path(__file__).parents[1]
WARM, CALM, CALM_FULL = 1.0, 4.0, 2.0  # [s] before the attack: to come into swing; measured; TCP at full speed
FULL = 3.0  # [s] of TCP at full speed during the attack, after what is measured otherwise
MOST_RSS = 6_000_000_000  # [bytes] a server that takes more is ended: this machine has other things to do
PREPARE_SECONDS = 180.0
POLL = 0.1  # [s]
LAST = 60.0  # [s] to be answered again afterwards
SETTLE = 5.0  # [s] that the last datagrams may take to be counted
MB = 1e6  # [bytes]


@dataclass
class Seen:
    """What each bystander tells at the end."""

    datagrams: beside.Datagrams
    streams: beside.Streams
    asked: beside.Asked


class Bystanders:
    """Those beside an attack, from the beginning to `end`."""

    def __init__(self, system: Attacked) -> None:
        context = multiprocessing.get_context("spawn")
        self._over = context.Event()
        self.rate = context.Value("d", float(beside.TCP_RATE))
        self._jobs = []
        for act, arguments in ((beside.send_datagrams, (system.stat_port, self._over)),
                               (beside.send_stream, (system.stat_port, self._over, self.rate)),
                               (beside.ask_health, (system.http_port, system.tls, self._over))):
            ours, theirs = context.Pipe()
            process: Any = context.Process(target=act, args=(*arguments, theirs), daemon=True)
            process.start()
            theirs.close()
            self._jobs.append((process, ours))
        self._hear()  # that they are there

    def end(self) -> Seen:
        """Stop them, and hear what they did. EOFError where one has died."""
        self._over.set()
        return Seen(*self._hear())

    def _hear(self) -> list[Any]:
        told = []
        for _, pipe in self._jobs:
            if not pipe.poll(30.0):
                raise BenchError("a bystander tells nothing")
            told.append(pipe.recv())
        return told

    def kill(self) -> None:
        """Whatever happened."""
        for process, _ in self._jobs:
            process.kill()
            process.join()


def attackers(name: str, system: Attacked, seconds: float, *more: str) -> subprocess.Popen[bytes]:
    """The attack as a process, behind everybody else on its core: what bystanders wait for is the server."""
    command = ["nice", "-n", "19", sys.executable, "-m", "bench.attacks", name, "--stat-port", str(system.stat_port),
               "--http-port", str(system.http_port), "--seconds", str(seconds), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)


@contextmanager
def attacking(name: str, system: Attacked, seconds: float, seen: Run) -> Iterator[None]:
    """While inside it is attacked; afterwards `seen` has what the attackers saw."""
    process = attackers(name, system, seconds)
    try:
        yield
        said, _ = process.communicate(timeout=30)
        last = json.loads(said.splitlines()[-1])
        seen.update({f"attackers {key}": count for key, count in last.get("seen", {}).items()})
    finally:
        process.kill()
        process.wait()


def wait(system: Attacked, seconds: float) -> tuple[float, float]:
    """Let the time pass, and watch what the server takes; from when to when that was."""
    begin = time.monotonic()
    while (left := begin + seconds - time.monotonic()) > 0:
        time.sleep(min(POLL, left))
        if not system.process.alive():
            raise BenchError(f"the server has ended; its log ends: {system.process.tail()}")
        if system.process.rss() > MOST_RSS:
            raise BenchError(f"the server took more than {MOST_RSS / MB:,.0f} MB")
    return begin, time.monotonic()


@dataclass(frozen=True)
class Plan:
    """How it is measured: which build, for how long [s], how often, where; `first`: before all else on the machine."""

    root: Path
    seconds: float
    repeat: int
    first: bool


def measure(name: str, plan: Plan, folder: Path, core: int) -> Run:
    """One attack on a fresh server."""
    attack = ATTACKS[name]
    system = Attacked(fresh(folder / "run"), plan.root, attack, core)
    try:
        system.start()
        if plan.first:
            put_first(system.process.pid)
        if attack.before is not None:
            attackers(name, system, plan.seconds, "--prepare").communicate(timeout=PREPARE_SECONDS)
        return beside_attack(name, attack, system, plan.seconds)
    finally:
        system.end()


def beside_attack(name: str, attack: Attack, system: Attacked, seconds: float) -> Run:
    """The calm, the attack, and what is left."""
    begun, figures = int(time.time()), Run()
    bystanders = Bystanders(system)
    try:
        wait(system, WARM)
        calm = wait(system, CALM)
        bystanders.rate.value = 0
        calm_full = wait(system, CALM_FULL)
        bystanders.rate.value = beside.TCP_RATE
        wait(system, WARM)
        before, lines = system.forget_peak(), system.log_lines()
        with attacking(name, system, seconds + FULL, figures):
            hot = wait(system, seconds)
            bystanders.rate.value = 0
            hot_full = wait(system, FULL)
        figures["rss_growth_mb"] = (system.process.rss_peak() - before) / MB
        figures["log_lines"] = system.log_lines() - lines
        seen = bystanders.end()
    finally:
        bystanders.kill()
    figures |= health(seen.asked, calm, hot) | {
        "hub_late_ms": 1000 * system.signs.longest(*hot), "calm_hub_late_ms": 1000 * system.signs.longest(*calm),
        "udp_sent": seen.datagrams.sent, "udp_late_ms": 1000 * seen.datagrams.late,
        "tcp_rate": seen.streams.rate(*hot), "tcp_kept": kept(seen.streams, hot, calm),
        "tcp_full_rate": seen.streams.rate(*hot_full), "tcp_full_kept": kept(seen.streams, hot_full, calm_full),
        "tcp_failed": seen.streams.failed}
    figures |= lost(system, seen.datagrams, begun)
    if attack.look is not None:
        figures |= attack.look(system.client())
    return figures


def health(asked: beside.Asked, calm: tuple[float, float], hot: tuple[float, float]) -> Run:
    """Waits for /health [ms]; a question without an answer counts as long as it was waited for."""
    figures = Run()
    for word, span in (("calm", calm), ("health", hot)):
        found = asked.within(*span)
        waits = [1000 * wait for wait, _ in found]
        figures |= {f"{word}_median_ms": statistics.median(waits), f"{word}_p99_ms": percentile(waits, 0.99),
                    f"{word}_longest_ms": max(waits),
                    f"{word}_unanswered": sum(1 for _, good in found if not good)}
    return figures


def kept(streams: beside.Streams, hot: tuple[float, float], calm: tuple[float, float]) -> float:
    """The share of its rate that a sender keeps."""
    usual = streams.rate(*calm)
    return streams.rate(*hot) / usual if usual else 0.0


def lost(system: Attacked, sent: beside.Datagrams, begun: int) -> Run:
    """Samples in datagrams that the server has not; where it does not even answer, those the kernel threw away."""
    found = arrived(system, sent.sent, begun)
    if found >= 0:
        return {"udp_lost": sent.sent - found}
    return {"udp_lost": udp_drops(system.stat_port) * sent.each, "silent_afterwards": 1}


def arrived(system: Attacked, sent: int, begun: int) -> int:
    """How many of the samples in datagrams the server has; asked until it answers and has all, or no more come. -1 when
    it does not answer."""
    names = Work(beside.SERIES, group="udp").names
    end, settled, found = time.monotonic() + LAST, 0.0, -1
    while time.monotonic() < end:
        try:
            now = system.stored(names, begun, int(time.time()))
        except (BenchError, OSError, ValueError):
            time.sleep(0.5)
            continue
        if now != found:
            found, settled = now, time.monotonic() + SETTLE
        if now >= sent or time.monotonic() > settled:
            break
        time.sleep(0.5)
    return found


def run_all(names: Sequence[str], plan: Plan, folder: Path) -> list[Mode]:
    """Each attack in turn; one that cannot be measured says so, and what was seen of it is left out."""
    others, core = cores()
    os.sched_setaffinity(0, {others})
    if plan.first:
        put_first(os.getpid())
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    modes = []
    for name in names:
        mode = Mode(name, ATTACKS[name].about)
        for _ in range(plan.repeat):
            try:
                mode.add(LABEL, measure(name, plan, folder, core))
            except (*FAILURES, EOFError, subprocess.SubprocessError) as error:
                print(f"\n{name}: not measured: {error!r}", flush=True)
                mode.add(LABEL, {"failed": 1})
        print_mode(mode)
        for run in mode.runs.get(LABEL, []):
            print(f"  missed: {'; '.join(missed(run)) or 'nothing'}", flush=True)
        modes.append(mode)
    return modes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ATTACKS)} (default: all)")
    parser.add_argument("--root", type=Path, default=ROOT, help="the build: a folder with sources, kernels built")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each attack (default 8)")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--first", action="store_true", help="before all else on a machine that is not idle; as root")
    parser.add_argument("--json", type=Path, help="also write all runs to this file")
    parser.add_argument("--folder", type=Path, help="where stores are made (default: a temporary folder)")
    parser.add_argument("--from", dest="saved", type=Path, action="append", help="print saved runs; may be repeated")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(ATTACKS)
    if unknown:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}")
    if chosen.saved:
        print(table([(path.stem, load(path)[2]) for path in chosen.saved]))
        return
    with options.folder(chosen) as folder:
        try:
            plan = Plan(chosen.root.resolve(), chosen.seconds, chosen.repeat, chosen.first)
            done = run_all(chosen.names or list(ATTACKS), plan, folder)
        except BenchError as error:
            raise SystemExit(f"bench: {error}") from error
    print(f"\n{table([('', done)])}")
    if chosen.json:
        save(chosen.json, done)


if __name__ == "__main__":
    main()
