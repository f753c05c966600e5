"""Namespaces in `istat backup`, `restore` and `check`, in the store's folder and outside of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from istat.cli import command
from istat.clock import FakeClock
from istat.declared.pages import Kept, encode
from istat.errors import StoreCorrupt
from istat_server.keyvalue.namespaces import Namespaces
from istat_server.tools import brought
from tests.store.harness import NOW, open_store, send


def run(*words: object) -> int:
    return command.main([str(word) for word in words], FakeClock(NOW), brought())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """The folder of a store that nobody has open."""
    folder = tmp_path / "store"
    opened = open_store(folder, FakeClock(NOW))
    send(opened, f"a {NOW} 1")
    opened.close()
    return folder


def fill(folder: Path) -> Namespaces:
    namespaces = Namespaces(folder, FakeClock(NOW))
    namespaces.set("cit", {"dashboard.a": "one"})
    namespaces.set("cit", {"dashboard.a": "two"})
    namespaces.set("users", {"user.cit": "{}"})
    return namespaces


@pytest.mark.parametrize("outside", [False, True], ids=["in-the-store", "outside"])
def test_a_backup_has_them_with_their_versions_and_brings_them_back(store: Path, tmp_path: Path, outside: bool) -> None:
    folder = tmp_path / "elsewhere" if outside else store / "settings"
    more = ["--settings", folder] if outside else []
    namespaces = fill(folder)
    assert run("backup", "--store", store, *more, tmp_path / "backup") == 0
    namespaces.set("cit", {"dashboard.a": "three"})
    (folder / "users.set").unlink()
    (folder / "users.versions").unlink()
    assert run("backup", "--store", store, *more, tmp_path / "backup") == 0
    assert sorted(path.name for path in (tmp_path / "backup/settings").iterdir()) == ["cit.set", "cit.versions"]
    back = tmp_path / ("other" if outside else "back/settings")
    assert run("restore", tmp_path / "backup", tmp_path / "back", *(["--settings", back] if outside else [])) == 0
    found = Namespaces(back, FakeClock(NOW))
    assert found.names() == ["cit"] and found.get("cit") == {"dashboard.a": "three"}
    assert [version.value for version in found.versions("cit", "dashboard.a")] == ["three", "two", "one"]
    assert run("check", tmp_path / "back") == 0


@pytest.mark.parametrize("outside", [False, True], ids=["in-the-store", "outside"])
def test_a_backup_has_what_is_declared_of_metrics(store: Path, tmp_path: Path, outside: bool) -> None:
    folder = tmp_path / "elsewhere" if outside else store / "settings"
    folder.mkdir()
    data = encode([Kept("tcp 10.0.0.7", b'cpu.user {"unit":"%"}')])
    (folder / "metrics.declared").write_bytes(data)
    assert run("check", store, *(["--settings", folder] if outside else [])) == 0
    assert run("backup", "--store", store, *(["--settings", folder] if outside else []), tmp_path / "backup") == 0
    assert run("restore", tmp_path / "backup", tmp_path / "back") == 0
    assert (tmp_path / "back/settings/metrics.declared").read_bytes() == data
    (tmp_path / "back/settings/metrics.declared").write_bytes(data.replace(b"%", b"$"))
    assert run("check", tmp_path / "back") == StoreCorrupt.exit_code


def test_a_store_without_any_is_backed_up(store: Path, tmp_path: Path) -> None:
    assert run("backup", "--store", store, tmp_path / "backup") == 0
    assert not (tmp_path / "backup/settings").exists()


def test_a_file_that_cannot_be_read_is_told_and_the_rest_is_copied(store: Path, tmp_path: Path,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    fill(store / "settings")
    (store / "settings/link.set").symlink_to("/etc/passwd")
    (store / "settings/bad.set").write_bytes(b"\0")
    assert run("backup", "--store", store, tmp_path / "backup", "--json") == 0
    said = capsys.readouterr()
    assert "link.set: it is no plain file" in json.loads(said.err.splitlines()[0])["warning"]
    assert json.loads(said.out)["namespace_files"] == 5
    assert (tmp_path / "backup/settings/bad.set").read_bytes() == b"\0", "as it is"


def test_check_tells_damaged_ones(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = store / "settings"
    fill(folder)
    assert run("check", store) == 0
    assert "all sound" in capsys.readouterr().out
    (folder / "zero.set").write_bytes(b"a=\0\n")
    (folder / "long.set").write_bytes(b"a=" + b"x" * (1 << 20))
    (folder / "plain.set").write_bytes(b"a=1\n")
    path = folder / "cit.versions"
    path.write_bytes(path.read_bytes().replace(b"=one", b"=ones"))
    assert run("check", store) == StoreCorrupt.exit_code
    told = capsys.readouterr().out
    assert "damaged: settings/zero.set: it has zero bytes" in told
    assert "damaged: settings/long.set: it has 1,048,578 bytes" in told
    assert "damaged: settings/cit.versions: 1 damaged lines" in told
    assert "note: settings/plain.set: its first line is not '# istatd settings 1'" in told
    assert "3 errors" in told
