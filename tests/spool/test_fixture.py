"""The format stays: the spool of the page's worked example is read, and today's code makes the same one."""
from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.spool import make_fixture
from tests.spool.harness import GROUP, drain, open_spool

ROOT = Path(__file__).parents[2]


def test_it_is_read(tmp_path: Path) -> None:
    shutil.copytree(make_fixture.PLACE, tmp_path / "spool")
    spool = open_spool(tmp_path / "spool")
    cursor = spool.group(GROUP)
    assert (spool.id, spool.epoch, spool.last, cursor.next) == (bytes(range(16)), make_fixture.NOW, 2, 2)
    assert spool.marks() == {(b"web1", 7): 3}
    assert cursor.doubts("a:8111") == [(1, 1)]
    assert [frame.text for frame in cursor.again(1, 1)] == [b"foo.bar 5\n*hits 3\n"]
    frame = cursor.read(2)
    assert frame is not None and (frame.text, frame.mark) == (b"foo.bar 1325394000 7.25\n", (b"web1", 7, 3))
    assert drain(spool, cursor) == [1325394000]
    spool.close()


def test_the_coarser_one_is_read(tmp_path: Path) -> None:
    shutil.copytree(make_fixture.COARSER, tmp_path / "spool")
    spool = open_spool(tmp_path / "spool")
    cursor = spool.group(GROUP)
    assert (spool.id, spool.epoch, spool.last, cursor.next) == (bytes(range(16)), make_fixture.NOW, 4, 4)
    assert spool.marks() == {(b"web1", 7): 3}
    assert cursor.doubts("a:8111") == [(3, 3)] and cursor.behind[:2] == (4, 7)
    (frame,) = cursor.again(3, 3)
    assert (frame.text, frame.interval, frame.count, frame.stands) == (
        b"foo.bar 1325394000 16.25 93.5625 4 7.25 3\n*hits 1325394000 4 10 1 3 2\nonce 1325395020 1\n", 3600, 3, (3, 6))
    assert drain(spool, cursor) == [6]
    spool.close()


@pytest.mark.parametrize(("place", "make"), [(make_fixture.PLACE, make_fixture.make),
                                             (make_fixture.COARSER, make_fixture.make_coarser)])
def test_it_is_made_so(tmp_path: Path, place: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "spool")
    names = sorted(path.name for path in place.iterdir())
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == names
    for name in names:
        assert (tmp_path / "spool" / name).read_bytes() == (place / name).read_bytes()


def test_the_page_shows_both() -> None:
    page = (ROOT / "docs/formats/spool.md").read_text()
    shown = "".join(re.findall(r"^[0-9a-f]{4}  ((?:[0-9a-f]{2} ?)+)", page, re.MULTILINE))
    segments = [min(place.glob("*.spool")) for place in (make_fixture.PLACE, make_fixture.COARSER)]
    assert bytes.fromhex(shown) == b"".join(segment.read_bytes() for segment in segments)
