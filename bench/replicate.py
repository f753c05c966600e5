"""Forwarding and replicas: what they cost on top of taking samples in, and how far behind they are.

    python -m bench.replicate [ROW ...] [--repeat N] [--samples N] [--quick] [--json FILE]

`forward`: samples over TCP to a server that forwards to another, with its spool, and to one that does not; the
difference in CPU is what forwarding costs, beside carbon-c-relay on the same samples in Graphite's format. Then the
same lines as acknowledged batches to a server that does not forward, beside the lines. `replica`: a master with a
replica and without, at an even rate over UDP. `copy`: the base copy of a store, beside plain reading and writing of as
many bytes. One machine has it all.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from bench import options
from bench.figures import Mode, Run, print_mode, save, short
from bench.ingest import Table, lost, table
from bench.load import send
from bench.load.work import STEP, Form, Writer
from bench.replicas import COPY_GOAL, LAG_GOAL, MASTER_GOAL, copy, replica
from bench.servers.process import FAILURES, BenchError, Process, free_port, fresh
from bench.servers.systems import Istatd
from istat.wire.batches import MOST_TEXT, Lines, encode

RELAY = "carbon-c-relay"
RELAY_QUEUE = 20_000_000    # lines: none is dropped, as the spool drops none
READ = 1 << 20              # [bytes] at once, of what the relay sends on
PATIENCE = 120.0            # [s] until all has arrived
# The goals: us a sample, ours by carbon-c-relay's, batches by lines.
FORWARD_GOAL, RELAY_GOAL, BATCHES_GOAL = 0.3, 0.5, 1.2


class Sink:
    """Takes what the relay sends on, and counts its lines; in a thread of ours, so that it costs the relay nothing."""

    def __init__(self) -> None:
        self.lines = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._read, args=(connection,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(READ):
                self.lines += data.count(b"\n")

    def wait(self, lines: int) -> None:
        """Until so many lines have come; BenchError when they do not."""
        end = time.monotonic() + PATIENCE
        while self.lines < lines:
            if time.monotonic() > end:
                raise BenchError(f"{RELAY} has sent {self.lines:,} lines of {lines:,}")
            time.sleep(0.01)

    def close(self) -> None:
        self._listener.close()


def chunks_of(names: Sequence[bytes], values: Table, form: Form) -> list[bytes]:
    """A step before now, which makes the series known, and the others now."""
    now = int(time.time())
    writer = Writer(names, form)
    return [writer.chunk(now - STEP if not step else now, row) for step, row in enumerate(values)]


def plain_run(folder: Path, names: Sequence[bytes], values: Table) -> Run:
    """Lines to a server that does not forward."""
    server = Istatd(folder)
    server.start()
    try:
        chunks = chunks_of(names, values, server.form)
        send.tcp(server.stat_port, chunks[:1])
        before = server.process.quiet()
        send.tcp(server.stat_port, chunks[1:])
        return {"cpu_us_per_sample": (server.process.quiet() - before) / samples_of(values) * 1e6}
    finally:
        server.stop()


def batches_run(folder: Path, names: Sequence[bytes], values: Table) -> Run:
    """The same lines as acknowledged batches, made before and sent as plain lines are."""
    server = Istatd(folder)
    server.start()
    try:
        chunks = chunks_of(names, values, server.form)
        first = frames_of(chunks[:1], 0)
        others = frames_of(chunks[1:], len(first))
        send.batches(server.stat_port, first)
        before = server.process.quiet()
        send.batches(server.stat_port, others)
        return {"cpu_us_per_sample": (server.process.quiet() - before) / samples_of(values) * 1e6}
    finally:
        server.stop()


def frames_of(chunks: Sequence[bytes], last: int) -> list[bytes]:
    """Lines as batches, as long as they may be; `last`: the sequence before them."""
    frames: list[bytes] = []
    now = int(time.time())
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            end = chunk.rfind(b"\n", at, at + MOST_TEXT) + 1
            text, at = chunk[at:end], end
            frames.append(encode(Lines(last + len(frames) + 1, now, 0, text.count(b"\n"), text)))
    return frames


def samples_of(values: Table) -> int:
    """How many samples are measured: all but the first step."""
    return sum(map(len, values[1:]))


def forward_run(folder: Path, names: Sequence[bytes], values: Table) -> tuple[Run, Run]:
    """Lines to a server that forwards to another: what both spend."""
    receiver, server = Istatd(folder / "receiver"), Istatd(folder / "server")
    try:
        receiver.start()
        server.extra = ("--forward", f"127.0.0.1:{receiver.stat_port}", "--spool", str(folder / "spool"))
        server.start()
        chunks = chunks_of(names, values, server.form)
        send.tcp(server.stat_port, chunks[:1])
        before = server.process.quiet(), receiver.process.quiet()
        begin = time.monotonic()
        send.tcp(server.stat_port, chunks[1:])
        after = server.process.quiet(), receiver.process.quiet()
        samples = samples_of(values)
        now = int(time.time())
        stored = receiver.stored(names, now - 3600, now + STEP)
        shared = {"lost_percent": lost(samples + len(names), stored)}
        sent, taken = ((after[at] - before[at]) / samples * 1e6 for at in (0, 1))
        return ({"cpu_us_per_sample": sent, "seconds": time.monotonic() - begin, **shared,
                 "rss_peak_mb": server.process.rss_peak() / 1e6}, {"cpu_us_per_sample": taken})
    finally:
        server.stop()
        receiver.stop()


def relay_run(folder: Path, names: Sequence[bytes], values: Table) -> Run:
    """Graphite's lines to carbon-c-relay, which sends them on to a sink."""
    if shutil.which(RELAY) is None:
        raise BenchError(f"{RELAY} is not installed: apt-get install {RELAY}")
    sink, port = Sink(), free_port()
    configuration = folder / "relay.conf"
    configuration.write_text(f"listen type linemode {port} proto tcp;\n"
                             f"cluster out forward 127.0.0.1:{sink.port} proto tcp;\n"
                             f"match * send to out stop;\n")
    process = Process([RELAY, "-s", "-f", str(configuration), "-q", str(RELAY_QUEUE)], folder / "relay.log")
    try:
        process.wait_for(lambda: answers(port), f"{RELAY} ready")
        chunks = chunks_of(names, values, Form.GRAPHITE)
        send.tcp(port, chunks[:1])
        sink.wait(len(names))
        before = process.quiet()
        send.tcp(port, chunks[1:])
        sink.wait(len(names) + samples_of(values))
        return {"cpu_us_per_sample": (process.quiet() - before) / samples_of(values) * 1e6,
                "rss_peak_mb": process.rss_peak() / 1e6}
    finally:
        process.stop()
        sink.close()


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def one_round(folder: Path, names: Sequence[bytes], values: Table, relay: bool, turned: bool) -> dict[str, Run]:
    """One run of each, the last one first where it is `turned`: what the server without forwarding spent on lines and
    on batches, the one that forwards and the one that it forwards to, and the relay."""
    runs: dict[str, Run] = {}
    kinds = ["plain", "batches", "forward", *(["relay"] if relay else [])]
    for kind in reversed(kinds) if turned else kinds:
        if kind == "plain":
            runs["plain"] = plain_run(fresh(folder), names, values)
        elif kind == "batches":
            runs["batches"] = batches_run(fresh(folder), names, values)
        elif kind == "relay":
            runs["relay"] = relay_run(fresh(folder), names, values)
        else:
            runs["server"], runs["receiver"] = forward_run(fresh(folder), names, values)
    return runs


