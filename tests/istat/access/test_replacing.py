"""Files that take another's place as a whole."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from istat.access.replacing import replacing


def test_a_file_is_replaced_once_it_is_whole(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    old, link = tmp_path / "folder/old", tmp_path / "link"
    old.write_bytes(b"old")
    link.symlink_to(old)
    with replacing(link, "kind") as file:
        file.write(b"new")
        assert old.read_bytes() == b"old" and [one.suffix for one in old.parent.iterdir()].count(".kind") == 1
    assert link.is_symlink() and old.read_bytes() == b"new" and len(list(old.parent.iterdir())) == 1


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(),
                                   ValueError("x")])
def test_the_older_one_stays_when_that_fails(tmp_path: Path, error: BaseException) -> None:
    place = tmp_path / "old"
    place.write_bytes(b"old")
    with pytest.raises(type(error)) as caught, replacing(place, "kind"):
        raise error
    assert [one.name for one in tmp_path.iterdir()] == ["old"] and place.read_bytes() == b"old"
    assert not isinstance(error, OSError) or caught.value.filename == str(place)  # type: ignore[attr-defined]


def test_an_error_has_the_name_that_was_given(tmp_path: Path) -> None:
    place = tmp_path / "none/new"
    with pytest.raises(FileNotFoundError) as caught, replacing(place, "kind"):
        pass
    assert caught.value.filename == str(place)
    other = OSError(errno.EIO, "I/O error", "another")
    with pytest.raises(OSError, match="another"), replacing(tmp_path / "new", "kind"):
        raise other
