"""Ingest side by side: CPU per sample, rate, loss, memory, disk of our server and VictoriaMetrics in turn.

    python -m bench.ingest [MODE ...] [--repeat N] [--json FILE]

Each run starts a server on an empty store. CPU is user and system time of the server process from the first
byte until it is quiet again (below 3 % of a core for 2 s).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import options
from bench.figures import Mode, Run, print_mode, save
from bench.load import send
from bench.load.work import STEP, Work, Writer, back_fill_times, datagrams
from bench.options import Size
from bench.servers.process import FAILURES, BenchError, fresh, udp_drops
from bench.servers.systems import System, systems

MB = 1e6  # [bytes]
UDP_TABLE = 50  # steps of distinct values, sent over and over: 15 million distinct ones would fill the memory

Table = list[list[bytes]]
Measure = Callable[[System], Run]


def table(series: int, steps: int, seed: int = 1) -> tuple[Work, Table]:
    work = Work(series, seed)
    return work, list(work.steps(steps))


def run_in_turn(
    mode: Mode, kinds: Sequence[type[System]], repeat: int, folder: Path, measure: Measure
) -> Mode:
    """`repeat` rounds; in every second one the order is turned round. Each run has a fresh store."""
    for turn in range(repeat):
        for kind in kinds if turn % 2 == 0 else reversed(kinds):
            system = kind(fresh(folder / "run"))
            try:
                system.start()
                mode.add(system.label, measure(system))
            finally:
                system.stop()
    print_mode(mode)
    return mode


def tcp_run(system: System, names: Sequence[bytes], values: Table, back_fill: bool) -> Run:
    """The first step makes the series known; the others, sent as fast as they are taken, are measured."""
    now = int(time.time())
    times = back_fill_times(len(values), now) if back_fill else [now - STEP] + [now] * (len(values) - 1)
    writer = Writer(names, system.form)
    chunks = [writer.chunk(at, row) for at, row in zip(times, values, strict=True)]
    samples = len(names) * (len(values) - 1)
    send.tcp(system.stat_port, chunks[:1])
    before = system.process.quiet()
    seconds = send.tcp(system.stat_port, chunks[1:])
    after = system.process.quiet()
    run: Run = {
        "cpu_us_per_sample": (after - before) / samples * 1e6,
        "samples_per_s": samples / seconds,
        "rss_mb": system.process.rss() / MB,
        "rss_peak_mb": system.process.rss_peak() / MB,
        "disk_bytes_per_sample": sum(system.disk().values()) / samples,
    }
    run["lost_percent"] = lost(samples + len(names), system.stored(names, times[0], times[-1]))
    with_queries = system.process.cpu()
    run["cpu_us_with_stop"] = (after - before + max(0.0, system.stop() - with_queries)) / samples * 1e6
    return run


def lost(sent: int, stored: int) -> float:
    """Percent of the samples sent that no query finds."""
    return (1 - stored / sent) * 100


def udp_run(system: System, names: Sequence[bytes], values: Table, size: Size) -> Run:
    steps = max(1, round(size.rate * size.seconds / len(names)))
    samples = steps * len(names)
    writer = Writer(names, system.form)
    first = int(time.time()) - STEP
    send.tcp(system.stat_port, [writer.chunk(first, values[0])])
    before = system.process.quiet()
    prepared = time.perf_counter()
    writer.chunk(first, values[0])
    write_and_cut = 2.5 * (time.perf_counter() - prepared)  # [s] for a step
    lead = size.lead + steps * write_and_cut
    begin = time.time() + lead
    pieces = datagrams(
        writer.chunk(int(begin + step * len(names) / size.rate), values[step % len(values)])
        for step in range(steps)
    )
    time.sleep(max(0.0, begin - time.time()))
    before = system.process.cpu()
    sent = send.udp(system.stat_port, pieces, samples, size.rate)
    after = system.process.quiet()
    dropped = udp_drops(system.stat_port)
    stored = system.stored(names, first, int(time.time()) + STEP)
    return {
        "lost_percent": lost(samples, stored - len(names)),
        "cpu_us_per_sample": (after - before) / samples * 1e6,
        "sent_per_s": sent.rate,
        "sender_late_ms": sent.late * 1e3,
        "kernel_drop_percent": dropped / len(pieces) * 100,
        "rss_mb": system.process.rss() / MB,
    }


def udp_mode(kinds: Sequence[type[System]], size: Size, repeat: int, at: Path) -> Mode:
    work, values = table(size.many, UDP_TABLE)
    text = (
        f"{size.rate:,.0f} samples/s of {size.many:,} series in 1,400-byte datagrams for {size.seconds:g} s"
    )
    return run_in_turn(
        Mode("udp", text), kinds, repeat, at, lambda system: udp_run(system, work.names, values, size)
    )


def new_run(system: System, names: Sequence[bytes], values: Table) -> Run:
    now = int(time.time())
    writer = Writer(names, system.form)
    chunks = [writer.chunk(now - STEP + step * STEP, row) for step, row in enumerate(values)]
    cpu = [system.process.quiet()]
    for chunk in chunks:
        send.tcp(system.stat_port, [chunk])
        cpu.append(system.process.quiet())
    first, second = cpu[1] - cpu[0], cpu[2] - cpu[1]
    return {
        "cpu_us_per_new_counter": (first - second) / len(names) * 1e6,
        "first_pass_us": first / len(names) * 1e6,
        "second_pass_us": second / len(names) * 1e6,
        "rss_mb": system.process.rss() / MB,
        "lost_percent": lost(2 * len(names), system.stored(names, now - STEP, now)),
    }


def new_mode(kinds: Sequence[type[System]], size: Size, repeat: int, at: Path) -> Mode:
    work, values = table(size.many, 2)
    mode = Mode("new-counters", f"{size.many:,} names never seen before, then the same again")
    return run_in_turn(mode, kinds, repeat, at, lambda system: new_run(system, work.names, values))


def disk_run(system: System, names: Sequence[bytes], values: Table) -> Run:
    times = back_fill_times(len(values), time.time())
    writer = Writer(names, system.form)
    send.tcp(system.stat_port, (writer.chunk(at, row) for at, row in zip(times, values, strict=True)))
    system.process.quiet()
    system.compact()
    samples = len(names) * len(values)
    disk = system.disk()
    run: Run = {
        "bytes_per_sample": disk["data"] / samples,
        "with_names": (disk["data"] + disk["names"]) / samples,
        "with_all": sum(disk[key] for key in ("data", "names", "journal", "rest")) / samples,
        "lost_percent": lost(samples, system.stored(names, times[0], times[-1])),
    }
    run["finest_level_only"] = disk.get("finest", disk["data"]) / samples  # the peer has one level
    return run


def disk_mode(kinds: Sequence[type[System]], size: Size, repeat: int, at: Path) -> Mode:
    work, values = table(size.disk_series, size.disk_steps)
    hours = size.disk_steps * STEP / 3600
    mode = Mode("disk", f"{size.disk_series:,} series x {hours:g} h of {STEP} s, flushed and compacted")
    return run_in_turn(mode, kinds, repeat, at, lambda system: disk_run(system, work.names, values))


def _tcp(name: str, many: bool, back_fill: bool) -> Callable[[Sequence[type[System]], Size, int, Path], Mode]:
    def run(kinds: Sequence[type[System]], size: Size, repeat: int, at: Path) -> Mode:
        series = size.many if many else size.few
        steps = max(2, size.samples // series)
        work, values = table(series, steps + 1)
        text = f"{series:,} series x {steps:,} samples, " + (
            "ordered past times" if back_fill else "times are now"
        )
        mode = Mode(name, text)
        return run_in_turn(
            mode, kinds, repeat, at, lambda system: tcp_run(system, work.names, values, back_fill)
        )

    return run


MODES: dict[str, Callable[[Sequence[type[System]], Size, int, Path], Mode]] = {
    "tcp-live-few": _tcp("tcp-live-few", False, False),
    "tcp-live-many": _tcp("tcp-live-many", True, False),
    "tcp-backfill-few": _tcp("tcp-backfill-few", False, True),
    "tcp-backfill-many": _tcp("tcp-backfill-many", True, True),
    "new-counters": new_mode,
    "udp": udp_mode,
    "disk": disk_mode,
}


def measure(
    modes: Sequence[str], kinds: Sequence[type[System]], size: Size, repeat: int, folder: Path
) -> list[Mode]:
    """Runs the named modes; one that cannot be measured is reported on standard output and left out."""
    done: list[Mode] = []
    for name in modes:
        try:
            done.append(MODES[name](kinds, size, repeat, folder))
        except FAILURES as error:
            print(f"\n{name}: not measured: {error!r}", flush=True)
    return done


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("modes", nargs="*", metavar="MODE", help=f"of {', '.join(MODES)} (default: all)")
    parser.add_argument("--rate", type=float, help="samples per second over UDP (default 500000)")
    chosen = parser.parse_args()
    unknown = set(chosen.modes) - set(MODES)
    if unknown:
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")
    size = options.size(chosen)
    if chosen.rate:
        size = Size(**{**size.__dict__, "rate": chosen.rate})
    with options.folder(chosen) as folder:
        try:
            kinds = systems(chosen.peer, chosen.ours)
            done = measure(chosen.modes or list(MODES), kinds, size, chosen.repeat, folder)
        except BenchError as error:
            raise SystemExit(f"bench: {error}") from error
    if chosen.json:
        save(chosen.json, done)


if __name__ == "__main__":
    main()
