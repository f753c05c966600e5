"""RRD files, made and dumped by rrdtool itself where it is installed."""

from __future__ import annotations

import io
import math
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from istat.errors import UsageError
from istat_server.foreign import rrd

NOW = 1325404800
XML = b"""<?xml version="1.0"?><rrd><version>0003</version><step>10</step><lastupdate>1325404035</lastupdate>
<ds><name> x </name><type> GAUGE </type></ds>
<rra><cf>AVERAGE</cf><pdp_per_row>1</pdp_per_row><cdp_prep><ds><value>NaN</value></ds></cdp_prep>
<database><row><v>NaN</v></row><row><v>1.5</v></row><row><v>-nan</v></row><row><v>4</v></row></database></rra>
<rra><cf>MAX</cf><pdp_per_row>1</pdp_per_row><database><row><v>2</v></row><row><v>2.5</v></row><row><v>1</v></row>
<row><v>4</v></row></database></rra></rrd>"""


def test_a_dump_is_read_with_rows_at_the_beginning_of_their_time() -> None:
    found = rrd.read_xml(io.BytesIO(XML))
    assert found.sources == ("x",)
    [archive] = found.archives(0)
    assert archive.rows.rows() == [(1325404000, 1, 1.5, 0.0, 1.5, 2.5), (1325404020, 1, 4.0, 0.0, 4.0, 4.0)]


@pytest.mark.parametrize("data", [
    b"", b"<rrd>", b"<rrd/>", XML.replace(b"<step>10</step>", b""), XML.replace(b">10<", b">ten<"),
    XML.replace(b"<pdp_per_row>1<", b"<pdp_per_row>0<"), XML.replace(b"<v>1.5</v>", b"<v>1.5</v><v>2</v>"),
    XML.replace(b"<v>1.5</v>", b"<v>one</v>"), XML.replace(b">1325404035<", b">" + b"9" * 400 + b"<"),
])
def test_what_is_no_dump_is_refused(data: bytes) -> None:
    with pytest.raises(rrd.RrdError):
        list(rrd.read_xml(io.BytesIO(data)).archives(0))


def test_without_rrdtool_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UsageError, match="apt install rrdtool"):
        rrd.dump(tmp_path / "a.rrd")


@pytest.fixture
def tool() -> str:
    found = shutil.which("rrdtool")
    if found is None:
        pytest.skip("rrdtool is not installed (apt install rrdtool)")
    return found


def make(tool: str, path: Path, seed: int, rows: int = 400) -> None:
    """A file with two sources, gaps, and archives of three resolutions."""
    start = NOW - 10 * rows
    subprocess.run([tool, "create", path, "--start", str(start - 1), "--step", "10", "DS:load:GAUGE:20:U:U",
                    "DS:bytes:COUNTER:20:0:U", "RRA:AVERAGE:0.5:1:60", "RRA:AVERAGE:0.5:6:40", "RRA:MIN:0.5:6:40",
                    "RRA:MAX:0.5:6:40", "RRA:AVERAGE:0.5:30:100", "RRA:LAST:0.5:30:100"], check=True)
    draw, counter, updates = random.Random(seed), 0, []
    for at in range(rows):
        counter += draw.randrange(10000)
        if draw.random() < 0.95:
            updates.append(f"{start + 10 * at}:{draw.gauss(50, 9):.3f}:{counter}")
    for first in range(0, len(updates), 100):
        subprocess.run([tool, "update", path, *updates[first : first + 100]], check=True)


def fetched(tool: str, path: Path, function: str, step: int, start: int, end: int) -> dict[int, list[float]]:
    """What `rrdtool fetch` prints: end of a row -> values."""
    text = subprocess.run([tool, "fetch", path, function, "-r", str(step), "-s", str(start), "-e", str(end)],
                          check=True, capture_output=True, text=True).stdout
    lines = [line.split(": ") for line in text.splitlines() if ": " in line]
    return {int(time): [float(value) for value in values.split()] for time, values in lines}


@pytest.mark.peers
def test_every_row_that_rrdtool_gives_is_read(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    make(tool, path, 1)
    found = rrd.dump(path)
    assert found.sources == ("load", "bytes")
    last = int(subprocess.run([tool, "last", path], check=True, capture_output=True, text=True).stdout)
    for source in range(2):
        until, seen = 1 << 40, 0
        for archive, (slots, coarser) in zip(found.archives(source), ((60, 60), (40, 300), (100, 300)), strict=True):
            step = archive.interval
            begin = -(-(last - last % step - step * slots) // coarser) * coarser
            theirs = fetched(tool, path, "AVERAGE", step, NOW - step * (slots + 1), NOW)
            lows, highs = (fetched(tool, path, one, step, NOW - step * (slots + 1), NOW) if step == 60 else theirs
                           for one in ("MIN", "MAX"))
            wanted = {end - step: (values[source], lows[end][source], highs[end][source])
                      for end, values in theirs.items()
                      if begin <= end - step < until and end <= last and not math.isnan(values[source])}
            ours = {row[0]: (row[2] / row[1], row[4], row[5]) for row in archive.rows.rows()}
            assert set(ours) == set(wanted) and {row[1] for row in archive.rows.rows()} <= {step // 10}
            for start, values in wanted.items():
                assert ours[start] == pytest.approx(values, rel=1e-9)
            until, seen = begin, seen + len(wanted)
        assert seen > 80


@pytest.mark.peers
def test_a_damaged_file_is_refused(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    path.write_bytes(b"RRD\0" + bytes(100))
    with pytest.raises(rrd.RrdError):
        rrd.dump(path)
