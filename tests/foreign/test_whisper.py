"""Whisper files, made and dumped by whisper itself where it is installed (Debian: python3-whisper)."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import random
import struct
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from istat_server.foreign import whisper
from istat_server.foreign.source import Naming

NOW = 1325404800
DEBIAN = Path("/usr/lib/python3/dist-packages/whisper.py")


@pytest.fixture(scope="module")
def peer() -> ModuleType:
    found = importlib.util.find_spec("whisper")
    place = found.origin if found and found.origin else str(DEBIAN)
    if not Path(place).exists():
        pytest.skip("whisper is not installed (apt install python3-whisper)")
    spec = importlib.util.spec_from_file_location("whisper_peer", place)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.peers
@pytest.mark.parametrize("method", ["average", "sum", "last", "max", "min", "absmax"])
def test_every_point_that_whisper_gives_is_read(peer: ModuleType, tmp_path: Path, method: str) -> None:
    path = str(tmp_path / "a.wsp")
    peer.create(path, [(10, 60), (60, 60), (300, 100)], xFilesFactor=0.0, aggregationMethod=method)
    draw = random.Random(method)
    points = [(NOW - age, draw.randrange(1000) / 8) for age in range(24999, -1, -7) if draw.random() < 0.8]
    for at in range(0, len(points), 50):
        peer.update_many(path, points[at : at + 50], now=points[at : at + 50][-1][0])
    found = whisper.read(Path(path).read_bytes())
    assert [(ring.step, ring.slots) for ring in found.rings] == [(10, 60), (60, 60), (300, 100)]
    seen = 0
    for ring, rows in zip(found.rings, found.archives(False, NOW), strict=True):
        last = found.newest(NOW) - found.newest(NOW) % ring.step
        info = peer.fetch(path, last - ring.step * ring.slots, last, now=NOW, archiveToSelect=ring.step)
        (begin, end, step), values = info
        theirs = {time: value for time, value in zip(range(begin, end, step), values) if value is not None}
        count = ring.step // 10 if method == "sum" else 1
        ours = {row[0]: row[2] for row in rows.rows.rows()}
        assert {time: theirs[time] for time in ours} == ours
        assert all(row[1] == count and math.isclose(row[4], row[2] / count) for row in rows.rows.rows())
        seen += len(ours)
    assert seen > 150


@pytest.mark.peers
def test_points_of_a_sum_can_be_events(peer: ModuleType, tmp_path: Path) -> None:
    path = str(tmp_path / "a.wsp")
    peer.create(path, [(10, 6), (60, 10)], aggregationMethod="sum", xFilesFactor=0.0)
    for age in range(300, -1, -10):
        peer.update(path, 30.0, NOW - age, now=NOW - age)
    fine, coarse = whisper.read(Path(path).read_bytes()).archives(True, NOW)
    assert {row[2] for row in fine.rows.rows()} == {3.0}
    assert 3.0 in {row[2] for row in coarse.rows.rows()}


def head(aggregation: int = 1, longest: int = 600, archives: int = 1, offset: int = 28, step: int = 10,
         points: int = 60) -> bytes:
    return (struct.pack("!2LfL", aggregation, longest, 0.5, archives) + struct.pack("!3L", offset, step, points)
            + bytes(12 * 60))


@pytest.mark.parametrize("data", [
    b"", b"x" * 10, head(aggregation=99), head(archives=0), head(archives=65), head(step=0), head(points=0),
    head(points=61), head(offset=4), head(longest=601), head()[:-1],
])
def test_what_is_no_whisper_file_is_refused(data: bytes) -> None:
    with pytest.raises(whisper.WhisperError):
        whisper.read(data)


def points(*archives: tuple[int, int, dict[int, float]], aggregation: int = 1) -> bytes:
    """A file of archives: step, slots, points."""
    data, offset = b"", 16 + 12 * len(archives)
    infos = b""
    for step, slots, values in archives:
        ring = [(0, 0.0)] * slots
        base = min(values, default=0)
        for time, value in values.items():
            ring[(time - base) // step % slots] = (time, value)
        infos += struct.pack("!3L", offset, step, slots)
        data += b"".join(struct.pack("!Ld", *point) for point in ring)
        offset += 12 * slots
    longest = max(step * slots for step, slots, _ in archives)
    return struct.pack("!2LfL", aggregation, longest, 0.5, len(archives)) + infos + data


def rows(data: bytes) -> list[list[tuple[int, float]]]:
    return [[(row[0], row[2]) for row in archive.rows.rows()] for archive in whisper.read(data).archives(False, NOW)]


def test_a_point_in_the_future_takes_nothing_from_the_others() -> None:
    [found] = rows(points((60, 60, {NOW - 120: 1.0, NOW - 60: 2.0, NOW + 86400 - 3600 + 60: 3.0})))
    assert found == [(NOW - 120, 1.0), (NOW - 60, 2.0), (NOW + 82860, 3.0)]      # which the store refuses as future


def test_points_that_only_a_coarse_archive_has_are_taken_however_young() -> None:
    hours = {NOW - age: float(age) for age in range(60, 36060, 60)}
    assert rows(points((10, 360, {}), (60, 600, hours)))[1] == sorted(hours.items())
    fine, coarse = rows(points((10, 360, {NOW - 20: 7.0}), (60, 600, hours)))
    assert (fine, len(coarse)) == ([(NOW - 20, 7.0)], 599)


def test_values_that_are_no_numbers_are_counted_unless_an_archive_has_one() -> None:
    fine = (10, 6, {NOW: math.inf, NOW - 10: 1.0})
    found = whisper.read(points(fine, (60, 6, {NOW - 120: math.nan, NOW - 60: -math.inf})))
    assert found.not_finite(NOW) == 2       # in the minute before NOW there is a number
    assert rows(points(fine, (60, 6, {NOW: 5.0}))) == [[(NOW - 10, 1.0)], [(NOW, 5.0)]]
    assert whisper.read(points((10, 6, {NOW: math.inf}), (60, 6, {NOW: 5.0}))).not_finite(NOW) == 0


def test_an_empty_archive_has_no_points() -> None:
    assert len(whisper.read(head()).archives(False, NOW)[0].rows) == 0


@settings(max_examples=150)
@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=6))
def test_any_bytes_are_refused_or_read(data: bytes, flips: list[tuple[int, int]]) -> None:
    whole = bytearray(head())
    whole[28 : 28 + len(data)] = data[: 12 * 60]
    for at, value in flips:
        whole[at] = value
    try:
        whisper.read(bytes(whole)).archives(False, NOW)
    except whisper.WhisperError:
        return


def tagged(name: str, hashed: bool) -> str:
    """Where carbon puts a tagged series."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"_tagged/{digest[:3]}/{digest[3:6]}/{digest if hashed else name.replace('.', '_DOT_')}.wsp"


def test_files_of_tagged_series_have_their_names_where_carbon_wrote_them(tmp_path: Path) -> None:
    names = ["cpu.load;dc=a.b;host=x", "disk.free;host=y", "net.in;host=z"]
    for name, hashed in zip(names, (False, True, True), strict=True):
        path = tmp_path / tagged(name, hashed)
        path.parent.mkdir(parents=True)
        path.write_bytes(points((10, 6, {NOW: 1.0})))
    naming = Naming("g.", ((tagged(names[2], True), names[2]),))
    source = whisper.WhisperTree(tmp_path, naming, now=NOW)
    assert {series.name.decode() for series in source.series("")} == {"g." + names[0], "g." + names[2]}
    assert source.problems.counts == {"name_unknown": 1}
    assert f"{tagged(names[1], True)}: is of a tagged series" in source.problems.texts[0]