def forward(chosen: argparse.Namespace, folder: Path) -> list[Mode]:
    """Both rows of forwarding: each round has a run of each, in turn."""
    series = options.QUICK.many if chosen.quick else options.FULL.many
    work, values = table(series, max(2, chosen.samples // series) + 1)
    text = f"{series:,} series x {len(values) - 1:,} samples over TCP, times are now"
    forwarding = Mode("forward", text + "; on top of taking them in")
    receiving = Mode("receive", text + "; batches, lines, and batches of a forwarder beside it")
    for turn in range(chosen.repeat):
        runs = one_round(folder / "run", work.names, values, chosen.peer != "none", turn % 2 == 1)
        on_top = runs["server"]["cpu_us_per_sample"] - runs["plain"]["cpu_us_per_sample"]
        forwarding.add("istatd", {**runs["server"], "cpu_us_per_sample": on_top})
        if "relay" in runs:
            forwarding.add(RELAY, runs["relay"])
        receiving.add("batches", runs["batches"])
        receiving.add("lines", runs["plain"])
        receiving.add("of a forwarder", runs["receiver"])
    print_mode(forwarding)
    print_mode(receiving)
    return [forwarding, receiving]


def judged(modes: Sequence[Mode]) -> list[tuple[str, float, float, bool]]:
    """(what, its median, its goal, whether it is reached) of what was measured."""
    found = {mode.name: mode for mode in modes}
    rows: list[tuple[str, float | None, float]] = []
    if "forward" in found:
        ratios = found["forward"].ratios("istatd", RELAY, "cpu_us_per_sample")
        rows += [("forwarding: us a sample", found["forward"].median("istatd", "cpu_us_per_sample"), FORWARD_GOAL),
                 (f"forwarding by {RELAY}", median(ratios) if ratios else None, RELAY_GOAL)]
    if "receive" in found:
        ratios = found["receive"].ratios("batches", "lines", "cpu_us_per_sample")
        rows.append(("batches by lines", median(ratios) if ratios else None, BATCHES_GOAL))
    if "replica" in found:
        rows += [("lag [s]", found["replica"].median("istatd", "lag_s"), LAG_GOAL),
                 ("master: us a sample", found["replica"].median("istatd", "cpu_us_per_sample"), MASTER_GOAL)]
    told = [(what, value, goal, value <= goal) for what, value, goal in rows if value is not None]
    speed = found["copy"].median("istatd", "bytes_per_s") if "copy" in found else None
    return told + ([("base copy: bytes/s", speed, COPY_GOAL, speed >= COPY_GOAL)] if speed is not None else [])


ROWS: dict[str, Callable[[argparse.Namespace, Path], list[Mode]]] = {
    "forward": forward,
    "replica": replica,
    "copy": copy,
}


def main() -> None:
    parser = options.parser(__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--samples", type=int, default=options.FULL.samples, help="of one run (default 10,000,000)")
    parser.add_argument("--counters", type=int, default=1_000_000, help="of the store that is copied")
    chosen = parser.parse_args()
    unknown = set(chosen.rows) - set(ROWS)
    if unknown:
        parser.error(f"no such row: {', '.join(sorted(unknown))}")
    options.size(chosen)
    if chosen.quick:
        chosen.samples, chosen.counters = options.QUICK.samples, options.QUICK.many
    done: list[Mode] = []
    with options.folder(chosen) as folder:
        for name in chosen.rows or ROWS:
            try:
                done += ROWS[name](chosen, folder)
            except FAILURES as error:
                print(f"\n{name}: not measured: {error!r}", flush=True)
    for what, value, goal, reached in judged(done):
        print(f"{what}: {short(value)}, the goal is {short(goal)}: {'reached' if reached else 'NOT reached'}")
    if chosen.json:
        save(chosen.json, done)


if __name__ == "__main__":
    main()
