"""A known stream through a real server: every level's buckets over HTTP against the plain-Python model.

Before a flush, after it, after compaction, after a restart and after kill -9: nothing missing, nothing twice;
counts, minima and maxima exact, sums and deviations within the bound that docs/formats/statfile.md states.
"""
from __future__ import annotations

import math
import random
import subprocess
import sys
import time

import pytest

from ftest.harness.serverprocess import ROOT, ServerProcess
from istat.clock import FakeClock
from istat.retention import Ladder
from istat_server.store.interface import Kind
from istat_server.testing.memory import MemoryStore

pytestmark = pytest.mark.seconds(20)
NOW = 1325395000
DAY = 86400
GAUGES = ["load.min1", "Queue.Depth", "disk.sda.busy", "temp"]
EVENTS = ["*requests", "*errors.http"]
CARETS = ["cpu.user^host.web1^class.web", "cpu.user^host.web2^class.web", "*hits^host.web1^", "mix^a^b^"]
MARGIN = 3 * 3600       # [s] istatd never answers more buckets than a level keeps, so a little less is asked for
SUM_BOUND = 1e-12       # of the sum of magnitudes: a few roundings of doubles
M2_BOUND = 1e-6         # M2 is kept with 24 bits of mantissa, and coarse levels merge kept ones

# How long ago samples are: now, earlier today, late by days, and too old for the first levels.
AGES = [lambda r: r.randrange(600), lambda r: r.randrange(4 * 3600), lambda r: DAY + r.randrange(2 * DAY),
        lambda r: 9 * DAY, lambda r: 12 * DAY + r.randrange(DAY), lambda r: 400 * DAY + r.randrange(7200),
        lambda r: -60]


def stream(seed, samples):
    """(wire name, time or None, fields) of a reproducible stream with all the sorts of samples there are."""
    rng = random.Random(seed)
    for _ in range(samples):
        name = rng.choice(GAUGES + EVENTS + CARETS)
        when = NOW - rng.choices(AGES, [40, 10, 6, 1, 2, 1, 2])[0](rng)
        if rng.random() < 0.1:
            when = None
        if rng.random() < 0.1:
            values = sorted(round(rng.uniform(-50, 50), 2) for _ in range(3))
            fields = (sum(values), sum(v * v for v in values), values[0], values[2], 3)
            when = NOW - 30 if when is None else when
        else:
            fields = (rng.choice([rng.randrange(100), round(rng.gauss(20, 5), 2), rng.random() * 1e9, 0.0, -1.5]),)
        for _ in range(rng.choice([1, 1, 1, 1, 3])):        # duplicates are samples like any other
            yield name, when, fields


def text_of(samples):
    lines = []
    for name, when, fields in samples:
        stamp = "" if when is None else f" {when}"
        lines.append(f"{name}{stamp} {' '.join(map(repr, fields))}\n".encode())
    return lines


def send(server, lines, datagrams=True):
    """Every third line by UDP, the others by TCP; returns when the server has taken all of them."""
    before = server.ingest()["lines"]
    udp = lines[::3] if datagrams else []
    tcp = [line for at, line in enumerate(lines) if at % 3 or not datagrams]
    with server.connect() as sock:
        for at in range(0, len(tcp), 50):
            sock.sendall(b"".join(tcp[at:at + 50]))
            if udp:
                server.send_udp(b"".join(udp[:20]))
                del udp[:20]
    while udp:
        server.send_udp(b"".join(udp[:20]))
        del udp[:20]
    server.wait_until(lambda: server.ingest()["lines"] >= before + len(lines), "all lines are taken")


def over_http(server, counter, level, times):
    """{time: bucket} of one counter at a level that are not empty. istatd's API takes the finest level that
    covers the start asked for; of events it fills in zeros, so they are asked for around `times` only."""
    of = Ladder.parse().levels[level]
    first = NOW - of.keep + MARGIN
    if counter.kind is Kind.GAUGE:
        found = server.get("/" + counter.name, start=first, end=NOW + 3600, samples=0)
        assert found["interval"] == of.interval
        return {bucket["time"]: bucket["data"] for bucket in found["buckets"]}
    keys = {"names": [counter.name], "columns": ["sum", "count", "min", "max", "sdev"]}
    buckets = {}
    for start in sorted({at - at % (500 * of.interval) for at in times}):
        asked = {**keys, "from": max(start, first), "to": start + 500 * of.interval, "points": 501}
        found = server.post("/api/v1/series", asked)
        assert found["interval"] == of.interval
        series = found["series"][0]
        for at, total in enumerate(series["sum"]):
            if total is not None:
                buckets[found["start"] + at * of.interval] = {key: series[key][at] for key in keys["columns"]}
    return buckets


