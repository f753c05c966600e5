"""`istat dump`: every file kind of a store, readable; nothing is written; damage is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from istatd_writer import Ring
from test_importing import NOW, run

from istat.errors import StoreCorrupt, UsageError
from istat_server.foreign.ring import RingError

FIXTURES = Path(__file__).parents[1] / "fixtures/store/v1"
T = 1325394000


def dumped(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    assert run("dump", *words, "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_journal_segment(capsys: pytest.CaptureFixture[str]) -> None:
    """The worked example of docs/formats/journal.md."""
    header, frame, *records = dumped(capsys, FIXTURES / "00000001.journal")
    assert (header["kind"], header["number"], frame["clock"]) == ("journal", 1, 1325395000)
    assert records[:4] == [
        {"record": "counter", "id": 0, "kind": "gauge", "name": "foo.bar"},
        {"record": "route", "id": 0, "name": "Foo.Bar", "counters": [0]},
        {"record": "counter", "id": 1, "kind": "event", "name": "hits"},
        {"record": "route", "id": 1, "name": "*hits", "counters": [1]}]
    assert records[4:7] == [{"record": "sample", "route": 0, "time": T, "value": 5.0},
                            {"record": "sample", "route": 0, "time": T, "value": 7.25},
                            {"record": "sample", "route": 1, "time": T, "value": 3.0}]
    assert records[7] == {"record": "bucket", "route": 0, "time": T, "count": 3, "sum": 10.0,
                          "m2": pytest.approx(2 / 3), "min": 2.0, "max": 5.0}


def test_a_segment_without_frames_and_an_empty_file_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "00000001.journal"
    path.write_bytes((FIXTURES / "00000001.journal").read_bytes()[:44])
    header, empty = dumped(capsys, path)
    assert (header["kind"], header["number"]) == ("journal", 1)
    assert empty == {"record": "empty", "note": "there are no frames: nothing was written to it yet"}
    assert run("dump", path) == 0
    assert capsys.readouterr().out.splitlines()[1] == 'empty note="there are no frames: nothing was written to it yet"'
    path.write_bytes(b"")
    assert run("dump", path) == UsageError.exit_code
    assert capsys.readouterr().err.strip().startswith(f"istat: {path} is empty")


def test_a_damaged_segment_says_where_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "00000001.journal"
    path.write_bytes((FIXTURES / "00000001.journal").read_bytes() + b"x" * 30)
    assert dumped(capsys, path)[-1]["record"] == "damage"
    path.write_bytes(b"ISTATJNL" + bytes(60))
    assert run("dump", path) == StoreCorrupt.exit_code


def test_statfiles(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("full", "packed", "derived"):
        header, *rest = dumped(capsys, FIXTURES / f"{name}.statfile", "--full")
        rows = [record for record in rest if record["record"] == "row"]
        assert len(rows) == header["rows"] > 0
        assert sum(record["record"] == "block" for record in rest) == header["blocks"]
        assert run("dump", FIXTURES / f"{name}.statfile") == 0
        assert capsys.readouterr().out.startswith("header store=")


def test_a_damaged_block_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.statfile"
    data = bytearray((FIXTURES / "full.statfile").read_bytes())
    header, block, *_ = dumped(capsys, FIXTURES / "full.statfile")
    data[block["offset"] + 9] ^= 1
    path.write_bytes(data)
    assert any(record["record"] == "damage" for record in dumped(capsys, path, "--full"))


def test_a_manifest_and_a_names_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FIXTURES / "store", tmp_path / "store")
    assert run("dump", tmp_path / "store/MANIFEST") == 0
    assert json.loads(capsys.readouterr().out)["policies"][0]["number"] == 0
    for path in (tmp_path / "store/names").glob("*.names"):
        header, *records = dumped(capsys, path)
        assert header["kind"] == "names" and any(record["record"] == "counter" for record in records)


def test_a_ring_file_as_istatd_dumps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The example of part 15.1 of istatd's behaviour."""
    ring = Ring(10, 512, 960)
    ring.sample(990, 1.0)
    ring.sample(990, 2.0)
    ring.sample(1010, 1234567.0)
    path = tmp_path / "10s"
    path.write_bytes(ring.encode())
    before = path.stat().st_mtime_ns
    assert run("dump", path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "DATE,SUM,SUMSQ,MIN,MAX,COUNT,AVG,SDEV", '"1970-01-01T00:16:30Z",3,5,1,2,2,1.5,0.707107',
        '"1970-01-01T00:16:50Z",1.23457e+06,1.52416e+12,1.23457e+06,1.23457e+06,1,1.23457e+06,0']
    assert run("dump", path, "--full") == 0
    full = capsys.readouterr().out.splitlines()
    assert full[0] == 'magic="istatd 4.0\\012\\000\\365\\024\\007\\000"' and "last_bucket=5" in full
    assert len(full) == 21 + 1 + 512
    assert sum(line.split()[0] == "1" for line in full[22:]) == 2
    header, *buckets = dumped(capsys, path)
    assert header["flags"] == 0 and [bucket["time"] for bucket in buckets] == [990, 1010]
    assert path.stat().st_mtime_ns == before


def test_what_cannot_be_dumped_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a"
    path.write_text("hello")
    assert run("dump", path) == UsageError.exit_code
    assert run("dump", tmp_path / "none") == 1
    path.write_bytes(Ring(10, 512, NOW).encode()[:9000])
    assert run("dump", path) == RingError.exit_code
    error = capsys.readouterr().err
    assert "no file of a store" in error and "No such file" in error and "has 9000 bytes" in error
