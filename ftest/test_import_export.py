"""istat import, export and dump as processes beside a real server: an istatd store moves in, and out again."""
from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from ftest.serverprocess import ROOT, ServerProcess

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
            for level, back in (("5m", 86000), ("10s", 6000)):
                interval = 300 if level == "5m" else 10
                answer = server.get("/" + name, start=now - back, end=now, samples=0)
                assert answer["interval"] == interval
                found = {bucket["time"]: bucket["data"] for bucket in answer["buckets"]}
                buckets = {start: bucket for start, bucket in counter.rings[level].buckets().items()
                           if start > now - back + interval}
                assert len(buckets) > 20
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
