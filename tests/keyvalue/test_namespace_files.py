"""Namespaces over files that are damaged, moved, half written or in the way, and over a full disk."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from istat.errors import StoreCorrupt, StoreError, StoreFull
from istat_server.keyvalue.namespaces import Namespaces
from tests.keyvalue.reading import HEAD, versions


@pytest.mark.parametrize("damage", ["oversized", "zeros", "newer", "folder", "link", "pipe"])
def test_a_file_that_cannot_be_read_keeps_no_other_from_being_served(
        opened: Callable[..., Namespaces], folder: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    opened().set("good", {"k": "1"})
    bad = folder / "bad.set"
    {"oversized": lambda: bad.write_bytes(b"a=" + b"x" * (1 << 20)), "zeros": lambda: bad.write_bytes(b"a=\0"),
     "newer": lambda: bad.write_bytes(b"# istatd settings 9\n"), "folder": bad.mkdir,
     "link": lambda: bad.symlink_to(folder / "good.set"), "pipe": lambda: os.mkfifo(bad)}[damage]()
    with caplog.at_level(logging.WARNING):
        namespaces = opened()
    assert ("bad.set: it has 1048578 bytes" in caplog.text) == (damage == "oversized")
    for act in (lambda: namespaces.get("bad"), lambda: namespaces.set("bad", {"k": "2"})):
        with pytest.raises(StoreCorrupt, match="bad.set: "):
            act()
    assert namespaces.get("good") == {"k": "1"}
    namespaces.flush()
    namespaces.close()


def test_where_the_folder_became_a_file_it_is_told_and_flush_goes_through_all(opened: Callable[..., Namespaces],
                                                                              folder: Path) -> None:
    namespaces = opened()
    for name in "ab":
        namespaces.set(name, {"k": "1"})
    folder.rename(folder.with_name("moved"))
    folder.write_text("")
    for act in (lambda: namespaces.load("a"), lambda: namespaces.get("a"), namespaces.flush):
        with pytest.raises(StoreError, match=": Not a directory"):
            act()
    namespaces.close()


@pytest.mark.parametrize("content", [None, b"# istatd versions 1\n"])
def test_versions_that_were_moved_away_begin_anew(opened: Callable[..., Namespaces], folder: Path,
                                                  content: bytes | None) -> None:
    namespaces = opened()
    for value in "123":
        namespaces.set("a", {"k": value})
    path = folder / "a.versions"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for value in "45":
        namespaces.set("a", {"k": value})
    assert versions(namespaces, "a", "k") == versions(opened(), "a", "k") == ["5", "4", "3"]
    assert b"\0" not in path.read_bytes()


def test_versions_that_were_put_back_are_kept(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    for value in ("one", "two", "three"):
        namespaces.set("a", {"k": value})
    old = (folder / "a.versions").read_bytes()
    (folder / "a.versions").unlink()
    namespaces.set("a", {"l": "x"})
    (folder / "a.versions").write_bytes(old)
    namespaces.set("a", {"k": "four"})
    assert versions(namespaces, "a", "k") == ["four", "three", "two", "one"]
    assert versions(namespaces, "a", "l") == ["x"]


def test_a_flush_of_all_goes_on_where_one_cannot_be_written(opened: Callable[..., Namespaces], folder: Path) -> None:
    namespaces = opened()
    for name in "abc":
        namespaces.set(name, {"k": "1"})
        (folder / f"{name}.set").write_bytes(b"\0" if name == "b" else HEAD + b"k=2\n")
    with pytest.raises(StoreCorrupt, match="b.set: "):
        namespaces.flush()
    assert namespaces._held.names() == []
    for name in "ac":
        (folder / f"{name}.set").write_bytes(HEAD + b"k=3\n")
        assert versions(opened(), name, "k") == ["3", "2", "1"]


def test_damaged_versions_are_told_and_the_others_kept(opened: Callable[..., Namespaces], folder: Path,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    namespaces = opened()
    for value in "123":
        namespaces.set("a", {"k": value})
    path = folder / "a.versions"
    path.write_bytes(path.read_bytes().replace(b" k=2", b" k=9") + b"0000 torn")
    again = opened()
    assert versions(again, "a", "k") == ["3", "1"] and "1 damaged lines" in caplog.text
    again.set("a", {"k": "4"})
    assert versions(opened(), "a", "k") == ["4", "3", "1"]


def test_versions_that_are_no_such_file_keep_nobody_from_reading(opened: Callable[..., Namespaces],
                                                                  folder: Path) -> None:
    opened().set("a", {"k": "1"})
    (folder / "a.versions").write_bytes(b"nothing of ours\n")
    namespaces = opened()
    assert namespaces.get("a") == {"k": "1"}
    with pytest.raises(StoreCorrupt, match="move it away, and versions begin anew"):
        namespaces.set("a", {"k": "2"})
    (folder / "a.versions").unlink()
    namespaces.set("a", {"k": "2"})
    assert versions(namespaces, "a", "k") == ["2", "1"]


@pytest.mark.parametrize("where", ["rename", "fsync"])
def test_where_the_disk_is_full_nothing_is_changed(opened: Callable[..., Namespaces], folder: Path, where: str,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, where, full)
        with pytest.raises(StoreFull, match="make room on its disk"):
            namespaces.set("a", {"k": "2"})
    assert namespaces.get("a") == {"k": "1"} and len(list(folder.iterdir())) == 2
    namespaces.set("a", {"k": "3"})
    assert versions(namespaces, "a", "k") == ["3", "1"]


def test_a_version_that_could_not_be_written_is_written_with_the_next_change(
        opened: Callable[..., Namespaces], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    namespaces = opened()
    namespaces.set("a", {"k": "1"})

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        assert namespaces.set("a", {"k": "2"}).versions == {"k": 2}
    assert namespaces.get("a") == {"k": "2"} and versions(namespaces, "a", "k") == ["2", "1"]
    namespaces.set("a", {"k": "3"})
    assert versions(opened(), "a", "k") == ["3", "2", "1"]


def test_a_folder_that_everybody_may_write_to_is_refused(opened: Callable[..., Namespaces], folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(StoreError, match="everybody may write to .*: say chmod o-w"):
        opened()


def test_what_a_crash_left_half_written_is_removed(opened: Callable[..., Namespaces], folder: Path) -> None:
    opened().set("a", {"k": "1"})
    (folder / ".0123456789abcdef.aside").write_bytes(b"half")
    for name in ("notes.txt", ".mine.aside"):
        (folder / name).write_bytes(b"somebody's")
    assert opened().names() == ["a"]
    assert sorted(path.name for path in folder.iterdir()) == [".mine.aside", "a.set", "a.versions", "notes.txt"]
