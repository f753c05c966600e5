"""Where pictures go."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from istat.errors import UsageError
from istat.pictures import files
from istat.pictures.grids import FULL, Grid

GRID = Grid(2, [bytes([0, FULL])], cell=2)


def test_the_name_tells_the_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("b.SVG", b"<svg")):
        files.save(GRID, str(tmp_path / name))
        assert (tmp_path / name).read_bytes().startswith(start)
    files.save(GRID, "-")
    assert capsys.readouterr().out == "·█\n"
    for name in ("a.gif", "png", "", "a.png/b"):
        with pytest.raises(UsageError, match="png or .svg"):
            files.save(GRID, name)


def test_a_terminal_without_blocks_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", out)
    files.save(GRID, "-")
    out.flush()
    assert out.buffer.getvalue() == b".#\n"  # type: ignore[attr-defined]


def test_a_picture_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = tmp_path / "a.png"
    name.write_bytes(b"old")
    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            files.save(GRID, str(name))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"] and name.read_bytes() == b"old"
    files.save(GRID, str(name))
    assert name.read_bytes().startswith(b"\x89PNG")
    assert name.stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_what_is_no_file_is_written_into(tmp_path: Path) -> None:
    name = tmp_path / "a.png"
    os.symlink("/dev/null", name)
    files.save(GRID, str(name))
    assert name.is_symlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
