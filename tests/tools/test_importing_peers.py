"""`istat import` of whisper, RRD and CSV: every bucket that those systems' own tools tell is in the store."""

from __future__ import annotations

import importlib.util
import io
import math
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_importing import NOW, imported, opened, run

from istat.errors import StoreError

pytestmark = pytest.mark.peers
WHISPER = Path("/usr/lib/python3/dist-packages/whisper.py")
RETENTION = "10s:1h,1m:4h,5m:4d"


def stored(folder: Path) -> dict[str, list[dict[int, Any]]]:
    """Name -> per level, time -> row."""
    store = opened(folder)
    found = {store.counter(id).name: [{row[0]: row for row in store.select([id], level, 0, NOW + 1)[0].rows()}
                                      for level in range(len(store.ladder.levels))] for id in range(store.count())}
    store.close()
    return found


def test_a_whisper_tree_comes_out_as_whisper_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.find_spec("whisper") or importlib.util.spec_from_file_location("whisper", WHISPER)
    if spec is None or spec.loader is None or not Path(str(spec.origin)).exists():
        pytest.skip("whisper is not installed (apt install python3-whisper)")
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    draw, names = random.Random(1), ["servers.a.Load", "servers.b.load", "b"]
    for name in names:
        path = tmp_path / "whisper" / (name.replace(".", "/") + ".wsp")
        path.parent.mkdir(parents=True, exist_ok=True)
        peer.create(str(path), [(10, 180), (60, 180), (300, 600)], xFilesFactor=0.0)
        for first in range(20000, 0, -500):
            points = [(NOW - age, draw.randrange(1000) / 8) for age in range(first - 1, first - 501, -10)]
            peer.update_many(str(path), points, now=points[-1][0])
    words = ["--store", tmp_path / "new", "--retention", RETENTION, "--prefix", "g."]
    [found] = imported(capsys, tmp_path / "whisper", *words)
    ours = stored(tmp_path / "new")
    assert found["problems"] == {} and set(ours) == {"g." + name.lower() for name in names}
    for name in names:
        path = str(tmp_path / "whisper" / (name.replace(".", "/") + ".wsp"))
        until = NOW + 1
        for level, (step, slots) in enumerate(((10, 180), (60, 180), (300, 600))):
            last = NOW - 1 - (NOW - 1) % step
            (begin, end, _), values = peer.fetch(path, last - step * slots, last, now=NOW, archiveToSelect=step)
            begin = -(-begin // (300 if step == 60 else 60)) * (300 if step == 60 else 60) if step < 300 else begin
            theirs = {time: value for time, value in zip(range(end - step * len(values), end, step), values)
                      if value is not None and begin <= time < until}
            assert len(theirs) > 30
            for time, value in theirs.items():
                assert ours["g." + name.lower()][level][time] == (time, 1, value, 0.0, value, value)
            until = begin


def test_an_rrd_tree_comes_out_as_rrdtool_tells_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tool = shutil.which("rrdtool")
    if tool is None:
        pytest.skip("rrdtool is not installed (apt install rrdtool)")
    draw = random.Random(2)
    for name in ("a/net", "b"):
        path = tmp_path / "rrd" / (name + ".rrd")
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([tool, "create", path, "--start", str(NOW - 4001), "--step", "10", "DS:in:DERIVE:20:0:U",
                        *(["DS:out:GAUGE:20:U:U"] if name != "b" else []), "RRA:AVERAGE:0.5:1:60",
                        "RRA:AVERAGE:0.5:6:100", "RRA:MIN:0.5:6:100", "RRA:MAX:0.5:6:100"], check=True)
        total, updates = 0, []
        for age in range(4000, -1, -10):
            total += draw.randrange(1000)
            updates.append(f"{NOW - age}:{total}" + (f":{draw.random():.5f}" if name != "b" else ""))
        subprocess.run([tool, "update", path, *updates], check=True)
    subprocess.run([tool, "dump", "--header", "xsd", tmp_path / "rrd/b.rrd", tmp_path / "rrd/c.xml"], check=True)
    [found] = imported(capsys, tmp_path / "rrd", "--store", tmp_path / "new", "--retention", RETENTION)
    ours = stored(tmp_path / "new")
    assert found["problems"] == {} and set(ours) == {"a.net.in", "a.net.out", "b", "c"}
    for ours_of, dumped in zip(ours["b"], ours["c"], strict=True):          # a dump has eleven digits
        assert {time: pytest.approx(row, rel=1e-10) for time, row in ours_of.items()} == dumped
    for name, file, source in (("a.net.in", "a/net", 0), ("a.net.out", "a/net", 1), ("b", "b", 0)):
        for level, step in enumerate((10, 60)):
            told = {}
            for function in ("AVERAGE", "MIN", "MAX") if step == 60 else ("AVERAGE",):
                span = ["-s", str(NOW - (600 if step == 10 else 3600)), "-e", str(NOW)]
                place = tmp_path / "rrd" / (file + ".rrd")
                text = subprocess.run([tool, "fetch", place, function, "-r", str(step), *span],
                                      check=True, capture_output=True, text=True).stdout
                for line in text.splitlines()[2:]:
                    end, values = line.split(": ")
                    told.setdefault(int(end) - step, []).append(float(values.split()[source]))
            checked = 0
            for start, values in told.items():
                if start + step <= NOW and not math.isnan(values[0]):
                    row = ours[name][level][start]
                    low, high = (values[1:] if step == 60 else (values[0], values[0]))
                    assert (row[2] / row[1], row[4], row[5]) == pytest.approx((values[0], low, high), rel=1e-9), start
                    checked += 1
            assert checked >= 59


def test_csv_of_a_file_that_grows_and_of_the_standard_input(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text("name,time,value\n" + "".join(f"a,{NOW - 100 + i},{i}\n*e,{NOW - 100 + i},2\n" for i in range(40)))
    words = ["--store", tmp_path / "new", "--retention", RETENTION]
    assert imported(capsys, path, *words)[0]["totals"] == imported(capsys, path, *words)[0]["before"]
    ours = stored(tmp_path / "new")
    assert [row[1:3] for row in ours["a"][0].values()] == [(10, 45.0), (10, 145.0), (10, 245.0), (10, 345.0)]
    assert [row[1:3] for row in ours["e"][0].values()] == [(1, 2.0)] * 4
    with open(path, "a") as file:
        file.write(f"a,{NOW - 60},100\n")
    imported(capsys, path, *words)
    assert stored(tmp_path / "new")["a"][0][NOW - 60][1:3] == (1, 100.0)
    path.write_text(path.read_text().replace(",39\n", ",40\n"))
    assert run("import", path, *words) == StoreError.exit_code
    for _ in range(2):
        text = f"name,time,count,sum,min,max,interval\nb,{NOW - 7200},3,6,1,3,60\nb,{NOW - 7260},3,6,1,3,60\n"
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        imported(capsys, "-", *words)
    ours = stored(tmp_path / "new")
    assert ours["b"][1] == {NOW - age: (NOW - age, 3, 6.0, 0.0, 1.0, 3.0) for age in (7200, 7260)}
    assert [row[1] for row in ours["b"][2].values()] == [3, 3]
