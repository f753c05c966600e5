"""RRD files, made and dumped by rrdtool itself where it is installed."""

from __future__ import annotations

import io
import math
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from istat_server.foreign.rrd import binary, dumps, tree
from istat_server.foreign.rrd.tables import Rrd, RrdError, Table
from istat_server.foreign.source import Naming

NOW = 1325404800
XML = b"""<?xml version="1.0"?><rrd><version>0003</version><step>10</step><lastupdate>1325404035</lastupdate>
<ds><name> x </name><type> GAUGE </type></ds>
<rra><cf>AVERAGE</cf><pdp_per_row>2</pdp_per_row><cdp_prep><ds><value>NaN</value></ds></cdp_prep>
<database><row><v>NaN</v></row><row><v>1.5</v></row><row><v>-nan</v></row><row><v>4</v></row></database></rra>
<rra><cf>MAX</cf><pdp_per_row>2</pdp_per_row><database><row><v>2</v></row><row><v>2.5</v></row><row><v>1</v></row>
<row><v>4</v></row></database></rra></rrd>"""


def test_a_dump_is_read_with_rows_at_the_beginning_of_their_time() -> None:
    found = dumps.read(io.BytesIO(XML))
    assert found.sources == ("x",)
    [archive] = found.archives(0)
    assert archive.rows.rows() == [(1325403960, 2, 3.0, 0.0, 1.5, 2.5), (1325404000, 2, 8.0, 0.0, 4.0, 4.0)]
    assert found.left_out(0) == {"no_average": 2}


@pytest.mark.parametrize("data", [
    b"", b"<rrd>", b"<rrd/>", XML.replace(b"<step>10</step>", b""), XML.replace(b">10<", b">ten<"),
    XML.replace(b"<pdp_per_row>2<", b"<pdp_per_row>0<"), XML.replace(b"<v>1.5</v>", b"<v>1.5</v><v>2</v>"),
    XML.replace(b"<v>1.5</v>", b"<v>one</v>"), XML.replace(b">1325404035<", b">" + b"9" * 400 + b"<"),
])
def test_what_is_no_dump_is_refused(data: bytes) -> None:
    with pytest.raises(RrdError):
        list(dumps.read(io.BytesIO(data)).archives(0))


def test_a_dump_in_a_namespace_is_read() -> None:
    spaced = XML.replace(b"<rrd>", b'<rrd xmlns="https://oss.oetiker.ch/rrdtool/rrdtool-dump.xml">')
    ours, plain = (dumps.read(io.BytesIO(data)).archives(0) for data in (spaced, XML))
    assert [one.rows.rows() for one in ours] == [one.rows.rows() for one in plain] != [[]]


def test_an_archive_of_single_points_stands_for_the_average_and_what_has_none_is_counted() -> None:
    none, inf = math.nan, math.inf
    file = Rrd(("x",), (Table("MAX", 1, 10, 600, [[1.0]] * 6),
                        Table("AVERAGE", 6, 60, 600, [[2.0], [none], [inf], [3.0]]),
                        Table("MAX", 6, 60, 600, [[4.0], [5.0], [inf], [6.0]]),
                        Table("HWPREDICT", 1, 10, 600, [[9.0]])))
    fine, coarse = (archive.rows.rows() for archive in file.archives(0))
    assert fine == [(time, 1, 1.0, 0.0, 1.0, 1.0) for time in range(540, 600, 10)]
    assert coarse == [(360, 6, 12.0, 0.0, 2.0, 4.0)]
    assert file.left_out(0) == {"no_average": 1, "not_finite": 1, "forecasts": 1}


def test_a_finer_archive_that_was_added_later_hides_nothing() -> None:
    none = math.nan
    file = Rrd(("x",), (Table("AVERAGE", 1, 10, 600, [[none]] * 12 + [[1.0]] * 6),
                        Table("AVERAGE", 6, 60, 600, [[2.0], [3.0], [4.0]])))
    fine, coarse = (archive.rows.rows() for archive in file.archives(0))
    assert [row[0] for row in fine] == list(range(540, 600, 10))
    assert [row[0] for row in coarse] == [420, 480]


def test_without_rrdtool_a_file_of_another_machine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    (tmp_path / "a.rrd").write_bytes(b"RRD\0" + b"0003" + bytes(200))
    with pytest.raises(RrdError, match="apt install rrdtool"):
        tree.read(tmp_path / "a.rrd")


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
    found = tree.read(path)
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
    with pytest.raises(RrdError):
        tree.read(path)


@pytest.mark.peers
def test_the_file_itself_has_every_digit_and_says_what_its_dump_says(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    make(tool, path, 3)
    ours, theirs = tree.read(path), tree.dump(path)
    assert ours.sources == theirs.sources and len(ours.tables) == len(theirs.tables)
    for mine, dumped in zip(ours.tables, theirs.tables, strict=True):
        assert replace(mine, rows=()) == replace(dumped, rows=())
        assert [tuple(row) for row in mine.rows] == [
            pytest.approx(tuple(row), rel=1e-10, nan_ok=True) for row in dumped.rows]
    assert any(len(repr(row[0])) > 15 for row in ours.tables[0].rows)


@pytest.mark.peers
def test_any_damage_is_refused_or_read(tool: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rrd"
    make(tool, path, 4, rows=60)
    whole, draw = path.read_bytes(), random.Random(5)
    for _ in range(300):
        data = bytearray(whole[: draw.choice((len(whole), len(whole), draw.randrange(len(whole))))])
        for _ in range(draw.randrange(3)):
            data[draw.randrange(24, min(len(data), 1500)) if len(data) > 24 else 0] = draw.randrange(256)
        try:
            if binary.is_ours(bytes(data)):
                binary.read(bytes(data)).archives(0)
        except RrdError:
            continue


@pytest.mark.peers
def test_a_dump_beside_its_file_is_passed_over(tool: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        make(tool, tmp_path / f"{name}.rrd", 4, rows=60)
        subprocess.run([tool, "dump", tmp_path / f"{name}.rrd", tmp_path / f"{name}.xml"], check=True)
    (tmp_path / "b.rrd").write_bytes(b"RRD\0" + bytes(100))     # what cannot be read does not stand for its dump
    source = tree.RrdTree(tmp_path, Naming())
    assert [series.name for series in source.series("")] == [b"a.load", b"a.bytes", b"b.load", b"b.bytes"]
    assert source.problems.counts["dumps"] == 1 and source.problems.counts["damaged"] == 1
    assert any("a.xml: passed over, as a.rrd is beside it" in text for text in source.problems.texts)
