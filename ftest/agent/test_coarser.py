"""A real agent whose spool is too small for an outage: what it took arrives coarser, and is all there, over a kill."""
from __future__ import annotations

import contextlib
import random
import socket
import time
from pathlib import Path

import pytest

from ftest.harness.agentprocess import AgentProcess
from ftest.harness.serverprocess import ServerProcess
from ftest.harness.site import Site

pytestmark = pytest.mark.seconds(60)
MiB = 1 << 20
HOUR = 3600
COUNTERS = 300
FRAMES = 1800       # of 10 s: five hours, 21 MB of lines for a spool of 16 MiB
Hours = dict[tuple[int, int], tuple[int, int, int, int]]


def size_of(agent: AgentProcess) -> int:
    found = 0
    for path in agent.spool.glob("*.spool"):
        with contextlib.suppress(FileNotFoundError):        # it was merged into another one just now
            found += path.stat().st_size
    return found


def send(agent: AgentProcess, begin: int, frames: range, known: Hours) -> None:
    """Samples with their times, no faster than the agent makes room for them."""
    rng = random.Random(frames.start)
    with socket.create_connection(("127.0.0.1", agent.stat_port), timeout=30) as sock:
        for frame in frames:
            at = begin + 10 * frame
            values = [rng.randrange(-10**6, 10**6) for _ in range(COUNTERS)]
            sock.sendall(b"".join(b"load.queue.of.work.number%d %d %d\n" % (number, at, value)
                                  for number, value in enumerate(values)))
            for number, value in enumerate(values):
                count, total, low, high = known.get((number, at // HOUR), (0, 0, value, value))
                known[number, at // HOUR] = count + 1, total + value, min(low, value), max(high, value)
            while frame % 20 == 0 and size_of(agent) > 14 * MiB:
                time.sleep(0.05)
        sock.sendall(b"last.of.%d 1\n" % frames.start)
    end = time.monotonic() + 60
    while b"last.of.%d " % frames.start not in max(agent.spool.glob("*.spool")).read_bytes():
        assert time.monotonic() < end, "it is not in the spool"
        time.sleep(0.1)


def hours(server: ServerProcess, begin: int) -> Hours:
    """What the server has, by counter and hour."""
    found: Hours = {}
    for number in range(COUNTERS):
        answer = server.post("/api/v1/series", {
            "names": [f"load.queue.of.work.number{number}"], "from": begin - begin % HOUR, "to": begin + 6 * HOUR,
            "points": 8, "columns": ["count", "sum", "min", "max"]})
        if answer["series"]:
            assert answer["interval"] == HOUR
            columns = [answer["series"][0][name] for name in ("count", "sum", "min", "max")]
            for at, row in enumerate(zip(*columns, strict=True)):
                if row[0]:
                    found[number, answer["start"] // HOUR + at] = tuple(map(round, row))    # type: ignore[assignment]
    return found


def test_an_outage_makes_samples_coarser_and_loses_none(tmp_path: Path) -> None:
    known: Hours = {}
    begin = int(time.time()) - 10 * FRAMES - 600
    with Site(tmp_path) as site:
        server = site.server("server")
        link = site.network(server)
        link.cut()
        agent = site.agent("agent", [link], spool_bytes=16 * MiB)
        send(agent, begin, range(FRAMES * 3 // 4), known)
        agent.kill9()
        agent.start()
        send(agent, begin, range(FRAMES * 3 // 4, FRAMES), known)
        assert size_of(agent) <= 16 * MiB and "were merged into buckets of 60 s" in agent.log()
        link.heal()
        server.wait_until(lambda: hours(server, begin) == known, "all hours are there", 120)
        server.wait_until(lambda: server.get("/api/v1/names", match="agent.forward.coarsened.**")["names"],
                          "how many lines were merged is told")
        assert "lines are lost" not in agent.log()