def check(server, model):
    """Compare everything there is."""
    names = [model.counter(id) for id in range(model.count())]
    assert {c["name"] for c in server.get("/api/v1/names", match="*", limit=1000)["names"]
            if not c["name"].startswith("istatd.")} == {counter.name for counter in names}
    for counter in names:
        for level, of in enumerate(model.ladder.levels):
            (expected,) = model.select([counter.id], level, NOW - of.keep + MARGIN, NOW + 3600)
            rows = expected.rows()
            compare(counter, level, rows, over_http(server, counter, level, [row[0] for row in rows]))


def compare(counter, level, expected, found):
    where = f"{counter.name} level {level}"
    if counter.kind is Kind.EVENT:          # answers have zeros where there are no events
        found = {at: data for at, data in found.items() if data["sum"] or at in {row[0] for row in expected}}
    assert sorted(found) == [row[0] for row in expected if row[0] in found] == [row[0] for row in expected], where
    for at, count, total, m2, low, high in expected:
        data, here = found[at], f"{where} at {at}"
        size = max(abs(low), abs(high), abs(total / count)) * count
        assert data["count"] == count, here
        assert math.isclose(data["sum"], total, rel_tol=1e-9, abs_tol=SUM_BOUND * size), here
        if counter.kind is Kind.EVENT:
            continue        # minimum and maximum are totals too, and approximate where rows came late
        assert (data["min"], data["max"]) == (low, high), here
        deviation = math.sqrt(m2 / (count - 1)) if count > 1 else 0.0
        assert math.isclose(data["sdev"], deviation, rel_tol=M2_BOUND, abs_tol=1e-6 * (high - low)), here


def compact(server):
    """Stop the server, bring its files into their final form, start it again."""
    assert server.terminate() == 0, server.log()
    code = ("import sys; from pathlib import Path; from istat.clock import FakeClock;"
            f"from istat_server.store.offline.compacting import compact; compact(Path(sys.argv[1]), FakeClock({NOW}))")
    subprocess.run([sys.executable, "-c", code, str(server.store)], check=True, cwd=ROOT)
    server.start()


@pytest.fixture
def server(tmp_path):
    with ServerProcess(tmp_path, fake_time=NOW, flush=3600) as running:
        yield running


def test_every_bucket_of_a_known_stream_at_every_stage(server):
    model = MemoryStore(Ladder.parse(), FakeClock(NOW))

    def more(seed, samples):
        part = list(stream(seed, samples))
        send(server, text_of(part))
        for name, when, fields in part:
            model.add(name, when, *fields)

    more(1, 1500)
    check(server, model)                    # from memory
    server.restart()                        # SIGTERM writes everything
    check(server, model)
    more(2, 1000)                           # memory on top of files
    check(server, model)
    compact(server)
    check(server, model)
    more(3, 500)                            # late samples on top of derived levels
    check(server, model)
    time.sleep(0.2)
    server.restart(kill=True)               # from the journal
    check(server, model)
    more(4, 300)
    time.sleep(0.2)
    server.restart(kill=True)               # the journal of two lives
    check(server, model)
    compact(server)
    check(server, model)
    server.restart()
    check(server, model)


def test_names_of_one_life_are_there_in_the_next(server):
    server.send_tcp(b"a.b^host.x 1\n*ev 2\n")
    server.wait_until(lambda: server.ingest()["lines"] >= 2, "both are taken")
    time.sleep(0.2)
    server.restart(kill=True)
    listed = {c["name"]: c["kind"] for c in server.get("/api/v1/names", match="*", limit=1000)["names"]}
    assert (listed["a.b.host.x"], listed["ev"]) == ("gauge", "event")


def test_kill_9_in_the_middle_of_a_stream_loses_nothing_older_than_100_ms(server):
    for life in range(5):
        sent = 0
        with server.connect() as sock:
            end = time.monotonic() + 0.6
            marks = []
            while time.monotonic() < end:
                sock.sendall(b"ticks 1325394000 1\n" * 20)
                sent += 20
                marks.append((time.monotonic(), sent))
                time.sleep(0.005)
            killed = time.monotonic()
            server.restart(kill=True)
        data = server.get("/ticks", start=1325394000, end=1325394010)["buckets"][0]["data"]
        total = data["count"]
        base = getattr(server, "base", 0)
        # Half of the 100 ms are the store's; the rest is what this machine may need to read the socket.
        safe = max(count for at, count in marks if at <= killed - 0.1)
        assert base + safe <= total <= base + sent, f"life {life}"
        server.base = total
