"""Backups of stores in use: everything acknowledged before is in them; what cannot be is said in a sentence."""
from __future__ import annotations

import json
import os
import threading

import pytest

from istat.cli import command
from istat.clock import FakeClock
from istat.errors import StoreCorrupt, StoreError
from istat_server.store.offline import backup
from istat_server.tools.backing import BACKUP, RESTORE
from tests.store.harness import NOW, crash, open_store, put, rows


def quiet(done, size):
    """No progress to be seen."""


def shown(folder, clock, names):
    """All rows of a restored store."""
    store = open_store(folder, clock)
    found = {name: [rows(store, name, level) for level in range(3)] for name in names}
    store.close()
    return found


def test_a_backup_of_a_store_in_use_is_a_store_again(tmp_path, clock):
    store = open_store(tmp_path / "s", clock)
    put(store, f"a.b {NOW} 1", f"a.c {NOW - 20} 2")
    store.flush()
    put(store, f"a.b {NOW} 3", f"a.d {NOW} 4")
    store.tick()
    assert store._journal.drain(10)
    names = ["a.b", "a.c", "a.d"]
    expected = {name: [rows(store, name, level) for level in range(3)] for name in names}
    made = backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
    assert (made.files, made.linked, made.segments) == (2, 2, 1)
    put(store, f"a.b {NOW} 5")
    store.compact()
    restored = backup.restore(tmp_path / "b", tmp_path / "r", quiet)
    assert (restored.copied, restored.linked) == (2, 0)
    assert shown(tmp_path / "r", clock, names) == expected
    again = backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
    assert again.reused <= again.files
    backup.restore(tmp_path / "b", tmp_path / "r2", quiet)
    assert shown(tmp_path / "r2", clock, names)["a.b"][0][0][:3] == (NOW, 3, 9.0)
    store.close()


def test_a_backup_again_reuses_what_has_not_changed_and_keeps_nothing_else(tmp_path, clock):
    store = open_store(tmp_path / "s", clock)
    for number in range(3):
        put(store, f"n{number} {NOW} 1")
        store.flush()
    assert backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet, copy=True).copied == 6
    put(store, f"n9 {NOW} 1")
    store.flush()
    made = backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet, copy=True)
    assert (made.reused, made.copied) == (6, 2)
    store.compact()
    backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
    files = {path.name for path in (tmp_path / "b").rglob("*.statfile")}
    assert files == {os.path.basename(entry.path) for entry in store.files.manifest.files}
    store.close()


def test_a_backup_under_load_has_all_that_was_acknowledged_before_it_began(tmp_path):
    """A thread feeds, cuts, merges, derives and expires without a pause, while backups are made and put back."""
    clock = FakeClock(NOW)
    store = open_store(tmp_path / "s", clock, cut_bytes=4096, cut_seconds=3600)
    sent = {"count": 0}         # samples that are in the journal's file
    done = threading.Event()
    errors = []

    def load():
        try:
            number = 0
            while not done.is_set():
                time = int(clock.now())
                put(store, *(f"n{k} {time} 1" for k in range(40)), f"total {time} 1")
                store.tick()
                assert store._journal.drain(10)
                number += 1
                sent["count"] = number
                clock.advance(10)
                if number % 7 == 0:
                    store.compact()
        except Exception as error:  # noqa: BLE001 - told by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for attempt in range(6):
            while sent["count"] < 12 * (attempt + 1) and not errors:
                threading.Event().wait(0.01)
            acknowledged = sent["count"]
            backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
            backup.restore(tmp_path / "b", tmp_path / f"r{attempt}", quiet)
            restored = open_store(tmp_path / f"r{attempt}", FakeClock(clock.now()), cut_seconds=3600)
            counts = [sum(row[1] for row in rows(restored, name, 0, 0, NOW * 2)) for name in ("total", "n7")]
            assert acknowledged <= counts[0] <= sent["count"] + 1
            assert counts[0] == counts[1]
            restored.close()
    finally:
        done.set()
        thread.join()
        store.close()
    assert not errors


