"""What a replica costs its master, how far it is behind, and how fast a base copy is. Rows of bench.replicate."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench import options
from bench.figures import Mode, Run, print_mode
from bench.ingest import table
from bench.load import send, wire
from bench.load.work import STEP, Form, Work, Writer
from bench.servers.process import BenchError, fresh, sizes
from bench.servers.systems import Istatd

TOKEN = "bench"
LOOK = 0.1          # between two looks at a replica [s]
PATIENCE = 600.0    # until it follows [s]
BURST = 0.01        # between two sends [s]
# The goals: [s], us of the master's a sample, bytes per second.
LAG_GOAL, MASTER_GOAL, COPY_GOAL = 2.0, 0.3, 200e6
VALUES = 10         # steps of distinct values, sent over and over: of all of a run they would fill the memory


def master(folder: Path) -> Istatd:
    """A server that may have replicas, not started."""
    server = Istatd(folder)
    server.extra = ("--replica-token", TOKEN)
    return server


def replica_of(server: Istatd, folder: Path) -> Istatd:
    """A replica of a server that runs, not started."""
    made = Istatd(folder)
    made.extra = ("--replica-of", f"http://127.0.0.1:{server.http_port}", "--replica-token", TOKEN)
    return made


def standing(server: Istatd) -> dict[str, Any]:
    """How a replica stands, as its status tells; {} while it does not answer yet."""
    try:
        client = server.client()
        try:
            answer = client.json(wire.get("/api/v1/status"))
        finally:
            client.close()
    except (OSError, BenchError):
        return {}
    found: dict[str, Any] = answer["store"].get("replica") or {}
    return found


def follows(server: Istatd) -> None:
    """Wait until a replica has all that its master has. BenchError when it does not get there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = standing(server)
        if found.get("following") and found.get("lag") == 0 and not found.get("copying"):
            return
        time.sleep(LOOK)
    raise BenchError(f"the replica does not follow: {standing(server)}")


class Lags(threading.Thread):
    """Looks at a replica until it is told to stop; all lags that it saw [s]."""

    def __init__(self, server: Istatd) -> None:
        super().__init__(daemon=True)
        self.seen: list[float] = []
        self._server, self._over = server, threading.Event()

    def run(self) -> None:
        while not self._over.wait(LOOK):
            lag = standing(self._server).get("lag")
            if lag is not None:
                self.seen.append(lag)

    def end(self) -> None:
        self._over.set()
        self.join()


def paced(port: int, names: Sequence[bytes], values: Sequence[Sequence[bytes]], rate: float, seconds: float) -> float:
    """Send samples of now at an even rate over TCP for so long; how many a second that were."""
    writer = Writer(names, Form.ISTATD)
    size = max(1, int(rate * BURST))
    begin, sent = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for lines in pieces(writer, values, size):
            connection.sendall(lines)
            sent += size
            time.sleep(max(0.0, begin + sent / rate - time.monotonic()))
            if time.monotonic() - begin > seconds:
                break
    return sent / (time.monotonic() - begin)


def pieces(writer: Writer, values: Sequence[Sequence[bytes]], size: int) -> Iterator[bytes]:
    """Lines without end, `size` at once, with the time of the second in which their step began."""
    while True:
        for row in values:
            lines = writer.chunk(int(time.time()), row).splitlines(keepends=True)
            for at in range(0, len(lines) - size + 1, size):
                yield b"".join(lines[at:at + size])


