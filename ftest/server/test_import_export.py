"""istat import, export and dump as processes beside a real server: an istatd store moves in, and out again."""
from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from ftest.harness.serverprocess import ROOT, ServerProcess

sys.path.insert(0, str(ROOT / "tests/foreign"))
from istatd_writer import Counter, f32  # noqa: E402 - the tests' own writer of istatd's layout

LADDER = "10s:2h,5m:4d,1h:40d"
LOCKED = 92


def istat(*words: object, code: int = 0) -> str:
    """Run `istat` from the tree; what it printed."""
    done = subprocess.run([sys.executable, "-m", "istat_server.tools", *map(str, words)], cwd=ROOT, check=False,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def fill(root: Path, now: int) -> dict[str, Counter]:
    draw = random.Random(4)
    made = {}
    for name, event in (("cpu.idle.host.a", False), ("hits", True)):
        counter = made[name] = Counter(now - 80000, event)
        for age in sorted((draw.randrange(100, 80000) for _ in range(1500)), reverse=True):
            counter.add(now - age, float(draw.randrange(100)))
        counter.write(root / name.replace(".", "/"))
    return made


def test_what_is_imported_beside_live_counters_shows_as_fine_as_it_came(tmp_path: Path) -> None:
    now = int(time.time())
    start = now - now % 300 - 3600
    with ServerProcess(tmp_path, retention="10s:2h,1m:4d,5m:40d") as server:
        server.send_tcp(b"".join(b"live %d 1\n" % time for time in range(start - 3600, start + 3600, 10)))
        server.wait_until(lambda: server.get("/api/v1/names", match="live")["names"], "the samples are there")
        assert server.terminate() == 0
        rows = [f"fine,{time},10,1,2,2,2" for time in range(start, start + 1800, 10)]
        rows += [f"{name},{time},{step},1,2,2,2" for name, step, first in
                 (("minutes", 60, start), ("both", 60, start), ("both", 10, start + 900), ("*events", 300, start))
                 for time in range(first, start + (900 if (name, step) == ("both", 60) else 1800), step)]
        (tmp_path / "a.csv").write_text("\n".join(["name,time,interval,count,sum,min,max", *rows]) + "\n")
        istat("import", tmp_path / "a.csv", "--store", server.store)
        server.start()
        for name, first, last, interval, points in (
                ("live", 0, 1800, 10, 180), ("fine", 0, 1800, 10, 180), ("minutes", 0, 1800, 60, 30),
                ("minutes", 300, 360, 60, 1), ("both", 0, 900, 60, 15), ("both", 900, 1800, 10, 90),
                ("both", 0, 1800, 60, 30), ("events", 0, 1800, 300, 6), ("live", 600, 2400, 10, 180)):
            answer = server.post("/api/v1/series", {"names": [name], "from": start + first, "to": start + last,
                                                    "points": 3000, "columns": "max"})
            values = [value for value in answer["series"][0]["max"] if value]
            assert (answer["interval"], len(values)) == (interval, points), (name, first, last)
            theirs = server.get("/" + name, start=start + first, end=start + last, samples=0)
            assert theirs["interval"] == interval
            assert len({one["time"] for one in theirs["buckets"] if one["data"]["max"]}) >= points
        istat("export", "--server", server.url, "--from", start - 600, "--output", tmp_path / "out.csv")
        server.send_tcp(b"minutes 5\n")        # what comes now shows as it comes
        server.wait_until(lambda: server.post("/api/v1/series", {
            "names": ["minutes"], "from": now - 60, "to": now + 60, "points": 3000})["interval"] == 10, "it is there")
    with open(tmp_path / "out.csv") as file:
        told = [(row["name"], row["interval"]) for row in csv.DictReader(file)]
    assert {("minutes", "60"), ("both", "60"), ("both", "10"), ("fine", "10")} <= set(told)
    assert told.count(("minutes", "60")) == 30


def test_an_istatd_store_moves_in_and_out(tmp_path: Path) -> None:
    now = int(time.time())
    theirs = fill(tmp_path / "old", now)
    server = ServerProcess(tmp_path, retention=LADDER)
    server.folder.mkdir(exist_ok=True)
    [told] = json.loads(istat("import", tmp_path / "old", "--store", server.store, "--retention", LADDER, "--json"))
    assert told["totals"]["counters"] == 2 and told["problems"] == {}
    with server:
        error = istat("import", tmp_path / "old", "--store", server.store, code=LOCKED)
        assert "stop it" in error
        for name, counter in theirs.items():
            # Of a range longer than the ring of 10 s (5120 s), it is the one of 5 minutes that misses nothing.
            for level, interval, back in (("5m", 300, 86000), ("5m", 300, 6000), ("10s", 10, 5000)):
                answer = server.get("/" + name, start=now - back, end=now, samples=0)
                assert answer["interval"] == interval
                found = {bucket["time"]: bucket["data"] for bucket in answer["buckets"]}
                buckets = {start: bucket for start, bucket in counter.rings[level].buckets().items()
                           if start > now - back + interval}
                assert len(buckets) > (15 if (interval, back) == (300, 6000) else 20)
                for start, (total, low, high, count, _) in buckets.items():
                    ours = found[start]
                    assert (ours["count"], f32(ours["min"]), f32(ours["max"])) == (count, low, high)
                    assert abs(ours["sum"] - total) <= 1e-9 * max(1.0, abs(total))
        server.send_tcp(b"fresh 5\n")
        server.wait_until(lambda: server.get("/api/v1/names", match="fresh")["names"], "it takes samples as ever")
        istat("export", "--server", server.url, "--from", now - 6000, "--output", tmp_path / "asked.csv")
        assert json.loads(istat("dump", server.store / "MANIFEST"))["imports"][0]["finished"]
    istat("export", "--store", server.store, "--from", now - 6000, "--output", tmp_path / "read.csv")
    lines = []
    for name in ("asked.csv", "read.csv"):
        with open(tmp_path / name) as file:
            lines.append({(row["name"], row["time"], row["interval"], row["count"]) for row in csv.DictReader(file)
                          if row["name"] == "cpu.idle.host.a" and int(row["time"]) > now - 5000})
    assert lines[0] == lines[1] and len(lines[0]) > 20
    istat("export", "--store", server.store, "--format", "istatd", "--output", tmp_path / "rings")
    assert istat("dump", tmp_path / "rings/hits/5m").startswith("DATE,SUM,SUMSQ")
    [again] = json.loads(istat("import", tmp_path / "old", "--store", server.store, "--json"))
    assert (again["nothing_new"], again["totals"], again["before"]) == (True, {}, told["totals"])