def test_a_first_backup_that_was_cut_off_is_gone_on_with(tmp_path, clock):
    """As it is when the store changes among its first files, too: nothing tells yet what the files are of."""
    store = open_store(tmp_path / "s", clock)
    put(store, f"a {NOW} 1")
    store.flush()
    put(store, f"a {NOW} 2")
    store.tick()
    assert store._journal.drain(10)
    backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
    (tmp_path / "b/MANIFEST").unlink()
    made = backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet)
    assert made.reused
    backup.restore(tmp_path / "b", tmp_path / "r", quiet)
    restored = open_store(tmp_path / "r", clock)
    assert rows(restored, "a", 0) == rows(store, "a", 0) == [(NOW, 2, 3.0, 0.5, 1.0, 2.0)]
    restored.close()
    store.close()


def test_what_is_no_place_for_a_backup(tmp_path, clock):
    store = open_store(tmp_path / "s", clock)
    put(store, "a 1")
    store.flush()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter").write_text("dear")
    other = open_store(tmp_path / "o", clock)
    backup.backup(tmp_path / "o", tmp_path / "ob", clock, quiet)
    for source, to, words in (("none", "b", "holds no store"), ("s", "full", "neither empty nor a backup"),
                              ("s", "o", "neither empty nor a backup"), ("s", "s/b", "is in the store"),
                              ("s", "ob", "backup of another store")):
        with pytest.raises(StoreError, match=words):
            backup.backup(tmp_path / source, tmp_path / to, clock, quiet)
    with pytest.raises(StoreError, match="is no backup"):
        backup.restore(tmp_path / "s", tmp_path / "r", quiet)
    with pytest.raises(StoreError, match="is not empty"):
        backup.restore(tmp_path / "ob", tmp_path / "full", quiet)
    store.close()
    other.close()


def test_a_damaged_backup_is_not_restored(tmp_path, clock):
    store = open_store(tmp_path / "s", clock)
    put(store, "a 1", "b 2")
    store.flush()
    backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet, copy=True)
    (file,) = (tmp_path / "b").rglob("*.statfile")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="statfile"):
        backup.restore(tmp_path / "b", tmp_path / "r", quiet)
    assert not (tmp_path / "r/MANIFEST").exists()
    file.unlink()
    with pytest.raises(StoreCorrupt, match="is missing"):
        backup.restore(tmp_path / "b", tmp_path / "r2", quiet)
    (live,) = (tmp_path / "s").rglob("*.statfile")
    live.unlink()
    with pytest.raises(StoreCorrupt, match="is missing; what does"):
        backup.backup(tmp_path / "s", tmp_path / "b2", clock, quiet)
    store.close()


def test_without_links_files_are_copied(tmp_path, clock, monkeypatch):
    store = open_store(tmp_path / "s", clock)
    put(store, "a 1")
    store.flush()

    def another_device(*_names, **_how):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", another_device)
    assert backup.backup(tmp_path / "s", tmp_path / "b", clock, quiet).copied == 2
    monkeypatch.undo()
    crash(store)
    backup.restore(tmp_path / "b", tmp_path / "r", quiet)
    assert shown(tmp_path / "r", clock, ["a"])["a"][0]


def test_the_commands(tmp_path, clock, capsys):
    store = open_store(tmp_path / "s", clock)
    put(store, "a 1")
    store.close()
    brought = {"backup": lambda: BACKUP, "restore": lambda: RESTORE}
    words = ["backup", "--store", str(tmp_path / "s"), str(tmp_path / "b"), "--json"]
    assert command.main(words, clock, brought) == 0
    assert json.loads(capsys.readouterr().out)["files"] == 2
    assert command.main(["restore", str(tmp_path / "b"), str(tmp_path / "r")], clock, brought) == 0
    assert "is a store again" in capsys.readouterr().out
    assert command.main(["restore", str(tmp_path / "b"), str(tmp_path / "r")], clock, brought) == 91
