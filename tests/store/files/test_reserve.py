"""The reserve: given up when the disk is full, made again when there is space."""
from __future__ import annotations

import errno
import os

import pytest

from istat.errors import StoreFull
from istat_server.store.files import manifest, reserve
from istat_server.store.files.reserve import Reserve
from tests.store.harness import NOW, open_store, put, rows

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def space(monkeypatch):
    """Free space on the disk, to be set."""
    free = [1 << 40]
    monkeypatch.setattr(reserve, "free_bytes", lambda _folder: free[0])
    monkeypatch.setattr(reserve, "SIZE", 4096)
    return free


def test_it_is_made_given_up_once_and_made_again(tmp_path, space):
    kept = Reserve(tmp_path)
    assert (kept.held, kept.due()) == (0, True)
    kept.make()
    assert (kept.held, os.stat(tmp_path / "reserve").st_blocks * 512 >= 4096, kept.due()) == (4096, True, False)
    tries = []

    def work():
        tries.append((tmp_path / "reserve").exists())
        if len(tries) < 2:
            raise StoreFull("full")
        return "done"

    assert (kept.use(work), tries, kept.held) == ("done", [True, False], 0)
    with pytest.raises(OSError):
        kept.use(lambda: (_ for _ in ()).throw(FULL))
    space[0] = 4095
    assert (kept.due(), kept.room()) == (False, False)
    space[0] = 4096
    assert (kept.due(), kept.room()) == (False, True)
    space[0] = 8192
    assert kept.due()
    kept.make()
    assert Reserve(tmp_path).held == 4096


def test_other_errors_leave_it_alone(tmp_path, space):
    kept = Reserve(tmp_path)
    kept.make()
    with pytest.raises(OSError, match="output"):
        kept.use(lambda: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    assert kept.held == 4096


def test_one_that_cannot_be_made_is_made_later(tmp_path, space, monkeypatch):
    kept = Reserve(tmp_path)
    monkeypatch.setattr(reserve.os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(FULL))
    kept.make()
    assert (kept.held, list(tmp_path.iterdir())) == (0, [])
    monkeypatch.undo()


def test_one_that_cannot_be_made_nor_removed_is_made_later(tmp_path, space, monkeypatch):
    """As on a disk that has become read-only."""
    def refuse(*_arguments, **_more):
        raise OSError(errno.EROFS, "Read-only file system")

    kept = Reserve(tmp_path)
    with monkeypatch.context() as readonly:
        readonly.setattr(reserve.os, "open", refuse)
        readonly.setattr(reserve.Path, "unlink", refuse)
        kept.make()
    assert (kept.held, kept.due()) == (0, True)
    kept.make()
    assert kept.held == 4096


def test_a_store_writes_its_head_and_lets_old_files_go_on_a_full_disk(tmp_path, clock, space, monkeypatch):
    store = open_store(tmp_path, clock)
    clock.advance(2)
    store.tick()
    assert store.status()["reserve_bytes"] == 4096
    put(store, "a 1")
    save, saved = manifest.save, []

    def full(folder, state):
        if (tmp_path / "reserve").exists():
            raise FULL
        saved.append(state)
        save(folder, state)

    monkeypatch.setattr(manifest, "save", full)
    store.flush()
    assert (len(saved), store.status()["reserve_bytes"], store.flushing.errors) == (1, 0, 0)
    assert len(rows(store, "a", 0, NOW - 100)) == 1
    clock.advance(2)
    store.tick()
    assert store.status()["reserve_bytes"] == 4096
    monkeypatch.setattr(manifest, "save", save)
    clock.advance(7200)
    store.tick()
    store.compact()                                     # whole windows, derived
    monkeypatch.setattr(manifest, "save", full)
    for _ in range(20):
        clock.advance(3000)
        store.tick()
    assert not [entry for entry in store.files.manifest.files if entry.level == 0]     # expiry got its MANIFEST
    monkeypatch.undo()
    store.close()
