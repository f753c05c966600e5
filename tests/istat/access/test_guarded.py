"""Files by names that others may have a hand in: whose links are followed, and what is refused with which words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from istat import owners
from istat.access import guarded

OTHER = 1234
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


def write(path: Path, text: bytes, flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC, special: bool = False) -> None:
    with open(guarded.open_file(path, flags, special=special), "wb") as file:
        file.write(text)


def test_own_links_are_followed_wherever_they_lead(tmp_path: Path) -> None:
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "deep" / "up").symlink_to("../../real")
    (tmp_path / "last").symlink_to("absolute/deep/up/deep/file")
    write(tmp_path / "last", b"some")
    assert (tmp_path / "real" / "deep" / "file").read_bytes() == b"some"
    write(tmp_path / "absolute/deep/../deep/./file", b"other")
    assert (tmp_path / "real" / "deep" / "file").read_bytes() == b"other"
    guarded.check("/")
    guarded.check(tmp_path / "no" / "such")


def test_relative_names_begin_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("here"), b"1")
    assert (tmp_path / "here").read_bytes() == b"1"


def test_what_is_wrong_is_told_with_the_whole_name(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, number in (("no/file", errno.ENOENT), ("round", errno.ELOOP), ("file/x", errno.ENOTDIR),
                         ("pipe", errno.EINVAL)):
        with pytest.raises(OSError) as caught:
            guarded.open_file(tmp_path / name, os.O_RDWR | os.O_CREAT)
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / name))


def test_terminals_and_pipes_are_for_those_who_want_them() -> None:
    write(Path("/dev/null"), b"1", os.O_WRONLY, special=True)
    read_end, write_end = os.pipe()
    write(Path(f"/proc/self/fd/{write_end}"), b"through", os.O_WRONLY, special=True)
    assert os.read(read_end, 100) == b"through"
    os.close(read_end)
    os.close(write_end)


def test_a_new_file_replaces_what_has_its_name(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("whole")
    (tmp_path / "new").symlink_to("elsewhere")
    for text in ("1", "2"):
        with open(tmp_path / "new", "w", opener=guarded.fresh) as file:
            file.write(text)
        assert (tmp_path / "new").read_text() == text
    assert (tmp_path / "elsewhere").read_text() == "whole"


@needs_root
@pytest.mark.parametrize("name", ["link", "folder/file"])
def test_a_link_of_another_is_not_followed(tmp_path: Path, name: str) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("whole")
    (tmp_path / "link").symlink_to("target/file")
    (tmp_path / "folder").symlink_to(tmp_path / "target")
    for link in ("link", "folder"):
        os.chown(tmp_path / link, OTHER, OTHER, follow_symlinks=False)
    with pytest.raises(OSError, match="a link of the user 1234 is on the way there, and root follows no link of "):
        write(tmp_path / name, b"")
    assert (tmp_path / "target" / "file").read_text() == "whole"


@needs_root
def test_a_second_name_is_refused_where_others_can_give_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("whole")
    for folder, owner, mode in (("theirs", OTHER, 0o755), ("everybodys", 0, 0o1777), ("ours", 0, 0o755)):
        (tmp_path / folder).mkdir()
        os.chown(tmp_path / folder, owner, owner)
        (tmp_path / folder).chmod(mode)
        os.link(tmp_path / "elsewhere", tmp_path / folder / "file")
    for folder in ("theirs", "everybodys"):
        with pytest.raises(OSError, match="it has a second name elsewhere"):
            write(tmp_path / folder / "file", b"")
    assert (tmp_path / "elsewhere").read_text() == "whole"
    write(tmp_path / "ours" / "file", b"new")


@needs_root
def test_what_another_has_made_where_everybody_may_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    theirs = tmp_path / "open" / "file"
    theirs.touch()
    os.chown(theirs, OTHER, OTHER)
    with pytest.raises(OSError, match="it belongs to the user 1234, and everybody may write to its folder; remove it"):
        write(theirs, b"")
    with guarded.Place(theirs, friend=OTHER) as place:
        os.close(place.open(os.O_RDWR))
    (tmp_path / "open").chmod(0o775)
    write(theirs, b"")


@needs_root
def test_a_place_is_given_only_where_it_is_roots(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").touch()
    os.chown(tmp_path / "two", 77, 77)
    for name in ("one", "two"):
        with guarded.Place(tmp_path / name) as place:
            place.give(owners.User(OTHER, OTHER, ()))
    assert [(tmp_path / name).stat().st_uid for name in ("one", "two")] == [OTHER, 77]