def rate_run(folder: Path, work: Work, values: Sequence[Sequence[bytes]], size: options.Size, followed: bool) -> Run:
    """A master at an even rate, with a replica or without."""
    server = master(folder / "master")
    replica: Istatd | None = None
    try:
        server.start()
        send.tcp(server.stat_port, [Writer(work.names, server.form).chunk(int(time.time()) - STEP, values[0])])
        if followed:
            replica = replica_of(server, folder / "replica")
            replica.start()
            follows(replica)
        before = server.process.quiet(), replica.process.cpu() if replica is not None else 0.0
        lags = Lags(replica) if replica is not None else None
        if lags is not None:
            lags.start()
        rate = paced(server.stat_port, work.names, values, size.rate, size.seconds)
        after = server.process.cpu() - before[0]
        samples = rate * size.seconds
        run: Run = {"cpu_us_per_sample": after / samples * 1e6, "sent_per_s": rate}
        if replica is not None and lags is not None:
            lags.end()
            run.update({"lag_s": max(lags.seen, default=0.0), "lag_median_s": median(lags.seen or [0.0]),
                        "replica_us_per_sample": (replica.process.cpu() - before[1]) / samples * 1e6})
            follows(replica)
        return run
    finally:
        if replica is not None:
            replica.stop()
        server.stop()


def replica(chosen: argparse.Namespace, folder: Path) -> list[Mode]:
    """Lag, and what a replica costs its master, at an even rate."""
    size = options.QUICK if chosen.quick else options.FULL
    work, values = table(size.many, VALUES)
    mode = Mode("replica", f"{size.rate:,.0f} samples/s of {size.many:,} series for {size.seconds:g} s; CPU of the "
                           f"master on top of what it takes without a replica")
    for turn in range(chosen.repeat):
        runs = {followed: rate_run(fresh(folder / "run"), work, values, size, followed)
                for followed in ((False, True) if turn % 2 == 0 else (True, False))}
        on_top = runs[True]["cpu_us_per_sample"] - runs[False]["cpu_us_per_sample"]
        mode.add("istatd", {**runs[True], "cpu_us_per_sample": on_top})
    print_mode(mode)
    return [mode]


def copy(chosen: argparse.Namespace, folder: Path) -> list[Mode]:
    """How fast a replica has a whole store, beside a plain copy of its files that is synced."""
    work, values = table(chosen.counters, 2)
    server = master(fresh(folder / "run") / "master")
    mode = Mode("copy", f"the base copy of a store of {chosen.counters:,} counters; until a new replica follows")
    server.start()
    try:
        writer, now = Writer(work.names, server.form), int(time.time())
        for step, row in enumerate(values):
            send.tcp(server.stat_port, [writer.chunk(now - STEP * (len(values) - step), row)])
        server.stop()
        server.start()
        size = sum(sizes(server.store).values())
        for _ in range(chosen.repeat):
            mode.add("istatd", {**base_copied(server, fresh(folder / "base")),
                                "until_it_follows_s": followed(server, fresh(folder / "copy"))})
            mode.add("plain copy", {"bytes_per_s": size / plainly(server.store, folder / "plain")})
    finally:
        server.stop()
    print_mode(mode)
    return [mode]


def base_copied(server: Istatd, folder: Path) -> Run:
    """A base copy alone, checked and ready to be taken into use."""
    from istat_server.replica import basecopy
    from istat_server.replica.source import Master

    source = Master(f"http://127.0.0.1:{server.http_port}", TOKEN, "bench")
    begin = time.monotonic()
    try:
        lease = basecopy.copy(source, folder)
        size = sum(file.size for file in lease.files)
        return {"bytes_per_s": size / (time.monotonic() - begin), "bytes": size}
    finally:
        source.release()
        source.close()


def followed(server: Istatd, folder: Path) -> float:
    """Seconds from the start of a new replica until it follows, with all names in memory."""
    replica = replica_of(server, folder)
    begin = time.monotonic()
    try:
        replica.start()
        follows(replica)
        return time.monotonic() - begin
    finally:
        replica.stop()


def plainly(store: Path, to: Path) -> float:
    """Seconds in which a store's files are copied, and synced."""
    shutil.rmtree(to, ignore_errors=True)
    begin = time.monotonic()
    shutil.copytree(store, to)
    for path in to.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            os.fsync(handle)
            os.close(handle)
    return time.monotonic() - begin
