"""Whisper files, made and dumped by whisper itself where it is installed (Debian: python3-whisper)."""

from __future__ import annotations

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
    starts = found.starts()
    seen = 0
    for ring, rows, start, until in zip(found.rings, found.archives(False), starts, [NOW + 1, *starts]):
        last = found.newest - found.newest % ring.step
        info = peer.fetch(path, last - ring.step * ring.slots, last, now=NOW, archiveToSelect=ring.step)
        (begin, end, step), values = info
        theirs = {time: value for time, value in zip(range(begin, end, step), values)
                  if value is not None and start <= time < until}
        count = ring.step // 10 if method == "sum" else 1
        assert {row[0]: row[2] for row in rows.rows.rows()} == theirs
        assert all(row[1] == count and math.isclose(row[4], row[2] / count) for row in rows.rows.rows())
        seen += len(theirs)
    assert seen > 150


@pytest.mark.peers
def test_points_of_a_sum_can_be_events(peer: ModuleType, tmp_path: Path) -> None:
    path = str(tmp_path / "a.wsp")
    peer.create(path, [(10, 6), (60, 10)], aggregationMethod="sum", xFilesFactor=0.0)
    for age in range(300, -1, -10):
        peer.update(path, 30.0, NOW - age, now=NOW - age)
    fine, coarse = whisper.read(Path(path).read_bytes()).archives(True)
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


def test_an_empty_archive_has_no_points() -> None:
    assert len(whisper.read(head()).archives(False)[0].rows) == 0


@settings(max_examples=150)
@given(st.binary(max_size=400), st.lists(st.tuples(st.integers(0, 100), st.integers(0, 255)), max_size=6))
def test_any_bytes_are_refused_or_read(data: bytes, flips: list[tuple[int, int]]) -> None:
    whole = bytearray(head())
    whole[28 : 28 + len(data)] = data[: 12 * 60]
    for at, value in flips:
        whole[at] = value
    try:
        whisper.read(bytes(whole)).archives(False)
    except whisper.WhisperError:
        return
