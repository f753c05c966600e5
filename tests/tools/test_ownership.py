"""What root does to the store of another user: the server, which is that user, can open it afterwards."""

from __future__ import annotations

import io
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from pkgutil import resolve_name

import pytest

from istat.cli import command
from istat.clock import FakeClock
from istat_server.tools import COMMANDS

NOW = 1325404800
OWNER = 1234

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root writes in the folders of others")


def run(*words: object) -> None:
    brought = {name: partial(resolve_name, place) for name, place in COMMANDS.items()}
    assert command.main([str(word) for word in words], FakeClock(NOW), brought) == 0


def owners(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in (folder, *folder.rglob("*"))}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store that root imported into, in a folder of another user."""
    folder = tmp_path / "store"
    folder.mkdir()
    os.chown(folder, OWNER, OWNER)
    source = tmp_path / "some.csv"
    source.write_text(f"name,time,value\nshop.queue,{NOW - 60},5\n")
    run("import", "--store", folder, source)
    return folder


def test_import(store: Path) -> None:
    assert owners(store) == {OWNER}


def test_export_and_repair(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("export", "--store", store)
    assert "shop.queue,gauge" in capsys.readouterr().out
    assert owners(store) == {OWNER}
    run("check", "--repair", store)
    assert owners(store) == {OWNER}


def test_backup_and_restore(store: Path, tmp_path: Path) -> None:
    run("backup", "--store", store, tmp_path / "backup")
    assert owners(store) == {OWNER}
    restored = tmp_path / "restored"
    restored.mkdir()
    os.chown(restored, OWNER, OWNER)
    run("restore", tmp_path / "backup", restored)
    assert owners(restored) == {OWNER}


def test_ring_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a place that their owner can reach."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = Path(place, "rings")
        folder.mkdir()
        os.chown(folder, OWNER, OWNER)
        for words in (("nums2file", folder / "a/b/10s"), ("nums2file", folder / "a/b/10s"),
                      ("import", folder / "a/b/10s"), ("gen", folder / "made", "--counters", 1)):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"5\n")))
            run("ring", *words)
            assert owners(folder) == {OWNER}, words


def test_a_counter_of_the_store_as_a_ring(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("ring", "dump", store / "shop/queue/10s")
    assert ",5,25,5,5,1,5,0" in capsys.readouterr().out
    assert owners(store) == {OWNER}
