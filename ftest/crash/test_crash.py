"""kill -9 at any moment of taking, cutting, merging and deriving: nothing older than 100 ms missing, nothing twice."""
from __future__ import annotations

import random
import time

import pytest

from ftest.harness.serverprocess import ServerProcess

pytestmark = pytest.mark.seconds(25)
ROUNDS = 15
LADDER = "10s:2d,1m:10d,10m:40d"
INTERVALS = (10, 60, 600)
NOW = 1325395000
# Two spans of the finest level (12 h each) that are over, so that each round makes them underived again.
TIMES = (NOW - 60_000, NOW - 59_990, NOW - 110_000)
NAMES = ("tick^host.a^", "other")
COUNTERS = ("tick.host.a", "tick", "other")
SAFE = 0.4      # [s] the store's 100 ms, and what a loaded machine and its disk may need for one write


def portion(at):
    """Each counter gets 30 samples, 10 at each time; a name of its own comes with every portion."""
    lines = [f"{name} {when} 1\n" for when in TIMES for name in NAMES] * 10
    return "".join([*lines, f"new.n{at} {TIMES[0]} 1\n"]).encode()


def total_of(server, name, interval=INTERVALS[0], back=120_000):
    """Samples counted at one level, by istatd's API, which takes the finest level that covers the start."""
    answer = server.get("/" + name, start=NOW - back, end=NOW, samples=0)
    assert answer["interval"] == interval, answer
    return sum(bucket["data"]["count"] for bucket in answer["buckets"])


def levels(server, name):
    """Samples counted at each level."""
    return [total_of(server, name, interval, back)
            for interval, back in zip(INTERVALS, (120_000, 86400 * 9, 86400 * 39))]


def test_kill_9_at_any_moment(tmp_path):
    rng = random.Random(15)
    base, portions = 30, 1
    jobs = cuts = 0
    server = ServerProcess(tmp_path, retention=LADDER, flush=1, fake_time=NOW)
    server.start()
    server.send_tcp(portion(0))
    server.wait_until(lambda: server.get("/api/v1/names", match="other")["names"], "the first portion is taken")
    for life in range(ROUNDS):
        # What a reader has seen was taken: a loaded server may leave what was only sent in the socket for a while.
        marks, sent = [(0.0, base)], 0
        end = time.monotonic() + rng.uniform(0.5, 1.6)
        with server.connect() as sock:
            while time.monotonic() < end:
                sock.sendall(portion(portions))
                portions, sent = portions + 1, sent + 30
                if portions % 8 == 0:
                    seen = total_of(server, "other")
                    marks.append((time.monotonic(), seen))
                time.sleep(rng.choice([0.0, 0.002, 0.01]))
            status = server.get("/api/v1/status")["store"]
            killed = time.monotonic()
            server.kill9()
        jobs, cuts = jobs + status["jobs"], cuts + status["cuts"]
        # Time goes on by half an hour, so that what the cuts left is merged, and derived, in the next life.
        server.options["fake-time"] = NOW + 1900 * (life + 1)
        server.start()
        safe = max(count for at, count in marks if at <= killed - SAFE)
        totals = {name: levels(server, name) for name in COUNTERS}
        total = totals["other"][0]
        assert base <= safe <= total <= base + sent, f"life {life}: {safe}..{base + sent}, not {total}"
        # The lines of a portion may be split by the kill, so the counters may differ by what one has in it.
        for name, found in totals.items():
            assert len(set(found)) == 1, f"life {life}, {name}: levels differ: {found}"
            assert abs(found[0] - total) <= 30, f"life {life}: {totals}"
        base = total
    assert cuts >= 5 and jobs >= 5, f"too quiet to prove anything: {cuts} cuts, {jobs} jobs"
    known = server.get("/api/v1/names", match="new.*", limit=10_000)["names"]
    assert len({counter["name"] for counter in known}) == len(known)
    assert server.terminate() == 0
    server.assert_no_traceback()
